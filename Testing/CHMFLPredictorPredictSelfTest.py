"""Predictions by clicking: what the panel shows on the way, and what is in the scene at the end."""

import csv
import json
import os
import time
import unittest
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import chmfl_selftest as selftest
import numpy as np
import qt
import slicer

STS = Path(os.environ.get("CHMFL_STS") or Path(__file__).resolve().parents[2] / "shared" / "data" / "sts")
PATIENT = STS / "images" / "STS_006"
NEOPLASM = "SCT^86049000"
LONGEST_GAP_S = 2.0
TICK_MS = 20


class WatchedRun:
    """Clicks Predict DM and writes down what the panel shows until the end.

    :ivar seen: bar, stage, headline and whether it still runs, one entry a change.
    :ivar gaps: times between the ticks of a timer of Slicer's event loop, s.
    """

    def __init__(self, test):
        self.seen, self._test, ticks = [], test, []
        timer = qt.QTimer()
        timer.setInterval(TICK_MS)
        timer.connect("timeout()", lambda: ticks.append(time.monotonic()))
        timer.start()
        test.start()
        selftest.wait_for(self._look, "the run ends")
        timer.stop()
        self.gaps = [after - before for before, after in pairwise(ticks)]

    def _look(self):
        ui, busy = self._test.ui, self._test.state.busy
        now = (ui.progressBar.value, ui.stageLabel.text, ui.riskLabel.text, busy)
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)
        return not busy


