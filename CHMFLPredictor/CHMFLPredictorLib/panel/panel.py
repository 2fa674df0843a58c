"""The panel: hands clicks to the logic, and shows the state of the run, the inputs and the results."""

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..child.process import Ended, Ending
from ..errors import ChmflError
from ..scene import show
from ..scene.results import find_results, stored_result
from . import packages
from .batch import BatchBox
from .device import DeviceBox
from .inputs import InputBox
from .models import ModelBox
from .output import LogBox, OutputButtons
from .result import ResultBox
from .state import Kind, Phase, RunState
from .watcher import NodeWatcher
from .words import Location, buttonText, doneText, statusText

GUESS_DELAY_MS = 200  # volumes arrive one by one, and first without their voxels


class Panel:
    """What happens when the user clicks.

    :param ui: the widgets of CHMFLPredictor.ui by name.
    :param logic: makes and follows runs.
    :ivar state: of the run.
    :ivar follower: of the run that is under way or was the last.
    """

    def __init__(self, ui, logic):
        self.ui, self.logic = ui, logic
        self.state, self.follower = RunState(), None
        self._parameterNode, self._guiTag, self._observerTag = None, None, None
        self._updating, self._shown, self._relevanceShown = False, None, False
        self.inputs = InputBox(ui)
        self.result = ResultBox(ui)
        self.log = LogBox(ui)
        self.device = DeviceBox(ui)
        self.output = OutputButtons(ui)
        self.batch = BatchBox(ui)
        self.models = ModelBox(ui, self._onModel)
        self._watcher = NodeWatcher(self.refresh)
        self._guessTimer = qt.QTimer()
        self._guessTimer.setSingleShot(True)
        self._guessTimer.setInterval(GUESS_DELAY_MS)
        self._guessTimer.connect("timeout()", self._guess)
        ui.predictButton.connect("clicked()", self.onPredict)
        ui.batchButton.connect("clicked()", self.onBatch)
        ui.candidatesLabel.connect("linkActivated(QString)", self.onCandidate)
        for edit in (ui.batchPathLineEdit, ui.batchOutputPathLineEdit):
            edit.connect("currentPathChanged(QString)", self._onBatchPath)
            edit.connect("validInputChanged(bool)", self._onBatchPath)  # all that an emptied path tells
        self.models.refresh()

    # Life ------------------------------------------------------------------------------------------------------------

    def setParameterNode(self, parameterNode) -> None:
        """Show and follow a parameter node; None lets go of it."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self._parameterNode.RemoveObserver(self._observerTag)
        self._parameterNode = parameterNode
        for part in (self.inputs, self.output):
            part.parameterNode = parameterNode
        if parameterNode is None:
            self._watcher.stop()
            return
        self._guiTag = parameterNode.connectGui(self.ui)
        self._observerTag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.models.refresh(parameterNode.model)  # another module may have added one
        self.inputs.showSegment()
        self._relevanceShown = parameterNode.showRelevance
        self._shown = None
        self._guess()
        self.device.detect()

    def guessSoon(self) -> None:
        """A volume may have come: guess PET and CT once all have."""
        self._guessTimer.start()

    def onSceneClosing(self) -> None:
        """Nothing may be brought into a scene that the user closes."""
        if self.state.busy:
            self.state.cancel()
            self.follower.cancel()

    def stop(self) -> None:
        """Stop whatever runs, and wait until it is gone."""
        self._guessTimer.stop()
        self.device.stop()
        if self.follower is not None:
            self.follower.abandon()

    # Clicks ----------------------------------------------------------------------------------------------------------

    def onPredict(self) -> None:
        """Start a prediction, or cancel the one that runs."""
        if self._canceled(Kind.PREDICTION):
            return
        node = self._parameterNode
        self._run(Kind.PREDICTION, lambda: self.logic.predictionRun(node.pet, node.ct, self._options()))

    def onBatch(self) -> None:
        """Start a batch, or cancel the one that runs."""
        if self._canceled(Kind.BATCH):
            return
        source, output = self.batch.source(self._parameterNode.batchSource)
        self._run(Kind.BATCH, lambda: self.logic.batchRun(source, self._options(batch=True), output))

    def onCandidate(self, number: str) -> None:
        """Show a candidate of the result and give it as the point in the tumor, for the next prediction."""
        node = self._parameterNode
        result = stored_result(find_results(slicer.mrmlScene, node.pet, node.ct)["table"])
        place = result["box"]["candidates"][int(number)]["center_ras_mm"]
        self.inputs.pointAt(place)
        show.center_slices(slicer.mrmlScene, place)

    def _canceled(self, kind: Kind) -> bool:
        """Whether the click was one on Cancel, or came while something else runs."""
        if self.state.busy and self.state.kind is kind:
            self.state.cancel()
            if self.follower is not None:
                self.follower.cancel()
            self.refresh()
        return self.state.busy

    def _run(self, kind: Kind, makeRun) -> None:
        self.state.start(kind)
        self.log.clear()
        if kind is Kind.PREDICTION:
            self.result.clear(_("Predicting..."))
            self._shown = None
        self.refresh()
        slicer.app.processEvents()  # the bar shows before PET and CT are written
        try:
            packages.ensure(self._confirm, self._parameterNode.device.value)
            self.follower = self.logic.follow(makeRun(), self._onEvent, self._onEnd)
        except ChmflError as error:
            self._onEnd(Ended(Ending.ERROR, error.code, error.message, error.hint, exit_code=error.exit_code))

    def _options(self, batch: bool = False):
        node = self._parameterNode
        places = {Location.POINT: node.point, Location.BOX: node.box, Location.SEGMENT: node.segmentation}
        location = None if batch else places.get(node.location)  # a batch finds each patient's tumor by itself
        return self.logic.runOptions(location, node.segmentId, self.models.folder, node.device.value, node.riskOnly)

    def _confirm(self, text: str) -> bool:
        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("CHMFL needs packages"))

    # Events ----------------------------------------------------------------------------------------------------------

    def _onEvent(self, event: dict) -> None:
        self.state.take(event)
        if self.state.kind is Kind.PREDICTION and event["event"] == "risk":
            self.result.showRisk(event, self.models.card)
        elif self.state.kind is Kind.PREDICTION and event["event"] == "warning":
            self.result.showWarnings(self.state.warnings)
        self.log.show(self.follower.run.log if self.follower is not None else "")
        self.refresh()

    def _onEnd(self, ended: Ended) -> None:
        run = self.follower.run if self.follower is not None else None
        if self.state.kind is Kind.PREDICTION and ended.ending is Ending.DONE:
            ended.message = doneText(run.prediction.result)
        self.state.end(ended)
        if run is not None:
            self.log.show(run.log, atEnd=True)
        if self.state.kind is Kind.BATCH:
            self.batch.show(getattr(run, "table", None))
        elif ended.ending is Ending.DONE:
            self._showNewResult(run)
        self._shown = None
        self.refresh()

    def _showNewResult(self, run) -> None:
        nodes, result = run.prediction.nodes, run.prediction.result
        show.show_in_slices(run.pet_node, run.ct_node)
        show.center_slices(run.ct_node.GetScene(), result["box"]["center_ras_mm"])
        if "segmentation" in nodes:
            show.show_3d(nodes["segmentation"], True)
        self._relevanceShown = False
        self._showRelevance(run.pet_node, run.ct_node, nodes)

    def _onModified(self, caller=None, event=None) -> None:
        if not self._updating:
            if self._parameterNode.model not in ("", self.models.folder):  # chosen from outside
                self.models.refresh(self._parameterNode.model)
            self.refresh()

    def _onModel(self, folder: str) -> None:
        if self._parameterNode is not None and self._parameterNode.model != folder:
            self._parameterNode.model = folder
        if self.models.card is not None:
            self.inputs.setModelCard(self.models.card)
        self.refresh()

    def _onBatchPath(self, path: str) -> None:
        self.refresh()

    def _guess(self) -> None:
        if self._parameterNode is not None:
            self.inputs.guess()
            self.refresh()

    # What is shown ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is so now."""
        if self._parameterNode is None or self._updating:
            return
        self._updating = True
        node = self._parameterNode
        try:
            self._watcher.watch((node.pet, node.ct, node.point, node.box, node.segmentation))
            problem = self.inputs.refresh() or self.models.problem
            self._refreshRun(problem)
            self.batch.refresh(self.state, self._parameterNode.batchSource, self.models.problem)
            if not self.state.busy:
                self._showStoredResult()
        finally:
            self._updating = False

    def _refreshRun(self, problem: str) -> None:
        ui, state = self.ui, self.state
        mine = state.kind is Kind.PREDICTION
        ui.predictButton.text = buttonText(state, Kind.PREDICTION)
        ui.predictButton.enabled = state.phase is Phase.RUNNING if state.busy and mine else not (problem or state.busy)
        if state.busy:
            ui.predictButton.toolTip = _("Stop the prediction. Nothing in the scene changes.")
        else:
            ui.predictButton.toolTip = problem or _("Predict the risk of distant metastases and segment the tumor.")
        ui.progressBar.visible = state.busy and mine
        ui.progressBar.value = round(1000 * state.fraction)
        ui.stageLabel.text = statusText(state) if mine else ""
        ui.stageLabel.visible = bool(ui.stageLabel.text)

    def _showStoredResult(self) -> None:
        """The result of the pair that is chosen, be it new, of an earlier pair, or out of a loaded scene."""
        pet, ct = self._parameterNode.pet, self._parameterNode.ct
        nodes = find_results(slicer.mrmlScene, pet, ct) if pet is not None and ct is not None else {}
        table = nodes.get("table")
        earlier = self.state.kind is Kind.PREDICTION and self.state.ending not in (None, Ending.DONE)
        shown = (pet, ct, table, table.GetMTime() if table is not None else 0, earlier)
        if shown != self._shown:
            self._shown = shown
            self.output.setResult(pet, ct, nodes)
            if table is None:
                self.result.clear(_("No prediction yet."))
            else:
                result = stored_result(table)
                self.result.show(result, nodes, self.models.cardOf(result["model"]["sha256"]), earlier)
        self._showRelevance(pet, ct, nodes)

    def _showRelevance(self, pet, ct, nodes: dict) -> None:
        """Follow the check box, and only it: the slice views are the user's."""
        wanted = self._parameterNode is not None and self._parameterNode.showRelevance and "relevance" in nodes
        if wanted != self._relevanceShown:
            self._relevanceShown = wanted
            if "relevance" in nodes:
                show.show_relevance(ct, nodes["relevance"], pet, wanted)
