"""The panel's inputs: PET and CT with a verdict on the pair, samples, and the tumor's place."""

import logging
from contextlib import suppress

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import ChmflError
from ..model.card import box_size_mm
from ..scene import box, inputs, samples, study
from .words import Location

_ROWS = {
    Location.POINT: ("pointNameLabel", "pointSelector", "placePointButton"),
    Location.BOX: ("boxNameLabel", "boxSelector", "makeBoxButton"),
    Location.SEGMENT: ("segmentNameLabel", "segmentSelector"),
}


class InputBox:
    """The widgets of the Inputs section.

    :param ui: the panel's widgets by name.
    :ivar parameterNode: what the user chose, None while there is no scene to choose from.
    """

    def __init__(self, ui):
        self._ui, self.parameterNode = ui, None
        self._boxSize, self._placing = None, False
        self._guessed = (None, None)  # IDs of the PET and the CT that were last chosen automatically
        for sample in samples.SAMPLES:
            ui.sampleComboBox.addItem(sample.title, sample.name)
        ui.loadSampleButton.connect("clicked()", self._onLoadSample)
        ui.loadStudyButton.connect("clicked()", self._onLoadStudy)
        ui.placePointButton.connect("clicked()", self._onPlacePoint)
        ui.makeBoxButton.connect("clicked()", self._onMakeBox)
        ui.segmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        ui.segmentSelector.connect("currentSegmentChanged(QString)", self._onSegment)

    def guess(self) -> None:
        """Choose the PET and the CT that the scene most likely means, where the user has not."""
        node = self.parameterNode
        chosen = (node.pet, node.ct)
        byUser = tuple(one is not None and one.GetID() != own for one, own in zip(chosen, self._guessed, strict=True))
        if all(byUser):
            return
        pair = inputs.complete_pair(slicer.mrmlScene, *chosen, byUser)
        self._guessed = tuple(
            None if mine or one is None else one.GetID() for one, mine in zip(pair, byUser, strict=True)
        )
        node.pet, node.ct = pair

    def takeSeen(self) -> None:
        """Predict from what the lists show: by Qt 6 they may show another volume of the same name than was chosen."""
        for role, selector in (("pet", self._ui.petSelector), ("ct", self._ui.ctSelector)):
            seen = selector.currentNode()
            if seen is not getattr(self.parameterNode, role):
                logging.warning("The list shows another %s than was chosen; what it shows is taken.", role.upper())
                setattr(self.parameterNode, role, seen)

    def forget(self) -> None:
        """The scene closes: the next one may have the same IDs."""
        self._guessed = (None, None)

    def setModelCard(self, card: dict) -> None:
        """The box that is dragged has the size that the model reads."""
        self._boxSize = box_size_mm(card)
        if self.parameterNode is not None and box.is_ours(self.parameterNode.box):
            with suppress(ChmflError):  # it is not placed yet: the line below says so
                box.fit_box(self.parameterNode.box, self._boxSize)

    def refresh(self) -> str:
        """Show what belongs to the choices; return why nothing can be predicted from them, or an empty text."""
        node, ui = self.parameterNode, self._ui
        for location, names in _ROWS.items():
            for name in names:
                getattr(ui, name).visible = node.location is location
        ui.makeBoxButton.enabled = node.ct is not None and self._boxSize is not None
        refusal = inputs.refusal(node.pet, node.ct)
        if refusal is not None:
            problem = f"{refusal.message} {refusal.hint}"
            missing = node.pet is None or node.ct is None
            ui.pairLabel.text = problem if missing else f"\N{WARNING SIGN} {problem}"
            return problem
        units = inputs.units_in_words(node.pet)
        doubts = inputs.pair_warnings(node.pet, node.ct)
        if doubts:
            ui.pairLabel.text = f"\N{WARNING SIGN} {' '.join(one['text'] for one in doubts)} {units}".rstrip()
        else:
            ui.pairLabel.text = "\N{CHECK MARK} " + _("PET and CT fit together. {units}").format(units=units)
        return self._locationProblem()

    def showSegment(self) -> None:
        """Bring the segment that was chosen into its selector, which knows no parameter nodes."""
        node, segmentId = self.parameterNode.segmentation, self.parameterNode.segmentId
        self._ui.segmentSelector.setCurrentNode(node)
        if node is not None:
            self._ui.segmentSelector.setCurrentSegmentID(segmentId)
            self.parameterNode.segmentId = self._ui.segmentSelector.currentSegmentID()  # what the user sees

    def _locationProblem(self) -> str:
        node = self.parameterNode
        if node.location in (Location.POINT, Location.BOX):
            place = node.point if node.location is Location.POINT else node.box
            try:
                box.center_of(place)
            except ChmflError as error:
                return f"{error.message} {error.hint}"
        if node.location is Location.SEGMENT and not self._segmentIsThere():
            return _("Choose the segment that holds the tumor.")
        return ""

    def _segmentIsThere(self) -> bool:
        segmentation = self.parameterNode.segmentation
        return (
            segmentation is not None
            and segmentation.GetSegmentation().GetSegment(self.parameterNode.segmentId) is not None
        )

    def _onLoadSample(self) -> None:
        name = self._ui.sampleComboBox.currentData
        with slicer.util.WaitCursor():
            try:
                pet, ct = samples.load_sample(name)
            except ChmflError as error:
                slicer.util.errorDisplay(f"{error.message}\n\n{error.hint}", windowTitle=_("The sample cannot be had"))
                return
        self.parameterNode.pet, self.parameterNode.ct = pet, ct

    def pointAt(self, ras) -> None:
        """Give a place as the point in the tumor, world RAS mm."""
        self._emptyPoint().AddControlPointWorld([float(value) for value in ras])
        self.parameterNode.location = Location.POINT

    def _onLoadStudy(self) -> None:
        title = _("Folder of a DICOM study")
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)
        if not folder:
            return
        with slicer.util.WaitCursor():
            try:
                pet, ct, note = study.load_study(folder)
            except ChmflError as error:
                text = f"{error.message}\n\n{error.hint}"
                slicer.util.errorDisplay(text, windowTitle=_("The study cannot be loaded"))
                return
        self.parameterNode.pet, self.parameterNode.ct = pet, ct
        if note:
            slicer.util.infoDisplay(note, windowTitle=_("PET and CT of the study"))

    def _emptyPoint(self):
        node = self.parameterNode
        if not box.may_be_emptied(node.point):  # the user's list of landmarks stays as it is
            node.point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Tumor point"))
            node.point.SetAttribute(box.MADE, "point")
            node.point.CreateDefaultDisplayNodes()
        node.point.RemoveAllControlPoints()
        return node.point

    def _onPlacePoint(self) -> None:
        slicer.modules.markups.logic().SetActiveList(self._emptyPoint())
        slicer.modules.markups.logic().StartPlaceMode(False)
        self._placing = True

    def endPlacing(self) -> None:
        """Give the mouse back, if it still places the point that was asked for here."""
        if self._placing:
            self._placing = False
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            if interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
                interaction.SwitchToViewTransformMode()

    def _onMakeBox(self) -> None:
        center = inputs.center_of_volume(self.parameterNode.pet or self.parameterNode.ct)
        self.parameterNode.box = box.make_box(slicer.mrmlScene, center, self._boxSize)

    def _onSegmentation(self, segmentation) -> None:
        if self.parameterNode is not None:
            self.parameterNode.segmentation = segmentation
            # a segment with the ID of the one before is shown without a signal
            self.parameterNode.segmentId = self._ui.segmentSelector.currentSegmentID() if segmentation else ""

    def _onSegment(self, segmentId: str) -> None:
        if self.parameterNode is not None:
            self.parameterNode.segmentId = segmentId
