"""The patients of a real MRML scene as a cohort of files, and a row of a cohort in the slice views."""

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.errors import BadInput, Canceled, ChmflError
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.scene import results
from CHMFLPredictorLib.scene.suv import Conversion
from CHMFLTrainingLib.cohort.cohort import Patient, read_cohort
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.scene import cohort
from CHMFLTrainingLib.scene.cohort import patients_of_scene, remove_patient, show_patient, write_cohort


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


def ids(scene) -> list[str]:
    return sorted(scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes()))


# The scene's patients as a cohort ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Three small patients as files."""
    return planted_cases(3, True, 5, tmp_path_factory.mktemp("planted"))


def load(case, name=None, segments=("GTV",), patient=None) -> tuple:
    """A patient's PET, CT and segmentation as the user has them in the scene.

    :param patient: puts the three under this patient and its study in the subject hierarchy.
    """
    name = name or case.patient_id
    pet, ct = (slicer_headless.load_volume(case.paths[at], f"{name} {kind}") for at, kind in ((0, "PET"), (1, "CT")))
    slicer_headless.set_units(pet, "{SUVbw}g/ml", "SUV")
    labels = slicer_headless.load_volume(case.paths.mask, "labels", "vtkMRMLLabelMapVolumeNode")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} contours")
    logic = slicer.modules.segmentations.logic()
    for segment in segments:
        logic.ImportLabelmapToSegmentationNode(labels, segmentation)
        part = segmentation.GetSegmentation()
        part.GetSegment(part.GetNthSegmentID(part.GetNumberOfSegments() - 1)).SetName(segment)
    slicer.mrmlScene.RemoveNode(labels)
    if patient is not None:
        for node in (pet, ct, segmentation):
            put_under(node, patient)
    return pet, ct, segmentation


def put_under(node, patient: str) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    uid = f"{patient}.{node.GetID()}"
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    hierarchy.SetItemUID(item, constants.GetDICOMUIDName(), uid)
    logic = slicer.vtkSlicerSubjectHierarchyModuleLogic
    logic.InsertDicomSeriesInHierarchy(hierarchy, patient, f"{patient}.study", uid)
    hierarchy.SetItemName(hierarchy.GetItemByUID(constants.GetDICOMUIDName(), patient), patient)


def place(node, shift) -> None:
    """Put a node under a transform that turns about S and shifts, mm."""
    matrix = np.eye(4)
    matrix[:2, :2], matrix[:3, 3] = [[0.0, -1.0], [1.0, 0.0]], shift
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Registration")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())


def middle(image: sitk.Image) -> np.ndarray:
    """The center of a mask, RAS mm."""
    index = np.argwhere(sitk.GetArrayFromImage(image) > 0).mean(0)[::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index.tolist())) * (-1, -1, 1)


def values(image: sitk.Image) -> np.ndarray:
    """All voxels in order of size: alike in an image that was turned."""
    return np.sort(sitk.GetArrayFromImage(image), axis=None)


def test_patients_with_their_segmentations_by_name(scene, cases):
    loaded = {name: load(case, name) for case, name in zip(cases, ("STS_001", "STS_002", "STS_003"), strict=True)}
    scene.RemoveNode(loaded["STS_003"][2])
    predicted = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "STS_003 CT tumor (CFL)")
    predicted.GetSegmentation().AddEmptySegment("CFL_tumor")
    predicted.SetAttribute(results.ROLE, "segmentation")
    found = {patient.name: patient for patient in patients_of_scene(scene)}
    assert sorted(found) == sorted(loaded)
    for name in ("STS_001", "STS_002"):
        assert (found[name].pet, found[name].ct, found[name].segmentation) == loaded[name]
        assert found[name].segment_id and not found[name].problem
    assert found["STS_003"].segmentation is None, "what a model found is no truth to train on"
    assert "segmentation" in found["STS_003"].problem


