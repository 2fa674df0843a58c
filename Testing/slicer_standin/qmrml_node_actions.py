"""The extra rows in the popup of qMRMLNodeComboBox: "None", and the actions below the nodes."""

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QInputDialog, QLineEdit

from .qmrml_scene_model import EXTRA_ITEMS_ROLE

# property: how its action row's data begins
ACTIONS = {"_addEnabled": "CREATE", "_removeEnabled": "DELETE", "_editEnabled": "EDIT", "_renameEnabled": "RENAME"}


def action_data(action: QAction) -> str:
    return action.text() if action.data() is None else str(action.data())


class NodeActions:
    """Makes the rows and carries them out, as Libs/MRML/Widgets/qMRMLNodeComboBox.cxx; part of qMRMLNodeComboBox."""

    def _updateDefaultText(self) -> None:
        types = self._filter._nodeTypes
        self._combo._setDefaultText(f"Select a {self.nodeTypeLabel(types[0] if types else '')}")

    def _updateNoneItem(self) -> None:
        self._sceneModel._setPreItems([self._noneDisplay] if self._noneEnabled else [])

    def _updateActionItems(self) -> None:
        rows = self._actionRows() if self.mrmlScene() is not None else []
        current = self._combo.currentIndex()
        self._sceneModel._setPostItems([text for text, _ in rows], [data for _, data in rows])
        self._combo.setCurrentIndex(current)

    def _actionRows(self) -> list[tuple[str, str]]:
        types = self._filter._nodeTypes
        label = self.nodeTypeLabel(types[0] if len(types) == 1 else "")
        rows = []
        if self._renameEnabled:
            rows.append((f"Rename current {label}", f"RENAME/{label}"))
        if self._editEnabled:
            rows.append((f"Edit current {label}", f"EDIT/{label}"))
        for own in [self.nodeTypeLabel(node_type) for node_type in types] if self._addEnabled else []:
            rows.append((f"Create new {own}", f"CREATE/{own}"))
            if self._renameEnabled:
                rows.append((f"Create new {own} as...", f"CREATE_AS/{own}"))
        if self._removeEnabled:
            rows.append((f"Delete current {label}", f"DELETE/{label}"))
        rows += [(action.text(), action_data(action)) for action in self._menuActions]
        any_enabled = any(getattr(self, name) for name in ACTIONS) or self._menuActions
        return [("separator", "SEPARATOR"), *rows] if any_enabled else rows

    def _activateExtraItem(self, index) -> None:
        data = index.data(EXTRA_ITEMS_ROLE) or ""
        if data.startswith("CREATE"):
            self._create(data)
            return
        for prefix, enabled, action in (
            ("DELETE", self._removeEnabled, self.removeCurrentNode),
            ("EDIT", self._editEnabled, self.editCurrentNode),
            ("RENAME", self._renameEnabled, self.renameCurrentNode),
        ):
            if enabled and data.startswith(prefix):
                self._combo.hidePopup()
                action()
                return
        for action in self._menuActions:
            if data.startswith(action_data(action)):
                self._combo.hidePopup()
                action.trigger()
                return

    def _create(self, data: str) -> None:
        label = data.split("/")[1]
        types = [node_type for node_type in self._filter._nodeTypes if self.nodeTypeLabel(node_type) == label]
        if not types:
            return
        self._combo.hidePopup()
        name = self._askName(f"Create new {label}", "") if data.startswith("CREATE_AS") else None
        if name == "":
            return
        node = self.addNode(types[0])
        if node is not None:
            if name:
                node.SetName(name)
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)

    def _askName(self, title: str, name: str) -> str:
        """Ask the user; "" where nothing was entered or the dialog was canceled."""
        text, accepted = QInputDialog.getText(self, title, "New name:", QLineEdit.EchoMode.Normal, name)
        return text if accepted else ""

    def _setNone(self, name: str, value) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self._updateNoneItem()

    def _setAction(self, name: str, enabled: bool) -> None:
        taken = any(data.startswith(ACTIONS[name]) for data in self._sceneModel._postItemsData())
        if getattr(self, name) != enabled and not (enabled and taken):
            setattr(self, name, enabled)
            self._updateActionItems()
