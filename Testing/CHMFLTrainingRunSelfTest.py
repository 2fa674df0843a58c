"""A whole small run through the panel: check, choose, start, pause, resume, compare, use in the Predictor."""

import shutil
from pathlib import Path
from unittest import mock

import chmfl_selftest as selftest
import chmfl_training_selftest as training
import slicer


class WholeRun(training.TrainingTest):
    """One test, since every step needs the one before: what is trained is trained once."""

    def test_from_cohort_to_model(self):
        self.look_at_the_cohort()
        self.choose_methods_and_protocol()
        self.start_and_pause()
        self.resume_to_the_end()
        self.look_at_the_results()
        self.compare_with_another_run()
        self.use_in_predictor()

    def look_at_the_cohort(self):
        summary = self.prepare()
        self.assertIn("8 patients, 8 usable: 4 with the event, 4 without, 0 unknown. Findings: 0 errors", summary)
        table = self.ui.cohortTableWidget
        self.assertEqual(table.rowCount, 8)
        self.assertEqual([table.item(3, column).text() for column in range(3)], ["P3", "1", "PET, CT, MASK"])
        self.assertIn("SUV", table.item(3, 3).text(), "what is to be known of the patient")
        for row in (3, 4):
            table.cellClicked(row, 0)
            slicer.app.processEvents()
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            self.assertEqual(sorted(node.GetName() for node in volumes), [f"P{row} CT", f"P{row} PET"])
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 1)
        shown = {node.GetBackgroundVolumeID() for node in selftest.composites()}
        self.assertTrue(shown & {node.GetID() for node in volumes}, "the patient is in the slice views")

    def choose_methods_and_protocol(self):
        items = self.wait_for_methods()
        self.assertGreaterEqual(len(items), 30)
        table = self.ui.methodsTableWidget
        rows = {table.item(row, 0).text(): row for row in range(table.rowCount)}
        figures = [table.item(rows[training.NETWORK], column).text() for column in (1, 6)]
        self.assertEqual(figures, ["0.854", "0.873"], "accuracy and AUC of the paper's Table I")
        self.tick(training.FEATURES, training.NETWORK)
        self.assertIn("2 methods", self.ui.methodsSummaryLabel.text)
        self.click("paperProtocolButton")
        slicer.app.processEvents()
        self.assertTrue(selftest.shown(self.ui.paperProtocolLabel))
        chosen = (self.ui.foldsSpinBox.value, self.ui.repeatsSpinBox.value, self.ui.wSlider.value)
        self.assertEqual((*chosen, self.ui.epochsSpinBox.value), (6, 1, 0.5, 200))
        self.assertEqual(self.ui.learningRateSpinBox.value, 0.0001)
        self.prepare(training.FEATURES, training.NETWORK, epochs=3)
        self.ui.learningRateSpinBox.value = 0.0
        self.assertFalse(selftest.shown(self.ui.paperProtocolLabel))
        self.expect_buttons("start")

    def start_and_pause(self):
        self.start()
        self.expect_buttons("pause", "stop")
        self.hold_run(self.run_folder / "CHMFL" / "repeat_0" / "fold_1" / "history.csv")
        self.assertTrue(self.at_work())
        self.wait(lambda: self.state.jobs[0] == 1, "the network's first fold is finished")
        self.assertTrue(self.state.busy, "the second one is under way")
        self.assertEqual(self.state.failures, [], "jobs that failed")
        self.wait(lambda: self.chart("loss") is not None, "the curves are drawn")
        table = self.ui.jobsTableWidget
        self.assertEqual((table.rowCount, table.columnCount), (2, 2))
        self.expect_series("loss", "fold 0")
        self.assertTrue(selftest.shown(self.ui.progressBar))
        self.assertIn("Remaining time", self.ui.remainingLabel.text)
        self.click("pauseButton")
        self.let_go()
        self.wait_for_phase("paused")
        self.assertIn("Paused.", self.ui.statusLabel.text)
        self.assertFalse(self.at_work())
        self.expect_buttons("resume")
        self.done = {path: path.stat().st_mtime_ns for path in self.run_folder.glob("*/*/*/predictions.csv")}
        self.assertTrue(self.done)

    def resume_to_the_end(self):
        self.start("resumeButton")
        self.wait_for_phase("finished")
        self.assertIn("Finished. 4 of 4", self.ui.statusLabel.text)
        self.assertEqual(self.ui.progressBar.value, self.ui.progressBar.maximum)
        self.assertEqual(self.ui.messageLabel.text, "")
        self.expect_buttons()
        for path, changed in self.done.items():
            self.assertEqual(path.stat().st_mtime_ns, changed, f"{path} was finished before the pause")
        for fold in (0, 1):
            history = training.read_table(self.run_folder / "CHMFL" / "repeat_0" / f"fold_{fold}" / "history.csv")
            self.assertEqual([row["epoch"] for row in history], ["1", "2", "3"], "no epoch twice")

    def look_at_the_results(self):
        self.wait(lambda: self.chart("ROC") is not None, "the ROC is drawn")
        self.wait(lambda: selftest.shown(self.ui.metricsTableView), "the metrics are shown")
        self.expect_series("loss", "fold 0", "fold 1")
        self.expect_series("ROC", training.FEATURES, training.NETWORK, "chance")
        table = self.ui.metricsTableView.mrmlTableNode()
        self.assertEqual(table.GetNumberOfRows(), 2)
        self.assertEqual({table.GetCellText(row, 0) for row in (0, 1)}, {training.FEATURES, training.NETWORK})
        self.click("showPlotsButton")
        view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotViewNode")
        self.assertIn(view.GetPlotChartNodeID(), [node.GetID() for node in self.charts().values()])
        report = self.run_folder / "report.html"
        self.assertTrue(report.is_file())
        opened = mock.Mock(return_value=True)
        replaced = selftest.Replaced(QDesktopServices=mock.Mock(openUrl=opened))
        with mock.patch("CHMFLTrainingLib.panel.runs.qt", replaced):
            self.click("reportButton")
        self.assertEqual(Path(opened.call_args.args[0].toLocalFile()), report)
        self.ui.logCollapsibleButton.collapsed = False
        self.wait(lambda: "report:" in self.ui.logTextEdit.plainText, "the log is shown")
        self.ui.logCollapsibleButton.collapsed = True

    def compare_with_another_run(self):
        other = self.folder / "other run"
        shutil.copytree(self.run_folder, other)
        answer = selftest.Replaced(QFileDialog=selftest.FileDialog(str(other)))
        with mock.patch("CHMFLTrainingLib.panel.runs.qt", answer):
            self.click("openRunButton")
        self.wait(lambda: self.state.folder == str(other) and self.state.phase == "finished", "the other run is shown")
        runs = self.ui.runsListWidget
        self.assertEqual(runs.count, 2)
        self.assertFalse(self.ui.compareRunsButton.enabled)
        runs.selectAll()
        self.click("compareRunsButton")
        self.wait(lambda: selftest.shown(self.ui.compareTableView), "the runs are compared")
        table = self.ui.compareTableView.mrmlTableNode()
        names = {table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())}
        both = (training.FEATURES, training.NETWORK)
        self.assertEqual(names, {f"{run}: {method}" for run in ("run", "other run") for method in both})
        self.assertTrue(selftest.shown(self.ui.metricsTableView), "the table of the run that is shown stays")
        runs.clearSelection()
        mine = next(runs.item(row) for row in range(runs.count) if runs.item(row).toolTip() == str(self.run_folder))
        runs.setCurrentItem(mine)
        runs.itemClicked(mine)
        self.wait(lambda: self.state.folder == str(self.run_folder) and self.state.complete, "the first one is back")

    def use_in_predictor(self):
        from CHMFLPredictorLib.model.shelf import ModelShelf
        from CHMFLPredictorLib.panel.models import shelfPath

        self.wait(lambda: self.ui.useInPredictorButton.enabled, "the model can be used")
        bundle = self.run_folder / "bundle"
        self.addCleanup(lambda: ModelShelf(shelfPath()).remove(bundle))
        self.click("useInPredictorButton")
        self.wait(lambda: "Making" not in self.ui.runsLabel.text, "the model is made")
        self.assertIn("chosen in CHMFL Predictor", self.ui.runsLabel.text)
        self.assertTrue((bundle / "model.json").is_file())
        slicer.modules.chmfltraining.widgetRepresentation()
        selftest.open_module()
        slicer.app.processEvents()
        predictor = slicer.modules.CHMFLPredictorWidget
        self.assertEqual(Path(predictor.logic.getParameterNode().model), bundle)
        combo = predictor.ui.modelComboBox
        self.assertEqual(Path(combo.itemData(combo.currentIndex)), bundle)
        training.open_module()
