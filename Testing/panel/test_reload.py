"""One module reloaded under the other's open panel, and a no that can be taken back."""

import sys

import pytest
import slicer
import slicer_standin
from conftest import REPOSITORY

NAMES = ("CHMFLPredictor", "CHMFLTraining")


@pytest.fixture
def panels():
    """Both panels, opened."""
    for name in NAMES:
        representation = slicer_standin.add_module(REPOSITORY / name / f"{name}.py").widgetRepresentation()
        if not representation.isEntered:
            representation.enter()
    yield
    for name in NAMES:
        slicer_standin.remove_module(name)


def test_the_predictor_reloaded_under_trainings_panel(panels):
    """The two panels share the library's classes afterwards too: an error of the one is known to the other."""
    before = slicer.modules.CHMFLTrainingWidget
    slicer.modules.CHMFLPredictorWidget.onReload()
    assert slicer.modules.CHMFLTrainingWidget is not before
    errors = sys.modules["CHMFLPredictorLib.errors"].ChmflError
    training = slicer.modules.CHMFLTrainingWidget.panel
    assert sys.modules[type(training).__module__].ChmflError is errors
    assert sys.modules[type(training.cohort).__module__].ChmflError is errors


def test_a_no_to_what_is_optional_is_taken_back_in_the_panel(panels):
    from CHMFLPredictorLib.panel import packages

    device = slicer.modules.CHMFLPredictorWidget.panel.device
    device._show(["cpu: <fast>"])
    assert device._ui.deviceLabel.text == "cpu: <fast>"
    slicer.app.userSettings().setValue(packages.DECLINED_SETTING, "true")
    device._show(["cpu: <fast>"])
    assert "cpu: &lt;fast&gt;<br><a " in device._ui.deviceLabel.text
    device._ui.deviceLabel.linkActivated("offer")
    assert not packages.declined() and device._ui.deviceLabel.text == "cpu: <fast>"