def test_segmentations_by_subject_hierarchy_and_by_what_they_were_drawn_on(scene, cases):
    first = load(cases[0], "scan", patient="Anna")
    second = load(cases[1], "scan", patient="Berta")
    third = load(cases[2], "scan", patient="Clara")
    first[2].SetName("RTSTRUCT")
    second[2].SetName("Segmentation")
    found = {patient.name: patient.segmentation for patient in patients_of_scene(scene)}
    assert found == {"Anna": first[2], "Berta": second[2], "Clara": third[2]}
    third[2].SetReferenceImageGeometryParameterFromVolumeNode(first[1])  # drawn on Anna's CT, wherever it lies now
    found = {patient.name: patient for patient in patients_of_scene(scene)}
    assert found["Clara"].segmentation is None
    assert found["Anna"].segmentation is None and "2 segmentations" in found["Anna"].problem


def test_the_only_segmentation_is_the_only_patients(scene, cases):
    *_, segmentation = load(cases[0], segments=("Bladder", "GTV_Mass", "GTV_Edema"))
    segmentation.SetName("Segmentation")
    (patient,) = patients_of_scene(scene)
    segment = segmentation.GetSegmentation().GetSegment(patient.segment_id)
    assert patient.segmentation is segmentation and segment.GetName() == "GTV_Mass"
    for index, name in enumerate(("Bladder", "Rectum", "Femur")):
        segmentation.GetSegmentation().GetNthSegment(index).SetName(name)
    (patient,) = patients_of_scene(scene)
    assert patient.segmentation is None and "Rectum" in patient.problem


def test_the_cohort_is_where_the_scene_shows_it(scene, cases, tmp_path):
    loaded = [load(case) for case in cases[:2]]
    for node in loaded[1]:
        place(node, (10.0, -20.0, 300.0))
    told, patients = [], patients_of_scene(scene)
    labels = {patients[0].name: 1, patients[1].name: Patient("x", None, None, None, 0, {"age": "61"}, 300.0, 0)}
    before = ids(scene)
    path = write_cohort(tmp_path / "cohort", patients, labels, lambda *one: told.append(one))
    assert ids(scene) == before
    assert told == [(1, 2, patients[0].name), (2, 2, patients[1].name)]
    rows = read_cohort(path)
    assert [(row.patient_id, row.label) for row in rows] == [(patients[0].name, 1), (patients[1].name, 0)]
    assert (rows[1].time, rows[1].event, rows[1].clinical) == (300.0, 0, {"age": "61"})
    for row, case in zip(rows, cases[:2], strict=True):
        pet, mask = volumes.read_pet(row.pet), volumes.read_mask(row.mask)
        original = sitk.ReadImage(str(case.paths.pet)), volumes.read_mask(case.paths.mask).image
        np.testing.assert_array_equal(values(pet.image), values(original[0]))
        assert pet.units == "SUV" and values(mask.image).sum() == values(original[1]).sum()
        assert volumes.read_ct(row.ct).modality == "CT"
    truth = [middle(volumes.read_mask(case.paths.mask).image) for case in cases[:2]]
    np.testing.assert_allclose(middle(volumes.read_mask(rows[0].mask).image), truth[0], atol=0.01)
    r, a, s = truth[1]
    np.testing.assert_allclose(middle(volumes.read_mask(rows[1].mask).image), (10 - a, r - 20, s + 300), atol=0.01)
    assert sorted(file.name for file in path.parent.rglob("*") if file.is_file()) == sorted(
        ["cohort.csv", *["PET.nrrd", "CT.nrrd", "GTV.nrrd"] * 2]
    )


def test_a_pet_in_bqml_is_written_in_suv(scene, cases, tmp_path, monkeypatch):
    pet, *_ = load(cases[0])
    monkeypatch.setattr(cohort.suv, "conversion", lambda node: Conversion(np.array([0.5])))
    path = write_cohort(tmp_path, patients_of_scene(scene), {})
    written = sitk.GetArrayFromImage(volumes.read_pet(read_cohort(path)[0].pet).image)
    np.testing.assert_allclose(written, slicer.util.arrayFromVolume(pet) * 0.5, rtol=1e-6)
    assert read_cohort(path)[0].label is None


