"""Everything that a user can choose wrongly: the panel says what is wrong and what to do, and changes nothing."""

import chmfl_selftest as selftest
import numpy as np
import slicer
import vtk

SUV, BQML = "{SUVbw}g/ml", "Bq/ml"


class BadInputTest(selftest.PanelTest):
    """A good patient, of which one thing is made bad."""

    def setUp(self):
        super().setUp()
        self.patient = selftest.Patient("P1")
        self.pet, self.ct = self.patient.pet, self.patient.ct
        self.choose(self.pet, self.ct)
        self.assertTrue(self.ui.predictButton.enabled, self.ui.predictButton.toolTip)

    def expect_refused(self, code, *words):
        """The line under the selectors says why, and there is nothing to click."""
        from CHMFLPredictorLib.scene.inputs import refusal

        before = selftest.node_ids()
        slicer.app.processEvents()
        error = refusal(self.ui.petSelector.currentNode(), self.ui.ctSelector.currentNode())
        self.assertIsNotNone(error, self.ui.pairLabel.text)
        self.assertEqual(error.code, code)
        for text in (error.message, error.hint, *words):
            self.assertIn(text, self.ui.pairLabel.text)
        self.assertFalse(self.ui.predictButton.enabled)
        self.assertIn(error.message, self.ui.predictButton.toolTip)
        self.ui.predictButton.click()
        self.assertFalse(self.state.busy)
        self.assertEqual(self.launcher.children, [])
        self.expect_unchanged(before)

    def expect_error(self, code, *words):
        """The run that the click starts ends with an error, and leaves nothing."""
        slicer.app.processEvents()
        before = selftest.node_ids()
        ended = self.predict()
        self.assertEqual((ended.ending, ended.code), ("error", code), ended)
        self.assertIn(f"Error ({code}): ", self.ui.stageLabel.text)
        for text in (ended.message, ended.hint, *words):
            self.assertIn(text, self.ui.stageLabel.text)
        self.assertGreater(len(ended.hint), 10, "what to do")
        self.assertNotIn("Traceback", self.ui.stageLabel.text)
        self.assertNotIn(str(self.temporary), self.ui.stageLabel.text, "no path of a temporary file")
        self.assertEqual(self.ui.riskLabel.text, "No prediction yet.")
        self.expect_unchanged(before)
        self.expect_idle()

    def replace(self, pet=None, ct=None):
        """Choose another volume in place of the good one, which leaves the scene."""
        old = [node for node, new in ((self.pet, pet), (self.ct, ct)) if new is not None]
        self.pet, self.ct = pet or self.pet, ct or self.ct
        self.choose(self.pet, self.ct)
        for node in old:
            slicer.mrmlScene.RemoveNode(node)

    def other_pet(self, values, unit=SUV, name="P1 PET", **geometry):
        """A PET with the good one's geometry and other voxels."""
        geometry = {"spacing": self.pet.GetSpacing(), "origin": self.pet.GetOrigin(), **geometry}
        return selftest.make_volume(name, values, unit=unit, **geometry)


