"""The panel on the stand-in: what the self-tests, which click through predictions, do not look at."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slicer
import slicer_standin
from conftest import REPOSITORY

MODULE = REPOSITORY / "CHMFLPredictor"
SHIPPED = MODULE / "Resources" / "Models" / "sts-dm-compact"
# started apart, because Python forgets no import: an application in which only the module was loaded, or opened
APART = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path[:0] = [{testing!r}]
for name in {absent!r}: sys.modules[name] = None
import slicer_standin
slicer_standin.start()
before = set(sys.modules)
module = slicer_standin.add_module({module!r})
import slicer
"""


def apart(script, module=MODULE / "CHMFLPredictor.py", absent=()):
    """Run a script in a fresh application and return what it printed."""
    start = APART.format(testing=str(REPOSITORY / "Testing"), module=str(module), absent=list(absent))
    command = [sys.executable, "-c", start + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def widget():
    """The panel, opened."""
    module = slicer_standin.add_module(MODULE / "CHMFLPredictor.py")
    representation = module.widgetRepresentation()
    if not representation.isEntered:
        representation.enter()
    yield slicer.modules.CHMFLPredictorWidget
    slicer_standin.remove_module("CHMFLPredictor")


def test_generic_module_tests():
    slicer_standin.add_module(MODULE / "CHMFLPredictor.py")
    assert slicer_standin.generic_module_test("CHMFLPredictor") == []
    slicer_standin.remove_module("CHMFLPredictor")


@pytest.mark.slow
def test_loading_the_module_costs_the_start_little():
    """Until the panel is opened, nothing but the library's smallest files is imported."""
    own = apart("print(*(set(sys.modules) - before))").split()
    assert "CHMFLPredictorLib.panel.words" in own
    foreign = {name.split(".")[0] for name in own} - set(sys.stdlib_module_names)
    assert foreign == {"CHMFLPredictor", "CHMFLPredictorLib"}
    parts = {name.removeprefix("CHMFLPredictorLib.") for name in own if name.startswith("CHMFLPredictorLib.")}
    small = "errors events protocol report.plots child.process scene.samples panel.state panel.words"
    assert parts == {*small.split(), "report", "child", "scene", "panel"}


@pytest.mark.slow
def test_panel_opens_without_anything_that_is_not_slicers():
    script = (
        "slicer.modules.chmflpredictor.widgetRepresentation().enter()\n"
        "widget = slicer.modules.CHMFLPredictorWidget\n"
        "print(slicer_standin.module_errors, widget.ui.predictButton.text, '|', widget.ui.deviceLabel.text)"
    )
    said = apart(script, absent=("torch", "openvino", "sklearn", "pandas", "matplotlib", "safetensors"))
    assert said.startswith("[] Predict DM |") or "[] Predict DM |" in said
    assert "PyTorch is installed" in said


@pytest.mark.slow
def test_flat_installation_predicts(tmp_path):
    """Slicer installs every module's files into one folder; from there the panel works as from the sources."""
    lists = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    for name in re.findall(r"^\s+(\S+/\S+|\$\{MODULE_NAME\}\.py)$", lists, re.MULTILINE):
        file = name.replace("${MODULE_NAME}", "CHMFLPredictor")
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(MODULE / file, tmp_path / file)
    script = (
        "slicer.modules.chmflpredictor.widgetRepresentation().enter()\n"
        "widget = slicer.modules.CHMFLPredictorWidget\n"
        "from CHMFLPredictorLib.scene import samples as scene_samples\n"
        "pet, ct = scene_samples.load_sample('Phantom')\n"
        "prediction = widget.logic.process(pet, ct, riskOnly=True, device='cpu')\n"
        "print(slicer_standin.module_errors, scene_samples.__file__, prediction.result['risk'])"
    )
    said = apart(script, tmp_path / "CHMFLPredictor.py").split()
    assert said[-3] == "[]" and Path(said[-2]).is_relative_to(tmp_path) and 0 < float(said[-1]) < 1


def test_models_are_added_shown_and_removed(widget, dialogs, tmp_path):
    combo = widget.ui.modelComboBox
    copy = tmp_path / "another"
    shutil.copytree(SHIPPED, copy)
    assert combo.count == 2 and not widget.ui.removeModelButton.enabled
    dialogs.expect(str(copy))
    widget.ui.addModelButton.click()
    assert combo.count == 3 and Path(combo.currentData) == copy and widget.ui.removeModelButton.enabled
    widget.ui.modelCardButton.click()
    assert not widget.ui.modelCardBrowser.isHidden() and "AUC 0.733" in widget.ui.modelCardBrowser.plainText
    widget.ui.removeModelButton.click()
    assert combo.count == 2 and copy.is_dir()


def test_folder_that_is_no_model_is_refused(widget, dialogs, tmp_path, caplog):
    dialogs.expect(str(tmp_path))
    widget.ui.addModelButton.click()
    assert widget.ui.modelComboBox.count == 2
    assert "has no model.json" in caplog.text  # errorDisplay logs; its box needs a main window


def test_the_model_that_ships_is_chosen_and_its_box_known(widget):
    assert widget.panel.models.folder == str(SHIPPED)
    assert widget.panel.models.card["version"] == json.loads((SHIPPED / "model.json").read_text())["version"]
    assert widget.panel.models.problem == ""


def test_every_location_shows_its_own_widgets_only(widget):
    from CHMFLPredictorLib.panel.words import Location

    names = {Location.POINT: "pointSelector", Location.BOX: "boxSelector", Location.SEGMENT: "segmentSelector"}
    for location in Location:
        widget.panel._parameterNode.location = location
        hidden = {name: getattr(widget.ui, name).isHidden() for name in names.values()}
        assert hidden == {name: owner is not location for owner, name in names.items()}
        assert widget.ui.locationComboBox.currentText == location.label()


def test_a_click_on_a_candidate_puts_the_point_there(widget, monkeypatch):
    from CHMFLPredictorLib.panel import panel
    from CHMFLPredictorLib.panel.words import Location, candidatesText

    places = [[60.0, -24.0, 3.0], [-80.0, 11.0, 120.0]]
    found = [{"center_ras_mm": place, "volume_ml": 17.4, "suv_max": 44.1} for place in places]
    assert '<a href="1">R -80, A 11, S 120 mm, 17 ml, SUVmax 44.1</a>' in candidatesText(found)
    monkeypatch.setattr(panel, "find_results", lambda *_: {"table": None})
    monkeypatch.setattr(panel, "stored_result", lambda _: {"box": {"candidates": found}})
    node = widget.panel._parameterNode
    monkeypatch.setattr(widget.panel, "_showStoredResult", lambda: None)
    for number, place in enumerate(places):
        widget.panel.onCandidate(str(number))
        assert node.location is Location.POINT and node.point.GetNumberOfControlPoints() == 1
        assert list(node.point.GetNthControlPointPositionWorld(0)) == place
    slice_node = slicer.util.getNodesByClass("vtkMRMLSliceNode")[0]
    assert slice_node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(places[1][2])  # the axial view


def test_words_for_every_stage_and_ending():
    from CHMFLPredictorLib.child.process import Ended, Ending
    from CHMFLPredictorLib.events import STAGES
    from CHMFLPredictorLib.panel import words as panel_words
    from CHMFLPredictorLib.panel.state import Kind, RunState

    assert {stage: panel_words.stageText(stage) for stage in STAGES} == {name: told[0] for name, told in STAGES.items()}
    said = set()
    for ending in Ending:
        state = RunState()
        state.start(Kind.PREDICTION)
        state.end(Ended(ending, "some_code", "What happened.", "What to do."))
        words = panel_words.statusText(state)
        assert "What to do." in words
        assert ("some_code" in words) == (ending not in (Ending.DONE, Ending.CANCELED))
        said.add(words)
    assert len(said) == len(Ending)


def test_result_of_a_model_that_is_not_here_says_so():
    from CHMFLPredictorLib.panel.words import honestyText

    assert "not among the models" in honestyText(None)
    card = json.loads((SHIPPED / "model.json").read_text())
    assert "AUC 0.73 (0.59-0.86)" in honestyText(card) and "0.80" in honestyText(card)
    assert "does not tell" in honestyText({**card, "metrics": {}})
