"""CHMFLTraining: every method of the paper, trained and compared fold by fold on your own cohort.

The module's face in Slicer, and thin: ``CHMFLTrainingLib/panel`` is what the user sees, ``scene`` what happens
to the scene, and runs are programs of their own that go on when Slicer is closed (``run/process.py``). The panel is
imported when it is opened, so that it costs Slicer's start nothing.
"""

import os
import sys
from typing import Annotated

import slicer
from CHMFLTrainingLib.panel.choices import CohortSource, Device, Preset
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

HOMEPAGE = "https://github.com/SlicerCHMFL/SlicerCHMFL"


class CHMFLTraining(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CHMFL Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Nuclear Medicine")]
        self.parent.dependencies = ["Plots", "Segmentations", "SubjectHierarchy", "Tables", "Volumes"]
        self.parent.contributors = ["CHMFL contributors"]
        self.parent.helpText = _("""
Trains and compares every method of the paper on your own cohort of PET-CTs, on the same folds. Choose a cohort, click
<b>Paper protocol</b> or tick methods, click <b>Start</b>. Runs go on when Slicer is closed. Not for clinical use.<br>
See the <a href="{link}/blob/main/CHMFLTraining/README.md#tutorial">tutorial</a> and the <a
href="{link}/blob/main/CHMFLPredictor/README.md#errors-of-training">list of messages</a>.
""").format(link=HOMEPAGE)
        self.parent.acknowledgementText = _("""
Implements the methods of Peng Y, Bi L, Kumar A, Fulham M, Feng D, Kim J: Predicting distant metastases in soft-tissue
sarcomas from PET-CT scans using constrained hierarchical multi-modality feature learning. Phys Med Biol 2021;66(24),
and of those whom it compares with. This project is independent of the authors.
""")


@parameterNodeWrapper
class CHMFLTrainingParameterNode:
    """What the user chose; saved with the scene.

    cohortSource, cohort - Where the patients come from: CSV, DICOM folder, or the scene.
    outcomes, roi - CSV of outcomes and name of the tumor's ROI, for DICOM.
    despiteFindings - Train although the check found errors.
    methods - Names of the ticked methods, separated by commas.
    foldsFile - CSV of folds; empty draws ``folds`` of them.
    w - Weight of the segmentation in the loss.
    epochs, learningRate - 0 for the preset's.
    device, jobs, scheduler - Where it runs; jobs 0 for as many as fit, scheduler empty for this computer.
    run - The run's folder.
    liveMethod - Whose learning curves are drawn.
    """

    cohortSource: CohortSource = CohortSource.CSV
    cohort: str = ""
    outcomes: str = ""
    roi: str = ""
    despiteFindings: bool = False
    methods: str = "CHMFL,Volume + SUVmax,TLG"
    preset: Preset = Preset.COMPACT
    foldsFile: str = ""
    folds: Annotated[int, WithinRange(2, 1000)] = 6
    repeats: Annotated[int, WithinRange(1, 1000)] = 1
    w: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    epochs: Annotated[int, WithinRange(0, 1000000)] = 0
    learningRate: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    device: Device = Device.AUTO
    jobs: Annotated[int, WithinRange(0, 10000)] = 0
    scheduler: str = ""
    run: str = ""
    liveMethod: str = ""


class CHMFLTrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in Slicer; what it does is in ``panel.Panel``."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Build the panel. Slicer calls it when the module is opened for the first time, and after a reload."""
        ScriptedLoadableModuleWidget.setup(self)
        findPredictor()
        from CHMFLTrainingLib.panel.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CHMFLTraining.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CHMFLTrainingLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of everything: Slicer ends, or the module is reloaded. A run goes on."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.stop()
            self.panel.setParameterNode(None)

    def enter(self):
        """The user opens the module."""
        self.initializeParameterNode()

    def exit(self):
        """The user opens another module. A run and its plots go on."""
        self.panel.setParameterNode(None)

    def initializeParameterNode(self):
        """Take the scene's parameter node, made if there is none."""
        self.panel.setParameterNode(self.logic.getParameterNode())

    def onSceneStartClose(self, caller, event):
        """The nodes are about to vanish."""
        self.panel.onSceneClosing()
        self.panel.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Begin anew with the empty scene; the run stays."""
        if self.parent.isEntered:
            self.initializeParameterNode()
        self.panel.onSceneClosed()

    def onSceneEndImport(self, caller, event):
        """A scene was loaded: the panel comes back as it was saved."""
        if self.parent.isEntered:
            self.panel.setParameterNode(None)
            self.initializeParameterNode()

    def onReload(self):
        """Reload the library with the module file, for developers."""
        for name in [name for name in sys.modules if name.split(".")[0] == "CHMFLTrainingLib"]:
            del sys.modules[name]  # imported anew when the module file is
        ScriptedLoadableModuleWidget.onReload(self)


class CHMFLTrainingLogic(ScriptedLoadableModuleLogic):
    """Runs by script, with or without the panel::

    from CHMFLTrainingLib.training_plan import Choices, new_run
    logic = CHMFLTrainingLogic()
    run = logic.start("RUN", new_run(Choices("cohort.csv", "RUN", {"TLG": "baseline"}, preset="smoke")))
    print(logic.status("RUN")["finished"])
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        findPredictor()

    def getParameterNode(self):
        """The scene's one parameter node of this module."""
        from CHMFLPredictorLib.scene.parameters import parameters_of

        return parameters_of(super().getParameterNode(), CHMFLTrainingParameterNode)

    def start(self, folder, arguments):
        """Start ``python -m CHMFLTrainingLib ARGUMENTS`` so that it outlives Slicer.

        :param folder: of the run.
        :param arguments: of ``panel.plan.new_run`` or ``resumed_run``.
        :return: ``run.process.DetachedRun``, which can ``stop()``.
        :raises ChmflError: with code, message and hint, where it cannot start.
        """
        from CHMFLTrainingLib.run import process

        return process.start(folder, arguments)

    def status(self, folder):
        """Where a run is (``run.status.status``): a dict with finished, running, failed, errors, remaining_s and more.

        :raises ChmflError: there is no run in the folder, or it is damaged.
        """
        from CHMFLTrainingLib.run import status as run_status

        return run_status.status(folder)


class CHMFLTrainingTest(ScriptedLoadableModuleTest):
    """The short test behind Slicer's Reload and Test button; the long ones lie in the repository's Testing folder."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all tests."""
        self.setUp()
        self.test_choices()

    def test_choices(self):
        """What the user chose is in the scene's parameter node, with the paper's values as defaults."""
        node = CHMFLTrainingLogic().getParameterNode()
        self.assertEqual((node.folds, node.repeats, node.w), (6, 1, 0.5))
        node.methods = "TLG"
        self.assertEqual(CHMFLTrainingLogic().getParameterNode().methods, "TLG")
        self.delayDisplay("Test passed")


def findPredictor():
    """Let the predictor's library be found beside this module, in a source tree that Slicer knows only this part of."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "CHMFLPredictor")
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.append(folder)
