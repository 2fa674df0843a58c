"""Nothing gets stuck or lost: starts that fail, odd nodes, results that cannot be brought in, users elsewhere."""

import gc
import json
import re
from pathlib import Path
from unittest import mock

import chmfl_selftest as selftest
import slicer
import vtk


class StuckTest(selftest.PanelTest):
    """A patient, and the small child."""

    def setUp(self):
        super().setUp()
        self.patient = selftest.Patient("P1")
        self.choose(self.patient.pet, self.patient.ct)
        self.use_child("done")

    @property
    def representation(self):
        return slicer.modules.chmflpredictor.widgetRepresentation()

    def expect_usable(self):
        self.expect_idle()
        self.predict_well()
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)

    def expect_printed(self, words):
        """An exception went to the console, as it must, and to nothing else."""
        self.assertEqual([words in error for error in self.errors], [True], self.errors)
        self.errors.clear()


class Starting(StuckTest):
    """Between the click and the child."""

    def test_any_exception_is_an_ending(self):
        for owner, name in ((self.logic, "predictionRun"), (self.logic, "runOptions"), (self.logic, "follow")):
            with self.subTest(name), mock.patch.object(owner, name, side_effect=ZeroDivisionError("odd")):
                ended = self.predict()
                self.assertEqual((ended.ending, ended.code), ("error", "defect"))
                self.assertIn("ZeroDivisionError: odd", self.ui.stageLabel.text)
        self.expect_usable()

    def test_an_exception_in_a_batch_s_start_too(self):
        with mock.patch.object(self.logic, "batchRun", side_effect=ZeroDivisionError("odd")):
            self.start("batchButton")
            self.assertEqual(self.wait_for_end().code, "defect")
        self.expect_usable()

    def test_a_click_while_the_run_is_made_cancels_this_run(self):
        self.predict_well()
        before = self.follower
        self.ui.predictButton.click()
        self.assertIsNone(self.follower)
        self.assertEqual(self.ui.predictButton.text, "Cancel")
        self.ui.predictButton.click()
        self.assertEqual(self.wait_for_end().ending, "canceled")
        self.assertEqual(before.run.ended.ending, "done")
        self.assertEqual(len(self.launcher.children), 1, "of the second run none")
        self.expect_usable()

    def test_the_module_is_left_while_the_run_is_made(self):
        self.ui.predictButton.click()
        self.representation.exit()
        self.assertEqual(self.wait_for_end().ending, "done")
        self.representation.enter()
        slicer.app.processEvents()
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)

    def test_the_scene_is_closed_while_a_question_is_open(self):
        def ask(confirm, device):
            slicer.mrmlScene.Clear()
            slicer.app.processEvents()

        with mock.patch("CHMFLPredictorLib.panel.packages.ensure", ask):
            self.ui.predictButton.click()
            self.assertEqual(self.wait_for_end().ending, "canceled")
        self.assertEqual(self.launcher.children, [])

    def test_the_log_is_of_this_run(self):
        self.predict_well()
        self.assertIn("This goes to the log.", self.ui.logTextEdit.plainText)
        with mock.patch.object(self.logic, "predictionRun", side_effect=ZeroDivisionError("odd")):
            self.predict()
        self.assertEqual(self.ui.logTextEdit.plainText, "")
        self.assertFalse(self.ui.copyLogButton.enabled)

    def test_a_script_s_run_ends_with_the_module(self):
        self.use_child("after_risk")
        risks = []
        follower = self.logic.process(*self.patient.volumes, onEvent=risks.append, wait=False)
        selftest.wait_for(lambda: any(event["event"] == "risk" for event in risks), "the risk is known")
        self.widget.onReload()
        self.assertEqual(follower.run.ended.ending, "canceled")
        self.expect_no_process()
        selftest.open_module()


class Ending(StuckTest):
    """When the results come in."""

    def test_what_cannot_be_brought_in_is_kept(self):
        with mock.patch("CHMFLPredictorLib.scene.run.import_results", side_effect=RuntimeError("odd")):
            ended = self.predict()
        self.assertEqual(ended.ending, "error")
        folder = Path(re.search(r"kept in '(.+)'", self.ui.stageLabel.text)[1])
        self.assertEqual(json.loads((folder / "result.json").read_text(encoding="utf-8"))["schema_version"], 1)
        self.assertTrue((folder / "segmentation.nii.gz").is_file() and (folder / "report.html").is_file())
        self.expect_usable()

    def test_what_cannot_be_shown_costs_no_result(self):
        for name in ("show_in_slices", "show_3d"):
            with (
                self.subTest(name),
                mock.patch(f"CHMFLPredictorLib.scene.show.{name}", side_effect=RuntimeError("odd")),
            ):
                self.assertEqual(self.predict().ending, "done")
            self.expect_printed("odd")
        self.expect_usable()

    def test_an_event_that_cannot_be_shown_costs_no_run(self):
        effects = [RuntimeError("odd"), *[None] * 9]  # once: as the risk comes
        with mock.patch.object(self.widget.panel.result, "showRisk", side_effect=effects):
            self.assertEqual(self.predict().ending, "done")
        self.expect_printed("odd")

    def test_views_of_a_user_elsewhere_stay(self):
        views = lambda: [(one.GetBackgroundVolumeID(), one.GetForegroundVolumeID()) for one in selftest.composites()]  # noqa: E731
        self.start()
        self.representation.exit()
        for composite in selftest.composites():
            composite.SetBackgroundVolumeID(None)
            composite.SetForegroundVolumeID(None)
        window = self.patient.ct.GetDisplayNode().GetWindow()
        before = views()
        self.assertEqual(self.wait_for_end().ending, "done")
        self.assertEqual((views(), self.patient.ct.GetDisplayNode().GetWindow()), (before, window))
        self.representation.enter()
        self.assertEqual(views(), [(self.patient.ct.GetID(), self.patient.pet.GetID())] * len(before))