def test_who_cannot_be_written_is_named_and_nothing_is(scene, cases, tmp_path):
    with pytest.raises(BadInput) as caught:
        write_cohort(tmp_path, patients_of_scene(scene), {})
    assert caught.value.code == "cohort_scene_empty" and caught.value.hint
    load(cases[0])
    pet, _, segmentation = load(cases[1])
    slicer_headless.set_units(pet, "Bq/ml", "Becquerels/milliliter")
    scene.RemoveNode(segmentation)
    with pytest.raises(BadInput) as caught:
        write_cohort(tmp_path / "cohort", patients_of_scene(scene), {})
    assert caught.value.code == "cohort_scene" and "1 of 2" in caught.value.message
    assert cases[1].patient_id in caught.value.message and "Bq/ml" in caught.value.message
    assert not (tmp_path / "cohort").exists()


def test_a_canceled_writing_leaves_no_cohort(scene, cases, tmp_path):
    load(cases[0]), load(cases[1])

    def stop(number, count, name):
        if number == 2:
            raise Canceled()

    with pytest.raises(Canceled):
        write_cohort(tmp_path, patients_of_scene(scene), {}, stop)
    assert not (tmp_path / "cohort.csv").exists() and not list(tmp_path.rglob(".*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput) as caught:
        write_cohort(tmp_path / "file", patients_of_scene(scene), {})
    assert caught.value.code == "output_unwritable"


# A row in the views --------------------------------------------------------------------------------------------------


def row_of(case) -> Patient:
    return Patient(case.patient_id, *case.paths, label=case.label)


def test_a_patient_is_shown_in_its_place_until_the_next(scene, cases):
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "The user's")
    before = ids(scene)
    nodes = show_patient(scene, row_of(cases[0]))
    assert sorted(nodes) == ["ct", "pet", "segmentation"] and cases[0].patient_id in nodes["pet"].GetName()
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == nodes["ct"].GetID()
    assert composite.GetForegroundVolumeID() == nodes["pet"].GetID()
    display = nodes["segmentation"].GetDisplayNode()
    assert display.GetVisibility2DOutline() and not display.GetVisibility2DFill()
    array = slicer.util.arrayFromVolume(nodes["pet"])
    np.testing.assert_allclose(array, sitk.GetArrayFromImage(sitk.ReadImage(str(cases[0].paths.pet))), rtol=1e-6)
    truth = middle(volumes.read_mask(cases[0].paths.mask).image)
    known = ids(scene)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(nodes["segmentation"], "GTV", nodes["pet"])
    for leftover in set(ids(scene)) - set(known):  # of Slicer's export
        scene.RemoveNode(scene.GetNodeByID(leftover))
    matrix = vtk.vtkMatrix4x4()
    nodes["pet"].GetIJKToRASMatrix(matrix)
    place = matrix.MultiplyPoint([*np.argwhere(drawn).mean(0)[::-1], 1.0])[:3]
    np.testing.assert_allclose(place, truth, atol=0.01)
    axial = scene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetSliceToRAS()
    assert axial.GetElement(2, 3) == pytest.approx(truth[2], abs=0.01)

    count, first = len(ids(scene)), list(nodes.values())
    second = show_patient(scene, row_of(cases[1]))
    assert len(ids(scene)) == count and all(node.GetScene() is None for node in first)
    assert composite.GetForegroundVolumeID() == second["pet"].GetID()
    assert patients_of_scene(scene) == [], "what is shown from files is no patient of the scene"
    remove_patient(scene)
    assert ids(scene) == before and mine.GetScene() is scene


def test_a_patient_that_cannot_be_read_leaves_the_last_one(scene, cases, tmp_path):
    shown = show_patient(scene, row_of(cases[0]))
    before = ids(scene)
    (tmp_path / "broken.nii").write_bytes(b"no image")
    for broken in ({"pet": tmp_path / "broken.nii"}, {"mask": tmp_path / "absent.nii"}):
        with pytest.raises(ChmflError):
            show_patient(scene, Patient(**(vars(row_of(cases[1])) | broken)))
        assert ids(scene) == before and shown["pet"].GetScene() is scene


@pytest.mark.parametrize("kind", ["pet", "ct"])
def test_a_patient_of_one_modality(scene, cases, kind):
    row = Patient(**(vars(row_of(cases[0])) | {("ct" if kind == "pet" else "pet"): None, "mask": None}))
    show_patient(scene, row_of(cases[1]))
    nodes = show_patient(scene, row)
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert list(nodes) == [kind] and composite.GetBackgroundVolumeID() == nodes[kind].GetID()
    assert composite.GetForegroundVolumeID() is None
