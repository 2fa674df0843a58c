"""CHMFLPredictor: risk of distant metastases of soft-tissue sarcoma from FDG-PET-CT, with one click.

The module's face in Slicer, and thin: ``CHMFLPredictorLib/panel`` is what the user sees, ``scene`` what happens to the
scene, and the network runs in a child process (``child``). The panel is imported when it is opened, so that
it costs Slicer's start nothing.
"""

import os
import sys
import unittest
import weakref

import slicer
from CHMFLPredictorLib.panel.words import BatchSource, Device, Location
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

HOMEPAGE = "https://github.com/SlicerCHMFL/SlicerCHMFL"


class CHMFLPredictor(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CHMFL Predictor")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Nuclear Medicine")]
        self.parent.dependencies = ["Markups", "Segmentations", "SubjectHierarchy", "Volumes"]
        self.parent.contributors = ["CHMFL contributors"]
        self.parent.helpText = _("""
Predicts the risk of distant metastases of soft-tissue sarcoma from one FDG-PET-CT, segments the tumor and shows
what in the images drives the risk. Choose PET and CT, click <b>Predict DM</b>. Not for clinical use.<br>
See the <a href="{link}#tutorial">tutorial</a> and the <a
href="{link}/blob/main/CHMFLPredictor/README.md#troubleshooting">list of messages</a>.
""").format(link=HOMEPAGE)
        self.parent.acknowledgementText = _("""
Implements Peng Y, Bi L, Kumar A, Fulham M, Feng D, Kim J: Predicting distant metastases in soft-tissue sarcomas from
PET-CT scans using constrained hierarchical multi-modality feature learning. Phys Med Biol 2021;66(24). The model was
trained on the public collection Soft-tissue-Sarcoma of The Cancer Imaging Archive (Vallieres M et al. 2015). This
project is independent of the authors of both.
""")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Add the samples to the Sample Data module."""
    from CHMFLPredictorLib.scene import samples

    samples.register(os.path.join(os.path.dirname(__file__), "Resources", "Icons"))


@parameterNodeWrapper
class CHMFLPredictorParameterNode:
    """What the user chose; saved with the scene.

    pet - FDG-PET in body-weight SUV, or in Bq/ml with its DICOM headers in Slicer's database.
    ct - CT in HU.
    location - How the place of the tumor is given.
    point - Its first control point lies in the tumor.
    box - The box that the network reads.
    segmentation, segmentId - The tumor as a segment.
    device - What computes.
    riskOnly - No segmentation, measurements or relevance map.
    showRelevance - The relevance map is shown over the CT.
    batchSource - Where a batch's patients come from.
    """

    pet: vtkMRMLScalarVolumeNode | None
    ct: vtkMRMLScalarVolumeNode | None
    location: Location = Location.AUTOMATIC
    point: vtkMRMLMarkupsFiducialNode | None
    box: vtkMRMLMarkupsROINode | None
    segmentation: vtkMRMLSegmentationNode | None
    segmentId: str = ""
    model: str = ""
    device: Device = Device.AUTO
    riskOnly: bool = False
    showRelevance: bool = False
    batchSource: BatchSource = BatchSource.SCENE


class CHMFLPredictorWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in Slicer; what it does is in ``panel.Panel``."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Build the panel. Slicer calls it when the module is opened for the first time, and after a reload."""
        ScriptedLoadableModuleWidget.setup(self)
        from CHMFLPredictorLib.panel.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CHMFLPredictor.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CHMFLPredictorLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.initializeParameterNode()

    def cleanup(self):
        """Stop what runs and let go of everything: Slicer ends, or the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.stop()
            self.panel.setParameterNode(None)
            self.logic.stop()

    def enter(self):
        """The user opens the module."""
        self.initializeParameterNode()

    def exit(self):
        """The user opens another module. A run goes on."""
        self.panel.leave()
        self.panel.setParameterNode(None)

    def initializeParameterNode(self):
        """Take the scene's parameter node, made if there is none, and guess PET and CT where none are chosen."""
        self.panel.setParameterNode(self.logic.getParameterNode())

    def onSceneStartClose(self, caller, event):
        """The nodes are about to vanish."""
        self.panel.onSceneClosing()
        self.panel.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Begin anew with the empty scene."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """A scene was loaded: the panel comes back as it was saved."""
        if self.parent.isEntered:
            self.panel.setParameterNode(None)
            self.initializeParameterNode()

    def onNodeAdded(self, caller, event):
        """Perhaps a PET or a CT."""
        if self.parent.isEntered:
            self.panel.guessSoon()

    def onReload(self):
        """Reload the library with the module file, for developers; and the training's panel, which uses the library."""
        for name in [name for name in sys.modules if name.split(".")[0] == "CHMFLPredictorLib"]:
            del sys.modules[name]  # imported anew when the module file is
        ScriptedLoadableModuleWidget.onReload(self)
        training = getattr(slicer.modules, "CHMFLTrainingWidget", None)
        if training is not None:
            training.onReload()


