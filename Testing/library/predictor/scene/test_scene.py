"""Nodes to files to nodes in a real MRML scene. Only the child is small and fake, but for the last test."""

import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.child import process
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.errors import BadInput, ChmflError, OutOfMemory
from CHMFLPredictorLib.scene import results
from CHMFLPredictorLib.scene.nodes import check_inputs, write_volume
from CHMFLPredictorLib.scene.results import (
    CLASSES,
    RELEVANCE_COLORS,
    SEGMENT_ID,
    find_results,
    import_results,
    results_of,
    stored_report,
    stored_result,
)
from CHMFLPredictorLib.scene.run import PredictionRun, RunOptions, predict_in_scene
from CHMFLPredictorLib.scene.show import show_in_slices

FAKE_CHILD = REPOSITORY / "Testing" / "library" / "fake_child.py"
OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
    [[1.0, 0.0, 0.0], [0.0, 0.8, -0.6], [0.0, 0.6, 0.8]]
)
GEOMETRIES = {
    "straight": np.diag([1.0, 1.0, 3.0]),
    "left-handed": np.diag([-1.0, 1.0, 3.0]),
    "flipped": np.diag([-1.0, -1.0, -3.0]),
    "oblique": OBLIQUE @ np.diag([1.0, 1.0, 3.0]),
    "sagittal": np.array([[0.0, 0.0, 3.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


@pytest.fixture
def manner(monkeypatch, tmp_path):
    """Choose how the fake child behaves; and give the test a temporary folder of its own to look into."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(process, "_GRACE_S", 1.0)
    return lambda name: monkeypatch.setenv("CHMFL_FAKE", name)


@pytest.fixture
def pair(scene, manner):
    """A PET and a CT of different size and place."""
    ct = make_volume("Patient 1 CT", (12, 10, 8), GEOMETRIES["oblique"], (5.0, -20.0, 30.0), np.int16)
    pet = make_volume("Patient 1 PET", (5, 6, 7), np.diag([4.0, 4.0, 3.0]), (0.0, 0.0, 0.0), np.float32)
    return pet, ct


def fake(command, environment):
    return process.launch([sys.executable, "-u", str(FAKE_CHILD), *command[4:]], environment)


def make_volume(name, size, axes, origin, kind=np.float32):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    count = int(np.prod(size))
    slicer.util.updateVolumeFromArray(node, np.arange(count).reshape(size[::-1]).astype(kind))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def add_transform(node, matrix=None, name="Registration"):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    if matrix is None:
        bend = vtk.vtkThinPlateSplineTransform()
        source, target = vtk.vtkPoints(), vtk.vtkPoints()
        for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
            source.InsertNextPoint(corner)
            target.InsertNextPoint([value + 0.01 * value**2 for value in corner])
        bend.SetSourceLandmarks(source)
        bend.SetTargetLandmarks(target)
        transform.SetAndObserveTransformToParent(bend)
    else:
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def rigid(degrees, shift):
    matrix, angle = np.eye(4), math.radians(degrees)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    matrix[:3, 3] = shift
    return matrix


def world_ras(node, ijk):
    """Where Slicer itself places a voxel, by another road than the code under test."""
    matrix, point = vtk.vtkMatrix4x4(), [0.0, 0.0, 0.0]
    node.GetIJKToRASMatrix(matrix)
    ras = matrix.MultiplyPoint([*map(float, ijk), 1.0])[:3]
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    transform.TransformPoint(ras, point)
    return np.array(point)


def node_names(scene):
    return sorted(scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes()))


def leftovers(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("chmfl"))


# Writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_voxel_is_written_where_slicer_shows_it(scene, geometry, transformed, tmp_path):
    node = make_volume("CT", (7, 6, 5), GEOMETRIES[geometry], (12.3, -45.6, 78.9))
    if transformed:
        outer = add_transform(node, rigid(30, (10, 20, -30)), "inner")
        add_transform(outer, rigid(-75, (1, 2, 3)) @ np.diag([1.1, 1.1, 1.1, 1.0]), "outer")
    before = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node)).copy()
    write_volume(node, tmp_path / "x.nrrd", "CT")
    image = sitk.ReadImage(str(tmp_path / "x.nrrd"))
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4), (3, 2, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        assert lps * (-1, -1, 1) == pytest.approx(world_ras(node, index), abs=1e-6)
        assert image[index] == slicer.util.arrayFromVolume(node)[index[::-1]]
    assert np.array_equal(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node)), before)
    assert (node.GetParentTransformNode() is not None) == transformed


def _ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_types_and_units_survive(scene, tmp_path):
    node = make_volume("PET", (4, 4, 4), np.eye(3), (0, 0, 0), np.int16)
    slicer_headless.set_units(node, "{SUVbw}g/ml", "Standardized Uptake Value body weight")
    write_volume(node, tmp_path / "x.nrrd", "PT")
    image = sitk.ReadImage(str(tmp_path / "x.nrrd"))
    assert image.GetPixelID() == sitk.sitkInt16
    assert (image.GetMetaData("chmfl_modality"), image.GetMetaData("chmfl_units")) == ("PT", "SUV")


def refused(pet, ct, code):
    with pytest.raises(BadInput) as caught:
        check_inputs(pet, ct)
    assert caught.value.code == code and caught.value.hint
    run = PredictionRun(pet, ct, launcher=lambda command, environment: pytest.fail("the child must not be started"))
    run.start()
    assert (run.ended.ending, run.ended.code, run.running) == (Ending.ERROR, code, False)
    return caught.value.message


def test_a_transform_that_bends_is_refused_by_name(pair):
    pet, ct = pair
    add_transform(ct, None, "Warp")
    assert "Warp" in refused(pet, ct, "transform_not_linear")


def test_a_transform_that_shears_is_refused(pair):
    pet, ct = pair
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    add_transform(pet, matrix)
    assert pet.GetName() in refused(pet, ct, "sheared")


@pytest.mark.parametrize(("code", "expected"), [("Bq/ml", "pet_in_bqml"), ("{SUVlbm}g/ml", "pet_not_suv")])
def test_a_pet_in_other_units_is_refused(pair, code, expected):
    pet, ct = pair
    slicer_headless.set_units(pet, code, "other")
    refused(pet, ct, expected)


def test_nodes_that_are_no_pair_are_refused(pair, scene):
    pet, ct = pair
    refused(pet, pet, "same_volume")
    refused(None, ct, "node_missing")
    label = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Label")
    assert "Label" in refused(label, ct, "not_a_volume")
    refused(pet, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"), "volume_empty")
    scene.RemoveNode(ct)
    refused(pet, ct, "node_missing")


# A run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transformed", [False, True])
def test_results_lie_on_the_ct_voxel_for_voxel(pair, scene, transformed, tmp_path):
    pet, ct = pair
    if transformed:
        add_transform(ct, rigid(40, (3, -4, 5)))
    events = []
    output = tmp_path / "out ü"
    prediction = predict_in_scene(pet, ct, RunOptions(output=output), events.append, launcher=fake)
    assert [event["event"] for event in events] == ["progress", "risk", "result"]
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "segmentation.nii.gz")))
    segmentation, relevance = prediction.nodes["segmentation"], prediction.nodes["relevance"]
    assert 0 < expected.sum() < expected.size
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    assert ids == (SEGMENT_ID,)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, ids[0], ct)
    assert np.array_equal(mask, expected)
    heat = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "relevance.nii.gz")))
    assert np.array_equal(slicer.util.arrayFromVolume(relevance), heat)
    assert relevance.GetParentTransformNode() is segmentation.GetParentTransformNode() is ct.GetParentTransformNode()
    assert world_ras(relevance, (3, 4, 5)) == pytest.approx(world_ras(ct, (3, 4, 5)))
    center = np.array(segmentation.GetSegmentCenterRAS(ids[0]))
    hull = [world_ras(ct, index[::-1]) for index in np.argwhere(expected)]
    assert np.all(center >= np.min(hull, axis=0) - 3.0) and np.all(center <= np.max(hull, axis=0) + 3.0)
    assert leftovers(tmp_path) == []
    assert sorted(prediction.files) == ["relevance.nii.gz", "report.html", "result.json", "segmentation.nii.gz"]
    assert all(path.is_file() for path in prediction.files.values())


def test_what_the_nodes_say(pair, scene):
    pet, ct = pair
    prediction = predict_in_scene(pet, ct, RunOptions(center_ras=(1.5, 2.5, -3.5)), launcher=fake)
    segmentation, table, box = (prediction.nodes[role] for role in ("segmentation", "table", "box"))
    segment = segmentation.GetSegmentation().GetSegment(SEGMENT_ID)
    assert segment.GetName() == "Tumor (CFL)"
    assert "SCT^86049000^Neoplasm, Primary" in segment.GetTerminology()
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is ct
    surface = vtk.vtkPolyData()
    assert segmentation.GetClosedSurfaceRepresentation(SEGMENT_ID, surface)
    assert surface.GetNumberOfPoints() > 0
    columns = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    row = dict(zip(columns, (table.GetCellText(0, index) for index in range(len(columns))), strict=True))
    assert float(row["Risk of DM"]) == 0.7 and float(row["Risk, high end"]) == 0.9 and row["Label"] == "high"
    assert float(row["Tumor volume [ml]"]) == 12.5 and row["SUVmean [g/ml]"].lower() == "nan"
    assert table.GetColumnUnitLabel("Tumor volume [ml]") == "ml"
    assert float(row["TLG [SUV ml]"]) == 50.0 and table.GetColumnUnitLabel("TLG [SUV ml]") == "{SUVbw}g"
    assert stored_result(table) == prediction.result
    assert list(box.GetCenterWorld()) == pytest.approx([1.5, 2.5, -3.5])
    assert list(box.GetSize()) == pytest.approx([192.0, 192.0, 240.0])
    low, high = prediction.nodes["relevance"].GetScalarVolumeDisplayNode().GetWindowLevelMin(), 1.0
    assert (low, high) == (0.0, 1.0)
    assert prediction.report == "<p>Prüfung</p>"
    assert stored_report(prediction.nodes["report"]) == prediction.report
    assert prediction.nodes["relevance"].GetVoxelValueUnits() is None
    shown = segmentation.GetDisplayNode()
    assert shown.GetVisibility() and shown.GetVisibility3D() and shown.GetVisibility2DFill()
    assert not box.GetDisplayNode().GetHandlesInteractive()
    for node in prediction.nodes.values():
        assert ct.GetName() in node.GetName()


def test_the_child_hears_what_was_chosen(pair, scene, tmp_path):
    pet, ct = pair
    slicer_headless.set_units(pet, "{SUVbw}g/ml", "SUV")
    add_transform(ct, rigid(15, (1, 1, 1)))
    known = predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"]
    voxels = int(slicer.util.arrayFromSegmentBinaryLabelmap(known, SEGMENT_ID, ct).sum())
    options = RunOptions(model=tmp_path / "mödel", device="cpu", segmentation_node=known, segment_id=SEGMENT_ID)
    seen = predict_in_scene(pet, ct, options, launcher=fake).result["seen"]
    assert seen["pet"] == {"chmfl_modality": "PT", "chmfl_units": "SUV"} and seen["ct"] == {"chmfl_modality": "CT"}
    assert seen["mask_voxels"] == voxels > 0
    assert seen["names"] == [pet.GetName(), ct.GetName(), f"{known.GetName()}, segment Tumor (CFL)"]
    assert seen["model"] == str(tmp_path / "mödel")
    assert not Path(seen["folder"]).exists()
    with pytest.raises(ChmflError) as caught:
        predict_in_scene(pet, ct, RunOptions(segmentation_node=known, segment_id="other"), launcher=fake)
    assert caught.value.code == "segment_missing"


def test_a_second_run_reuses_its_nodes_and_spares_the_users(pair, scene):
    pet, ct = pair
    first = predict_in_scene(pet, ct, launcher=fake)
    first.nodes["segmentation"].GetSegmentation().AddEmptySegment("mine", "my own")
    before = node_names(scene)
    second = predict_in_scene(pet, ct, RunOptions(center_ras=(9.0, 9.0, 9.0)), launcher=fake)
    assert second.nodes == first.nodes
    assert node_names(scene) == before
    assert list(second.nodes["box"].GetCenterWorld()) == pytest.approx([9.0, 9.0, 9.0])
    ids = second.nodes["segmentation"].GetSegmentation().GetSegmentIDs()
    assert sorted(ids) == sorted(["mine", SEGMENT_ID])
    assert second.nodes["table"].GetNumberOfRows() == 1


def voxels_of(node, segment_id, ct):
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, ct).sum())


def correct(node, ct, segment_id=SEGMENT_ID):
    """What the user's eraser does: one voxel remains."""
    mask = np.zeros(ct.GetImageData().GetDimensions()[::-1], np.uint8)
    mask[2, 2, 2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, ct)


def test_a_corrected_segment_stays_and_the_new_one_comes_beside_it(pair, scene):
    pet, ct = pair
    node = predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"]
    found = voxels_of(node, SEGMENT_ID, ct)
    correct(node, ct)
    for _ in range(2):  # the third run replaces what the second made
        assert predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"] is node
        segmentation = node.GetSegmentation()
        assert segmentation.GetSegmentIDs() == (SEGMENT_ID, f"{SEGMENT_ID}_2")
        assert segmentation.GetSegment(f"{SEGMENT_ID}_2").GetName() == "Tumor (CFL) 2"
        assert [voxels_of(node, one, ct) for one in segmentation.GetSegmentIDs()] == [1, found]


def test_names_and_colors_of_the_user_stay(pair, scene):
    pet, ct = pair
    node = predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"]
    segment = node.GetSegmentation().GetSegment(SEGMENT_ID)
    segment.SetName("Sarcoma")
    segment.SetColor(1.0, 0.0, 0.5)
    node.GetDisplayNode().SetSegmentVisibility(SEGMENT_ID, False)
    predict_in_scene(pet, ct, launcher=fake)
    segment = node.GetSegmentation().GetSegment(SEGMENT_ID)
    assert (segment.GetName(), segment.GetColor()) == ("Sarcoma", (1.0, 0.0, 0.5))
    assert not node.GetDisplayNode().GetSegmentVisibility(SEGMENT_ID)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


@pytest.mark.parametrize("corrected", [False, True])
def test_risk_only_keeps_the_users_segments(pair, scene, corrected):
    pet, ct = pair
    node = predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"]
    node.GetSegmentation().AddEmptySegment("mine", "my own")
    if corrected:
        correct(node, ct)
    prediction = predict_in_scene(pet, ct, RunOptions(risk_only=True), launcher=fake)
    assert sorted(prediction.nodes) == ["box", "report", "table"] and node.GetScene() is scene
    assert sorted(node.GetSegmentation().GetSegmentIDs()) == [SEGMENT_ID] * corrected + ["mine"]
    again = predict_in_scene(pet, ct, launcher=fake).nodes["segmentation"]
    assert again is not node  # the user's is no result any more


def test_twenty_runs_leave_no_more_than_one(pair, scene, tmp_path):
    pet, ct = pair
    output = tmp_path / "out"
    first = predict_in_scene(pet, ct, RunOptions(output=output), launcher=fake)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    before, items = node_names(scene), vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for number in range(20):
        result = {**first.result, "risk": number / 20}
        nodes = import_results(scene, pet, ct, output, result)
        assert nodes == first.nodes
    after = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), after, True)
    assert node_names(scene) == before and after.GetNumberOfIds() == items.GetNumberOfIds()
    assert stored_result(nodes["table"])["risk"] == 0.95
    assert nodes["segmentation"].GetSegmentation().GetNumberOfSegments() == 1


def test_all_results_of_a_scene_the_newest_last(pair, scene):
    pet, ct = pair
    other = make_volume("Patient 2 CT", (6, 6, 6), np.eye(3), (0, 0, 0), np.int16)
    assert results_of(scene) == []
    first = predict_in_scene(pet, ct, launcher=fake)
    second = predict_in_scene(pet, other, RunOptions(risk_only=True), launcher=fake)
    volumes = ({"pet": pet, "ct": ct}, {"pet": pet, "ct": other})
    assert results_of(scene) == [first.nodes | volumes[0], second.nodes | volumes[1]]
    again = predict_in_scene(pet, ct, launcher=fake)
    assert results_of(scene) == [second.nodes | volumes[1], again.nodes | volumes[0]]
    scene.RemoveNode(other)
    assert results_of(scene)[0] == second.nodes | {"pet": pet, "ct": None}
    scene.RemoveNode(again.nodes["table"])
    assert len(results_of(scene)) == 1  # nothing is left that could be shown


def test_a_box_that_was_moved_comes_back(pair, scene):
    pet, ct = pair
    box = predict_in_scene(pet, ct, RunOptions(center_ras=(1.0, 2.0, 3.0)), launcher=fake).nodes["box"]
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rigid(30, (5, 6, 7))))
    box.SetAndObserveTransformNodeID(transform.GetID())
    again = predict_in_scene(pet, ct, RunOptions(center_ras=(1.0, 2.0, 3.0)), launcher=fake).nodes["box"]
    assert again is box and list(box.GetCenterWorld()) == pytest.approx([1.0, 2.0, 3.0])