class Refused(BadInputTest):
    """What is seen before the click."""

    def test_no_pet(self):
        self.choose(None, self.ct)
        self.expect_refused("node_missing", "PET")

    def test_no_ct(self):
        self.choose(self.pet, None)
        self.expect_refused("node_missing", "CT")

    def test_empty_scene(self):
        slicer.mrmlScene.Clear()
        self.expect_refused("node_missing")
        self.assertNotIn(selftest.WARNING, self.ui.pairLabel.text, "nobody did anything wrong yet")

    def test_same(self):
        self.choose(self.ct, self.ct)
        self.expect_refused("same_volume", "P1 CT")

    def test_swapped(self):
        self.choose(self.ct, self.pet)
        self.expect_refused("swapped_pet_ct", "P1 PET", "P1 CT")

    def test_two_cts(self):
        other = selftest.make_volume("Other CT", selftest.ct_values(9), (2.0, 2.0, 3.0), self.ct.GetOrigin())
        self.choose(other, self.ct)
        self.expect_refused("pet_is_ct", "Other CT")

    def test_two_pets(self):
        self.choose(self.pet, self.other_pet(selftest.pet_values(9), name="Other PET"))
        self.expect_refused("ct_is_pet", "Other PET")

    def test_label_map_is_not_offered(self):
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        slicer.util.updateVolumeFromArray(labels, (selftest.pet_values() > 5).astype(np.uint8))
        for selector in (self.ui.petSelector, self.ui.ctSelector):
            offered = [selector.nodeFromIndex(index).GetName() for index in range(selector.nodeCount())]
            self.assertNotIn("Labels", offered)
            self.assertIn("P1 PET", offered)

    def test_labels_in_a_scalar_volume(self):
        self.replace(self.other_pet((selftest.pet_values() > 5).astype(np.uint8), unit=None, name="Labels"))
        self.expect_refused("wrong_modality", "Labels")

    def test_empty_volume(self):
        self.replace(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty PET"))
        self.expect_refused("volume_empty", "Empty PET")

    def test_single_slice(self):
        self.replace(self.other_pet(selftest.pet_values()[:1], name="Slice PET"))
        self.expect_refused("one_slice", "40 x 30 x 1")

    def test_bqml_without_dicom(self):
        self.replace(self.other_pet(selftest.pet_values() * 5000, unit=BQML))
        self.expect_refused("pet_in_bqml", "Bq/ml", "DICOM module")

    def test_bqml_by_its_values(self):
        self.replace(self.other_pet(selftest.pet_values() * 5000, unit=None))
        self.expect_refused("pet_in_bqml", "99th percentile")

    def test_bqml_whose_files_left_the_database(self):
        pet = self.other_pet(selftest.pet_values() * 5000, unit=BQML)
        pet.SetAttribute("DICOM.instanceUIDs", " ".join(f"1.2.3.{number}" for number in range(20)))
        self.replace(pet)
        self.assertFalse(self.ui.predictButton.enabled)
        self.expect_refused("pet_in_bqml")

    def test_lean_body_mass_suv(self):
        self.replace(self.other_pet(selftest.pet_values(), unit="{SUVlbm}g/ml"))
        self.expect_refused("pet_not_suv", "body-weight SUV")

    def test_no_overlap(self):
        other = selftest.Patient("P2", (900.0, 0.0, 0.0))
        self.choose(self.pet, other.ct)
        self.expect_refused("no_overlap", "900 mm apart")

    def test_partial_overlap(self):
        origin = np.array(self.pet.GetOrigin()) + (100.0, 0.0, 0.0)
        self.replace(self.other_pet(selftest.pet_values(), origin=origin))
        self.expect_refused("partial_overlap", "%")

    def test_transform_that_is_not_linear(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Bent")
        bend, source, target = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
        for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
            source.InsertNextPoint(corner)
            target.InsertNextPoint([value + 0.01 * value**2 for value in corner])
        bend.SetSourceLandmarks(source)
        bend.SetTargetLandmarks(target)
        transform.SetAndObserveTransformToParent(bend)
        self.ct.SetAndObserveTransformNodeID(transform.GetID())
        self.choose(None, self.ct)
        self.choose(self.pet, self.ct)
        self.expect_refused("transform_not_linear", "P1 CT", "Bent", "Harden")

    def test_sheared_by_a_transform(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shear")
        matrix = np.eye(4)
        matrix[0, 1] = 0.3
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        self.ct.SetAndObserveTransformNodeID(transform.GetID())
        self.choose(None, self.ct)
        self.choose(self.pet, self.ct)
        self.expect_refused("sheared", "right angles", "Resample")

    def test_sheared_by_its_directions(self):
        self.ct.SetIJKToRASDirections(1, 0.3, 0, 0, 1, 0, 0, 0, 1)
        self.choose(None, self.ct)
        self.choose(self.pet, self.ct)
        self.expect_refused("sheared", "P1 CT")

    def test_the_refusal_goes_with_its_reason(self):
        self.choose(self.ct, self.pet)
        self.expect_refused("swapped_pet_ct")
        self.choose(self.pet, self.ct)
        self.assertTrue(self.ui.predictButton.enabled)
        self.assertIn("fit together", self.ui.pairLabel.text)


class NoPlace(BadInputTest):
    """The tumor's place is asked for and not given: nothing to click, and the reason where the mouse rests."""

    def expect_no_place(self, *words):
        slicer.app.processEvents()
        self.assertFalse(self.ui.predictButton.enabled)
        for word in words:
            self.assertIn(word, self.ui.predictButton.toolTip)

    def test_no_point(self):
        self.choose_location("point")
        self.expect_no_place("No point or box is chosen", "Place a point")

    def test_point_list_without_a_point(self):
        self.choose_location("point")
        self.click("placePointButton")
        self.expect_no_place("marks no place yet")

    def test_no_box(self):
        self.choose_location("box")
        self.expect_no_place("No point or box is chosen")

    def test_no_segment(self):
        self.choose_location("segment")
        self.expect_no_place("Choose the segment")

    def test_point_placed_and_taken_away(self):
        self.choose_location("point")
        self.click("placePointButton")
        point = self.ui.pointSelector.currentNode()
        selftest.settle()
        point.AddControlPoint(*self.patient.tumor)
        selftest.wait_for(lambda: self.ui.predictButton.enabled, "the point is seen", 5)
        point.RemoveAllControlPoints()
        selftest.wait_for(lambda: not self.ui.predictButton.enabled, "it is seen that the point is gone", 5)
        self.expect_no_place("marks no place yet")


class FoundByTheRun(BadInputTest):
    """What only a look at all voxels shows, with the real command line."""

    def test_constant_pet(self):
        self.replace(self.other_pet(np.full((20, 30, 40), 2.5, np.float32)))
        self.expect_error("constant_volume", "P1 PET", "2.5")

    def test_not_a_number(self):
        values = selftest.pet_values()
        values[::2] = np.nan
        self.replace(self.other_pet(values))
        self.expect_error("not_finite", "P1 PET")

    def test_cold_pet(self):
        values = selftest.pet_values(peak=0.0) * 0.05
        self.replace(self.other_pet(values))
        self.expect_error("no_tumor_found", "cold")

    def test_point_outside(self):
        self.choose_location("point")
        self.click("placePointButton")
        self.ui.pointSelector.currentNode().AddControlPoint(0.0, 0.0, 500.0)
        selftest.wait_for(lambda: self.ui.predictButton.enabled, "the point is seen", 5)
        self.expect_error("point_outside_image", "S 500.0")

    def test_empty_segment(self):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.ct)
        drawn = segmentation.GetSegmentation().AddEmptySegment("tumor", "Tumor")
        self.choose_location("segment")
        self.ui.segmentSelector.setCurrentNode(segmentation)
        self.ui.segmentSelector.setCurrentSegmentID(drawn)
        self.expect_error("segment_empty", "Tumor")
        self.assertEqual(self.launcher.children, [])

    def test_segment_that_vanished(self):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
        segmentation.CreateDefaultDisplayNodes()
        drawn = segmentation.GetSegmentation().AddEmptySegment("tumor", "Tumor")
        segmentation.GetSegmentation().AddEmptySegment("other", "Other")
        self.choose_location("segment")
        self.ui.segmentSelector.setCurrentNode(segmentation)
        self.ui.segmentSelector.setCurrentSegmentID(drawn)
        slicer.app.processEvents()
        segmentation.GetSegmentation().RemoveSegment(drawn)
        slicer.app.processEvents()
        if self.ui.predictButton.enabled:
            ended = self.predict()
            self.assertIn(ended.code, ("segment_missing", "segment_empty"))
            self.expect_idle()
        else:
            self.assertIn("Choose the segment", self.ui.predictButton.toolTip)
