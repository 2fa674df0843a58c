"""How a run can end, and what must not be left then: no node, no process, no file, no panel that is stuck."""

import os
import shutil
import signal
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import chmfl_selftest as selftest
import slicer
from CHMFLPredictorLib.events import STAGES


class EndingsTest(selftest.PanelTest):
    """A patient with a result, so that one sees what a run that ends badly does to it."""

    def setUp(self):
        super().setUp()
        self.patient = selftest.Patient("P1")
        self.choose(self.patient.pet, self.patient.ct)

    def predict_before(self):
        """Have a result; from then on nothing may change."""
        self.use_child("done")
        self.predict_well()
        self.risk, self.nodes = self.ui.riskLabel.text, selftest.node_ids()
        self.assertIn("Risk of distant metastases", self.risk)

    def start_and_wait_for(self, text):
        """Click Predict DM and wait until the line under the bar says a stage."""
        self.start()
        selftest.wait_for(lambda: text in self.ui.stageLabel.text, f"the panel says '{text}'")

    def expect_ending(self, ending, code, *words):
        """The ending with its code; the old result is as it was; the panel can be used again."""
        ended = self.state.ended
        self.assertEqual((ended.ending, ended.code), (ending, code), ended)
        for word in words:
            self.assertIn(word, self.ui.stageLabel.text)
        self.assertTrue(selftest.shown(self.ui.stageLabel))
        self.expect_idle()
        earlier = "" if self.risk == "No prediction yet." else "Earlier result. "
        self.assertEqual(self.ui.riskLabel.text, earlier + self.risk, "the old result, not to be taken for a new one")
        self.expect_unchanged(self.nodes)
        self.assertTrue(self.ui.predictButton.enabled)


class FiveEndings(EndingsTest):
    """Done, failed to start, error, canceled, out of memory: told apart by their words."""

    def setUp(self):
        super().setUp()
        self.predict_before()

    def test_done(self):
        self.assertEqual((self.state.ended.ending, self.state.ended.code), ("done", ""))
        self.assertIn("Done after", self.ui.stageLabel.text)

    def test_failed_to_start(self):
        def nowhere(command, environment):
            return self.launcher([str(self.folder / "no such program"), *command[1:]], environment)

        self.logic.launcher = nowhere
        self.predict()
        self.expect_ending("failed_to_start", "failed_to_start", "Not started (failed_to_start)", "no such program")

    def test_error(self):
        self.use_child("error")
        self.predict()
        self.expect_ending("error", "no_tumor_found", "Error (no_tumor_found)", "No tumor was found.", "Place a point")
        self.ui.logCollapsibleButton.collapsed = False
        self.assertIn("No tumor was found.", self.ui.logTextEdit.plainText)
        self.assertIn("This goes to the log.", self.ui.logTextEdit.plainText)
        self.ui.logCollapsibleButton.collapsed = True

    def test_out_of_memory(self):
        self.use_child("memory")
        self.predict()
        words = ("Out of memory (gpu_out_of_memory)", "The memory of the GPU is exhausted.", "Choose the CPU.")
        self.expect_ending("out_of_memory", "gpu_out_of_memory", *words)

    def test_canceled(self):
        self.use_child("after_risk")
        self.start_and_wait_for("Segmenting")
        self.assertEqual(self.ui.predictButton.text, "Cancel")
        self.assertTrue(selftest.shown(self.ui.progressBar))
        self.assertNotEqual(self.ui.riskLabel.text, "No prediction yet.")
        self.click("predictButton")
        self.wait_for_end()
        self.expect_ending("canceled", "canceled", "Canceled. Nothing was changed.")

    def test_no_result(self):
        self.use_child("silent")
        self.predict()
        self.expect_ending("error", "no_result", "Error (no_result)", "without a result")

    def test_after_an_ending_comes_another_run(self):
        for manner, ending in (("error", "error"), ("memory", "out_of_memory"), ("done", "done")):
            self.use_child(manner)
            self.assertEqual(self.predict().ending, ending)
        self.expect_unchanged(self.nodes)


class Canceled(EndingsTest):
    """The user clicks Cancel."""

    def cancel_while(self, stage):
        self.predict_before()
        self.use_child(None)
        with mock.patch.object(self.state, "take", wraps=self.state.take) as taken:
            self.start()
            stages = lambda: [call.args[0].get("stage") for call in taken.call_args_list]  # noqa: E731
            selftest.wait_for(lambda: stage in stages(), f"the child is at '{stage}'")
            self.click("predictButton")
            self.assertIn("Canceling", self.ui.stageLabel.text)
            self.wait_for_end()
        self.expect_ending("canceled", "canceled", "Canceled. Nothing was changed.")

    def test_before_the_child_says_anything(self):
        self.predict_before()
        self.use_child(None)
        self.start()
        self.click("predictButton")
        self.wait_for_end()
        self.expect_ending("canceled", "canceled", "Canceled.")

    def test_twice(self):
        """A child that is deaf is killed; the second click changes nothing."""
        self.predict_before()
        self.use_child("stubborn")
        self.start_and_wait_for("Segmenting")
        self.click("predictButton")
        self.assertEqual(self.ui.predictButton.text, "Canceling...")
        self.assertFalse(self.ui.predictButton.enabled)
        self.ui.predictButton.click()
        self.widget.panel.onPredict()
        self.assertTrue(self.state.busy)
        self.wait_for_end(30)
        self.expect_ending("canceled", "canceled", "Canceled.")


def _test_of(stage):
    def test(self):
        self.cancel_while(stage)

    return test


for _stage in STAGES:  # one test a stage, each with the real child
    setattr(Canceled, f"test_while_{_stage}", _test_of(_stage))


