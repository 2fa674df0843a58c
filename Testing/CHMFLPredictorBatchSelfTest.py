"""Many patients from the panel's Batch section: from the scene and from a folder, with one table."""

import csv

import chmfl_selftest as selftest
import numpy as np
import slicer


class BatchTest(selftest.PanelTest):
    """What both kinds of batch share."""

    def choose_source(self, value):
        from CHMFLPredictorLib.panel.words import BatchSource

        self.choose_text("batchSourceComboBox", BatchSource(value).label())

    def batch(self):
        """Click Predict all and wait for the end; return the ending."""
        self.start_batch()
        return self.wait_for_end()

    def start_batch(self):
        """Click Predict all, once the panel has seen the patients."""
        selftest.wait_for(lambda: self.ui.batchButton.enabled, f"a batch: {self.ui.batchButton.toolTip}", 10)
        self.start("batchButton")

    def rows(self):
        """The table's rows by patient."""
        node = self.ui.batchTableView.mrmlTableNode()
        self.assertIsNotNone(node)
        table = node.GetTable()
        names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        rows = [
            {name: table.GetValue(row, column).ToString() for column, name in enumerate(names)}
            for row in range(table.GetNumberOfRows())
        ]
        return {row["Patient"]: row for row in rows}

    def expect_idle_batch(self):
        self.expect_idle()
        self.assertEqual(self.ui.batchButton.text, "Predict all")
        self.assertFalse(selftest.shown(self.ui.batchProgressBar))


class SceneBatchSelfTest(BatchTest):
    """All pairs of the scene; the command line is real, the network small."""

    def setUp(self):
        super().setUp()
        self.ui.riskOnlyCheckBox.checked = True
        self.one = selftest.Patient("Anna")
        self.two = selftest.Patient("Bert", (900.0, 0.0, 0.0), seed=5)

    def spoil(self, patient):
        slicer.util.updateVolumeFromArray(patient.pet, np.full((20, 30, 40), 2.5, np.float32))

    def test_one_of_two_fails(self):
        self.spoil(self.one)
        with self.small_model():
            text = self.ui.batchStatusLabel
            selftest.wait_for(lambda: "2" in text.text, "the panel counts the pairs", 10)
            ended = self.batch()
        self.assertEqual(ended.ending, "done", ended)
        rows = self.rows()
        self.assertEqual(sorted(rows), ["Anna", "Bert"])
        self.assertEqual((rows["Anna"]["Status"], rows["Bert"]["Status"]), ("failed", "done"))
        self.assertIn("2.5", rows["Anna"]["Error"])
        self.assertTrue(0 < float(rows["Bert"]["Risk of DM"]) < 1)
        node = self.ui.batchTableView.mrmlTableNode()
        self.assertEqual(node.GetColumnUnitLabel("Tumor volume [ml]"), "ml")
        self.assertTrue(selftest.results(self.two.pet, self.two.ct))
        self.assertFalse(selftest.results(self.one.pet, self.one.ct))
        self.expect_idle_batch()
        self.choose(self.two.pet, self.two.ct)
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text, "each patient's result is in the panel")

    def test_all_fail(self):
        self.spoil(self.one)
        slicer.mrmlScene.RemoveNode(self.two.pet)
        slicer.mrmlScene.RemoveNode(self.two.ct)
        slicer.app.processEvents()
        with self.small_model():
            ended = self.batch()
        self.assertEqual((ended.ending, ended.code), ("error", "batch_all_failed"))
        self.assertIn("Error (batch_all_failed)", self.ui.batchStatusLabel.text)
        self.expect_idle_batch()

    def test_canceled(self):
        """What is finished stays, what runs leaves nothing."""
        self.use_child("done")
        begun = self.launcher

        def second_hangs(command, environment):
            begun.manner = "after_risk" if begun.children else "done"
            return begun(command, environment)

        self.logic.launcher = second_hangs
        self.start_batch()
        selftest.wait_for(lambda: self.state.patient == (2, 2) and self.state.risk, "the second patient's risk")
        self.assertIn("Patient 2 of 2", self.ui.batchStatusLabel.text)
        self.assertEqual(self.ui.batchButton.text, "Cancel")
        self.assertFalse(self.ui.predictButton.enabled, "one run at a time")
        self.click("batchButton")
        ended = self.wait_for_end()
        self.assertEqual(ended.ending, "canceled")
        self.assertIn("1 of 2", self.ui.batchStatusLabel.text)
        rows = self.rows()
        self.assertEqual((rows["Anna"]["Status"], rows["Bert"]["Status"]), ("done", "canceled"))
        self.assertEqual(rows["Bert"]["Risk of DM"].lower(), "nan", "a risk alone would pass for a result")
        self.assertTrue(selftest.results(self.one.pet, self.one.ct))
        self.assertFalse(selftest.results(self.two.pet, self.two.ct))
        self.expect_idle_batch()

    def test_scene_closed(self):
        self.use_child("after_risk")
        self.start_batch()
        selftest.wait_for(lambda: self.state.risk, "the first patient's risk is there")
        slicer.mrmlScene.Clear()
        self.assertEqual(self.wait_for_end().ending, "canceled")
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])
        self.expect_idle_batch()

    def test_second_batch_reuses_the_table(self):
        self.use_child("done")
        self.assertEqual(self.batch().ending, "done")
        before = selftest.node_ids()
        self.assertEqual(self.batch().ending, "done")
        self.expect_unchanged(before)

    def test_no_pair(self):
        slicer.mrmlScene.RemoveNode(self.one.ct)
        slicer.mrmlScene.RemoveNode(self.two.ct)
        self.choose(None, None)
        selftest.wait_for(lambda: not self.ui.batchButton.enabled, "there is nothing to predict", 5)
        self.assertIn("no PET-CT pair", self.ui.batchButton.toolTip)


