"""qMRMLNodeComboBox, the node selector: Libs/MRML/Widgets/qMRMLNodeComboBox.cxx.

It is made as in Slicer, of a combo box on the filtered model of the scene, so that what selects itself, what is
selected after the current node has gone and which signals that sends are Qt's doing, as there.
"""

from PySide6.QtCore import Property, QCoreApplication, QEvent, QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QWidget

from .qmrml_ctk import ctkComboBox
from .qmrml_node_actions import ACTIONS, NodeActions, action_data
from .qmrml_node_factory import NodeFactory
from .qmrml_scene_model import UID_ROLE, qMRMLSceneModel, qMRMLSortFilterProxyModel
from .qmrml_vtk import Weak, vtk_argument


def _flag(name: str) -> Property:
    """Make the property of an action row."""
    return Property(bool, lambda self: getattr(self, name), lambda self, value: self._setAction(name, bool(value)))


def _filter(name: str, kind=bool) -> Property:
    """Make a property that is the filter's."""
    return Property(kind, lambda self: getattr(self._filter, name), lambda self, value: self._filter._set(name, value))


class qMRMLNodeComboBox(QWidget, NodeActions):
    """Selects a node of the scene (Libs/MRML/Widgets/qMRMLNodeComboBox.h).

    Properties, slots and invokable methods as there. ``nodes``, ``model``, ``nodeFactory`` and the setters of
    properties are plain C++ methods, invisible to Python, and so not here. Not covered: sortFilterProxyModel().
    A name that is typed in the popup is not written to the node; Slicer's list has no editor either.
    """

    SIGNATURES = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_currentNodeValid",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAddedByUserAction(vtkMRMLNode*)": "nodeAddedByUserAction",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
        "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
        "setCurrentNode(vtkMRMLNode*)": "setCurrentNode",
    }
    currentNodeChanged = Signal(object)
    _currentNodeValid = Signal(bool, name="currentNodeChanged")
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    currentNodeRenamed = Signal(str)
    nodeAboutToBeEdited = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._noneEnabled = False
        self._addEnabled = True
        self._removeEnabled = True
        self._editEnabled = False
        self._renameEnabled = False
        self._interactionTag = "Singleton"
        self._selectUponCreation = True
        self._noneDisplay = "None"
        self._labels = {}
        self._knownText = ""
        self._menuActions = []
        self._sceneSwitching = False
        self._requestedID = ""
        self._requestedNode = Weak()
        self._factory = NodeFactory()
        self._buildComboBox()
        self.setEnabled(False)

    def _buildComboBox(self) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        fixed, control = QSizePolicy.Policy.Fixed, QSizePolicy.ControlType.ComboBox
        self.setSizePolicy(QSizePolicy(QSizePolicy.Policy.Preferred, fixed, control))
        self._combo = ctkComboBox(self)
        self._combo._setElideMode(Qt.TextElideMode.ElideMiddle)
        layout.addWidget(self._combo)
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._combo.activated.connect(self._emitNodeActivated)
        self._sceneModel = qMRMLSceneModel(self)
        self._filter = qMRMLSortFilterProxyModel(self)
        self._filter.setSourceModel(self._sceneModel)
        self._setModel()
        self._updateDefaultText()

    def _setModel(self) -> None:
        self._combo.view()  # as in Slicer before anything is connected: the combo box has to hear of rows first
        self._combo.setModel(self._filter)
        self._filter.rowsInserted.connect(self._emitNodesAdded)
        self._filter.rowsAboutToBeRemoved.connect(self._emitNodesAboutToBeRemoved)
        self._filter.rowsRemoved.connect(self._refreshIfCurrentNodeHidden)
        self._filter.modelReset.connect(self._refreshIfCurrentNodeHidden)
        self._filter.layoutChanged.connect(self._refreshIfCurrentNodeHidden)
        # Qt 5, which Slicer is built with, sends currentTextChanged at every change of the index, and of the current
        # row's text; Qt 6 keeps quiet where the new row has the same text.
        self._combo.currentIndexChanged.connect(self._onIndexChanged)
        self._combo.currentTextChanged.connect(self._onTextChanged)
        self._combo.view().clicked.connect(self._activateExtraItem)

    # rows and nodes

    def _node(self, row: int):
        return self._sceneModel._node(self._filter.mapToSource(self._index(row)))

    def _index(self, row: int):
        return self._filter.index(row, 0, self._combo.rootModelIndex())

    def _sceneIndex(self):
        return self._filter.index(0, 0)

    @Slot(result=object)
    def mrmlScene(self):
        return self._sceneModel._mrmlScene()

    @Slot(result=int)
    def nodeCount(self) -> int:
        extra = len(self._sceneModel._preItems()) + len(self._sceneModel._postItems())
        return self._combo.count() - extra if self.mrmlScene() is not None else 0

    @Slot(int, result=object)
    def nodeFromIndex(self, index: int):
        return self._node(index + 1 if self._noneEnabled else index)

    @Slot(result=object)
    def currentNode(self):
        return self._node(self._combo.currentIndex())

    def _currentNodeID(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    # selecting

    @Slot(object)
    def setCurrentNode(self, node) -> None:
        vtk_argument(node, "vtkMRMLNode")
        if self.mrmlScene() is None:
            self._requestedID = ""
            self._requestedNode.set(node)
        self._select(node.GetID() or "" if node is not None else "")

    @Slot(str)
    def setCurrentNodeID(self, node_id: str) -> None:
        if self.mrmlScene() is None:
            self._requestedID = node_id
            self._requestedNode.set(None)
        self._select(node_id)

    @Slot(int)
    def setCurrentNodeIndex(self, index: int) -> None:
        index = -1 if index >= self.nodeCount() else index
        self._combo.setCurrentIndex(index + 1 if self._noneEnabled else index)

    def _select(self, node_id: str) -> None:
        flags = Qt.MatchFlag.MatchRecursive | Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchWrap
        found = self._filter.match(self._sceneIndex(), UID_ROLE, node_id, 1, flags) if self._filter.rowCount() else []
        view = self._combo.view()
        if not found:
            scene = self._sceneIndex()
            self._combo.setRootModelIndex(scene)
            none = self._filter.index(0, 0, scene) if scene.isValid() else QModelIndex()
            view.setCurrentIndex(none if self._noneEnabled else scene)
            self._combo.setCurrentIndex(0 if self._noneEnabled else -1)
        elif view.currentIndex() != found[0]:
            view.setCurrentIndex(found[0])
            enter = QKeyEvent(QEvent.Type.ShortcutOverride, Qt.Key.Key_Enter, Qt.KeyboardModifier.NoModifier)
            QCoreApplication.sendEvent(view, enter)

    # what the combo box tells

    def _onIndexChanged(self, _row: int) -> None:
        self._knownText = self._combo.currentText()
        self._emitCurrentNodeChanged()

    def _onTextChanged(self, _text: str) -> None:
        if self._combo.currentText() != self._knownText:  # renamed, where the index has not just been reported
            self._knownText = self._combo.currentText()
            self._emitCurrentNodeChanged()

    def _emitCurrentNodeChanged(self) -> None:
        if self._sceneSwitching:
            return
        row = self._combo.currentIndex()
        node = self._node(row)
        if node is None and row != (0 if self._noneEnabled else -1):
            # an action row became current, since the current node has gone
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self._currentNodeValid.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _emitNodeActivated(self, row: int) -> None:
        node = self._node(row)
        if node is not None or (self._noneEnabled and row == 0):
            self.nodeActivated.emit(node)

    def _emitNodesAdded(self, parent, start: int, end: int) -> None:
        self._emitNodes(self.nodeAdded, parent, start, end)

    def _emitNodesAboutToBeRemoved(self, parent, start: int, end: int) -> None:
        self._emitNodes(self.nodeAboutToBeRemoved, parent, start, end)

    def _emitNodes(self, signal, parent, start: int, end: int) -> None:
        """Send the signal once a row; of several rows that come at once Slicer names the first one each time."""
        for _ in range(start, end + 1):
            node = self._sceneModel._node(self._filter.mapToSource(self._filter.index(start, 0, parent)))
            if node is not None:
                signal.emit(node)

    def _refreshIfCurrentNodeHidden(self, *_) -> None:
        if self.currentNode() is None:
            self.setCurrentNode(None)

    # the scene

    @Slot(object)
    def setMRMLScene(self, scene) -> None:
        vtk_argument(scene, "vtkMRMLScene")
        if scene is self.mrmlScene():
            return
        old_id = self._combo.currentData(UID_ROLE) or ""
        had_nodes = self.nodeCount() > 0
        self._sceneSwitching = True
        self._sceneModel._setMRMLScene(scene)
        self._sceneSwitching = False
        self._updateNoneItem()
        self._updateActionItems()
        self._combo.setRootModelIndex(self._sceneIndex())
        self.setCurrentNodeID(old_id if had_nodes else self._wantedID())
        self._requestedID = ""
        self._requestedNode.set(None)
        self._updateDefaultText()
        self.setEnabled(scene is not None)

    def _wantedID(self) -> str:
        """Return the ID of what was asked for before there was a scene, else of what selected itself."""
        requested = self._requestedNode.get()
        if self._requestedID:
            return self._requestedID
        if requested is not None and requested.GetID():
            return requested.GetID()
        return self._currentNodeID()

    # what the action rows do

    @Slot(QAction)
    def addMenuAction(self, action: QAction) -> None:
        taken = [prefix for name, prefix in ACTIONS.items() if getattr(self, name)]
        known = [each.text() for each in self._menuActions]
        if action.text() in known or action_data(action).startswith(tuple(taken)):
            return
        self._menuActions.append(action)
        self._updateActionItems()

    @Slot(result=object)
    @Slot(str, result=object)
    def addNode(self, node_type: str | None = None):
        types = self._filter._nodeTypes
        if node_type is None:
            node_type = types[0] if types else ""
        if node_type not in types:
            return None
        node = self._factory.createNode(self.mrmlScene(), node_type)
        if node is None:
            return None
        if self._selectUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    @Slot()
    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            self.mrmlScene().RemoveNode(node)

    @Slot()
    def editCurrentNode(self) -> None:
        node = self.currentNode()
        self.nodeAboutToBeEdited.emit(node)
        if self._interactionTag:
            interaction = self.mrmlScene().GetSingletonNode(self._interactionTag, "vtkMRMLInteractionNode")
            if interaction is not None:
                interaction.EditNode(node)

    @Slot()
    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is None:
            return
        name = self._askName(f"Rename {self.nodeTypeLabel(node.GetClassName())}", node.GetName() or "")
        if name:
            node.SetName(name)
            self.currentNodeRenamed.emit(name)

    # types, attributes and names

    @Slot(str, str)
    @Slot(str, str, "QVariant")
    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        """Show only nodes with that attribute, and give it to new ones; one a type, and the type must be set first."""
        text = None if value is None else _text(value)
        self._factory.addAttribute(name, text or "")
        self._filter._addAttribute(node_type, name, text)

    @Slot(str, str)
    def removeAttribute(self, node_type: str, name: str) -> None:
        self._factory.removeAttribute(name)
        self._filter._removeAttribute(node_type, name)

    @Slot(str, str)
    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        if not node_type:
            return
        self._labels[node_type] = label
        if not label:
            del self._labels[node_type]
        self._updateDefaultText()
        self._updateActionItems()

    @Slot(str, result=str)
    def nodeTypeLabel(self, node_type: str) -> str:
        if node_type in self._labels:
            return self._labels[node_type]
        scene = self.mrmlScene()
        return (scene.GetTypeDisplayNameByClassName(node_type) if scene is not None else "") or "node"

    # properties

    def _setNodeTypes(self, types) -> None:
        self._filter._set("_nodeTypes", [node_type for node_type in types if node_type])
        self._updateDefaultText()
        self._updateActionItems()

    def _setBaseName(self, name: str) -> None:
        if not self._filter._nodeTypes:
            print("qMRMLNodeComboBox::setBaseName failed: no node types have been set yet")
        for node_type in self._filter._nodeTypes:
            self._factory.setBaseName(node_type, name)

    def _baseName(self) -> str:
        types = self._filter._nodeTypes
        if not types:
            print("qMRMLNodeComboBox::baseName failed: no node types have been set yet")
        return self._factory.baseName(types[0]) if types else ""

    def _setInteractionTag(self, tag: str) -> None:
        self._interactionTag = tag

    def _setSelectUponCreation(self, value: bool) -> None:
        self._selectUponCreation = value

    currentNodeID = Property(str, _currentNodeID, setCurrentNodeID, notify=currentNodeIDChanged)
    currentNodeId = Property(str, _currentNodeID, setCurrentNodeID)  # deprecated in Slicer
    nodeTypes = Property("QStringList", lambda self: list(self._filter._nodeTypes), _setNodeTypes)
    showHidden = _filter("_showHidden")
    showChildNodeTypes = _filter("_showChildNodeTypes")
    hideChildNodeTypes = _filter("_hideChildNodeTypes", "QStringList")
    baseName = Property(str, _baseName, _setBaseName)
    noneEnabled = Property(bool, lambda self: self._noneEnabled, lambda self, on: self._setNone("_noneEnabled", on))
    noneDisplay = Property(str, lambda self: self._noneDisplay, lambda self, text: self._setNone("_noneDisplay", text))
    addEnabled = _flag("_addEnabled")
    removeEnabled = _flag("_removeEnabled")
    editEnabled = _flag("_editEnabled")
    renameEnabled = _flag("_renameEnabled")
    interactionNodeSingletonTag = Property(str, lambda self: self._interactionTag, _setInteractionTag)
    selectNodeUponCreation = Property(bool, lambda self: self._selectUponCreation, _setSelectUponCreation)
    sizeAdjustPolicy = Property(
        QComboBox.SizeAdjustPolicy,
        lambda self: self._combo.sizeAdjustPolicy(),
        lambda self, policy: self._combo.setSizeAdjustPolicy(policy),
    )


def _text(value) -> str:
    """Write a value as QVariant::toString does."""
    return str(value).lower() if isinstance(value, bool) else str(value)
