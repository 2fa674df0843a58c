"""The panel: hands clicks to the logic, and shows the state of the run, the inputs and the results."""

import logging
import sys
from contextlib import contextmanager

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..child.process import Ended, Ending
from ..scene import leftovers, show
from ..scene.batch_run import ended_by
from ..scene.pairs import examination
from ..scene.parameters import Connection
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
SCROLL_DELAY_MS = 50  # the result has its place then
START_DELAY_MS = 20  # the bar shows before PET and CT are written


class Panel:
    """What happens when the user clicks.

    :param ui: the widgets of CHMFLPredictor.ui by name.
    :param logic: makes and follows runs.
    :ivar state: of the run.
    :ivar follower: of the run that is under way or was the last; None while a run is being made.
    """

    def __init__(self, ui, logic):
        self.ui, self.logic = ui, logic
        self.state, self.follower = RunState(), None
        self._parameterNode, self._connection, self._observerTag = None, None, None
        self._updating, self._shown, self._relevanceShown = False, None, False
        self._starting, self._unseen, self._closed = None, None, False
        self._pair, self._runPair = None, None  # PET and CT: shown in the views; of the last prediction, with its name
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
        self._startTimer = qt.QTimer()
        self._startTimer.setSingleShot(True)
        self._startTimer.setInterval(START_DELAY_MS)
        self._startTimer.connect("timeout()", self._startRun)
        self._scrollTimer = qt.QTimer()
        self._scrollTimer.setSingleShot(True)
        self._scrollTimer.setInterval(SCROLL_DELAY_MS)
        self._scrollTimer.connect("timeout()", self._scrollToRisk)
        ui.predictButton.connect("clicked()", self.onPredict)
        ui.batchButton.connect("clicked()", self.onBatch)
        ui.candidatesLabel.connect("linkActivated(QString)", self.onCandidate)
        for edit in (ui.batchPathLineEdit, ui.batchOutputPathLineEdit):
            edit.connect("currentPathChanged(QString)", self._onBatchPath)
            edit.connect("validInputChanged(bool)", self._onBatchPath)  # all that an emptied path tells
        self.models.refresh()
        leftovers.sweep()

    # Life ------------------------------------------------------------------------------------------------------------

    def setParameterNode(self, parameterNode) -> None:
        """Show and follow a parameter node; None lets go of it."""
        if self._parameterNode is not None:
            self._connection.end()
            self._connection = None
            self._parameterNode.RemoveObserver(self._observerTag)
        self._parameterNode = parameterNode
        for part in (self.inputs, self.output):
            part.parameterNode = parameterNode
        if parameterNode is None:
            self._watcher.stop()
            return
        self._connection = Connection(parameterNode, self.ui)
        self._observerTag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.models.refresh(parameterNode.model)  # another module may have added one
        self.inputs.showSegment()
        self._relevanceShown = parameterNode.showRelevance
        self._shown = None
        self._guess()
        self.device.detect()
        if self._unseen is not None:
            run, self._unseen = self._unseen, None
            with _printed():
                self._showNewResult(run)

    def leave(self) -> None:
        """The user goes to another module: the mouse places no points there."""
        self.inputs.endPlacing()

    def guessSoon(self) -> None:
        """A volume may have come: guess PET and CT once all have."""
        self._guessTimer.start()

    def onSceneClosing(self) -> None:
        """Nothing may be brought into a scene that the user closes, and nothing of it may be held."""
        self.inputs.forget()
        self._cancel()
        self._closed = self.state.busy  # what is held until that run has ended
        if not self.state.busy:
            self.follower = None
            self.state.forget()
        self._shown = self._unseen = self._pair = self._runPair = None
        self.output.setResult(None, None, {})
        self.result.clear(_("No prediction yet."))
        self.batch.show(None)

    def stop(self) -> None:
        """Stop whatever runs, and wait until it is gone."""
        for timer in (self._guessTimer, self._startTimer, self._scrollTimer):
            timer.stop()
        self.device.stop()
        self.state.cancel()  # a run that is being made just now, behind a question, ends when it looks
        if self.follower is not None:
            self.follower.abandon()

    # Clicks ----------------------------------------------------------------------------------------------------------

    def onPredict(self) -> None:
        """Start a prediction, or cancel the one that runs."""
        if self._canceled(Kind.PREDICTION):
            return
        self.inputs.takeSeen()
        node = self._parameterNode
        pet, ct, options = node.pet, node.ct, self._options()
        self._runPair = pet, ct, examination(pet, ct) if pet is not None and ct is not None else ""
        self._run(Kind.PREDICTION, lambda: self.logic.predictionRun(pet, ct, options()))

    def onBatch(self) -> None:
        """Start a batch, or cancel the one that runs."""
        if self._canceled(Kind.BATCH):
            return
        source, output = self.batch.source(self._parameterNode.batchSource)
        options = self._options(batch=True)
        self._run(Kind.BATCH, lambda: self.logic.batchRun(source, options(), output))

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
            self._cancel()
            self.refresh()
        return self.state.busy

    def _cancel(self) -> None:
        """Cancel what runs; a run that is still being made ends when :meth:`_startRun` looks."""
        if self.state.busy:
            self.state.cancel()
            if self.follower is not None:
                self.follower.cancel()

    def _run(self, kind: Kind, makeRun) -> None:
        """Begin a run: it is made a moment later, of what was chosen at the click, wherever the user is then."""
        self.state.start(kind)
        self.follower = None
        self.log.clear()
        if kind is Kind.PREDICTION:
            self.result.clear(_("Predicting..."))
            self._shown = None
        self._starting = makeRun, self._parameterNode.device.value
        self.refresh()
        self._startTimer.start()

    def _startRun(self) -> None:
        """Make the run and follow it; whatever goes wrong, and a cancel meanwhile, is an ending."""
        makeRun, device = self._starting
        self._starting = None
        ended = Ended(Ending.CANCELED, "canceled", _("Canceled."), _("Nothing was changed."))
        try:
            if self.state.phase is Phase.RUNNING:
                packages.ensure(self._confirm, device)
            if self.state.phase is Phase.RUNNING:  # a question lets time pass
                self.follower = self.logic.follow(makeRun(), self._onEvent, self._onEnd)
                return
        except Exception as error:
            ended = ended_by(error)
        self._onEnd(ended)

    def _options(self, batch: bool = False):
        """What is chosen now, as a function that makes the options of it: a place without a point is refused there."""
        node = self._parameterNode
        places = {Location.POINT: node.point, Location.BOX: node.box, Location.SEGMENT: node.segmentation}
        location = None if batch else places.get(node.location)  # a batch finds each patient's tumor by itself
        chosen = location, node.segmentId, self.models.folder, node.device.value, node.riskOnly
        return lambda: self.logic.runOptions(*chosen)

    def _confirm(self, text: str) -> bool:
        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("CHMFL needs packages"))

    # Events ----------------------------------------------------------------------------------------------------------

    def _onEvent(self, event: dict) -> None:
        self.state.take(event)
        with _printed():
            if self.state.kind is Kind.PREDICTION and event["event"] == "risk":
                self.result.showRisk(event, self.models.card, self._runName())
            elif self.state.kind is Kind.PREDICTION and event["event"] == "warning":
                self.result.showWarnings(self.state.warnings)
            self.log.show(self.follower.run.log if self.follower is not None else "")
            self.refresh()

    def _onEnd(self, ended: Ended) -> None:
        run = self.follower.run if self.follower is not None else None
        self.state.end(ended)  # before anything that may fail: a panel that shows little is better than one that waits
        self._shown = None
        with _printed():
            if run is not None:
                self.log.show(run.log, atEnd=True)
            if self.state.kind is Kind.BATCH:
                self.batch.show(getattr(run, "table", None))
                self._hideOthers()
            elif ended.ending is Ending.DONE:
                ended.message = doneText(run.prediction.result)
                if self._parameterNode is None:
                    self._unseen = run  # the views are another module's now
                else:
                    self._showNewResult(run)
        if self._closed:
            self._closed, self.follower = False, None
        with _printed():
            self.refresh()

    def _showNewResult(self, run) -> None:
        nodes = run.prediction.nodes
        if "segmentation" in nodes:
            show.show_3d(nodes["segmentation"], True)
        if (run.pet_node, run.ct_node) != (self._parameterNode.pet, self._parameterNode.ct):
            self._hideOthers()  # the panel speaks of another patient by now
            return
        self._showPair(run.pet_node, run.ct_node, nodes)
        self._scrollTimer.start()

    def _showPair(self, pet, ct, nodes: dict) -> None:
        """Let the views show a pair and its results, and nobody else's."""
        self._pair = pet, ct
        show.show_results_of(slicer.mrmlScene, nodes)
        show.show_in_slices(pet, ct)
        if "box" in nodes:
            show.center_slices(slicer.mrmlScene, nodes["box"].GetCenterWorld())
        self._relevanceShown = False
        self._showRelevance(pet, ct, nodes)

    def _followPair(self, pet, ct, nodes: dict) -> None:
        """Bring a pair into the views when it is chosen instead of another one, or its result is in none of them."""
        if pet is None or ct is None or self._pair == (pet, ct):
            return
        if self._pair is not None or ("table" in nodes and not show.shown_in_slices(ct)):
            with _printed():  # a volume may have no voxels yet
                self._showPair(pet, ct, nodes)
        else:  # as the user, or a scene that was loaded, has the views
            self._hideOthers()
        self._pair = pet, ct

    def _hideOthers(self) -> None:
        node = self._parameterNode
        if node is not None:
            show.show_results_of(slicer.mrmlScene, find_results(slicer.mrmlScene, node.pet, node.ct))

    def _isRunPair(self) -> bool:
        """Whether what is chosen is what the last prediction was of, or nothing whole."""
        node = self._parameterNode
        if self._runPair is None or node is None or None in (node.pet, node.ct):
            return True  # no other pair is chosen
        if any(volume is None or volume.GetScene() is None for volume in self._runPair[:2]):
            return True  # its pair has left the scene, which the line must say
        return self._runPair[:2] == (node.pet, node.ct)

    def _runName(self) -> str:
        return self._runPair[2] if self._runPair is not None else ""

    def _scrollToRisk(self) -> None:
        """Let the risk be what one sees first: the module's panel is low, with other things below it."""
        area = self.ui.riskLabel.parent()
        while area is not None and not area.inherits("QScrollArea"):
            area = area.parent()
        if area is not None:
            area.ensureWidgetVisible(self.ui.riskDetailsLabel)
            area.ensureWidgetVisible(self.ui.riskLabel)

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
        ui.stageLabel.text = statusText(state) if mine and (state.busy or self._isRunPair()) else ""
        if state.busy and mine and not self._isRunPair():
            ui.stageLabel.text = f"{self._runName()}: {ui.stageLabel.text}"
        ui.stageLabel.visible = bool(ui.stageLabel.text)

    def _showStoredResult(self) -> None:
        """The result of the pair that is chosen, be it new, of an earlier pair, or out of a loaded scene."""
        pet, ct = self._parameterNode.pet, self._parameterNode.ct
        nodes = find_results(slicer.mrmlScene, pet, ct) if pet is not None and ct is not None else {}
        table = nodes.get("table")
        failed = self.state.kind is Kind.PREDICTION and self.state.ending not in (None, Ending.DONE)
        earlier = failed and self._isRunPair()
        self._followPair(pet, ct, nodes)
        shown = (pet, ct, table, table.GetMTime() if table is not None else 0, earlier)
        if shown != self._shown:
            self._shown = shown
            self.output.setResult(pet, ct, nodes)
            if table is None:
                self.result.clear(_("No prediction yet."))
            else:
                self._showResultOf(table, nodes, earlier)
        self._showRelevance(pet, ct, nodes)

    def _showResultOf(self, table, nodes: dict, earlier: bool) -> None:
        """Show what a table keeps; what another version wrote, or somebody changed, must not close the panel."""
        try:
            result = stored_result(table)
            whose = examination(self._parameterNode.pet, self._parameterNode.ct)
            self.result.show(result, nodes, self.models.cardOf(result["model"]["sha256"]), whose, earlier)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            logging.warning("The result in '%s' cannot be shown: %r", table.GetName(), error)
            self.result.clear(_("The scene holds a result that this version cannot show. Predict again."))

    def _showRelevance(self, pet, ct, nodes: dict) -> None:
        """Follow the check box, and only it: the slice views are the user's."""
        wanted = self._parameterNode is not None and self._parameterNode.showRelevance and "relevance" in nodes
        if wanted != self._relevanceShown:
            self._relevanceShown = wanted
            if "relevance" in nodes:
                show.show_relevance(ct, nodes["relevance"], pet, wanted)


@contextmanager
def _printed():
    """An exception in what only shows something is printed as Slicer prints those of slots, and costs no run."""
    try:
        yield
    except Exception:
        sys.excepthook(*sys.exc_info())
