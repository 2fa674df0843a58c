"""qMRMLSegmentationShow3DButton: Modules/Loadable/Segmentations/Widgets/qMRMLSegmentationShow3DButton.cxx."""

from contextlib import contextmanager

from PySide6.QtCore import Property, Slot
from PySide6.QtWidgets import QMenu

from .qmrml_ctk import ctkMenuButton
from .qmrml_vtk import Observers, Weak, vtk_argument

MODIFIED = "ModifiedEvent"
DEFAULT_SMOOTHING = 0.5


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Makes and removes the closed surface of a segmentation (qMRMLSegmentationShow3DButton.h).

    Enabled only while the segmentation has segments and is not made of surfaces itself; checked when it has a closed
    surface. As in Slicer a press does not change the display node's visibility. Its menu has surface smoothing; not
    covered: the smoothing factor's slider, surface nets, the icon.
    """

    SIGNATURES = {
        "setSegmentationNode(vtkMRMLSegmentationNode*)": "setSegmentationNode",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._segmentation = Weak()
        self._observers = Observers(self)
        self._lockedFlag = False
        self.setCheckable(True)
        self.setText("Show 3D")
        self.toggled.connect(self._onToggled)
        menu = QMenu("Show 3D", self)
        self._smoothing = menu.addAction("Surface smoothing")
        self._smoothing.setCheckable(True)
        self._smoothing.toggled.connect(self._onSmoothingToggled)
        self.setMenu(menu)
        self.setEnabled(False)

    @Slot(result=object)
    def segmentationNode(self):
        return self._segmentation.get()

    @Slot(object)
    def setSegmentationNode(self, node) -> None:
        vtk_argument(node, "vtkMRMLSegmentationNode")
        old = self._segmentation.get()
        if node is old:
            return
        import slicer

        segmentation = slicer.vtkSegmentation
        for event in (
            MODIFIED,
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
            segmentation.ContainedRepresentationNamesModified,
        ):
            self._observers.move(old, node, event, "_onNodeModified")
        self._segmentation.set(node)
        self._updateWidgetFromMRML()

    @Slot(bool)
    def setLocked(self, locked: bool) -> None:
        self._lockedFlag = locked
        self._updateWidgetFromMRML()

    locked = Property(bool, lambda self: self._lockedFlag, setLocked)

    def _onNodeModified(self, _caller, _event) -> None:
        self._updateWidgetFromMRML()

    def _updateWidgetFromMRML(self) -> None:
        segmentation = self._segmentationOfNode()
        if segmentation is None:
            self.setEnabled(False)
            return
        surface = _surface_name()
        self.setEnabled(
            not self._lockedFlag
            and segmentation.GetNumberOfSegments() > 0
            and segmentation.GetSourceRepresentationName() != surface
        )
        blocked = self.blockSignals(True)
        self.setChecked(segmentation.ContainsRepresentation(surface))
        self.blockSignals(blocked)
        blocked = self._smoothing.blockSignals(True)
        self._smoothing.setChecked(self._smoothingFactor() >= 0)
        self._smoothing.blockSignals(blocked)

    def _segmentationOfNode(self):
        node = self._segmentation.get()
        return node.GetSegmentation() if node is not None else None

    def _onToggled(self, on: bool) -> None:
        segmentation = self._segmentationOfNode()
        if segmentation is None:
            return
        surface = _surface_name()
        with _modifying(self._segmentation.get()) as node:
            if not on:
                if segmentation.GetSourceRepresentationName() != surface:
                    segmentation.RemoveRepresentation(surface)
            elif segmentation.CreateRepresentation(surface):
                _display(node, segmentation, surface)

    def _smoothingFactor(self) -> float:
        import slicer

        name = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetSmoothingFactorParameterName()
        try:
            return float(self._segmentationOfNode().GetConversionParameter(name))
        except ValueError:  # QString::toDouble of an empty text
            return 0.0

    def _onSmoothingToggled(self, on: bool) -> None:
        segmentation = self._segmentationOfNode()
        if segmentation is None:
            return
        import slicer

        name = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetSmoothingFactorParameterName()
        factor = abs(self._smoothingFactor()) or DEFAULT_SMOOTHING
        with _modifying(self._segmentation.get()) as node:
            # a negative factor says that smoothing is off, and keeps the factor
            segmentation.SetConversionParameter(name, f"{factor if on else -factor:g}")
            if segmentation.ContainsRepresentation(_surface_name()):
                segmentation.CreateRepresentation(_surface_name(), True)
                node.Modified()
        self._updateWidgetFromMRML()


@contextmanager
def _modifying(node):
    """Hold back a node's events: MRMLNodeModifyBlocker."""
    was_modifying = node.StartModify()
    try:
        yield node
    finally:
        node.EndModify(was_modifying)


def _surface_name() -> str:
    import slicer

    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


def _display(node, segmentation, surface: str) -> None:
    """Show the surface in 3D and keep the binary labelmap in 2D."""
    import slicer

    display = node.GetDisplayNode()
    if display is None:
        return
    display.SetPreferredDisplayRepresentationName3D(surface)
    labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if segmentation.ContainsRepresentation(labelmap):
        display.SetPreferredDisplayRepresentationName2D(labelmap)