def test_a_ct_moved_during_the_run_costs_no_result(pair, scene):
    pet, ct = pair
    run = PredictionRun(pet, ct, RunOptions(center_ras=(1.0, 2.0, 3.0)), launcher=fake)
    run.start()
    moved = rigid(30, (5, 6, 7))
    transform = add_transform(ct, moved)
    assert run.wait(30).ending is Ending.DONE
    nodes = run.prediction.nodes
    assert all(nodes[role].GetParentTransformNode() is transform for role in ("segmentation", "relevance", "box"))
    assert world_ras(nodes["relevance"], (3, 4, 5)) == pytest.approx(world_ras(ct, (3, 4, 5)))
    assert list(nodes["box"].GetCenterWorld()) == pytest.approx((moved @ (1.0, 2.0, 3.0, 1.0))[:3])


def test_two_patients_in_one_scene_keep_apart(pair, scene):
    pet, ct = pair
    other = make_volume("Patient 2 CT", (6, 6, 6), np.eye(3), (0, 0, 0), np.int16)
    first = predict_in_scene(pet, ct, launcher=fake)
    second = predict_in_scene(pet, other, launcher=fake)
    assert not set(first.nodes.values()) & set(second.nodes.values())
    assert find_results(scene, pet, ct) == first.nodes
    assert find_results(scene, pet, other) == second.nodes