class CHMFLPredictorLogic(ScriptedLoadableModuleLogic):
    """Predictions by script, with or without the panel::

        logic = slicer.modules.chmflpredictor.widgetRepresentation().self().logic  # or CHMFLPredictorLogic()
        prediction = logic.process(getNode("PET"), getNode("CT"))
        print(prediction.result["risk"], prediction.nodes["segmentation"].GetName())

    :ivar launcher: starts the child process (``process.launch``); tests put another one here.
    """

    _followers = weakref.WeakSet()  # of every logic's runs: they end with the module, or the application

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.launcher = None

    def getParameterNode(self):
        """The scene's one parameter node of this module."""
        from CHMFLPredictorLib.scene.parameters import parameters_of

        return parameters_of(super().getParameterNode(), CHMFLPredictorParameterNode)

    def process(
        self, pet, ct, location=None, segmentId="", model=None, device="auto", riskOnly=False, output=None,
        onEvent=None, onEnd=None, wait=True,
    ):  # fmt: skip
        """Predict from a PET and a CT; the results become nodes of the scene, those of an earlier run are reused.

        :param pet: vtkMRMLScalarVolumeNode in body-weight SUV (g/ml), or in Bq/ml from Slicer's DICOM module.
        :param ct: vtkMRMLScalarVolumeNode in HU.
        :param location: where the tumor is: None (found automatically), (R, A, S) in mm, a markups point list (its
            first point) or ROI (its center), or a segmentation node, with ``segmentId``.
        :param model: folder of a model bundle; None is the one that ships.
        :param device: "auto", "cpu", "cuda" or "cuda:n".
        :param riskOnly: no segmentation, measurements or relevance map.
        :param output: folder that gets result.json, report.html and the images too.
        :param onEvent: called with each event, a dict (``events.py``): progress, warning, risk.
        :param onEnd: with ``wait=False``, called with the ending (``child.process.Ended``).
        :param wait: False returns at once and lets Slicer's event loop do the rest.
        :return: a ``scene.run.Prediction`` (result, nodes, report); with ``wait=False`` a
            ``panel.follower.RunFollower``, whose ``run.prediction`` is there when ``onEnd`` is called, and that can
            ``cancel()``.
        :raises ChmflError: with code, message and hint, where the prediction does not end well; with ``wait=False``
            only for a location that is none.
        """
        from CHMFLPredictorLib.scene.run import predict_in_scene

        options = self.runOptions(location, segmentId, model, device, riskOnly, output)
        if wait:
            return predict_in_scene(pet, ct, options, onEvent, **self._launcherArgument())
        return self.follow(self.predictionRun(pet, ct, options), onEvent, onEnd)

    def runOptions(self, location=None, segmentId="", model=None, device="auto", riskOnly=False, output=None):
        """The ``scene.run.RunOptions`` for the parameters of :meth:`process`.

        :raises BadInput: ``point_missing``, a markups node without a point.
        """
        from CHMFLPredictorLib.scene import box as scene_box
        from CHMFLPredictorLib.scene.run import RunOptions

        place = {}
        if location is not None and not hasattr(location, "IsA"):
            place["center_ras"] = tuple(float(value) for value in location)
        elif location is not None and location.IsA("vtkMRMLSegmentationNode"):
            place = {"segmentation_node": location, "segment_id": segmentId}
        elif location is not None:
            place["center_ras"] = scene_box.center_of(location)
        return RunOptions(model=model or None, device=device, risk_only=riskOnly, output=output, **place)

    def predictionRun(self, pet, ct, options):
        """A run that has not started yet (``scene.run.PredictionRun``)."""
        from CHMFLPredictorLib.scene.run import PredictionRun

        return PredictionRun(pet, ct, options, **self._launcherArgument())

    def batchRun(self, source, options, output=None):
        """A batch that has not started yet.

        :param source: None for all PET-CT pairs of the scene, or a folder of patients, or a CSV.
        :param output: folder of the results, needed for a folder or CSV.
        """
        from CHMFLPredictorLib.scene import batch, inputs

        if source is None:
            pairs = inputs.pairs(slicer.mrmlScene)
            return batch.SceneBatch(pairs, options, slicer.mrmlScene, **self._launcherArgument())
        return batch.FolderBatch(source, output, options, slicer.mrmlScene, **self._launcherArgument())

    def follow(self, run, onEvent=None, onEnd=None):
        """Start a run and follow it from Slicer's event loop (``panel.follower.RunFollower``)."""
        from CHMFLPredictorLib.panel.follower import RunFollower

        if not self._followers:
            slicer.app.connect("aboutToQuit()", self.stop)
        follower = RunFollower(run, onEvent, onEnd)
        self._followers.add(follower)
        return follower

    def stop(self):
        """Stop every run that is followed from Slicer's event loop, and wait until it is gone."""
        slicer.app.disconnect("aboutToQuit()", self.stop)
        for follower in list(self._followers):
            follower.abandon()

    def _launcherArgument(self):
        return {} if self.launcher is None else {"launcher": self.launcher}


class CHMFLPredictorTest(ScriptedLoadableModuleTest):
    """The short test behind Slicer's Reload and Test button; the long ones lie in the repository's Testing folder."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all tests."""
        self.setUp()
        try:
            self.test_phantom()
        except unittest.SkipTest as reason:
            self.delayDisplay(f"Skipped: {reason}")

    def test_phantom(self):
        """The phantom's risk is a number and its tumor is found."""
        from CHMFLPredictorLib.panel import needed_packages
        from CHMFLPredictorLib.scene import samples

        lacking = [need for need in needed_packages.missing() if not need.optional]
        if lacking:
            self.skipTest(f"A prediction lacks {needed_packages.names(lacking)}")
        self.delayDisplay("Predicting from the phantom")
        pet, ct = samples.load_sample("Phantom")
        prediction = CHMFLPredictorLogic().process(pet, ct)
        self.assertTrue(0 < prediction.result["risk"] < 1)
        self.assertGreater(prediction.result["tumor"]["volume_ml"], 100)
        self.assertIsNotNone(prediction.nodes["segmentation"].GetSegmentation().GetSegment("CFL_tumor"))
        self.delayDisplay("Test passed")
