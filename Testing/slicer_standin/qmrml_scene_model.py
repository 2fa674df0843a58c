"""The Qt models behind Slicer's node selectors, on a real MRML scene.

qMRMLSceneModel follows Libs/MRML/Widgets/qMRMLSceneModel.cxx, qMRMLSortFilterProxyModel its namesake there. As in
Slicer, the model holds every node of the scene in the scene's order, below one "Scene" row and between the extra rows
("None" before, actions after); what a selector shows is filtered from it. Not covered: columns other than the name,
hierarchies, drag and drop, editing a name in the view.
"""

from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel

from .qmrml_vtk import DELETED, VTK_OBJECT, VTK_STRING, Observers, Weak

UID_ROLE = int(Qt.ItemDataRole.UserRole) + 1
EXTRA_ITEMS_ROLE = UID_ROLE + 2
SCENE, PRE_ITEM, POST_ITEM = "scene", "preItem", "postItem"
MODIFIED = "ModifiedEvent"


def uid(index) -> str:
    """Return the node ID of a row, "scene", "preItem" or "postItem"; "" for an invalid index."""
    return index.data(UID_ROLE) or "" if index.isValid() else ""


class qMRMLSceneModel(QStandardItemModel):
    """All nodes of a scene as rows (Libs/MRML/Widgets/qMRMLSceneModel.cxx)."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = Weak()
        self._observers = Observers(self)
        self._extra = {PRE_ITEM: [], POST_ITEM: []}

    def _mrmlScene(self):
        return self._scene.get()

    def _setMRMLScene(self, scene) -> None:
        if scene is self._mrmlScene():
            return
        self._observers.remove(self._mrmlScene())
        self._scene.set(scene)
        self._updateScene()
        if scene is None:
            return
        # as early and as late among the observers of the scene as in Slicer
        self._observers.add(scene, scene.NodeAddedEvent, "_onNodeAdded", VTK_OBJECT, 10.0)
        self._observers.add(scene, scene.NodeAboutToBeRemovedEvent, "_onNodeAboutToBeRemoved", VTK_OBJECT, -10.0)
        self._observers.add(scene, scene.EndCloseEvent, "_onSceneReplaced")
        self._observers.add(scene, scene.EndImportEvent, "_onSceneReplaced")
        self._observers.add(scene, DELETED, "_onSceneDeleted")

    def _sceneItem(self):
        return self.item(0) if self._mrmlScene() is not None and self.rowCount() else None

    def _sceneIndex(self):
        return self.index(0, 0)

    # extra rows

    def _preItems(self) -> list:
        return [text for text, _ in self._extra[PRE_ITEM]]

    def _postItems(self) -> list:
        return [text for text, _ in self._extra[POST_ITEM]]

    def _postItemsData(self) -> list:
        return [data for _, data in self._extra[POST_ITEM]]

    def _setPreItems(self, texts: list) -> None:
        self._setExtraItems(PRE_ITEM, texts, texts, Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)

    def _setPostItems(self, texts: list, data: list) -> None:
        self._setExtraItems(POST_ITEM, texts, data, Qt.ItemFlag.ItemIsEnabled)

    def _setExtraItems(self, kind: str, texts: list, data: list, flags) -> None:
        """Replace the extra rows of one kind; where the texts are the same nothing happens, whatever the data."""
        parent = self._sceneItem()
        if parent is None or [text for text, _ in self._extra[kind]] == list(texts):
            return
        self._removeExtraItems(kind)
        for number, (text, datum) in enumerate(zip(texts, data, strict=True)):
            parent.insertRow(number if kind == PRE_ITEM else parent.rowCount(), [_extra_item(kind, text, datum, flags)])
            self._extra[kind].append((text, datum))

    def _removeExtraItems(self, kind: str) -> None:
        row, parent = 0, self._sceneIndex()
        while row < self.rowCount(parent):
            if uid(self.index(row, 0, parent)) == kind:
                self.removeRow(row, parent)
            else:
                row += 1
        self._extra[kind] = []

    # the scene's nodes

    def _updateScene(self) -> None:
        scene = self._mrmlScene()
        self._forgetNodes()
        if scene is None:
            self.removeRows(0, self.rowCount())
            self._extra = {PRE_ITEM: [], POST_ITEM: []}
            return
        if not self.rowCount():
            self.appendRow(_scene_item())
        before, after = len(self._extra[PRE_ITEM]), len(self._extra[POST_ITEM])
        parent = self._sceneIndex()
        self.removeRows(before, self.rowCount(parent) - before - after, parent)
        nodes = scene.GetNodes()
        for number in range(nodes.GetNumberOfItems()):
            self._insertNode(nodes.GetItemAsObject(number), number)

    def _insertNode(self, node, position: int) -> None:
        if self._indexOf(node.GetID()).isValid():
            return
        parent = self._sceneItem()
        before, after = len(self._extra[PRE_ITEM]), len(self._extra[POST_ITEM])
        item = QStandardItem()
        _write(item, node)
        parent.insertRow(min(before + position, parent.rowCount() - after), [item])

    def _indexOf(self, node_id):
        if not node_id or not self.rowCount():
            return self.index(-1, 0)
        flags = Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive
        found = self.match(self._sceneIndex(), UID_ROLE, node_id, 1, flags)
        return found[0] if found else self.index(-1, 0)

    def _node(self, index):
        """Return the node of a row; None for the scene's row and the extra rows."""
        scene, node_id = self._mrmlScene(), uid(index)
        if scene is None or node_id in ("", SCENE, PRE_ITEM, POST_ITEM):
            return None
        return scene.GetNodeByID(node_id)

    def _observeNode(self, node) -> None:
        self._observers.add(node, node.IDChangedEvent, "_onNodeIDChanged", VTK_STRING)
        self._observers.add(node, MODIFIED, "_onNodeModified")

    def _forgetNodes(self) -> None:
        self._observers.remove(None, None, "_onNodeModified")
        self._observers.remove(None, None, "_onNodeIDChanged")

    # events

    def _onNodeAdded(self, scene, _event, node) -> None:
        if not scene.IsImporting():  # IDs and references may change until the import ends
            self._insertNode(node, scene.GetNodes().IndexOfFirstOccurence(node))

    def _onNodeAboutToBeRemoved(self, scene, _event, node) -> None:
        if scene.IsClosing():
            return
        self._observers.remove(node)
        index = self._indexOf(node.GetID())
        if index.isValid():
            self.removeRow(index.row(), index.parent())

    def _onSceneReplaced(self, _scene, _event) -> None:
        self._updateScene()

    def _onSceneDeleted(self, _scene, _event) -> None:
        self._scene = Weak()  # the old one must not be asked for an object that is on its way out
        self._updateScene()

    def _onNodeModified(self, node, _event) -> None:
        self._updateNode(node, node.GetID())

    def _onNodeIDChanged(self, node, _event, old_id) -> None:
        self._updateNode(node, old_id)

    def _updateNode(self, node, node_id) -> None:
        scene = self._mrmlScene()
        if scene is None or scene.IsClosing() or scene.IsImporting() or node.GetScene() is None:
            return
        index = self._indexOf(node_id)
        if index.isValid():
            _write(self.itemFromIndex(index), node)