def test_risk_only_leaves_no_older_segmentation(pair, scene):
    pet, ct = pair
    empty = node_names(scene)
    predict_in_scene(pet, ct, launcher=fake)
    prediction = predict_in_scene(pet, ct, RunOptions(risk_only=True), launcher=fake)
    assert sorted(prediction.nodes) == ["box", "report", "table"]
    new = [scene.GetNodeByID(name).GetClassName() for name in node_names(scene) if name not in empty]
    assert not [name for name in new if "Segmentation" in name or "Volume" in name]


def test_results_go_beside_the_ct_in_the_subject_hierarchy(pair, scene):
    pet, ct = pair
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, ct)
    prediction = predict_in_scene(pet, ct, launcher=fake)
    for node in prediction.nodes.values():
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


# Endings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["hang", "after_risk"])
def test_cancel_leaves_nothing(pair, scene, manner, stage, tmp_path):
    manner(stage)
    pet, ct = pair
    before, events = node_names(scene), []
    run = PredictionRun(pet, ct, RunOptions(output=tmp_path / "out"), launcher=fake)
    run.start(events.append)
    wanted, until = {"hang": "progress", "after_risk": "risk"}[stage], time.monotonic() + 30
    while not any(event["event"] == wanted for event in events):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    assert run.running and leftovers(tmp_path)
    run.cancel()
    assert run.wait(20).ending is Ending.CANCELED
    assert run.prediction is None and not run.running
    assert node_names(scene) == before
    assert leftovers(tmp_path) == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "error", "code"),
    [
        ("error", BadInput, "swapped_pet_ct"),
        ("memory", OutOfMemory, "out_of_memory"),
        ("other_grid", ChmflError, "result_geometry"),
    ],
)
def test_an_error_leaves_nothing(pair, scene, manner, how, error, code, tmp_path):
    manner(how)
    before = node_names(scene)
    with pytest.raises(error) as caught:
        predict_in_scene(*pair, launcher=fake)
    assert caught.value.code == code and caught.value.hint
    assert node_names(scene) == before and leftovers(tmp_path) == []


