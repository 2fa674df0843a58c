"""What goes wrong with a cohort or a run, and what is found again after it. The runs are the real program."""

from pathlib import Path
from unittest import mock

import chmfl_selftest as selftest
import chmfl_training_selftest as training
import qt
import slicer

EPOCHS = 2000  # more than anybody waits for: such a run ends when a test ends it


class RunEndings(training.TrainingTest):
    """The run's program is killed; scene, panel or module go away while it is at work."""

    def setUp(self):
        super().setUp()
        self.prepare(training.NETWORK, epochs=EPOCHS)
        self.start()
        self.wait_for_epoch()

    def test_killed_then_resumed_then_stopped(self):
        self.kill_run()
        self.wait_for_phase("failed")
        self.assertIn("Error (run_killed)", self.ui.messageLabel.text)
        self.assertIn("Resume", self.ui.messageLabel.text, "what to do next")
        self.expect_buttons("resume")
        self.wait(lambda: not self.at_work(), "nobody works on the run")
        before = self.epochs_on_disk()
        self.start("resumeButton")
        self.assertEqual(self.ui.messageLabel.text, "", "the error is over")
        self.wait(lambda: self.epochs_on_disk() > before, "it goes on where it was")
        self.click("stopButton")
        self.wait_for_phase("paused")
        self.assertIn("Stopped.", self.ui.statusLabel.text)
        self.assertFalse(self.at_work())
        epochs = [int(row["epoch"]) for row in training.read_table(self.history())]
        self.assertEqual(epochs, list(range(1, len(epochs) + 1)), "no epoch twice, none left out")

    def test_scene_closed_and_module_reloaded(self):
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.assertTrue(self.at_work(), "the run does not need the scene")
        self.assertEqual(self.state.phase, "running")
        self.wait(lambda: self.chart("loss") is not None, "the curves are drawn in the new scene")
        self.expect_buttons("pause", "stop")
        slicer.mrmlScene.Clear()
        old = self.widget
        self.widget.onReload()
        self.assertIsNot(self.widget, old)
        training.open_module()
        self.assertTrue(self.at_work(), "the run does not need the panel")
        self.assertEqual(Path(self.state.folder), self.run_folder, "the known run at work is shown")
        self.wait_for_phase("running")
        self.wait_for_epoch()
        self.assertEqual(self.ui.runsListWidget.count, 1)
        self.click("pauseButton")
        self.wait_for_phase("paused")
        self.assertFalse(self.at_work())
        self.expect_buttons("resume")

    def history(self):
        return self.run_folder / "CHMFL" / "repeat_0" / "fold_0" / "history.csv"

    def epochs_on_disk(self):
        return len(training.read_table(self.history()))


