"""qMRMLSegmentSelectorWidget: Libs/MRML/Widgets/qMRMLSegmentSelectorWidget.cxx and its .ui."""

from PySide6.QtCore import Property, Signal, Slot
from PySide6.QtWidgets import QComboBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy

from .qmrml_node_combobox import qMRMLNodeComboBox
from .qmrml_vtk import Observers, Weak
from .qmrml_widget import qMRMLWidget

NONE = "None"
SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")


def _of_selector(name: str) -> Property:
    """Make a property that is the segmentation selector's."""
    return Property(
        bool,
        lambda self: getattr(self._nodes, name),
        lambda self, value: self._setOfSelector(name, value),
    )


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Selects a segmentation and one of its segments (Libs/MRML/Widgets/qMRMLSegmentSelectorWidget.h).

    As in Slicer ``currentSegmentID`` keeps the last ID when the segmentation is gone, and ``segmentIDs`` lists nothing
    in single selection. Not covered: multi-selection, which raises, and horizontalLayout.
    """

    SIGNATURES = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_currentNodeValid",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
        "setCurrentNode(vtkMRMLNode*)": "setCurrentNode",
    }
    currentNodeChanged = Signal(object)
    _currentNodeValid = Signal(bool, name="currentNodeChanged")
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    nodeAboutToBeEdited = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._segmentation = Weak()
        self._observers = Observers(self)
        self._segmentID = ""
        self._buildWidgets()
        self.mrmlSceneChanged.connect(self._nodes.setMRMLScene)
        self._nodes.currentNodeChanged.connect(self._onCurrentNodeChanged)
        self._nodes.currentNodeChanged.connect(self.currentNodeChanged)
        self._nodes._currentNodeValid.connect(self._currentNodeValid)
        self._nodes.nodeAboutToBeEdited.connect(self.nodeAboutToBeEdited)
        self._segments.currentIndexChanged.connect(self._onCurrentSegmentChanged)
        self._populate()

    def _buildWidgets(self) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(0)
        layout.setVerticalSpacing(2)
        self._nodes = qMRMLNodeComboBox(self)
        self._nodes.setObjectName("MRMLNodeComboBox_Segmentation")
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = False
        self._nodes.renameEnabled = True
        layout.addWidget(self._nodes, 0, 0)
        layout.addWidget(self._buildSegmentRow(), 1, 0)

    def _buildSegmentRow(self) -> QFrame:
        outer, inner = QFrame(self), QFrame(self)
        outer.setObjectName("frame_Segment")
        inner.setObjectName("frame_SegmentIndented")
        indent = QHBoxLayout(outer)
        indent.setContentsMargins(4, 0, 0, 0)
        indent.addWidget(inner)
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self._label = QLabel("Segment: ", inner)
        self._label.setObjectName("label_Segment")
        self._segments = QComboBox(inner)
        self._segments.setObjectName("comboBox_Segment")
        self._segments.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._message = QLabel(inner)
        self._message.setObjectName("label_Message")
        grid.addWidget(self._label, 0, 0)
        grid.addWidget(self._segments, 0, 2)
        grid.addWidget(self._message, 1, 0, 1, 3)
        return outer

    # the segmentation

    @Slot(result=object)
    def currentNode(self):
        return self._nodes.currentNode()

    @Slot(result=str)
    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    @Slot(object)
    def setCurrentNode(self, node) -> None:
        self._nodes.setCurrentNode(node)

    @Slot(str)
    def setCurrentNodeID(self, node_id: str) -> None:
        self._nodes.setCurrentNodeID(node_id)

    def _onCurrentNodeChanged(self, node) -> None:
        old = self._segmentation.get()
        if node is old:
            return
        import slicer

        for event in SEGMENT_EVENTS:
            self._observers.move(old, node, getattr(slicer.vtkSegmentation, event), "_onSegmentsModified")
        self._segmentation.set(node)
        self._populate()

    # its segments

    @Slot(result=str)
    def currentSegmentID(self) -> str:
        return self._segmentID

    @Slot(result="QStringList")
    def selectedSegmentIDs(self) -> list:
        return []  # multi-selection only

    @Slot(result="QStringList")
    def segmentIDs(self) -> list:
        return []  # Slicer reads them from the list of multi-selection

    @Slot(str)
    def setCurrentSegmentID(self, segment_id: str) -> None:
        if not segment_id and self.noneEnabled:
            self._segments.setCurrentIndex(0)
            return
        row = self._segments.findData(segment_id)
        if row != -1:
            self._segments.setCurrentIndex(row)

    @Slot("QStringList")
    def setSelectedSegmentIDs(self, _segment_ids) -> None:
        print("qMRMLSegmentSelectorWidget::setSelectedSegmentIDs: Multi-selection is off")

    def _onSegmentsModified(self, _caller, _event) -> None:
        self._populate()

    def _populate(self) -> None:
        """List the segments; the selected one stays, if it is there, and without a word."""
        node = self._segmentation.get()
        ids = list(node.GetSegmentation().GetSegmentIDs()) if node is not None and node.GetSegmentation() else []
        blocked = self._segments.blockSignals(True)
        self._segments.clear()
        self._label.setVisible(bool(ids))
        self._segments.setVisible(bool(ids))
        self._setMessage("" if ids else "No segments in segmentation " if node is not None else "No node is selected ")
        if ids and self.noneEnabled:
            self._segments.addItem(NONE, NONE)
        for segment_id in ids:
            self._segments.addItem(node.GetSegmentation().GetSegment(segment_id).GetName(), segment_id)
        self._segments.blockSignals(blocked)
        if ids:
            self._restore(ids)

    def _restore(self, ids: list) -> None:
        known = self._segmentID in ids if self._segmentID else self.noneEnabled
        blocked = self._segments.blockSignals(True)
        if known:
            self.setCurrentSegmentID(self._segmentID)
        else:
            self._segments.setCurrentIndex(-1)
        self._segments.blockSignals(blocked)
        if not known:
            self._segments.setCurrentIndex(1 if self.noneEnabled else 0)

    def _onCurrentSegmentChanged(self, row: int) -> None:
        self._setMessage("")
        if self._segmentation.get() is None:
            return
        segment_id = self._segments.itemData(row) or ""
        self._segmentID = "" if segment_id == NONE else segment_id
        self.currentSegmentChanged.emit(self._segmentID)

    def _setMessage(self, text: str) -> None:
        self._message.setVisible(bool(text))
        self._message.setText(text)

    # properties

    def _setOfSelector(self, name: str, value: bool) -> None:
        setattr(self._nodes, name, value)
        if name == "noneEnabled":
            self._populate()

    def _setMultiSelection(self, multi: bool) -> None:
        if multi:
            raise NotImplementedError("The stand-in's qMRMLSegmentSelectorWidget selects single segments only.")

    noneEnabled = _of_selector("noneEnabled")
    editEnabled = _of_selector("editEnabled")
    selectNodeUponCreation = _of_selector("selectNodeUponCreation")
    multiSelection = Property(bool, lambda self: False, _setMultiSelection)
    segmentationNodeSelectorVisible = Property(
        bool, lambda self: self._nodes.isVisible(), lambda self, shown: self._nodes.setVisible(shown)
    )