class EndedFromOutside(EndingsTest):
    """Scene, module, application or child go away while a run is under way."""

    def test_scene_closed(self):
        self.use_child("after_risk")
        self.start_and_wait_for("Segmenting")
        slicer.mrmlScene.Clear()
        self.wait_for_end()
        self.assertEqual(self.state.ended.ending, "canceled")
        self.expect_idle()
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), [])
        self.assertEqual(self.ui.riskLabel.text, "No prediction yet.")
        self.expect_usable()

    def test_scene_closed_when_the_results_are_there(self):
        """Done and closed between two looks of the panel: nothing enters the new scene."""
        self.use_child("done")
        self.start()
        selftest.wait_for(lambda: self.launcher.children, "the child is started")
        self.launcher.children[0].wait(60)
        slicer.mrmlScene.Clear()
        self.wait_for_end()
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])
        self.expect_usable()

    def test_volume_removed(self):
        self.use_child("done")
        self.start()
        slicer.mrmlScene.RemoveNode(self.patient.ct)
        ended = self.wait_for_end()
        self.assertEqual((ended.ending, ended.code), ("error", "node_missing"))
        self.assertIn("Error (node_missing)", self.ui.stageLabel.text)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.expect_no_process()

    def test_module_left_and_opened_again(self):
        """A run goes on while the user is elsewhere."""
        representation = slicer.modules.chmflpredictor.widgetRepresentation()
        self.use_child("done")
        self.start()
        representation.exit()
        self.wait_for_end()
        representation.enter()
        slicer.app.processEvents()
        self.assertEqual(self.state.ended.ending, "done")
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)
        self.expect_idle()

    def test_module_reloaded(self):
        before = selftest.node_ids()
        self.use_child("after_risk")
        self.start_and_wait_for("Segmenting")
        old = self.widget
        slicer.modules.CHMFLPredictorWidget.onReload()
        self.assertIsNot(self.widget, old)
        self.expect_no_process()
        self.assertEqual(self.leftovers(), [])
        self.expect_unchanged(before)
        selftest.open_module()
        slicer.app.processEvents()
        self.expect_node(self.ui.petSelector, self.patient.pet, "the new panel shows what was chosen")
        self.expect_idle()
        self.expect_usable()

    def test_application_ends(self):
        before = selftest.node_ids()
        self.use_child("after_risk")
        self.start_and_wait_for("Segmenting")
        self.widget.cleanup()
        self.expect_no_process()
        self.assertEqual(self.leftovers(), [])
        self.expect_unchanged(before)
        slicer.modules.CHMFLPredictorWidget.onReload()  # the tests go on
        self.expect_usable()

    @unittest.skipIf(os.name == "nt", "Windows has no signals: a program that is ended there has an exit code")
    def test_child_ended_by_a_signal(self):
        self.predict_before()
        self.use_child("after_risk")
        self.start_and_wait_for("Segmenting")
        os.kill(self.launcher.children[0].pid, signal.SIGTERM)
        self.wait_for_end()
        self.expect_ending("error", "killed", "Error (killed)", "SIGTERM")

    @unittest.skipIf(os.name == "nt", "Windows has no out-of-memory killer")
    def test_child_ended_by_the_out_of_memory_killer(self):
        self.predict_before()
        self.use_child(None)
        self.start()
        selftest.wait_for(lambda: self.state.stage, "the child is at work")
        os.kill(self.launcher.children[0].pid, signal.SIGKILL)
        self.wait_for_end()
        self.expect_ending("out_of_memory", "out_of_memory", "Out of memory (out_of_memory)")

    def expect_usable(self):
        """The next patient can be predicted."""
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        patient = selftest.Patient("P2", seed=7)
        self.choose(patient.pet, patient.ct)
        self.use_child("done")
        self.predict_well()
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)


class SomethingIsMissing(EndingsTest):
    """What a prediction needs is not there."""

    def test_torch_absent(self):
        """Testing mode installs nothing: the panel says what is missing and what to do."""
        from CHMFLPredictorLib.panel import needed_packages

        self.predict_before()

        def find_spec(name, *arguments):
            return None if name == "torch" else importlib_find_spec(name, *arguments)

        importlib_find_spec = needed_packages.find_spec
        loaded = {name: module for name, module in sys.modules.items() if name != "torch"}
        with (
            mock.patch.object(needed_packages, "find_spec", find_spec),
            mock.patch.object(needed_packages, "sys", SimpleNamespace(modules=loaded, prefix=sys.prefix)),
        ):
            self.predict()
            self.expect_ending("error", "dependency_missing", "Error (dependency_missing)", "PyTorch", "--testing")
        self.assertEqual(self.launcher.children[1:], [], "nothing is started")
        self.assertEqual(self.predict().ending, "done", "once it is installed")

    def test_model_removed(self):
        """The model's folder vanished since it was chosen."""
        self.use_child(None)
        with self.small_model() as folder:
            self.risk, self.nodes = self.ui.riskLabel.text, selftest.node_ids()
            shutil.rmtree(folder)
            self.predict()
            self.expect_ending("error", "model_missing", "Error (model_missing)", "small model")

    def test_disk_of_the_temporary_folder_is_gone(self):
        self.predict_before()
        with mock.patch("tempfile.tempdir", str(Path(self.folder, "nowhere"))):
            self.predict()
            ended = self.state.ended
            self.assertEqual((ended.ending, ended.code), ("error", "files"))
            self.assertIn("TMPDIR", self.ui.stageLabel.text)
        self.assertEqual(self.ui.riskLabel.text, f"Earlier result. {self.risk}")
        self.expect_unchanged(self.nodes)