class FolderBatchSelfTest(BatchTest):
    """A folder of patients; the command line is real, the network small."""

    def setUp(self):
        super().setUp()
        self.ui.riskOnlyCheckBox.checked = True
        self.patients, self.output = self.folder / "patients", self.folder / "output"
        for name in ("Anna", "Bert"):
            selftest.volume_files(self.patients, name)
        selftest.volume_files(self.patients, "Carl", ct=False)
        self.choose_source("folder")

    def choose_paths(self):
        self.assertTrue(selftest.shown(self.ui.batchPathLineEdit))
        self.ui.batchPathLineEdit.currentPath = self.ui.batchOutputPathLineEdit.currentPath = ""
        self.assertFalse(self.ui.batchButton.enabled, "no folder is chosen")
        self.ui.batchPathLineEdit.currentPath = str(self.patients)
        self.ui.batchOutputPathLineEdit.currentPath = str(self.output)
        slicer.app.processEvents()

    def test_folder(self):
        self.choose_paths()
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        with self.small_model():
            ended = self.batch()
        self.assertEqual(ended.ending, "done", f"{ended}\n{self.follower.run.log[-1000:]}")
        rows = self.rows()
        status = {name: row["Status"] for name, row in rows.items()}
        self.assertEqual(status, {"Anna": "done", "Bert": "done", "Carl": "left out"})
        self.assertIn("no CT", rows["Carl"]["Error"])
        with open(self.output / "results.csv", encoding="utf-8", newline="") as stream:
            written = {row["patient_id"]: row for row in csv.DictReader(stream)}
        self.assertAlmostEqual(float(written["Anna"]["risk"]), float(rows["Anna"]["Risk of DM"]), places=4)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), volumes, "no images in the scene")
        self.expect_idle_batch()

    def test_folder_canceled(self):
        self.choose_paths()
        with self.small_model():
            self.start_batch()
            selftest.wait_for(lambda: self.state.patient[0] == 2, "the second patient is at hand")
            self.click("batchButton")
            ended = self.wait_for_end()
        if ended.ending == "done":
            self.skipTest("the last patient had ended before the click was heard")
        self.assertEqual(ended.ending, "canceled")
        rows = self.rows()
        self.assertEqual(rows["Anna"]["Status"], "done")
        self.assertIn(rows["Bert"]["Status"], ("canceled", "done"), "it may just have finished")
        self.assertTrue((self.output / "Anna" / "result.json").is_file())
        self.expect_idle_batch()

    def test_folder_without_patients(self):
        self.choose_paths()
        empty = self.folder / "empty"
        empty.mkdir()
        self.ui.batchPathLineEdit.currentPath = str(empty)
        ended = self.batch()
        self.assertEqual((ended.ending, ended.code), ("error", "batch_folder_empty"))
        self.assertIn("Error (batch_folder_empty)", self.ui.batchStatusLabel.text)
        self.expect_idle_batch()