def test_a_child_that_cannot_start_leaves_nothing(pair, scene, tmp_path):
    def no_python(command, environment):
        raise FileNotFoundError("PythonSlicer")

    run = PredictionRun(*pair, launcher=no_python)
    run.start()
    assert run.wait().ending is Ending.FAILED_TO_START
    assert leftovers(tmp_path) == []


def test_an_exception_in_the_callers_callback_stops_the_child(pair, scene, manner, tmp_path):
    manner("hang")
    before = node_names(scene)

    def broken(event):
        raise KeyError("in the panel")

    with pytest.raises(KeyError, match="in the panel"):
        predict_in_scene(*pair, on_event=broken, launcher=fake)
    assert node_names(scene) == before and leftovers(tmp_path) == []


def test_a_scene_closed_during_the_run_gets_no_nodes(pair, scene, tmp_path):
    run = PredictionRun(*pair, launcher=fake)
    run.start()
    scene.Clear(0)
    before = node_names(scene)
    ended = run.wait(30)
    assert (ended.ending, ended.code) == (Ending.ERROR, "node_missing")
    assert node_names(scene) == before and leftovers(tmp_path) == []


def test_nodes_that_were_new_go_when_one_fails(pair, scene, monkeypatch, tmp_path):
    before = node_names(scene)
    monkeypatch.setitem(results._FILL, "box", lambda *arguments: 1 / 0)
    with pytest.raises(ChmflError) as caught:
        predict_in_scene(*pair, launcher=fake)
    assert caught.value.code == "defect"
    assert node_names(scene) == before and leftovers(tmp_path) == []


