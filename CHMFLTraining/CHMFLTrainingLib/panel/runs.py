"""The panel's runs: those that this computer knows, found again after a restart; compared, reported, put to use."""

import os

import qt
import slicer
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.errors import ChmflError
from slicer.i18n import tr as _

from ..run.known import look_at, same_folder
from .state import TrainingState
from .task import Task
from .words import endingText, runText

SETTING = "CHMFL/TrainingRuns"
MOST = 50  # the oldest are forgotten
EXPORTED = "CHMFL"
BUNDLE_FOLDER = "bundle"


class RunsBox:
    """The widgets of the section Runs.

    :param ui: the panel's widgets by name.
    :param onOpen: called with the folder of a run that the user wants to see.
    """

    def __init__(self, ui, onOpen):
        self._ui, self._onOpen = ui, onOpen
        self._task, self._folder, self._filling, self._shown = Task(), "", False, None
        ui.runsListWidget.connect("itemClicked(QListWidgetItem*)", self._onItem)
        ui.runsListWidget.connect("itemSelectionChanged()", self._onSelection)
        ui.openRunButton.connect("clicked()", self._onOpenRun)
        ui.compareRunsButton.connect("clicked()", self._onCompare)
        ui.reportButton.connect("clicked()", self._onReport)
        ui.useInPredictorButton.connect("clicked()", self._onUse)

    def folders(self) -> list[str]:
        """The known runs, newest first."""
        value = slicer.app.userSettings().value(SETTING)
        if not value:
            return []
        return [value] if isinstance(value, str) else [str(one) for one in value]  # a list of one comes back as text

    def add(self, folder: str) -> None:
        """Remember a run; it moves to the top."""
        others = [one for one in self.folders() if not same_folder(one, folder)]
        slicer.app.userSettings().setValue(SETTING, [folder, *others][:MOST])
        self.showKnown()

    def running(self) -> str:
        """A known run that somebody works on; empty if there is none."""
        return next((folder for folder in self.folders() if look_at(folder)["running"]), "")

    def showKnown(self) -> None:
        """Show the known runs as they are now."""
        widget = self._ui.runsListWidget
        runs = [look_at(folder) for folder in self.folders()]
        if runs == self._shown:
            return
        self._shown = runs
        chosen = set(self._chosen())
        self._filling = True
        widget.clear()
        for run in runs:
            item = qt.QListWidgetItem(runText(run))
            item.setData(qt.Qt.UserRole, run["folder"])
            item.setToolTip(run["folder"])
            widget.addItem(item)
            item.setSelected(run["folder"] in chosen)
        self._filling = False
        self._onSelection()

    def stop(self) -> None:
        """End what is under way."""
        self._task.stop()

    def refresh(self, state: TrainingState) -> None:
        """Show what can be done with the run that is shown."""
        ui, self._folder = self._ui, state.folder
        ui.reportButton.enabled = bool(state.folder) and os.path.exists(self._report())
        counts = state.status["methods"].get(EXPORTED) if state.status else None
        whole = counts is not None and not any(counts[s] for s in ("running", "waiting", "failed", "damaged"))
        ui.useInPredictorButton.enabled = whole and not state.busy and not self._task.running
        if whole:
            ui.useInPredictorButton.toolTip = _("Make a model of the run's CHMFL and choose it in CHMFL Predictor.")
        else:
            ui.useInPredictorButton.toolTip = _("Needs a run in which every fold of CHMFL is finished.")

    def _report(self) -> str:
        return os.path.join(self._folder, "report.html")

    def _chosen(self) -> list[str]:
        return [item.data(qt.Qt.UserRole) for item in self._ui.runsListWidget.selectedItems()]

    def _say(self, text: str) -> None:
        self._ui.runsLabel.text, self._ui.runsLabel.visible = text, bool(text)

    def _onItem(self, item) -> None:
        if len(self._chosen()) == 1:
            self._onOpen(item.data(qt.Qt.UserRole))

    def _onSelection(self) -> None:
        if not self._filling:
            self._ui.compareRunsButton.enabled = len(self._chosen()) > 1
            several = len(self._chosen()) > 1
            tip = _("Put the metrics of the chosen runs into one table.")
            self._ui.compareRunsButton.toolTip = tip if several else _("Choose two or more runs in the list.")

    def _onOpenRun(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a run (config.json)"))
        if not folder:
            return
        found = look_at(folder)
        if found["problem"]:
            text = _("{folder} holds no run: config.json of a comparison is missing.").format(folder=folder)
            slicer.util.errorDisplay(text, windowTitle=_("The run cannot be shown"))
            return
        self.add(folder)
        self._onOpen(folder)

    def _onCompare(self) -> None:
        self._say(_("Reading the runs..."))
        self._task.start(["metrics", *self._chosen()], None, self._onCompared)

    def _onCompared(self, ended) -> None:
        if ended.ending is not Ending.DONE:
            self._say(endingText(ended))
            return
        from ..scene.plots import TrainingPlots

        rows = [{**row, "method": f"{row['run']}: {row['method']}"} for row in ended.result["rows"]]
        table = TrainingPlots(slicer.mrmlScene).show_metrics(rows, "compared")
        self._ui.compareTableView.setMRMLTableNode(table)
        self._ui.compareTableView.visible = True
        self._say("")

    def _onReport(self) -> None:
        path = self._report()
        if not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(path)):
            slicer.util.infoDisplay(_("No program opens web pages here. The report is in {path}").format(path=path))

    def _onUse(self) -> None:
        bundle = os.path.join(self._folder, BUNDLE_FOLDER)
        name = f"{os.path.basename(self._folder)} {EXPORTED}"
        self._ui.useInPredictorButton.enabled = False
        self._say(_("Making the model: every patient is predicted by the network that has not seen it..."))
        self._task.start(["export", self._folder, "--output", bundle, "--name", name], None, self._onExported)

    def _onExported(self, ended) -> None:
        self._ui.useInPredictorButton.enabled = True
        if ended.ending is not Ending.DONE:
            self._say(endingText(ended))
            return
        from ..scene import use

        try:
            use.use_in_predictor(ended.result["bundle"])
        except ChmflError as error:
            self._say(f"{error.message} {error.hint}")
            return
        text = _("The model is in {folder} and chosen in CHMFL Predictor.")
        self._say(text.format(folder=ended.result["bundle"]))