class BadCohort(training.TrainingTest):
    """What is wrong is in the table or under it, and no run starts."""

    def setUp(self):
        super().setUp()
        self.tick(training.FEATURES)
        self.ui.foldsSpinBox.value = 2
        self.cohort = training.write_cohort(self.folder / "cohort")
        self.rows = training.read_table(self.cohort)

    def findings(self):
        """The words in the last column, by patient."""
        table = self.ui.cohortTableWidget
        return {table.item(row, 0).text(): table.item(row, 3).text() for row in range(table.rowCount)}

    def test_patients_that_cannot_be_read(self):
        from CHMFLTrainingLib.panel.cohort import SIGNS

        self.rows[1]["ct"] = str(self.folder / "nowhere.nii")
        Path(self.rows[2]["pet"]).write_bytes(b"no image")
        self.rows[5]["label"] = "perhaps"
        summary = self.check_cohort(training.write_table(self.cohort, self.rows))
        self.assertIn("8 patients, 5 usable", summary)
        found = self.findings()
        for name in ("P1", "P2", "P5"):
            self.assertIn(SIGNS["error"], found[name])
        self.assertNotIn(SIGNS["error"], found["P0"])
        self.expect_buttons()
        self.assertIn("errors", self.ui.startButton.toolTip)
        self.assertTrue(selftest.shown(self.ui.despiteFindingsCheckBox))
        before = selftest.node_ids()
        self.ui.cohortTableWidget.cellClicked(2, 0)
        self.assertEqual(selftest.node_ids(), before, "a patient who cannot be shown leaves nothing")
        self.ui.despiteFindingsCheckBox.click()
        self.expect_buttons("start")

    def test_a_table_that_is_none(self):
        for content in (b"", b"\x00\x01\x02", b"name,outcome\nP0,1\n"):
            self.cohort.write_bytes(content)
            self.ui.cohortPathLineEdit.currentPath = ""
            summary = self.check_cohort(self.cohort)
            self.assertRegex(summary, r"Error \(cohort_\w+\)")
            self.assertFalse(self.ui.startButton.enabled)
            self.assertIn("cannot be read", self.ui.startButton.toolTip)
            self.ui.startButton.click()
            self.assertFalse(self.state.busy, "nothing starts on it")
            self.assertFalse((self.run_folder / "config.json").exists())

    def test_nothing_is_chosen(self):
        self.expect_buttons()
        self.assertIn("cohort", self.ui.startButton.toolTip)
        self.assertFalse(self.ui.checkCohortButton.enabled)
        self.choose_item("cohortSourceComboBox", "Patients loaded")
        self.click("checkCohortButton")
        selftest.wait_for(lambda: not self.panel.cohort.checking, "the empty scene is looked at")
        self.assertTrue(self.ui.cohortSummaryLabel.text)
        self.expect_buttons()

    def test_check_canceled(self):
        self.ui.cohortPathLineEdit.currentPath = str(self.cohort)
        self.click("checkCohortButton")
        self.assertIn("Cancel", self.ui.checkCohortButton.text)
        self.click("checkCohortButton")
        self.assertIn("canceled", self.ui.cohortSummaryLabel.text)
        self.assertEqual(self.ui.cohortTableWidget.rowCount, 0)
        self.check_cohort(self.cohort)
        self.assertEqual(self.ui.cohortTableWidget.rowCount, 8, "it can be checked again")
        self.assertNotIn("check again", self.ui.cohortSummaryLabel.text)
        self.ui.foldsSpinBox.value = 4
        self.assertIn("check again", self.ui.cohortSummaryLabel.text)
        self.check_cohort(self.cohort)
        self.assertNotIn("check again", self.ui.cohortSummaryLabel.text)

    def test_no_folder_for_the_run(self):
        self.check_cohort(self.cohort)
        (self.folder / "a file").write_text("no folder")
        self.choose_run("a file")
        slicer.app.processEvents()
        self.click("startButton")
        self.assertRegex(self.ui.messageLabel.text, r"Error \(output_\w+\)")
        self.assertFalse(self.state.busy)
        self.assertTrue(self.ui.startButton.enabled)

    def test_a_folder_that_is_no_run(self):
        answer = selftest.FileDialog(str(self.folder))
        said = mock.Mock()
        with (
            mock.patch("CHMFLTrainingLib.panel.runs.qt", selftest.Replaced(QFileDialog=answer)),
            mock.patch.object(slicer.util, "errorDisplay", said),
        ):
            self.click("openRunButton")
        self.assertIn("no run", said.call_args.args[0])
        self.assertEqual(self.ui.runsListWidget.count, 0)

    def test_known_runs_that_are_gone(self):
        """Qt writes a list of one like a text; a run's folder may be deleted since."""
        slicer.app.userSettings().setValue(training.SETTING, str(self.folder / "gone"))
        self.widget.onReload()
        training.open_module()
        self.assertEqual(self.ui.runsListWidget.count, 1)
        self.assertIn("gone", self.ui.runsListWidget.item(0).text())
        self.assertFalse(self.state.busy)


class EveryControl(training.TrainingTest):
    """Every button is clicked and every choice made where there is nothing to work on: nothing breaks."""

    BUTTONS = ("QPushButton", "QToolButton", "QCheckBox", "ctkCollapsibleButton")

    def test_every_control(self):
        self.wait_for_methods()
        dialogs = selftest.Replaced(
            QFileDialog=selftest.FileDialog(""), QDesktopServices=mock.Mock(openUrl=mock.Mock(return_value=True))
        )
        with mock.patch("CHMFLTrainingLib.panel.runs.qt", dialogs):
            touched = [name for name, widget in vars(self.ui).items() if self.touch(widget)]
        slicer.app.processEvents()
        for name in ("cohortSourceComboBox", "paperProtocolButton", "openRunButton", "wSlider", "methodsTableWidget"):
            self.assertIn(name, touched)
        self.assertFalse(self.state.busy, "nothing was started: there is no cohort")
        self.assertEqual(list(self.folder.iterdir()), [], "and nothing was written")

    def touch(self, widget):
        """Use a widget in every way that it has; whether it has any."""
        kind = widget.className()
        if kind in self.BUTTONS:
            for _ in range(2 if widget.checkable else 1):
                widget.click()
        elif kind == "QComboBox":
            for index in range(widget.count):
                widget.setCurrentIndex(index)
                widget.activated(index)
                slicer.app.processEvents()
            widget.setCurrentIndex(0)
        elif kind in ("QSpinBox", "QDoubleSpinBox", "ctkSliderWidget"):
            for value in (widget.maximum, widget.minimum):
                widget.value = value
                slicer.app.processEvents()
        elif kind == "QLineEdit":
            for text in ("x", ""):
                widget.text = text
                slicer.app.processEvents()
        elif kind == "QTableWidget":
            for row in range(widget.rowCount):
                widget.cellClicked(row, 0)
                item = widget.item(row, 0)
                if item.flags() & qt.Qt.ItemIsUserCheckable:
                    item.setCheckState(qt.Qt.Unchecked if item.checkState() == qt.Qt.Checked else qt.Qt.Checked)
        else:
            return False
        return True