def test_an_output_that_cannot_be_written_is_an_error(pair, scene, tmp_path):
    before, blocked = node_names(scene), tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ChmflError) as caught:
        predict_in_scene(*pair, RunOptions(output=blocked), launcher=fake)
    assert caught.value.code == "output_unwritable" and "file" in caught.value.message
    assert node_names(scene) == before


# Saving --------------------------------------------------------------------------------------------------------------


def test_results_survive_saving_and_loading(pair, scene, tmp_path):
    pet, ct = pair
    add_transform(ct, rigid(25, (7, 8, 9)))
    show_in_slices(pet, ct)
    output = tmp_path / "out"
    first = predict_in_scene(pet, ct, RunOptions(output=output), launcher=fake)
    html = "<html>\n" + '<p>Prüfung &amp; "Größe" 5 µm</p>\r\n' * 5000
    (output / "report.html").write_text(html, encoding="utf-8", newline="")
    nodes = import_results(scene, pet, ct, output, first.result)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(nodes["segmentation"], SEGMENT_ID, ct)
    place, result = world_ras(ct, (3, 4, 5)), first.result
    path = tmp_path / "scene ü.mrb"
    assert scene.WriteToMRB(str(path)) and path.stat().st_size > 0
    loaded = slicer_headless.new_scene()
    assert loaded.ReadFromMRB(str(path))
    pet, ct = (slicer.util.getFirstNodeByName(name) for name in ("Patient 1 PET", "Patient 1 CT"))
    found = find_results(loaded, pet, ct)
    assert sorted(found) == sorted(CLASSES)
    assert results_of(loaded) == [found | {"pet": pet, "ct": ct}]
    assert stored_report(found["report"]) == html
    before = node_names(loaded)
    assert import_results(loaded, pet, ct, output, result) == found and node_names(loaded) == before
    assert stored_result(found["table"]) == result
    assert world_ras(ct, (3, 4, 5)) == pytest.approx(place, abs=1e-4)
    again = slicer.util.arrayFromSegmentBinaryLabelmap(found["segmentation"], SEGMENT_ID, ct)
    assert np.array_equal(again, mask)
    segment = found["segmentation"].GetSegmentation().GetSegment(SEGMENT_ID)
    assert "SCT^86049000" in segment.GetTerminology()
    assert found["relevance"].GetDisplayNode().GetColorNodeID() == RELEVANCE_COLORS
    red = loaded.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (ct.GetID(), pet.GetID())