class OddNodes(StuckTest):
    """What other versions, other modules and users leave in a scene."""

    def open_again(self):
        self.representation.exit()
        self.representation.enter()
        slicer.app.processEvents()
        self.assertEqual(self.errors, [])

    def test_results_of_another_version(self):
        from CHMFLPredictorLib.scene.results import RESULT

        _, nodes = self.predict_well()
        for text in (None, "", "{", "[]", "{}", json.dumps({"risk": "high"})):
            with self.subTest(text):
                nodes["table"].SetAttribute(RESULT, text)
                self.open_again()
                self.assertIn("cannot show", self.ui.riskLabel.text)
                self.assertFalse(self.ui.reportButton.enabled or self.ui.exportButton.enabled)
        self.expect_usable()

    def test_results_without_display(self):
        _, nodes = self.predict_well()
        for role in ("segmentation", "relevance", "box"):
            slicer.mrmlScene.RemoveNode(nodes[role].GetDisplayNode())
        self.open_again()
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)
        self.expect_usable()

    def test_choices_of_a_later_version(self):
        node = self.parameters.parameterNode
        self.representation.exit()
        gc.collect()  # nobody follows the node now
        for name, value in {
            "location": "ORGAN",
            "device": "NPU",
            "batchSource": "CLOUD",
            "riskOnly": "perhaps",
        }.items():
            node.SetParameter(name, value)
        self.open_again()
        self.assertEqual(self.parameters.location.value, "automatic")
        self.expect_usable()

    def test_a_box_that_is_not_placed(self):
        self.parameters.box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        self.choose_location("box")
        self.open_again()
        self.assertFalse(self.ui.predictButton.enabled)
        self.choose_location("automatic")
        self.expect_usable()

    def test_the_segment_that_is_shown_is_the_one_that_is_chosen(self):
        """The selector remembers a segment's ID, and shows the next scene's segment of that ID without a signal."""
        for scene in range(2):
            if scene:
                slicer.mrmlScene.Clear()
                self.choose(*selftest.Patient("P2").volumes)
            self.choose_location("segment")
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            node.GetSegmentation().AddEmptySegment("Segment_1", "tumor")
            self.ui.segmentSelector.setCurrentNode(node)
            if not scene:
                self.ui.segmentSelector.setCurrentSegmentID("Segment_1")
            slicer.app.processEvents()
            self.assertEqual(self.ui.segmentSelector.currentSegmentID(), "Segment_1")
            self.assertEqual(self.parameters.segmentId, "Segment_1")
            self.assertTrue(self.ui.predictButton.enabled)


class Left(StuckTest):
    """What stays when a scene is closed or a module is left."""

    def test_a_closed_scene_is_freed(self):
        _, nodes = self.predict_well()
        self.start("batchButton")
        self.wait_for_end()
        held = {}
        for name, node in {"pet": self.patient.pet, "ct": self.patient.ct, **nodes}.items():
            held[name] = vtk.vtkWeakReference()
            held[name].Set(node)
        del nodes, node
        self.patient = None
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        gc.collect()
        self.assertEqual([name for name, reference in held.items() if reference.Get() is not None], [])
        self.assertIsNone(self.ui.batchTableView.mrmlTableNode())
        self.assertFalse(selftest.shown(self.ui.batchTableView))

    def test_placing_ends_with_the_module(self):
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self.choose_location("point")
        self.click("placePointButton")
        self.assertEqual(interaction.GetCurrentInteractionMode(), interaction.Place)
        self.representation.exit()
        self.assertNotEqual(interaction.GetCurrentInteractionMode(), interaction.Place)
        self.representation.enter()


class Seen(StuckTest):
    """What the user sees when a result comes."""

    def test_the_panel_scrolls_to_the_risk(self):
        """In a window as low as Slicer's module panel at 900 x 600."""
        import qt

        ui = self.ui.inputsCollapsibleButton.parent()
        home = ui.parent().layout() if ui.parent() is not None else None
        area = qt.QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(ui)
        area.resize(420, 320)
        area.show()
        try:
            slicer.app.processEvents()
            self.predict_well()
            bar = area.verticalScrollBar()
            selftest.wait_for(lambda: bar.value > 0, "the panel scrolls", 10)
            top = self.ui.riskLabel.mapTo(ui, qt.QPoint(0, 0)).y() - bar.value
            self.assertTrue(0 <= top <= 320 - self.ui.riskLabel.height, top)
        finally:
            area.takeWidget()
            if home is not None:
                home.addWidget(ui)

    def test_pairs_are_looked_for_when_volumes_change_only(self):
        from CHMFLPredictorLib.scene import inputs

        panel = self.widget.panel
        panel.refresh()
        with mock.patch.object(inputs, "pairs", wraps=inputs.pairs) as looked:
            panel.refresh()
            self.parameters.riskOnly = True
            self.assertEqual(looked.call_count, 0)
            self.assertIn(": 1", self.ui.batchStatusLabel.text)
            second = selftest.Patient("P2", (500.0, 0.0, 0.0))
            panel.refresh()
            self.assertEqual(looked.call_count, 1)
            self.assertIn(": 2", self.ui.batchStatusLabel.text)
            slicer.mrmlScene.RemoveNode(second.ct)
            panel.refresh()
            self.assertIn(": 1", self.ui.batchStatusLabel.text)
