"""A trained model handed to the Predictor: in its list of models, and chosen in the scene."""

from __future__ import annotations

import slicer
from CHMFLPredictorLib.model.shelf import ModelShelf, ShelfModel

MODULE = "CHMFLPredictor"
PARAMETER = "model"  # of the Predictor's parameter node: the folder of the model that is chosen


def use_in_predictor(bundle_folder, scene=None, shelf_path=None) -> ShelfModel:
    """Check a model bundle, put it into the Predictor's list and choose it there.

    Works whether or not the Predictor was opened before: its parameter node is made as the module itself makes it, and
    an open panel follows.

    :param bundle_folder: of :func:`..run.export`, with model.json.
    :param scene: default: Slicer's.
    :param shelf_path: the JSON file of the list of models; default: this user's.
    :return: the model as it is listed.
    :raises MissingModel: the bundle cannot be used.
    :raises BadInput: shelf_unwritable.
    """
    if shelf_path is None:
        from CHMFLPredictorLib.panel.models import shelfPath  # knows where Slicer keeps the user's settings

        shelf_path = shelfPath()
    model = ModelShelf(shelf_path).add(bundle_folder)
    _parameter_node(slicer.mrmlScene if scene is None else scene).SetParameter(PARAMETER, str(model.folder))
    return model


def _parameter_node(scene):
    """The Predictor's one parameter node in a scene, see ScriptedLoadableModuleLogic.createParameterNode."""
    node = scene.GetSingletonNode(MODULE, "vtkMRMLScriptedModuleNode")
    if node is not None:
        return node
    node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
    node.UnRegister(None)
    node.SetSingletonTag(MODULE)
    node.SetAttribute("ModuleName", MODULE)
    node.SetName(scene.GenerateUniqueName(MODULE))
    return scene.AddNode(node)