# The real child ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_command_line_on_the_phantom(scene, manner, phantom, tiny_bundle, tmp_path):
    pet = slicer_headless.load_volume(phantom / "PET.nii.gz", "--PET von Prüfung")
    ct = slicer_headless.load_volume(phantom / "CT.nii.gz", "CT")
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(phantom / "mask.nii.gz")))
    events, output = [], tmp_path / "out"
    options = RunOptions(model=tiny_bundle, device="cpu", output=output)
    prediction = predict_in_scene(pet, ct, options, events.append)
    names = [event["event"] for event in events]
    risk_at = names.index("risk")
    assert any(event.get("stage") == "segmentation" for event in events[risk_at:])
    assert names[-1] == "result" and 0.0 < prediction.result["risk"] < 1.0
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(prediction.nodes["segmentation"], SEGMENT_ID, ct)
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "segmentation.nii.gz")))
    assert np.array_equal(mask, written) and mask.shape == truth.shape
    inside = np.argwhere(truth).mean(axis=0)[::-1]
    lines = world_ras(ct, inside) - np.array(prediction.result["box"]["center_ras_mm"])
    assert np.all(np.abs(lines) <= np.array(prediction.result["box"]["size_mm"]) / 2)
    assert json.loads((output / "result.json").read_text(encoding="utf-8")) == prediction.result
    assert leftovers(tmp_path) == []
    inputs = prediction.result["inputs"]
    assert inputs == {"pet": {"name": "--PET von Prüfung"}, "ct": {"name": "CT"}}
    told = [path.read_text(encoding="utf-8") for path in output.glob("*.[jh]*")] + [prediction.report]
    assert len(told) == 3 and not any("chmfl-" in text or str(tmp_path) in text for text in told)


def test_cancel_of_the_real_command_line(scene, manner, phantom, tiny_bundle, tmp_path):
    pet = slicer_headless.load_volume(phantom / "PET.nii.gz", "PET")
    ct = slicer_headless.load_volume(phantom / "CT.nii.gz", "CT")
    before, events = node_names(scene), []
    run = PredictionRun(pet, ct, RunOptions(model=tiny_bundle, device="cpu", output=tmp_path / "out"))
    run.start(events.append)
    until = time.monotonic() + 60
    while not events:
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    run.cancel()
    assert run.wait(30).ending is Ending.CANCELED
    assert node_names(scene) == before and leftovers(tmp_path) == [] and not (tmp_path / "out").exists()