class ClickedPhantom(selftest.PanelTest):
    """The phantom, from the sample's button to the report."""

    def test_phantom_by_clicking(self):
        pet, ct = self.load_sample("Phantom")
        self.assertIn("fit together", self.ui.pairLabel.text)
        run = WatchedRun(self)
        self.assertEqual(self.state.ending, "done", self.ui.stageLabel.text)
        nodes = selftest.results(pet, ct)
        result = self.follower.run.prediction.result
        parts = (
            self.check_way, self.check_responsive, self.check_numbers, self.check_measurements,
            self.check_segmentation, self.check_table, self.check_box, self.check_relevance, self.check_pet_over_ct,
            self.check_report, self.check_export, self.check_log,
        )  # fmt: skip
        for part in parts:
            with self.subTest(part.__name__):
                part(SimpleNamespace(run=run, pet=pet, ct=ct, nodes=nodes, result=result))

    def check_way(self, this):
        """The bar moves by real stages, and the risk is there before the rest."""
        from CHMFLPredictorLib.events import STAGES
        from CHMFLPredictorLib.panel.words import stageText

        running = [entry for entry in this.run.seen if entry[3]]
        bar = [entry[0] for entry in running]
        self.assertEqual(bar, sorted(bar), "the bar never goes back")
        self.assertGreaterEqual(len(set(bar)), 6, "steps of the bar")
        stages = {entry[1].rstrip(".") for entry in running}
        told = [stage for stage in STAGES if stageText(stage) in stages]
        self.assertGreaterEqual(len(told), 4, f"stages that were shown: {stages}")
        early = [entry for entry in running if "Risk of distant metastases" in entry[2]]
        self.assertTrue(early, "the risk is shown while the rest is computed")
        self.assertLess(early[0][0], 800, "the risk is shown before the segmentation ends")
        self.assertIn("Done after", self.ui.stageLabel.text)
        self.expect_idle()

    def check_responsive(self, this):
        """The panel never freezes: the event loop goes on ticking."""
        self.assertGreater(len(this.run.gaps), 50, "ticks")
        self.assertLess(max(this.run.gaps), LONGEST_GAP_S, "longest time without an answer, s")

    def check_numbers(self, this):
        """The result box says what result.json says."""
        risk = f"{100 * this.result['risk']:.0f}"
        self.assertIn(risk, self.ui.riskLabel.text)
        self.assertIn("threshold", self.ui.riskLabel.text)
        details = self.ui.riskDetailsLabel.text
        for word in ("Interval", "Members", "baseline", "Threshold"):
            self.assertIn(word, details)
        members = details.split("Members:")[1].splitlines()[0].split(",")
        self.assertEqual(len(members), len(this.result["members"]))
        self.assertFalse(self.ui.scorePlotLabel.pixmap.isNull(), "the plot of the cohort's scores")
        self.assertRegex(self.ui.honestyLabel.text, r"AUC 0\.\d\d")
        self.assertIn("baseline", self.ui.honestyLabel.text)
        self.assertIn("not for clinical use", self.ui.notClinicalLabel.text.lower())
        told = this.result["warnings"]
        self.assertEqual(selftest.shown(self.ui.warningsLabel), bool(told))
        for warning in told:
            self.assertIn(warning["text"], self.ui.warningsLabel.text)

    def check_measurements(self, this):
        """Five measurements with their units."""
        table = self.ui.measurementsTable
        self.assertEqual((table.rowCount, table.columnCount), (5, 3))
        rows = [[table.item(row, column).text() for column in range(3)] for row in range(5)]
        self.assertEqual([row[2] for row in rows], ["ml", "g/ml", "g/ml", "SUV ml", "mm"])
        tumor = this.result["tumor"]
        self.assertEqual(rows[0][1], f"{tumor['volume_ml']:.0f}")
        self.assertEqual(rows[1][1], f"{tumor['suv_max']:.1f}")
        self.assertGreater(tumor["volume_ml"], 100)

    def check_segmentation(self, this):
        """Coded, on the CT's grid, beside the CT, shown in 2D and 3D."""
        node = this.nodes["segmentation"]
        segmentation = node.GetSegmentation()
        self.assertEqual(segmentation.GetNumberOfSegments(), 1)
        self.assertIn(NEOPLASM, segmentation.GetNthSegment(0).GetTerminology())
        reference = node.GetReferenceImageGeometryReferenceRole()
        self.assertEqual(node.GetNodeReferenceID(reference), this.ct.GetID())
        voxels = selftest.segment_array(node, this.ct)
        volume = voxels.sum() * np.prod(this.ct.GetSpacing()) / 1000
        self.assertAlmostEqual(volume, this.result["tumor"]["volume_ml"], delta=0.01 * volume)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        parents = {
            name: hierarchy.GetItemParent(hierarchy.GetItemByDataNode(one))
            for name, one in (("ct", this.ct), *this.nodes.items())
        }
        self.assertEqual(set(parents.values()), {parents["ct"]}, f"all results lie beside the CT: {parents}")
        display = node.GetDisplayNode()
        self.assertTrue(display.GetVisibility() and display.GetVisibility2DFill() and display.GetVisibility3D())
        self.assertTrue(segmentation.ContainsRepresentation("Closed surface"))

    def check_table(self, this):
        """One row, with units, that agrees with the panel."""
        node = this.nodes["table"]
        self.assertEqual(node.GetNumberOfRows(), 1)
        self.assertEqual(node.GetColumnUnitLabel("Tumor volume [ml]"), "ml")
        self.assertEqual(node.GetColumnUnitLabel("Longest diameter [mm]"), "mm")
        risk = node.GetTable().GetColumnByName("Risk of DM").GetValue(0)
        self.assertAlmostEqual(risk, this.result["risk"], places=6)

    def check_box(self, this):
        """Where the network looked, as large as it looked."""
        box = this.nodes["box"]
        np.testing.assert_allclose(box.GetCenterWorld(), this.result["box"]["center_ras_mm"], atol=0.01)
        self.assertEqual(this.result["box"]["found_by"], "automatic")
        np.testing.assert_allclose(box.GetSize(), this.result["box"]["size_mm"], atol=0.01)

    def check_relevance(self, this):
        """A map from 0 to 1 in colors, over the CT as long as its box is checked."""
        relevance = this.nodes["relevance"]
        values = slicer.util.arrayFromVolume(relevance)
        self.assertEqual(values.shape, slicer.util.arrayFromVolume(this.ct).shape)
        self.assertTrue(values.min() >= 0 and 0.5 < values.max() <= 1)
        self.assertIn("HotMetalBlue", relevance.GetDisplayNode().GetColorNodeID())
        self.expect_foreground(this, this.pet)
        self.ui.relevanceCheckBox.click()
        self.expect_foreground(this, relevance)
        self.assertTrue(self.parameters.showRelevance)
        self.ui.relevanceCheckBox.click()
        self.expect_foreground(this, this.pet)

    def check_pet_over_ct(self, this):
        """The button brings PET over CT back, and the slices to the tumor."""
        self.ui.relevanceCheckBox.click()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.JumpSliceByCentering(500, 500, 500)
        self.click("petOverCtButton")
        self.expect_foreground(this, this.pet)
        self.assertFalse(self.ui.relevanceCheckBox.checked)
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            middle = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
            np.testing.assert_allclose(middle, this.result["box"]["center_ras_mm"], atol=2)
        self.assertEqual(this.ct.GetDisplayNode().GetWindow(), 400)
        self.assertIn("PET-Heat", this.pet.GetDisplayNode().GetColorNodeID())

    def check_report(self, this):
        """The button hands a page to the web browser."""
        browser = mock.Mock(return_value=True)
        services = SimpleNamespace(openUrl=browser)
        with mock.patch("CHMFLPredictorLib.panel.output.qt", selftest.Replaced(QDesktopServices=services)):
            self.click("reportButton")
        browser.assert_called_once()
        page = Path(browser.call_args.args[0].toLocalFile())
        self.addCleanup(page.unlink, missing_ok=True)
        text = page.read_text(encoding="utf-8")
        self.assertIn("<html", text)
        self.assertIn("not for clinical use", text.lower())

    def check_export(self, this):
        """The numbers as CSV and as JSON."""
        for suffix in ("csv", "json"):
            path = self.folder / f"exported.{suffix}"
            dialog = selftest.FileDialog(str(path))
            with mock.patch("CHMFLPredictorLib.panel.output.qt", selftest.Replaced(QFileDialog=dialog)):
                self.click("exportButton")
            dialog.answer.assert_called_once()
            text = path.read_text(encoding="utf-8")
            row = json.loads(text) if suffix == "json" else next(csv.DictReader(text.splitlines()))
            self.assertAlmostEqual(float(row["risk"]), this.result["risk"], places=6)

    def check_log(self, this):
        """The log is there when it is opened, and is copied with the versions."""
        self.ui.logCollapsibleButton.collapsed = False
        self.assertIn("CHMFLPredictorLib", self.ui.logTextEdit.plainText)
        self.click("copyLogButton")
        copied = slicer.app.clipboard().text()
        self.assertIn("Slicer", copied)
        self.assertIn(self.ui.logTextEdit.plainText[-200:], copied)
        self.ui.logCollapsibleButton.collapsed = True

    def expect_foreground(self, this, volume):
        views = selftest.composites()
        self.assertTrue(views, "slice views")
        for view in views:
            self.assertEqual(view.GetBackgroundVolumeID(), this.ct.GetID())
            self.assertEqual(view.GetForegroundVolumeID(), volume.GetID())


