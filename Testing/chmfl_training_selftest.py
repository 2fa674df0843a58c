"""What the self-tests of CHMFLTraining share: the panel opened, a small cohort, runs that end with the test.

As ``chmfl_selftest.py``, which has the parts that both modules' tests need. A run is the real program, started apart
from Slicer and followed by its files.
"""

import csv
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unittest
from pathlib import Path
from unittest import mock

import chmfl_selftest as selftest
import numpy as np
import qt
import slicer

LONG_S = 900  # for what takes seconds on an idle computer
SETTING = "CHMFL/TrainingRuns"
FEATURES, NETWORK = "Volume + SUVmax", "CHMFL"
VOXEL_MM, SIZE = 6.0, 24


def open_module():
    """Open the module as its user does, or without a main window as Slicer's module panel does."""
    widget = slicer.modules.chmfltraining.widgetRepresentation()
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule("CHMFLTraining")
    elif not widget.isEntered:
        widget.enter()
    return slicer.modules.CHMFLTrainingWidget


# A cohort ------------------------------------------------------------------------------------------------------------


def write_cohort(folder, patients=8, spread=0.1):
    """Write phantoms and ``cohort.csv``; every other one has the event, and a larger and hotter tumor then.

    :param spread: of size and uptake within each group, as a share; from about 0.3 on the groups overlap.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [write_patient(folder, f"P{number}", number % 2, number, spread) for number in range(patients)]
    return write_table(folder / "cohort.csv", rows)


def write_patient(folder, name, label, seed, spread=0.1):
    """Write one phantom's PET (SUV), CT (HU) and mask; return its row."""
    import SimpleITK as sitk

    random = np.random.default_rng(seed)
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * VOXEL_MM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    a, b, c = random.uniform(-9.0, 9.0, 3)  # no two masks are the same
    radius = (16.0, 26.0)[label] * random.uniform(1 - spread, 1 + spread)
    tumor = (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < radius**2
    body = x**2 + y**2 < 62.0**2
    suv = np.where(tumor, (4.0, 9.0)[label] * random.uniform(1 - spread, 1 + spread), np.where(body, 0.6, 0.02))
    suv = np.abs(suv * random.normal(1.0, 0.08, suv.shape)).astype(np.float32)
    hu = (np.where(body, np.where(tumor, 5.0, 55.0), -1000.0) + random.normal(0, 8, suv.shape)).round().clip(-1024)
    row = {"patient_id": name, "label": str(label)}
    for kind, array in (("pet", suv), ("ct", hu.astype(np.int16)), ("mask", tumor.astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((VOXEL_MM,) * 3)
        image.SetOrigin((-VOXEL_MM * SIZE / 2,) * 3)
        row[kind] = str(Path(folder, f"{name}_{kind}.nii"))
        sitk.WriteImage(image, row[kind])
    return row


def read_table(path):
    """Rows of a CSV."""
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_table(path, rows):
    """Write rows, all with the first one's columns; return the path."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


# The tests' base -----------------------------------------------------------------------------------------------------


class TrainingTest(unittest.TestCase):
    """A test with the panel open, an empty scene, no known run and a temporary folder of its own.

    At its end no program works on a run any more, and no exception went to the console.
    """

    maxDiff = None

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="selftest-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.errors = []
        self._replace(sys, "excepthook", self._on_error)
        settings = slicer.app.userSettings()
        self.addCleanup(settings.setValue, SETTING, settings.value(SETTING) or [])
        settings.remove(SETTING)
        open_module()
        self.addCleanup(self._end)
        slicer.mrmlScene.Clear()
        self.run_folder = self.choose_run("run")
        slicer.app.processEvents()

    def _replace(self, owner, name, value):
        replacement = mock.patch.object(owner, name, value)
        replacement.start()
        self.addCleanup(replacement.stop)

    def _on_error(self, kind, error, trace):
        self.errors.append("".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)

    def _end(self):
        for folder in (path.parent for path in self.folder.glob("*/owner.json")):
            self.end_run(folder)
        self.choose_run("none")  # the panel lets go of the run, whose folder is about to vanish
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.assertEqual(self.errors, [], "exceptions on the console")

    # What there is

    @property
    def widget(self):
        return slicer.modules.CHMFLTrainingWidget

    @property
    def ui(self):
        return self.widget.ui

    @property
    def panel(self):
        return self.widget.panel

    @property
    def state(self):
        return self.widget.panel.state

    @property
    def parameters(self):
        return self.widget.logic.getParameterNode()

    def at_work(self, folder=None):
        """Whether a program works on a run."""
        from CHMFLTrainingLib.run.process import is_at_work

        return is_at_work(str(folder or self.run_folder))

    def charts(self):
        """The panel's charts by their titles."""
        charts = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
        return {node.GetTitle(): node for node in charts if node.GetAttribute("CHMFLTraining.Role")}

    def chart(self, word):
        """The panel's chart with a word in its title, None if there is none."""
        return next((node for title, node in self.charts().items() if word in title), None)

    # What a user does

    def click(self, name):
        """Click a button that can be clicked."""
        button = getattr(self.ui, name)
        self.assertTrue(button.enabled, f"{name} cannot be clicked: {button.toolTip}")
        button.click()

    def choose_item(self, name, word):
        """Choose the item of a list whose text begins with a word."""
        combo = getattr(self.ui, name)
        texts = [combo.itemText(index) for index in range(combo.count)]
        index = next((index for index, text in enumerate(texts) if text.startswith(word)), -1)
        self.assertGreaterEqual(index, 0, f"{name} has no '{word}': {texts}")
        combo.setCurrentIndex(index)
        slicer.app.processEvents()

    def choose_run(self, name):
        """Choose a folder below the test's own for the run; returns it."""
        folder = self.folder / name
        self.ui.runPathLineEdit.currentPath = str(folder)
        return folder

    def check_cohort(self, path):
        """Choose a CSV, click Check cohort and wait for what it found."""
        self.choose_item("cohortSourceComboBox", "A CSV")
        self.ui.cohortPathLineEdit.currentPath = str(path)
        slicer.app.processEvents()
        self.click("checkCohortButton")
        selftest.wait_for(lambda: not self.panel.cohort.checking, "the cohort is checked", LONG_S)
        return self.ui.cohortSummaryLabel.text

    def wait_for_methods(self):
        """Wait until the list of methods has come; returns the item of each by its name."""
        selftest.wait_for(lambda: self.panel.methods.known, "the methods are listed", LONG_S)
        table = self.ui.methodsTableWidget
        items = [table.item(row, 0) for row in range(table.rowCount)]
        return {item.text(): item for item in items if item.flags() & qt.Qt.ItemIsUserCheckable}

    def tick(self, *names):
        """Tick these methods and no others."""
        for name, item in self.wait_for_methods().items():
            item.setCheckState(qt.Qt.Checked if name in names else qt.Qt.Unchecked)
        slicer.app.processEvents()

    def prepare(self, *methods, folds=2, epochs=2):
        """Methods, a protocol that takes seconds, one job at a time, and a cohort that is checked for it."""
        self.tick(*methods)
        self.choose_item("presetComboBox", "smoke")
        self.choose_item("deviceComboBox", "CPU")
        self.ui.foldsSpinBox.value = folds
        self.ui.epochsSpinBox.value = epochs
        self.ui.jobsSpinBox.value = 1
        return self.check_cohort(write_cohort(self.folder / "cohort"))

    def start(self, button="startButton"):
        """Click a button that starts the run's program."""
        self.click(button)
        self.assertTrue(self.state.busy, f"{self.ui.messageLabel.text}")

    def wait(self, condition, what):
        """Let Slicer work until a condition holds; a failure shows what the run said."""
        try:
            selftest.wait_for(condition, what, LONG_S)
        except AssertionError as error:
            words = f"{self.ui.statusLabel.text}\n{self.ui.messageLabel.text}"
            log = self.run_folder / "child.log"
            said = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else "no log"
            raise AssertionError(f"{error}; {words}\n{said}") from None

    def wait_for_epoch(self, epoch=1):
        """Wait until a network under way has trained so many epochs, and its curve is drawn."""

        def trained():
            self.assertTrue(self.state.busy, "the run is under way")
            self.assertEqual(self.state.failures, [], "jobs that failed")
            now = self.state.status["now"] if self.state.status else []
            return any(job.get("epoch", 0) >= epoch for job in now) and self.chart("loss") is not None

        self.wait(trained, f"epoch {epoch} is trained and the curves are drawn")

    def wait_for_phase(self, phase):
        """Wait until the panel is there: running, paused, finished or failed."""
        self.wait(lambda: self.state.phase == phase, f"the run is {phase}")

    def end_run(self, folder):
        """End a run's program at once, whatever became of the panel."""
        from CHMFLTrainingLib.run.process import DetachedRun, owner_of

        if (owner_of(folder) or {}).get("token") is None:
            return
        run = DetachedRun(folder)
        run.stop()
        selftest.wait_for(lambda: not run.poll(), "the run's program ends", LONG_S)

    def hold_run(self, path):
        """Halt the run's program and its workers as soon as a file is there: the run is then under way for as long as
        the test looks, however fast the computer. Windows cannot; there the run is as slow as it is.
        """
        until = time.monotonic() + LONG_S
        while not path.exists():  # without the panel, whose look at the run may take longer than the run
            self.assertLess(time.monotonic(), until, f"there is no {path}; {self.ui.messageLabel.text}")
            time.sleep(0.002)
        self._signal_run("SIGSTOP")
        self.addCleanup(self.let_go)

    def let_go(self):
        """Let a run that is held go on."""
        self._signal_run("SIGCONT")

    def _signal_run(self, name):
        from CHMFLTrainingLib.run.process import owner_of

        pid = (owner_of(self.run_folder) or {}).get("pid")
        if os.name != "nt" and pid is not None and self.at_work():
            os.killpg(os.getpgid(pid), getattr(signal, name))

    def kill_run(self):
        """End the run's program without a word, as the system does when the memory is exhausted."""
        from CHMFLTrainingLib.run.process import owner_of

        pid = owner_of(self.run_folder)["pid"]
        if os.name == "nt":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(os.getpgid(pid), signal.SIGKILL)

    # What is expected

    def expect_buttons(self, *names):
        """Of Start, Pause, Resume and Stop these can be clicked and no others."""
        enabled = {n for n in ("start", "pause", "resume", "stop") if getattr(self.ui, f"{n}Button").enabled}
        self.assertEqual(enabled, set(names))

    def expect_series(self, word, *beginnings):
        """The chart with a word in its title shows lines whose names begin so."""
        chart = self.chart(word)
        self.assertIsNotNone(chart, list(self.charts()))
        count = chart.GetNumberOfPlotSeriesNodes()
        names = [chart.GetNthPlotSeriesNode(index).GetName() for index in range(count)]
        for beginning in beginnings:
            self.assertTrue(any(name.startswith(beginning) for name in names), f"{beginning}: {names}")