class qMRMLSortFilterProxyModel(QSortFilterProxyModel):
    """Which nodes a selector shows (Libs/MRML/Widgets/qMRMLSortFilterProxyModel.cxx).

    By type, by subclass, by HideFromEditors and by one attribute a node type. Not covered: lists of hidden or visible
    node IDs, affiliation, showAll and hideAll.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._nodeTypes = []
        self._showHidden = False
        self._showChildNodeTypes = True
        self._hideChildNodeTypes = []
        self._attributes = {}  # node type: (name, value or None for any); the last one given counts
        self._observers = Observers(self)
        self.setDynamicSortFilter(True)

    def _set(self, name: str, value) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self.invalidateFilter()

    def _addAttribute(self, node_type: str, name: str, value) -> None:
        if node_type in self._nodeTypes and self._attributes.get(node_type) != (name, value):
            self._attributes[node_type] = (name, value)
            self.invalidateFilter()

    def _removeAttribute(self, node_type: str, name: str) -> None:
        if node_type in self._nodeTypes and self._attributes.get(node_type, ("", None))[0] == name:
            del self._attributes[node_type]
            self.invalidateFilter()

    def filterAcceptsRow(self, source_row: int, source_parent) -> bool:
        model = self.sourceModel()
        node = model._node(model.index(source_row, 0, source_parent))
        if node is None:
            return True
        accepted, observed = self._judge(node)
        if observed:  # Slicer follows only the nodes that are shown, or might be
            model._observeNode(node)
        return accepted

    def _judge(self, node) -> tuple[bool, bool]:
        """Say whether the node is shown, and whether a change of the node may change that."""
        if not self._showHidden and node.GetHideFromEditors():
            return False, False
        if not self._nodeTypes:
            return True, True
        for node_type in self._nodeTypes:
            if not node.IsA(node_type) or (not self._showChildNodeTypes and node.GetClassName() != node_type):
                continue
            if self._showChildNodeTypes and any(node.IsA(hidden) for hidden in self._hideChildNodeTypes):
                return False, False
            return self._hasAttribute(node, node_type), True
        return False, False

    def _hasAttribute(self, node, node_type: str) -> bool:
        if node_type not in self._attributes:
            return True
        self._observers.add(node, MODIFIED, "_onAttributeModified")
        name, value = self._attributes[node_type]
        found = node.GetAttribute(name)
        return found is not None and (value is None or found == value)

    def _onAttributeModified(self, _node, _event) -> None:
        self.invalidate()


def _scene_item() -> QStandardItem:
    item = QStandardItem("Scene")
    item.setData(SCENE, UID_ROLE)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsDropEnabled)
    return item


def _extra_item(kind: str, text: str, data: str, flags) -> QStandardItem:
    item = QStandardItem()
    item.setData(kind, UID_ROLE)
    if text == "separator":
        item.setData("separator", Qt.ItemDataRole.AccessibleDescriptionRole)
    else:
        item.setText(text)
        item.setData(data, EXTRA_ITEMS_ROLE)
    item.setFlags(flags)
    return item


def _write(item: QStandardItem, node) -> None:
    """Put a node's ID, name and kind into its row; the view hears of what really changed only."""
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEditable)
    item.setData(node.GetID(), UID_ROLE)
    item.setText(node.GetName() or "")
    item.setToolTip(node.GetNodeTagName() or "")
