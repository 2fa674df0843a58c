"""The panel of CHMFLTraining on the stand-in: what its self-tests, which click through a run, do not look at."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slicer
import slicer_standin
from conftest import REPOSITORY
from test_panel import apart

NAME = "CHMFLTraining"
MODULE = REPOSITORY / NAME
ABSENT = ("torch", "dask", "distributed", "sklearn", "mirp", "monai", "matplotlib", "pandas", "safetensors", "openvino")
OPEN = (
    "slicer.modules.chmfltraining.widgetRepresentation().enter()\n"
    "import time\n"
    "widget = slicer.modules.CHMFLTrainingWidget\n"
    "end = time.monotonic() + 240\n"
    "while not widget.panel.methods.known and time.monotonic() < end: slicer.app.processEvents()\n"
)


@pytest.fixture
def widget():
    """The panel, opened."""
    module = slicer_standin.add_module(MODULE / f"{NAME}.py")
    representation = module.widgetRepresentation()
    if not representation.isEntered:
        representation.enter()
    yield slicer.modules.CHMFLTrainingWidget
    slicer_standin.remove_module(NAME)


def test_generic_module_tests():
    slicer_standin.add_module(MODULE / f"{NAME}.py")
    assert slicer_standin.generic_module_test(NAME) == []
    slicer_standin.remove_module(NAME)


def test_module_has_its_icon_and_its_predictor():
    module = slicer_standin.add_module(MODULE / f"{NAME}.py")
    assert not module.icon.isNull() and module.icon.availableSizes()[0].width() >= 128
    assert module.title == "CHMFL Training" and module.categories == ("Nuclear Medicine",)
    slicer_standin.remove_module(NAME)


@pytest.mark.slow
def test_loading_the_module_costs_the_start_little():
    """Until the panel is opened, nothing but the lists of choices is imported."""
    own = apart("print(*(set(sys.modules) - before))", MODULE / f"{NAME}.py").split()
    foreign = {name.split(".")[0] for name in own} - set(sys.stdlib_module_names)
    assert foreign == {"CHMFLTraining", "CHMFLTrainingLib"}
    assert {name for name in own if name.startswith("CHMFLTrainingLib.")} == {
        "CHMFLTrainingLib.panel", "CHMFLTrainingLib.panel.choices",
    }  # fmt: skip


@pytest.mark.slow
def test_panel_opens_without_anything_that_is_not_slicers():
    """And none of what trains is imported into Slicer where it is there."""
    script = OPEN.split("import time")[0] + (
        "print(slicer_standin.module_errors, slicer.modules.CHMFLTrainingWidget.ui.startButton.text)"
    )
    assert "[] Start" in apart(script, MODULE / f"{NAME}.py", ABSENT)
    script = OPEN + "print(len(widget.panel.methods._items), *(set(sys.modules) - before))"
    count, *loaded = apart(script, MODULE / f"{NAME}.py").splitlines()[-1].split()
    assert int(count) >= 30
    assert not set(loaded) & set(ABSENT)


@pytest.mark.slow
def test_flat_installation_lists_methods_and_checks_a_cohort(tmp_path):
    """Slicer installs both modules' files into one folder; from there panel and child work as from the sources."""
    flat, cohort = tmp_path / "flat", tmp_path / "cohort"
    for module in ("CHMFLPredictor", NAME):
        lists = (REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
        for name in re.findall(r"^\s+(\S+/\S+|\$\{MODULE_NAME\}\.py)$", lists, re.MULTILINE):
            file = name.replace("${MODULE_NAME}", module)
            (flat / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / module / file, flat / file)
    script = OPEN + (
        "from chmfl_training_selftest import write_cohort\n"
        "from CHMFLTrainingLib.methods import registry as methods\n"
        f"widget.ui.cohortPathLineEdit.currentPath = str(write_cohort({str(cohort)!r}))\n"
        "slicer.app.processEvents()\n"
        "widget.ui.checkCohortButton.click()\n"
        "while widget.panel.cohort.checking and time.monotonic() < end: slicer.app.processEvents()\n"
        "print(slicer_standin.module_errors, methods.__file__, widget.ui.cohortTableWidget.rowCount)"
    )
    said = apart(script, flat / f"{NAME}.py").splitlines()[-1].split()
    assert said[0] == "[]" and Path(said[1]).is_relative_to(flat) and said[2] == "8"


def test_choices_are_saved_with_the_scene(widget, tmp_path):
    node = widget.logic.getParameterNode()
    widget.ui.wSlider.value = 0.25
    widget.ui.foldsSpinBox.value = 4
    widget.ui.presetComboBox.setCurrentIndex(3)
    node.methods, node.cohort, node.run = "TLG,CHMFL", str(tmp_path / "cohort.csv"), str(tmp_path / "run")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Clear(False)
    assert widget.logic.getParameterNode().methods != "TLG,CHMFL"
    slicer.util.loadScene(str(tmp_path / "scene.mrml"))
    node = widget.logic.getParameterNode()
    assert (node.w, node.folds, node.preset.value, node.methods) == (0.25, 4, "smoke", "TLG,CHMFL")
    assert widget.ui.cohortPathLineEdit.currentPath == str(tmp_path / "cohort.csv")
    assert Path(widget.panel.state.folder) == tmp_path / "run"


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="without it this test does not know when its child has ended")
def test_an_ended_child_of_a_panel_that_is_gone_is_gone(tmp_path):
    """After a reload nobody asks for the exit code of the run's program: its number stays, the program does not."""
    from CHMFLTrainingLib.run.process import is_running

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(child.pid, tmp_path)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(child.pid, tmp_path)
    assert child.wait(60) == 1, "the exit code is still there for whoever asks"


