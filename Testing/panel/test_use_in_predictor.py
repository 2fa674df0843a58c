"""A model that training hands over is chosen in the Predictor, whether its panel was opened before, is open, or not."""

import shutil
from pathlib import Path

import pytest
import slicer
import slicer_standin
from conftest import REPOSITORY

MODULE = REPOSITORY / "CHMFLPredictor"
SHIPPED = MODULE / "Resources" / "Models" / "sts-dm-compact"


@pytest.fixture
def trained(tmp_path) -> Path:
    """A bundle as ``export`` leaves it; forgotten again by the list of models."""
    from CHMFLPredictorLib.model.shelf import ModelShelf
    from CHMFLPredictorLib.panel.models import shelfPath

    yield Path(shutil.copytree(SHIPPED, tmp_path / "trained"))
    ModelShelf(shelfPath()).remove(tmp_path / "trained")


@pytest.fixture
def representation():
    yield slicer_standin.add_module(MODULE / "CHMFLPredictor.py").widgetRepresentation()
    slicer_standin.remove_module("CHMFLPredictor")


def chosen() -> Path:
    widget = slicer.modules.CHMFLPredictorWidget
    assert widget.panel.models.problem == ""
    return Path(widget.ui.modelComboBox.currentData)


@pytest.mark.parametrize("before", ["never opened", "opened and left", "open"])
def test_the_trained_model_is_chosen(representation, trained, before):
    from CHMFLTrainingLib.scene.use import use_in_predictor

    if before != "never opened":
        representation.enter()
        assert chosen() == SHIPPED
    if before == "opened and left":
        representation.exit()
    use_in_predictor(trained)
    if before != "open":
        representation.enter()
    assert chosen() == trained and slicer.modules.CHMFLPredictorWidget.panel.models.folder == str(trained)
    representation.exit()
    representation.enter()
    assert chosen() == trained


def test_a_model_that_is_gone_gives_way_to_the_one_that_ships(representation, trained):
    from CHMFLTrainingLib.scene.use import use_in_predictor

    representation.enter()
    use_in_predictor(trained)
    node = slicer.mrmlScene.GetSingletonNode("CHMFLPredictor", "vtkMRMLScriptedModuleNode")
    node.SetParameter("model", str(trained.parent / "elsewhere"))
    assert chosen() == SHIPPED and node.GetParameter("model") == str(SHIPPED)
