"""What the self-tests share: the panel opened, clicks, conditions waited for, small patients, small children.

The tests run inside Slicer (``slicer_add_python_unittest``) and on the stand-in, unchanged: they click as a user does
and look at widgets and nodes. A run is a real child process with the real command line, but for tests of the panel
alone, which start a small program in its place by ``logic.launcher``.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import qt
import slicer

DATA = Path(__file__).resolve().parent / "CHMFLSelfTestData"
DEADLINE_S = 120
SETTLED_S = 0.5
RESULT_CLASSES = (
    "vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode", "vtkMRMLTableNode", "vtkMRMLMarkupsROINode", "vtkMRMLTextNode"
)  # fmt: skip
WARNING = "\N{WARNING SIGN}"


# The panel -----------------------------------------------------------------------------------------------------------


def open_module():
    """Open the module as its user does, or without a main window as Slicer's module panel does."""
    widget = slicer.modules.chmflpredictor.widgetRepresentation()
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule("CHMFLPredictor")
    elif not widget.isEntered:
        widget.enter()
    return slicer.modules.CHMFLPredictorWidget


def wait_for(condition, what, seconds=DEADLINE_S):
    """Let Slicer work until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"Not within {seconds} s: {what}")
        slicer.app.processEvents()
        time.sleep(0.005)


def settle():
    """Let pass what the panel does by itself a moment after volumes came; a user is slower than that."""
    until = time.monotonic() + SETTLED_S
    wait_for(lambda: time.monotonic() > until, "time passes")


def shown(widget) -> bool:
    """Whether a widget would be seen if its module were (without a main window it never is).

    Slicer hides what a collapsed section holds: the section is opened first.
    """
    parents = [widget]
    while (parent := parents[-1].parent()) is not None:
        parents.append(parent)
    sections = [one for one in parents if one.className() == "ctkCollapsibleButton" and one.collapsed]
    for section in sections:
        section.collapsed = False
    seen = not widget.isHidden()
    for section in sections:
        section.collapsed = True
    return seen


# Child processes -----------------------------------------------------------------------------------------------------


class Launcher:
    """Starts children for ``logic.launcher`` and remembers them.

    :param manner: None starts the real command line, a text the small child (``small_child.py``) of that manner.
    """

    def __init__(self, manner=None):
        self.manner, self.children, self.command = manner, [], []

    def __call__(self, command, environment):
        from CHMFLPredictorLib.child.process import launch

        if self.manner is not None:
            command = [*command[:2], str(DATA / "small_child.py"), *command[4:]]
            environment = {**environment, "CHMFL_CHILD": self.manner}
        self.command = command
        child = launch(command, environment)
        self.children.append(child)
        return child

    def alive(self):
        """Ids of the children that still run, with whatever they started."""
        return [child.pid for child in self.children if child.poll() is None or _group_exists(child.pid)]


def _group_exists(pid: int) -> bool:
    if os.name == "nt":
        return False
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def run_python(*arguments, timeout_s=300):
    """Run Slicer's Python with the library where it finds it; returns what it printed."""
    from CHMFLPredictorLib.child.process import child_environment, python_executable

    command = [python_executable(), *map(str, arguments)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, timeout=timeout_s, encoding="utf-8")
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


# Volumes -------------------------------------------------------------------------------------------------------------