@unittest.skipUnless(PATIENT.is_dir(), f"no patient in {PATIENT}; the environment variable CHMFL_STS names the cohort")
class ClickedPatient(selftest.PanelTest):
    """A patient of the public cohort."""

    def test_sts_006(self):
        pet = slicer.util.loadVolume(str(PATIENT / "PET.nii.gz"), {"name": "STS_006 PET"})
        ct = slicer.util.loadVolume(str(PATIENT / "CT.nii.gz"), {"name": "STS_006 CT"})
        selftest.wait_for(lambda: self.ui.ctSelector.currentNode() is not None, "PET and CT are guessed")
        self.expect_node(self.ui.petSelector, pet)
        self.expect_node(self.ui.ctSelector, ct)
        result, nodes = self.predict_well()
        truth = slicer.util.loadLabelVolume(str(PATIENT / "GTV.nii.gz"), {"name": "GTV"})
        voxels, tumor = selftest.segment_array(nodes["segmentation"], ct) > 0, slicer.util.arrayFromVolume(truth) > 0
        dice = 2 * (voxels & tumor).sum() / (voxels.sum() + tumor.sum())
        self.assertGreaterEqual(dice, 0.5, "agreement with the tumor that a physician drew")
        self.assertIn(f"{100 * result['risk']:.0f}", self.ui.riskLabel.text)
        arguments = ["--pet", PATIENT / "PET.nii.gz", "--ct", PATIENT / "CT.nii.gz", "--output", self.folder / "out"]
        selftest.run_python("-m", "CHMFLPredictorLib", "predict", *arguments, "--risk-only", "--progress", "none")
        alone = json.loads((self.folder / "out" / "result.json").read_text(encoding="utf-8"))
        self.assertAlmostEqual(result["risk"], alone["risk"], delta=0.005)
        self.assertEqual(result["label"], alone["label"])