def test_cohort_of_dicom_series_is_made_and_then_checked(widget, tmp_path):
    """Two commands one after the other; what both found is shown, and the CSV that was made is the cohort."""
    import time

    from CHMFLTrainingLib.panel.choices import CohortSource
    from made_dicom import write_series
    from made_rtstruct import rectangle, write_rtstruct

    whole = tmp_path / "patients" / "P1"
    write_series(whole / "pet", "PT")
    write_series(whole / "ct", "CT", shape=(20, 24))
    write_rtstruct(whole / "RS.dcm", {"Mass": [rectangle(-11.25, -25, -1.25, -19, z) for z in (3, 6)]})
    write_series(whole.parent / "P2" / "ct", "CT", PatientID="P2")
    node, box = widget.logic.getParameterNode(), widget.panel.cohort
    node.cohortSource = CohortSource.DICOM
    widget.panel.open(str(tmp_path / "run"))
    widget.ui.cohortPathLineEdit.currentPath = str(tmp_path / "patients")
    slicer.app.processEvents()
    widget.ui.checkCohortButton.click()
    end = time.monotonic() + 240
    while box.checking and time.monotonic() < end:
        slicer.app.processEvents()
    assert box.result is not None, box.message
    assert Path(box.path) == tmp_path / "run cohort" / "cohort.csv" and Path(box.path).exists()
    found = {(one["patient_id"], one["code"]) for one in box.result["findings"]}
    assert found >= {("P1", "roi_used"), ("P2", "rtstruct_none")}, "of making it"
    assert ("P1", "tumor_small") in found, "of checking it"
    assert [one["patient_id"] for one in box.result["patients"]] == ["P1"] and box.errors >= 1
    assert widget.ui.cohortTableWidget.rowCount == 1


def test_every_widget_that_starts_something_says_why_it_cannot(widget):
    for name in ("start", "resume", "compareRuns", "useInPredictor"):
        button = getattr(widget.ui, f"{name}Button")
        assert not button.enabled and button.toolTip, name


def test_a_watcher_that_ends_by_itself_is_given_up(widget, monkeypatch, tmp_path):
    from CHMFLPredictorLib.child.process import Ended, Ending
    from CHMFLTrainingLib.panel import panel as training_panel

    panel, started = widget.panel, []

    def start(arguments, onEvent=None, onEnd=None):
        started.append(arguments)
        onEnd(Ended(Ending.ERROR, "defect", "It crashed."))

    monkeypatch.setattr(panel._watch, "start", start)
    (tmp_path / "config.json").write_text("{}")
    panel.open(str(tmp_path))
    for _ in range(20):
        panel._tick()
    assert len(started) == 1  # the next one comes seconds later
    monkeypatch.setattr(training_panel, "WATCHER_PAUSE_S", 0.0)
    panel._nextWatcher = 0.0
    for _ in range(20):
        panel._tick()
    assert len(started) == training_panel.WATCHER_TRIES
    assert "It crashed." in widget.ui.messageLabel.text
    panel.open(str(tmp_path))
    assert len(started) == training_panel.WATCHER_TRIES + 1


def test_a_scene_of_another_module_gets_no_plots(widget, monkeypatch):
    representation, live, drawn = slicer.modules.chmfltraining.widgetRepresentation(), widget.panel.live, []
    monkeypatch.setattr(live, "_drawResults", lambda: drawn.append(True))
    live.take({"event": "results", "rows": []})
    assert len(drawn) == 1
    representation.exit()
    live.take({"event": "results", "rows": []})
    assert len(drawn) == 1
    representation.enter()
    assert len(drawn) == 2
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()
    assert len(drawn) == 2  # the new scene gets nothing by itself
    monkeypatch.setattr(live._scenePlots(), "show_layout", lambda: None)
    live._plots, plots = None, live._plots
    monkeypatch.setattr(live, "_scenePlots", lambda: plots)
    live.onShow()
    assert len(drawn) == 3


def test_a_check_that_lacks_a_package_offers_to_install_it(widget, monkeypatch):
    """As Start does, but without PyTorch; a no is no dead end."""
    from CHMFLPredictorLib.child.process import Ended, Ending
    from CHMFLPredictorLib.errors import MissingDependency
    from CHMFLPredictorLib.panel.needed_packages import Need
    from CHMFLTrainingLib.panel import packages

    cohort, checks, asked = widget.panel.cohort, [], []
    lacking = [Need("torch", "2.6"), Need("pydicom", "2.4"), Need("monai", "1.5")]
    monkeypatch.setattr(packages, "missing", lambda: lacking)
    monkeypatch.setattr(cohort, "onCheck", lambda: checks.append(True))

    def ensure(confirm, purpose):
        asked.append(([need.package for need in purpose.missing()], purpose.button))
        if len(asked) > 1:
            raise MissingDependency("install_refused", "It was refused.", "Ask again.")

    monkeypatch.setattr(packages, "ensure", ensure)
    for _ in range(2):
        cohort._onEnd(Ended(Ending.ERROR, "pydicom_missing", "No pydicom.", exit_code=5))
    assert asked == [(["pydicom"], "Check cohort")] * 2 and len(checks) == 1
    assert "It was refused." in cohort.message and not cohort.unusable
