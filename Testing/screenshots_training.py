"""The README's pictures of CHMFLTraining: a small real run on phantoms, before, during and after, with its plots."""

import shutil
import tempfile
from pathlib import Path

from photographer import VIEW_SIZE, Photographer

METHODS = ("CHMFL", "2D-CNN-PET-CT", "Volume + SUVmax", "TLG")
PATIENTS, SPREAD, FOLDS, EPOCHS = 24, 0.6, 3, 12
SHOWN_ROW = 3


class TrainingPhotographer(Photographer):
    """Works the panel as a user would; its phantoms and its run go when the ``with`` ends."""

    MODULE, TITLE = "CHMFLTraining", "CHMFL Training"

    def __enter__(self):
        self.made = Path(tempfile.mkdtemp())
        self.folder = self.made / "phantoms"  # the end of its path is what the panel shows
        return self

    def __exit__(self, *_):
        panel = self.widget.panel
        if panel.state.busy:
            panel.run.kill()
        panel.stop()
        shutil.rmtree(self.made, ignore_errors=True)

    def take_all(self) -> None:
        """The cohort with a patient in the views, the run under way, the run finished."""
        self.open_panel()
        self.prepare()
        self.grab_panel("training_before")
        self.window.show()
        self.widget.ui.startButton.click()
        state = self.widget.panel.state
        self.until(lambda: (state.jobs[0] >= FOLDS - 1 and state.status["now"]) or not state.busy)
        self.show_the_run()
        self.grab_panel("training_during")
        self.until(lambda: not state.busy)
        print(self.widget.ui.statusLabel.text, self.widget.ui.messageLabel.text)
        self.until(lambda: len(self._charts()) == 2)
        self.grab_panel("training_after")
        self.take_views_of_training()

    def prepare(self) -> None:
        """Check the cohort, tick the methods, choose a protocol that takes a minute or two."""
        import slicer
        from chmfl_training_selftest import write_cohort

        ui, panel = self.widget.ui, self.widget.panel
        cohort = write_cohort(self.folder / "cohort", PATIENTS, SPREAD)
        self.until(lambda: panel.methods.known)
        panel.methods.setChosen(METHODS)
        ui.presetComboBox.setCurrentIndex(3)
        for name, value in (("folds", FOLDS), ("epochs", EPOCHS), ("jobs", 2)):
            getattr(ui, f"{name}SpinBox").value = value
        ui.cohortPathLineEdit.currentPath = str(cohort)
        ui.runPathLineEdit.currentPath = str(self.folder / "phantom run")
        slicer.app.processEvents()
        ui.checkCohortButton.click()
        self.until(lambda: not panel.cohort.checking)
        ui.cohortTableWidget.cellClicked(SHOWN_ROW, 0)
        self.until(lambda: ui.startButton.enabled)

    def show_the_run(self) -> None:
        """Fold away what was chosen, so that the run is what one sees."""
        for name in ("cohort", "methods", "protocol"):
            getattr(self.widget.ui, f"{name}CollapsibleButton").collapsed = True

    def take_views_of_training(self) -> None:
        """A patient's slices beside the learning curves and the ROC, as in Slicer's layouts with a plot."""
        import slicer
        from slicer_standin.plot_view import PlotView
        from slicer_standin.views import SliceView

        self.widget.ui.showPlotsButton.click()
        size = (VIEW_SIZE, VIEW_SIZE)
        plots = []
        for name, chart in self._charts().items():
            slicer.modules.plots.logic().ShowChartInLayout(chart)
            PlotView(size=size).save(self.folder / f"{name}.png")
            plots.append(_Saved(self.folder / f"{name}.png"))
        slices = [SliceView(name, size) for name in ("Red", "Green")]
        for view in slices:
            view.fit()
        self.mosaic("training_views", [*slices, *plots])
        self.beside("training_slicer", "training_after", "training_views")

    def _charts(self) -> dict:
        import slicer

        nodes = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
        return {str(index): node for index, node in enumerate(nodes)}


class _Saved:
    """A view whose picture was taken already."""

    def __init__(self, path: Path):
        self._path = path

    def save(self, path) -> None:
        shutil.copyfile(self._path, path)