class PlaceOfTheTumor(selftest.PanelTest):
    """The box lies where the user says; the command line is real, the network small."""

    def setUp(self):
        super().setUp()
        self.patient = selftest.Patient("P1", (20.0, -30.0, 40.0))
        self.choose(self.patient.pet, self.patient.ct)
        self.ui.riskOnlyCheckBox.checked = True

    def predicted_place(self):
        with self.small_model():
            result, _ = self.predict_well()
        return result["box"]["found_by"], result["box"]["center_ras_mm"]

    def test_point(self):
        self.choose_location("point")
        self.assertFalse(self.ui.predictButton.enabled, "there is no point yet")
        self.click("placePointButton")
        point = self.ui.pointSelector.currentNode()
        self.assertIsNotNone(point)
        selftest.settle()
        place = np.array(self.patient.tumor) + (5.0, -4.0, 3.0)
        point.AddControlPoint(*place)
        selftest.wait_for(lambda: self.ui.predictButton.enabled, "the point is seen", 5)
        found_by, center = self.predicted_place()
        self.assertEqual(found_by, "point")
        np.testing.assert_allclose(center, place, atol=0.01)

    def test_box_that_is_dragged(self):
        self.choose_location("box")
        self.click("makeBoxButton")
        box = self.ui.boxSelector.currentNode()
        size = box.GetSize()
        place = np.array(self.patient.tumor) + (-6.0, 2.0, 1.0)
        box.SetCenterWorld(place)  # what the handle does
        found_by, center = self.predicted_place()
        self.assertEqual(found_by, "point")
        np.testing.assert_allclose(center, place, atol=0.01)
        self.assertTrue(np.all(np.array(size) > 100), f"as large as the model's: {size}")
        self.assertTrue(box.GetDisplayNode().GetTranslationHandleVisibility())
        self.assertFalse(box.GetDisplayNode().GetScaleHandleVisibility())

    def test_segment(self):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.patient.ct)
        drawn = segmentation.GetSegmentation().AddEmptySegment("tumor", "Tumor")
        mask = np.zeros(slicer.util.arrayFromVolume(self.patient.ct).shape, np.uint8)
        mask[5:10, 30:41, 20:31] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, drawn, self.patient.ct)
        self.choose_location("segment")
        self.ui.segmentSelector.setCurrentNode(segmentation)
        self.ui.segmentSelector.setCurrentSegmentID(drawn)
        slicer.app.processEvents()
        found_by, center = self.predicted_place()
        self.assertEqual(found_by, "mask")
        place = np.array(self.patient.ct.GetOrigin()) + np.array((25.0, 35.0, 7.0)) * (2.0, 2.0, 3.0)
        np.testing.assert_allclose(center, place, atol=0.1)

    def test_automatic(self):
        found_by, center = self.predicted_place()
        self.assertEqual(found_by, "automatic")
        np.testing.assert_allclose(center, self.patient.tumor, atol=15)


