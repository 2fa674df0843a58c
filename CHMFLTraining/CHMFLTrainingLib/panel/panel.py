"""The panel: hands clicks to the logic, and shows cohort, methods and the run."""

import os
import time

import qt
import slicer
import vtk
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.errors import ChmflError
from CHMFLPredictorLib.scene.parameters import Connection
from slicer.i18n import tr as _

from ..run.known import free_folder, same_folder
from ..run.process import DetachedRun, is_at_work
from . import packages
from .cohort import CohortBox
from .live import LiveBox
from .methods import MethodsBox
from .plan import new_run, resumed_run
from .progress import ProgressBox
from .protocol import ProtocolBox
from .runs import RunsBox
from .state import Phase, TrainingState
from .task import Task
from .words import endingText, errorText

INTERVAL_MS = 500
LAST_LOOK_TICKS = 10  # how long an ended run's files are waited for
WATCHER_TRIES = 3  # in a row; then somebody has to open the run again
WATCHER_PAUSE_S = 5.0  # after the first that ended by itself; twice as long after each further one


class Panel:
    """What happens when the user clicks.

    :param ui: the widgets of CHMFLTraining.ui by name.
    :param logic: starts runs.
    :ivar state: of the run that is shown.
    :ivar run: its program (``run.process.DetachedRun``), None where nobody works on it.
    """

    def __init__(self, ui, logic):
        self.ui, self.logic = ui, logic
        self.state, self.run, self.note = TrainingState(), None, ""
        self._parameterNode, self._connection, self._observerTag, self._updating = None, None, None, False
        self._started, self._waited = [], 0
        self._watchersLost, self._nextWatcher = 0, 0.0
        self.cohort = CohortBox(ui, self._cohortFolder, self._confirm, self._onCohort)
        self.methods = MethodsBox(ui, self.refresh)
        self.protocol = ProtocolBox(ui, self.methods, self.refresh)
        self.progress = ProgressBox(ui)
        self.live = LiveBox(ui)
        self.runs = RunsBox(ui, self.open)
        self._watch, self._report = Task(), Task()
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)
        for name in ("start", "pause", "resume", "stop"):
            getattr(ui, f"{name}Button").connect("clicked()", getattr(self, f"on{name.capitalize()}"))
        ui.runPathLineEdit.connect("currentPathChanged(QString)", self._onRunPath)
        ui.runPathLineEdit.connect("validInputChanged(bool)", self._onRunPath)
        self._timer.start()

    # Life ------------------------------------------------------------------------------------------------------------

    def setParameterNode(self, parameterNode) -> None:
        """Show and follow a parameter node; None lets go of it, a run goes on."""
        if self._parameterNode is not None:
            self._connection.end()
            self._connection = None
            self._parameterNode.RemoveObserver(self._observerTag)
        self._parameterNode = parameterNode
        parts = (self.cohort, self.methods, self.protocol, self.live)
        for part in parts:
            part.parameterNode = parameterNode
        if parameterNode is None:
            return
        self._connection = Connection(parameterNode, self.ui)
        self._observerTag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        for part in (self.cohort, self.methods, self.protocol):
            part.show()
        self.methods.ask()
        self.live.catchUp()
        self.runs.showKnown()
        self.open(parameterNode.run or self.state.folder or self.runs.running() or self._freeFolder())

    def onSceneClosing(self) -> None:
        """The nodes are about to vanish; the run goes on."""
        for view in (self.ui.metricsTableView, self.ui.compareTableView):
            view.setMRMLTableNode(None)
            view.visible = False

    def onSceneClosed(self) -> None:
        """The plots went with the scene; *Show plots* draws them anew."""
        self.live.forgetScene()

    def stop(self) -> None:
        """Let go of everything; a run goes on without Slicer."""
        self._timer.stop()
        for part in (self.cohort, self.methods, self.runs, self._watch, self._report):
            part.stop()

    # Clicks ----------------------------------------------------------------------------------------------------------

    def onStart(self) -> None:
        """Begin a run."""
        self._begin(lambda: new_run(self.protocol.choices(self.cohort.path, self.state.folder)))

    def onResume(self) -> None:
        """Go on with the run."""
        node = self._parameterNode
        self._begin(lambda: resumed_run(self.state.folder, node.scheduler.strip(), node.jobs))

    def onPause(self) -> None:
        """Stop for now."""
        self._leave(stop=False)

    def onStop(self) -> None:
        """Stop, and report what is finished."""
        self._leave(stop=True)

    def open(self, folder: str) -> None:
        """Show a run, or the folder that is to become one; attach to the program that works on it."""
        if not same_folder(folder, self.state.folder):
            self.state.open(folder)
            self.live.clear()
            self.run, self.note = None, ""
            self._watch.stop()
        self._watchersLost = 0  # somebody wants to see it
        if self._parameterNode is not None and self._parameterNode.run != folder:
            self._parameterNode.run = folder
        if self.ui.runPathLineEdit.currentPath != folder:
            self.ui.runPathLineEdit.currentPath = folder
        self._attach()
        self.refresh()

    def _begin(self, makeArguments) -> None:
        folder, self.note = self.state.folder, ""
        try:
            packages.ensure(self._confirm)
            self.run = self.logic.start(folder, makeArguments())
        except ChmflError as error:
            self.note = errorText(error.code, error.message, error.hint)
        except OSError as error:
            self.note = errorText("output_unwritable", f"{error}.", _("Choose a folder that you may write to."))
        else:
            self._started.append(self.run)
            self.state.run()
            self.runs.add(folder)
            self._follow()
        self.refresh()

    def _leave(self, stop: bool) -> None:
        if self.state.phase is Phase.RUNNING:
            self.state.leave(stop)
            self.run.stop()
            self.refresh()

    def _confirm(self, text: str) -> bool:
        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("CHMFL needs packages"))

    # Events ----------------------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the run that is shown, and its program if one works on it."""
        folder = self.state.folder
        if not os.path.exists(os.path.join(folder, "config.json")) and not is_at_work(folder):
            return
        if not self.state.busy and self.state.phase is not Phase.CHECKING and is_at_work(folder):
            self.run = DetachedRun(folder)
            self.state.run()
            self.runs.add(folder)
        self._follow()

    def _follow(self) -> None:
        may = self._watchersLost < WATCHER_TRIES and (not self._watchersLost or time.monotonic() >= self._nextWatcher)
        if not self._watch.running and may:
            self._watch.start(["status", self.state.folder, "--watch"], self._onEvent, self._onWatchEnd)

    def _onEvent(self, event: dict) -> None:
        self._watchersLost = 0
        self.state.take(event)
        self.live.take(event)
        self.refresh()

    def _onWatchEnd(self, ended) -> None:
        """It does not end by itself: :meth:`_tick` starts another, later and later, and a last one."""
        self._nextWatcher = time.monotonic() + WATCHER_PAUSE_S * 2**self._watchersLost
        self._watchersLost += 1
        if self._watchersLost < WATCHER_TRIES:
            self.state.problem = ("watcher_ended", _("The files of the run are read anew."), "")
        else:
            text = _("The files of the run cannot be watched: {reason}").format(reason=ended.message)
            self.state.problem = ("watcher_lost", text, _("The run goes on. Open it again to see it."))
        self.refresh()

    def _tick(self) -> None:
        self._started = [run for run in self._started if run.poll()]
        if self.state.busy:
            self._waited = 0 if self.run.poll() else self._waited + 1
            # what the run wrote last is seen a moment after its program is gone
            seen = self.state.status is not None and not self.state.status["running"]
            if self._waited and (seen or self._waited > LAST_LOOK_TICKS):
                self._ended()
        elif self.state.folder:
            self._attach()
        if self.state.busy or self._watch.running:
            self.runs.showKnown()
            self.refresh()

    def _ended(self) -> None:
        self.state.end(self.run.ending(self.state.complete))
        self.run, self._waited = None, 0
        if self.state.stop and self.state.jobs[0]:
            self.note = _("Writing the report of what is finished...")
            self._report.start(["report", self.state.folder], None, self._onReport)
        self.refresh()

    def _onReport(self, ended) -> None:
        self.note = "" if ended.ending is Ending.DONE else endingText(ended)
        self.refresh()

    def _onCohort(self) -> None:
        """A check began or ended."""
        if self.cohort.checking and not self.state.busy and self.state.phase is not Phase.CHECKING:
            self.state.check()
        elif not self.cohort.checking and self.state.phase is Phase.CHECKING:
            self.state.checked(bool(self.cohort.result) and not self.cohort.errors)
        self.refresh()

    def _onModified(self, caller=None, event=None) -> None:
        self.refresh()

    def _onRunPath(self, path=None) -> None:
        text = self.ui.runPathLineEdit.currentPath
        if self._parameterNode is not None and text and not same_folder(text, self.state.folder):
            self.open(text)

    def _freeFolder(self) -> str:
        return free_folder(os.path.join(slicer.app.defaultScenePath, "CHMFL runs"))

    def _cohortFolder(self) -> str:
        """For what is made of DICOM series or of the scene: beside the run, which begins in an empty folder."""
        return f"{self.state.folder} cohort"

    # What is shown ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is so now."""
        if self._parameterNode is None or self._updating:
            return
        self._updating = True
        try:
            self.cohort.refresh(self.state.busy)
            self.protocol.refresh()
            self.progress.refresh(self.state, self.note)
            self.runs.refresh(self.state)
            self._refreshButtons()
        finally:
            self._updating = False

    def _refreshButtons(self) -> None:
        ui, state = self.ui, self.state
        problem = self._problem()
        ui.startButton.enabled = not problem
        ui.startButton.toolTip = problem or _("Train and compare the methods. The run goes on when Slicer is closed.")
        ui.pauseButton.enabled = ui.stopButton.enabled = state.phase is Phase.RUNNING
        resting = state.phase in (Phase.PAUSED, Phase.FAILED) and self._isRun()
        ui.resumeButton.enabled = resting and not self._report.running
        ui.resumeButton.toolTip = _("Go on with the run: what is finished stays.")

    def _isRun(self) -> bool:
        return os.path.exists(os.path.join(self.state.folder, "config.json"))

    def _problem(self) -> str:
        """Why no run can be started; empty if one can."""
        if self.state.busy:
            return _("A run is under way.")
        if self.state.phase is Phase.CHECKING:
            return _("The cohort is being checked.")
        if not self.cohort.path:
            return _("Choose a cohort; check it first where it is made of DICOM series or of the scene.")
        if self.cohort.unusable:
            return _("The cohort cannot be read: see what the check says, then check it again.")
        if self.cohort.errors and not self._parameterNode.despiteFindings:
            return _("The cohort has errors: mend them, or tick that you train in spite of them.")
        if not self.methods.chosen:
            return _("Tick a method, or click Paper protocol.")
        if self._isRun():
            return _("There is a run in this folder: resume it, or choose another folder.")
        return "" if self.state.folder else _("Choose a folder for the run.")