def make_volume(name, voxels_kji, spacing=(4.0, 4.0, 3.0), origin=(0.0, 0.0, 0.0), unit=None):
    """Add a volume, its axes along R, A and S."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetSpacing(spacing)
    node.SetOrigin(origin)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(voxels_kji))
    node.CreateDefaultDisplayNodes()
    if unit is not None:
        set_unit(node, unit)
    return node


def set_unit(node, unit):
    """Code a volume's units (UCUM), as Slicer's readers do that know them."""
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(unit, "UCUM", unit)
    node.SetVoxelValueUnits(entry)


def pet_values(seed=1, peak=6.0):
    """20 x 30 x 40 voxels (k, j, i) of SUV with a tumor."""
    values = np.random.default_rng(seed).gamma(1.5, 0.4, (20, 30, 40)).astype(np.float32)
    values[8:12, 10:16, 12:20] += peak
    return values


def ct_values(seed=2):
    """20 x 60 x 80 voxels (k, j, i) of HU: air around tissue."""
    values = np.random.default_rng(seed).normal(20, 30, (20, 60, 80))
    values[:, :15] = -1000
    return values.round().astype(np.int16)


class Patient:
    """A small PET and CT around a place, with a tumor at ``tumor`` (RAS, mm)."""

    def __init__(self, name, center=(0.0, 0.0, 0.0), seed=1, peak=6.0):
        at = np.asarray(center, float)
        origin = at - (78.0, 58.0, 28.5)
        self.name = name
        self.pet = make_volume(f"{name} PET", pet_values(seed, peak), (4.0, 4.0, 3.0), origin, "{SUVbw}g/ml")
        self.ct = make_volume(f"{name} CT", ct_values(seed + 1), (2.0, 2.0, 3.0), origin - (1.0, 1.0, 0.0), "[hnsf'U]")
        self.volumes = self.pet, self.ct
        self.tumor = tuple(float(value) for value in origin + np.array((15.5, 12.5, 9.5)) * (4.0, 4.0, 3.0))


def volume_files(folder, name, ct=True):
    """Write a small patient into a folder of its own, as a batch finds it."""
    import SimpleITK as sitk

    folder = Path(folder, name)
    folder.mkdir(parents=True)
    contents = {"PET": (pet_values(), (4.0, 4.0, 3.0))} | ({"CT": (ct_values(), (2.0, 2.0, 3.0))} if ct else {})
    for role, (values, spacing) in contents.items():
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(folder / f"{role}.nii.gz"))
    return folder


# The scene -----------------------------------------------------------------------------------------------------------


def node_ids():
    """Of every node of the scene."""
    return sorted(slicer.mrmlScene.GetNthNode(index).GetID() for index in range(slicer.mrmlScene.GetNumberOfNodes()))


def results(pet, ct):
    """The result nodes of a pair, by role."""
    from CHMFLPredictorLib.scene.results import find_results

    return find_results(slicer.mrmlScene, pet, ct)


def composites():
    """What the slice views show."""
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def segment_array(segmentation, reference):
    """The result's segment on a volume's grid."""
    from CHMFLPredictorLib.scene.results import SEGMENT_ID

    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, SEGMENT_ID, reference)


class Replaced:
    """The module ``qt`` with some of its classes replaced: what a dialog would have answered."""

    def __init__(self, **classes):
        self.__dict__.update(classes)

    def __getattr__(self, name):
        return getattr(qt, name)


class FileDialog(SimpleNamespace):
    """Stands for ``qt.QFileDialog`` and answers with a path, whatever is asked for."""

    def __init__(self, path):
        answer = mock.Mock(return_value=path)
        super().__init__(getExistingDirectory=answer, getSaveFileName=answer, answer=answer)


# The tests' base -----------------------------------------------------------------------------------------------------


class PanelTest(unittest.TestCase):
    """A test with the panel open, an empty scene and a temporary folder of its own.

    At its end nothing may be left: no run, no process, no temporary file, no exception that went to the console.
    """

    maxDiff = None

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="selftest-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        self._replace(tempfile, "tempdir", str(self.temporary))
        self.errors = []
        self._replace(sys, "excepthook", self._on_error)
        open_module()
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.launchers = []
        self.use_child(None)
        self.addCleanup(self._end)

    def _replace(self, owner, name, value):
        replacement = mock.patch.object(owner, name, value)
        replacement.start()
        self.addCleanup(replacement.stop)

    def _on_error(self, kind, error, trace):
        self.errors.append("".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)

    def _end(self):
        if self.state.busy:
            self.follower.cancel()
            wait_for(lambda: not self.state.busy, "the run at the end of the test is canceled")
        self.logic.launcher = None
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.expect_no_process()
        self.assertEqual(self.leftovers(), [], "files left in the temporary folder")
        self.assertEqual(self.errors, [], "exceptions on the console")

    # What there is

    @property
    def widget(self):
        return slicer.modules.CHMFLPredictorWidget

    @property
    def ui(self):
        return self.widget.ui

    @property
    def logic(self):
        return self.widget.logic

    @property
    def state(self):
        return self.widget.panel.state

    @property
    def follower(self):
        return self.widget.panel.follower

    @property
    def parameters(self):
        return self.logic.getParameterNode()

    def leftovers(self):
        """Temporary files of a run."""
        return sorted(path.name for path in self.temporary.iterdir() if path.name.startswith("chmfl"))

    # What a user does

    def use_child(self, manner):
        """From now on runs start the small child of a manner, or with None the real one."""
        self.launcher = self.logic.launcher = Launcher(manner)
        self.launchers.append(self.launcher)

    def click(self, name):
        """Click a button that can be clicked."""
        button = getattr(self.ui, name)
        self.assertTrue(button.enabled, f"{name} cannot be clicked: {button.toolTip}")
        button.click()

    def choose(self, pet, ct):
        """Choose a pair by the selectors."""
        self.ui.petSelector.setCurrentNode(pet)
        self.ui.ctSelector.setCurrentNode(ct)
        slicer.app.processEvents()

    def choose_text(self, name, text):
        """Choose an item of a list."""
        combo = getattr(self.ui, name)
        index = combo.findText(text)
        self.assertGreaterEqual(index, 0, f"{name} has no '{text}'")
        combo.setCurrentIndex(index)
        slicer.app.processEvents()

    def choose_location(self, value):
        """Choose how the tumor's place is given, by the value of ``panel.words.Location``."""
        from CHMFLPredictorLib.panel.words import Location

        self.choose_text("locationComboBox", Location(value).label())

    def load_sample(self, name):
        """Choose a sample and click its button; PET and CT are in the selectors then."""
        combo = self.ui.sampleComboBox
        names = [combo.itemData(index) for index in range(combo.count)]
        self.assertIn(name, names)
        combo.setCurrentIndex(names.index(name))
        self.click("loadSampleButton")
        pet, ct = self.ui.petSelector.currentNode(), self.ui.ctSelector.currentNode()
        self.assertIsNotNone(pet, "the sample's PET is chosen")
        self.assertIsNotNone(ct, "the sample's CT is chosen")
        return pet, ct

    def start(self, button="predictButton"):
        """Click a button that starts a run."""
        slicer.app.processEvents()
        self.click(button)
        self.assertTrue(self.state.busy or self.state.ended is not None)

    def wait_for_end(self, seconds=DEADLINE_S):
        """Let Slicer work until the run has ended; return the ending."""
        try:
            wait_for(lambda: not self.state.busy, "the run ends", seconds)
        except AssertionError as error:
            log = self.follower.run.log if self.follower is not None else ""
            raise AssertionError(f"{error}; {self.ui.stageLabel.text}\n{log[-2000:]}") from None
        return self.state.ended

    def predict(self, seconds=DEADLINE_S):
        """Click Predict DM and wait for the end; return the ending."""
        self.start()
        return self.wait_for_end(seconds)

    def predict_well(self, seconds=DEADLINE_S):
        """Predict, and expect a result; return it and its nodes."""
        ended = self.predict(seconds)
        self.assertEqual(ended.ending, "done", f"{ended.code}: {ended.message} {ended.hint}")
        return self.follower.run.prediction.result, self.follower.run.prediction.nodes

    @contextlib.contextmanager
    def small_model(self):
        """Within it, a small untrained model is on the list of models and chosen."""
        folder = self.folder / "small model"
        shutil.copytree(made_model(), folder)
        dialog = FileDialog(str(folder))
        with mock.patch("CHMFLPredictorLib.panel.models.qt", Replaced(QFileDialog=dialog)):
            self.click("addModelButton")
        dialog.answer.assert_called_once()
        self.assertIn("small", self.ui.modelComboBox.currentText)
        try:
            yield folder
        finally:
            if self.state.busy:
                self.follower.cancel()
                self.wait_for_end()
            names = [self.ui.modelComboBox.itemText(index) for index in range(self.ui.modelComboBox.count)]
            self.ui.modelComboBox.setCurrentIndex(next(n for n, name in enumerate(names) if name.startswith("small")))
            self.click("removeModelButton")

    # What is expected

    def expect_node(self, selector, node, message=None):
        found = selector.currentNode()
        name = found.GetName() if found is not None else None
        self.assertEqual(name, node.GetName() if node is not None else None, message)

    def expect_no_process(self):
        """None is left; what was killed a moment ago may still have to be taken off the system's list."""
        alive = lambda: [pid for launcher in self.launchers for pid in launcher.alive()]  # noqa: E731
        wait_for(lambda: not alive(), "no process still runs", 10)

    def expect_idle(self):
        """The panel can be used again."""
        self.assertFalse(self.state.busy)
        self.assertEqual(self.ui.predictButton.text, "Predict DM")
        self.assertFalse(shown(self.ui.progressBar))
        self.expect_no_process()
        self.assertEqual(self.leftovers(), [])

    def expect_unchanged(self, before):
        """The scene has the nodes that it had."""
        self.assertEqual(node_ids(), before, "nodes of the scene")


_models = []


def made_model() -> Path:
    """The small model's folder; made once, in a child process: Slicer's own has no torch loaded."""
    if not _models:
        folder = tempfile.mkdtemp(prefix="selftest-model-", dir=slicer.app.temporaryPath)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _models.append(Path(folder, "model"))
        run_python(DATA / "make_model.py", _models[0])
    return _models[0]