class ResultsInTheScene(selftest.PanelTest):
    """What becomes of results: the network does not matter, a small child stands for it."""

    def setUp(self):
        super().setUp()
        self.use_child("done")

    def what_is_shown(self):
        """Everything that the panel says of inputs and result."""
        ui = self.ui
        table = ui.measurementsTable
        cells = [table.item(row, column).text() for row in range(table.rowCount) for column in range(table.columnCount)]
        labels = ("pairLabel", "riskLabel", "riskDetailsLabel", "warningsLabel", "honestyLabel")
        enabled = ("relevanceCheckBox", "petOverCtButton", "reportButton", "exportButton", "predictButton")
        return {
            **{name: getattr(ui, name).text for name in labels if selftest.shown(getattr(ui, name))},
            **{name: getattr(ui, name).enabled for name in enabled},
            "cells": cells if selftest.shown(table) else [],
            "relevance": ui.relevanceCheckBox.checked,
            "risk only": ui.riskOnlyCheckBox.checked,
            "location": ui.locationComboBox.currentText,
            "device": ui.deviceComboBox.currentText,
            "model": ui.modelComboBox.currentText,
            "pet": _name(ui.petSelector.currentNode()),
            "ct": _name(ui.ctSelector.currentNode()),
            "point": _name(ui.pointSelector.currentNode()),
            "3D": _name(ui.show3DButton.segmentationNode()),
        }

    def test_two_runs_reuse_the_nodes(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        self.predict_well()
        before = selftest.node_ids()
        first = {role: node.GetID() for role, node in selftest.results(patient.pet, patient.ct).items()}
        self.assertEqual(set(first), {"segmentation", "relevance", "table", "box", "report"})
        self.predict_well()
        second = {role: node.GetID() for role, node in selftest.results(patient.pet, patient.ct).items()}
        self.assertEqual(second, first)
        self.expect_unchanged(before)

    def test_risk_only_after_a_whole_prediction(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        self.predict_well()
        self.ui.riskOnlyCheckBox.checked = True
        _, nodes = self.predict_well()
        self.assertNotIn("segmentation", nodes)
        self.assertNotIn("relevance", selftest.results(patient.pet, patient.ct), "it would contradict the numbers")
        self.assertFalse(selftest.shown(self.ui.measurementsTable))
        self.assertFalse(self.ui.relevanceCheckBox.enabled)
        self.assertTrue(self.ui.reportButton.enabled)

    def test_several_patients(self):
        patients = [selftest.Patient("P1", peak=5.0), selftest.Patient("P2", (900.0, 0.0, 0.0), seed=5, peak=14.0)]
        texts = []
        for patient in patients:
            self.choose(patient.pet, patient.ct)
            self.assertEqual(self.ui.riskLabel.text, "No prediction yet.")
            self.predict_well()
            texts.append(self.what_is_shown())
        self.assertNotEqual(texts[0]["riskLabel"], texts[1]["riskLabel"])
        self.assertNotEqual(texts[0]["cells"], texts[1]["cells"])
        for number in (0, 1, 0):
            self.choose(patients[number].pet, patients[number].ct)
            self.assertEqual(self.what_is_shown(), texts[number])
        self.choose(patients[0].pet, patients[1].ct)
        self.assertIn("do not overlap", self.ui.pairLabel.text)
        self.assertEqual(self.ui.riskLabel.text, "No prediction yet.")
        self.assertFalse(self.ui.exportButton.enabled)

    def test_choosing_another_pair_while_running(self):
        one, two = selftest.Patient("P1"), selftest.Patient("P2", (900.0, 0.0, 0.0), seed=5)
        self.choose(one.pet, one.ct)
        self.start()
        self.choose(two.pet, two.ct)
        self.assertEqual(self.wait_for_end().ending, "done")
        self.assertTrue(selftest.results(one.pet, one.ct))
        self.assertFalse(selftest.results(two.pet, two.ct))
        self.assertEqual(self.ui.riskLabel.text, "No prediction yet.", "of the pair that is chosen")
        self.choose(one.pet, one.ct)
        self.assertIn("Risk of distant metastases", self.ui.riskLabel.text)

    def test_save_close_and_load(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        self.choose_location("point")
        self.click("placePointButton")
        self.ui.pointSelector.currentNode().AddControlPoint(*patient.tumor)
        self.choose_text("deviceComboBox", "CPU")
        selftest.wait_for(lambda: self.ui.predictButton.enabled, "the point is seen", 5)
        self.predict_well()
        self.ui.relevanceCheckBox.click()
        before = self.what_is_shown()
        shown = {view.GetName(): _name_of(view.GetForegroundVolumeID()) for view in selftest.composites()}
        path = str(self.folder / "saved.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.assertEqual(self.ui.riskLabel.text, "No prediction yet.")
        self.assertIsNone(self.ui.petSelector.currentNode())
        slicer.util.loadScene(path)
        slicer.app.processEvents()
        self.assertEqual(self.what_is_shown(), before)
        now = {view.GetName(): _name_of(view.GetForegroundVolumeID()) for view in selftest.composites()}
        self.assertEqual(now, shown, "the relevance map over the CT")
        self.ui.relevanceCheckBox.click()
        views = {_name_of(view.GetForegroundVolumeID()) for view in selftest.composites()}
        self.assertEqual(views, {"P1 PET"})
        count = len(selftest.node_ids())
        self.predict_well()
        self.assertEqual(len(selftest.node_ids()), count, "the loaded nodes are used again")

    def test_linear_transform(self):
        patient = selftest.Patient("P1")
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
        matrix = np.array([[0.0, -1.0, 0.0, 30.0], [1.0, 0.0, 0.0, -20.0], [0.0, 0.0, 1.0, 15.0], [0.0, 0.0, 0.0, 1.0]])
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        for node in (patient.pet, patient.ct):
            node.SetAndObserveTransformNodeID(transform.GetID())
        self.choose(patient.pet, patient.ct)
        result, nodes = self.predict_well()
        place = (matrix @ [*patient.tumor, 1.0])[:3]
        np.testing.assert_allclose(result["box"]["center_ras_mm"], place, atol=3)
        np.testing.assert_allclose(_tumor(nodes["segmentation"]), place, atol=3)
        self.assertEqual(_middle(patient.ct), _middle(nodes["relevance"]))
        np.testing.assert_allclose(nodes["box"].GetCenterWorld(), place, atol=3)
        matrix[:3, 3] += (100.0, 0.0, 0.0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        moved = place + (100.0, 0.0, 0.0)
        np.testing.assert_allclose(_tumor(nodes["segmentation"]), moved, atol=3, err_msg="it follows the CT")
        self.assertEqual(_middle(patient.ct), _middle(nodes["relevance"]))

    def test_users_own_segment_stays(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        _, nodes = self.predict_well()
        nodes["segmentation"].GetSegmentation().AddEmptySegment("mine", "Mine")
        self.predict_well()
        self.assertIsNotNone(nodes["segmentation"].GetSegmentation().GetSegment("mine"))

    def test_guess_leaves_the_users_choice_alone(self):
        one = selftest.Patient("P1")
        self.choose(one.pet, one.ct)
        two = selftest.Patient("P2", (900.0, 0.0, 0.0), seed=5)
        selftest.settle()
        self.expect_node(self.ui.petSelector, one.pet)
        self.expect_node(self.ui.ctSelector, one.ct)
        self.assertIsNotNone(two)

    def test_the_next_patients_pet_gets_no_ct_of_this_one(self):
        one = selftest.Patient("P1")
        slicer.mrmlScene.RemoveNode(one.pet)
        selftest.settle()
        self.expect_node(self.ui.ctSelector, one.ct)
        two = selftest.Patient("P2", seed=5)
        selftest.settle()
        self.expect_node(self.ui.petSelector, two.pet)
        self.expect_node(self.ui.ctSelector, two.ct)
        self.choose(two.pet, one.ct)
        self.assertIn("two patients, 'p2' (PET) and 'p1' (CT)", self.ui.pairLabel.text)

    def test_landmarks_of_the_user_are_not_emptied(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        self.choose_location("point")
        landmarks = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
        for number in range(20):
            landmarks.AddControlPoint(number, 0, 0)
        self.ui.pointSelector.setCurrentNode(landmarks)
        self.click("placePointButton")
        self.assertEqual(landmarks.GetNumberOfControlPoints(), 20)
        self.assertIsNot(self.ui.pointSelector.currentNode(), landmarks)


def _name(node):
    return node.GetName() if node is not None else None


def _name_of(node_id):
    return _name(slicer.mrmlScene.GetNodeByID(node_id)) if node_id else None


def _tumor(segmentation):
    return segmentation.GetSegmentCenterRAS(segmentation.GetSegmentation().GetNthSegmentID(0))


def _middle(node):
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
