"""A PET that Slicer's DICOM module loaded, in Bq/ml or counts, becomes SUV by the tags of its files."""

import shutil
import sys
import tempfile
from pathlib import Path

import made_dicom
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
pytest.importorskip("pydicom", reason="pydicom is not installed: no DICOM to load")
import pydicom
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.child import process
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.errors import BadInput, MissingDependency
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.scene import inputs, suv
from CHMFLPredictorLib.scene.nodes import check_inputs, write_volume
from CHMFLPredictorLib.scene.results import stored_result
from CHMFLPredictorLib.scene.run import PredictionRun, predict_in_scene
from CHMFLPredictorLib.scene.show import show_in_slices

FAKE_CHILD = REPOSITORY / "Testing" / "library" / "fake_child.py"
SUV_OF_1_BQML = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))  # made_dicom's patient: 70 kg, 350 MBq, an hour before


class Database:
    """The one method of ctkDICOMDatabase that is in use (Libs/DICOM/Core/ctkDICOMDatabase.h)."""

    def __init__(self):
        self.files = {}
        self.asked = 0

    def fileForInstance(self, uid):  # noqa: N802
        self.asked += 1
        return self.files.get(uid, "")


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


@pytest.fixture
def database(monkeypatch):
    made = Database()
    monkeypatch.setattr(slicer, "dicomDatabase", made, raising=False)
    return made


def load_as_slicer_does(folder, database):
    """Follow DICOMScalarVolumePlugin.py: files sorted by position, GDCM, left-handed grids turned."""
    headers = {str(path): pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(Path(folder).glob("*.dcm"))}
    first = next(iter(headers.values()))
    axis = np.cross(first.ImageOrientationPatient[:3], first.ImageOrientationPatient[3:])
    files = sorted(headers, key=lambda path: np.dot(headers[path].ImagePositionPatient, axis))
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(files[0])
    for file in files:
        reader.AddFileName(file)
        database.files[headers[file].SOPInstanceUID] = file
    reader.SetSingleFile(0)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    reader.SetDICOMImageIOApproachToGDCM()
    change = vtk.vtkImageChangeInformation()
    change.SetInputConnection(reader.GetOutputPort())
    change.SetOutputSpacing(1, 1, 1)
    change.SetOutputOrigin(0, 0, 0)
    change.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", first.SeriesDescription)
    node.SetAndObserveImageData(change.GetOutputDataObject(0))
    node.SetRASToIJKMatrix(reader.GetRasToIjkMatrix())
    node.CreateDefaultDisplayNodes()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    if not slicer.vtkMRMLVolumeNode.IsIJKCoordinateSystemRightHanded(matrix):
        slicer.vtkMRMLVolumeNode.ReverseSliceOrder(node.GetImageData(), matrix)
        node.SetIJKToRASMatrix(matrix)
        files = files[::-1]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(headers[file].SOPInstanceUID for file in files))
    add_to_hierarchy(node, first)
    return node


def add_to_hierarchy(node, header):
    """Follow DICOMPlugin.addSeriesInSubjectHierarchy: patient, study, series with its modality."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    hierarchy.SetItemUID(item, constants.GetDICOMUIDName(), header.SeriesInstanceUID)
    hierarchy.SetItemAttribute(item, constants.GetDICOMSeriesModalityAttributeName(), header.Modality)
    uids = str(header.PatientID or "anonymous"), header.StudyInstanceUID, header.SeriesInstanceUID
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(hierarchy, *uids)


def write_and_read(pet, conversion, tmp_path):
    write_volume(pet, tmp_path / "PET.nrrd", "PT", conversion, conversion.warnings if conversion else ())
    return sitk.ReadImage(str(tmp_path / "PET.nrrd"))


def assert_same_in_space(image, expected):
    """Same SUV at the same places, whatever the order of the slices."""
    assert image.GetSize() == expected.GetSize()
    size = np.array(image.GetSize())
    for fraction in ((0, 0, 0), (0.3, 0.6, 0.2), (0.5, 0.5, 0.5), (0.7, 0.1, 0.9), (1, 1, 1)):
        index = [int(value) for value in np.rint(np.array(fraction) * (size - 1))]
        other = expected.TransformPhysicalPointToIndex(image.TransformIndexToPhysicalPoint(index))
        assert image[index] == pytest.approx(expected[other], rel=1e-5, abs=1e-6)


# By the tags ---------------------------------------------------------------------------------------------------------


def test_bqml_becomes_suv_and_the_node_stays(scene, database, tmp_path):
    stored = made_dicom.write_series(tmp_path / "pet", RescaleSlope=0.5)
    pet = load_as_slicer_does(tmp_path / "pet", database)
    before = slicer.util.arrayFromVolume(pet).copy()
    conversion = suv.conversion(pet)
    assert conversion.factors == pytest.approx([SUV_OF_1_BQML])
    assert "350 MBq" in conversion.note and "70 kg" in conversion.note and "Bq/ml" in conversion.note
    assert conversion.warnings == [{"code": "pet_converted_to_suv", "text": conversion.note}]
    image = write_and_read(pet, conversion, tmp_path)
    assert image.GetMetaData("chmfl_units") == "SUV"
    assert np.sort(sitk.GetArrayFromImage(image), axis=None) == pytest.approx(
        np.sort(stored, axis=None) * 0.5 * SUV_OF_1_BQML, rel=1e-5
    )
    assert_same_in_space(image, volumes.read_pet(tmp_path / "pet").image)
    assert np.array_equal(slicer.util.arrayFromVolume(pet), before)
    assert pet.GetVoxelValueUnits() is None


def slopes_differ(index, one):
    one.RescaleSlope = 0.5 + 0.25 * index


def beds_differ(index, one):
    """Each slice was decay-corrected to its own time: the factors differ from slice to slice."""
    one.AcquisitionTime = f"10{5 * index:02d}00"
    one.SeriesTime = "130000"
    one.FrameReferenceTime, one.ActualFrameDuration = 120_000 + 60_000 * index, 180_000


@pytest.mark.parametrize("axes", [None, np.diag([1.0, -1.0, -1.0]), np.diag([1.0, 1.0, -1.0])])
@pytest.mark.parametrize("edit", [slopes_differ, beds_differ])
def test_each_slice_gets_its_own_factor(scene, database, tmp_path, edit, axes):
    made_dicom.write_series(tmp_path / "pet", axes=axes, edit=edit)
    pet = load_as_slicer_does(tmp_path / "pet", database)
    conversion = suv.conversion(pet)
    assert len(conversion.factors) == (6 if edit is beds_differ else 1)
    expected = volumes.read_pet(tmp_path / "pet").image
    assert_same_in_space(write_and_read(pet, conversion, tmp_path), expected)
    # a list that runs against the slices is seen by the files' positions
    pet.SetAttribute("DICOM.instanceUIDs", " ".join(pet.GetAttribute("DICOM.instanceUIDs").split()[::-1]))
    assert_same_in_space(write_and_read(pet, suv.conversion(pet), tmp_path), expected)


def test_a_cropped_pet_is_converted_where_one_factor_serves_all(scene, database, tmp_path):
    for name, edit in (("same", None), ("different", beds_differ)):
        made_dicom.write_series(tmp_path / name, edit=edit)
    same, different = (load_as_slicer_does(tmp_path / name, database) for name in ("same", "different"))
    for pet in (same, different):
        slicer.util.updateVolumeFromArray(pet, slicer.util.arrayFromVolume(pet)[1:4].copy())
    assert suv.conversion(same).factors == pytest.approx([SUV_OF_1_BQML])
    with pytest.raises(BadInput) as caught:
        suv.conversion(different)
    assert caught.value.code == "suv_slices_unclear" and "3 slices" in caught.value.message


def philips(suv_scale, activity_scale):
    def edit(index, one):
        one.Units = "CNTS"
        block = one.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", str(suv_scale))
        block.add_new(0x09, "DS", str(activity_scale))

    return edit


@pytest.mark.parametrize(
    ("suv_scale", "activity_scale", "factor", "word"),
    [(0.0004, 1.5, 0.0004, "SUV Scale Factor"), (0, 1.5, 1.5 * SUV_OF_1_BQML, "350 MBq")],
)
def test_philips_counts(scene, database, tmp_path, suv_scale, activity_scale, factor, word):
    made_dicom.write_series(tmp_path / "pet", edit=philips(suv_scale, activity_scale))
    conversion = suv.conversion(load_as_slicer_does(tmp_path / "pet", database))
    assert conversion.factors == pytest.approx([factor])
    assert word in conversion.note and "counts" in conversion.note


def test_gml_is_taken_as_it_is(scene, database, tmp_path):
    stored = made_dicom.write_series(tmp_path / "pet", Units="GML", RescaleSlope=0.001)
    conversion = suv.conversion(pet := load_as_slicer_does(tmp_path / "pet", database))
    assert conversion.factors == [1.0] and conversion.note == "" and conversion.warnings == []
    image = write_and_read(pet, conversion, tmp_path)
    assert image.GetMetaData("chmfl_units") == "SUV" and not image.HasMetaDataKey("chmfl_warnings")
    assert sitk.GetArrayFromImage(image).max() == pytest.approx(stored.max() * 0.001)


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"PatientWeight": None}, "suv_tag_missing", "Patient's Weight (0010,1030)"),
        ({"RadionuclideTotalDose": None}, "suv_tag_missing", "Radionuclide Total Dose (0018,1074)"),
        ({"RadiopharmaceuticalStartTime": None}, "suv_tag_missing", "Start Time (0018,1072)"),
        ({"Units": "CNTS"}, "suv_tag_missing", "(7053,1000)"),
        ({"Units": "PROPCPS"}, "suv_units_unsupported", "PROPCPS"),
        ({"CorrectedImage": ["NORM"]}, "suv_not_corrected", "attenuation"),
        ({"PatientWeight": 7000}, "suv_tag_implausible", "7000"),
    ],
)
def test_what_is_missing_is_said_by_name(scene, database, tmp_path, changes, code, word):
    made_dicom.write_series(tmp_path / "pet", **changes)
    made_dicom.write_series(tmp_path / "ct", "CT", shape=(25, 30))
    pet, ct = (load_as_slicer_does(tmp_path / name, database) for name in ("pet", "ct"))
    with pytest.raises(BadInput) as caught:
        suv.conversion(pet)
    assert caught.value.code == code and word in caught.value.message and caught.value.hint
    check_inputs(pet, ct)  # looks at no file
    refused = inputs.refusal(pet, ct)
    assert refused.code == code and pet.GetName() in refused.message
    assert refused.message == inputs.units_in_words(pet)
    run = PredictionRun(pet, ct, launcher=lambda command, environment: pytest.fail("the child must not be started"))
    run.start()
    assert (run.ended.ending, run.ended.code) == (Ending.ERROR, code)


def test_doubts_and_tracers_are_told_as_from_files(scene, database, tmp_path):
    """The same words and the same SUVmax, whether Slicer or the command line read the series."""
    injection = {"RadiopharmaceuticalStartDateTime": "20200310080000", "Radiopharmaceutical": "PSMA-1007"}
    made_dicom.write_series(tmp_path / "pet", **injection)
    pet = load_as_slicer_does(tmp_path / "pet", database)
    tracer, doubt = suv.conversion(pet).warnings[1:]
    assert (tracer["code"], doubt["code"]) == ("tracer_not_fdg", "injection_times_differ")
    read = volumes.read_pet(tmp_path / "pet")
    words = doubt["text"].split("The PET's SUVmax is ")[1]
    told = {one["code"]: one["text"] for one in read.warnings}
    assert told["injection_times_differ"].endswith(words) and "PSMA-1007" in told["tracer_not_fdg"]
    highest = float(sitk.GetArrayViewFromImage(read.image).max())
    assert words == f"{highest:.2f} by the first, {highest * 2 ** (3600 / 6586.2):.2f} by the second."


# Files and units -----------------------------------------------------------------------------------------------------


def test_files_that_left_the_database_are_missed(scene, database, tmp_path):
    made_dicom.write_series(tmp_path / "pet")
    pet = load_as_slicer_does(tmp_path / "pet", database)
    uids = pet.GetAttribute("DICOM.instanceUIDs").split()
    gone = database.files.pop(uids[3])
    with pytest.raises(BadInput) as caught:
        suv.conversion(pet)
    assert caught.value.code == "suv_files_missing" and "1 of its 6" in caught.value.message
    database.files[uids[3]] = gone
    shutil.rmtree(tmp_path / "pet")  # on a drive that is not there today
    with pytest.raises(BadInput) as caught:
        suv.conversion(pet)
    assert caught.value.code == "suv_files_missing" and ".dcm" in caught.value.message
    database.files.clear()
    with pytest.raises(BadInput) as caught:
        suv.conversion(pet)
    assert caught.value.code == "pet_in_bqml" and caught.value.hint


@pytest.mark.parametrize("known", [True, False])
def test_a_pet_that_somebody_converted_is_not_converted_again(scene, database, tmp_path, known):
    made_dicom.write_series(tmp_path / "pet")
    pet = load_as_slicer_does(tmp_path / "pet", database)
    slicer.util.updateVolumeFromArray(pet, slicer.util.arrayFromVolume(pet) * SUV_OF_1_BQML)
    if not known:
        database.files.clear()
    assert suv.conversion(pet) is None
    assert "taken for" in inputs.units_in_words(pet)


def test_units_that_are_coded_count_and_no_file_is_asked_for(scene, database, tmp_path):
    made_dicom.write_series(tmp_path / "pet", PatientWeight=None)
    pet = load_as_slicer_does(tmp_path / "pet", database)
    slicer_headless.set_units(pet, "{SUVbw}g/ml", "Standardized Uptake Value body weight")
    assert suv.conversion(pet) is None and database.asked == 0
    assert inputs.units_in_words(pet) == "The PET is in body-weight SUV."
    assert write_and_read(pet, None, tmp_path).GetMetaData("chmfl_units") == "SUV"


def test_a_volume_of_the_pet_dicom_extension_is_not_converted_again(scene, database, tmp_path):
    made_dicom.write_series(tmp_path / "pet")
    pet = load_as_slicer_does(tmp_path / "pet", database)
    pet.SetAttribute("DICOM.RWV.instanceUID", "1.2.3")  # it could not read the code of its units
    assert suv.conversion(pet) is None


def test_bqml_that_is_coded_is_converted_whatever_the_values(scene, database, tmp_path):
    made_dicom.write_series(tmp_path / "pet", RescaleSlope=0.001)
    pet = load_as_slicer_does(tmp_path / "pet", database)
    assert suv.conversion(pet) is None
    slicer_headless.set_units(pet, "Bq/ml", "Becquerels/milliliter")
    assert suv.conversion(pet).factors == pytest.approx([SUV_OF_1_BQML])


def test_no_dicom_nothing_to_convert(scene, monkeypatch):
    monkeypatch.delattr(slicer, "dicomDatabase", raising=False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "PET")
    slicer.util.updateVolumeFromArray(node, np.full((3, 4, 5), 5000.0))
    assert suv.conversion(node) is None
    node.SetAttribute("DICOM.instanceUIDs", "1.2 1.3 1.4")
    with pytest.raises(BadInput):
        suv.conversion(node)


def test_without_pydicom_the_prediction_says_so_and_the_panel_waits(scene, database, tmp_path, monkeypatch):
    made_dicom.write_series(tmp_path / "pet")
    made_dicom.write_series(tmp_path / "ct", "CT", shape=(25, 30))
    pet, ct = (load_as_slicer_does(tmp_path / name, database) for name in ("pet", "ct"))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingDependency) as caught:
        suv.conversion(pet)
    assert caught.value.code == "pydicom_missing"
    assert inputs.refusal(pet, ct) is None


# In a run ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["done", "repeats"])
def test_a_run_converts_and_says_so_once(scene, database, tmp_path, monkeypatch, manner):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CHMFL_FAKE", manner)
    stored = made_dicom.write_series(tmp_path / "pet", RadionuclideHalfLife=6400)
    made_dicom.write_series(tmp_path / "ct", "CT", shape=(25, 30), PatientID="other", StudyInstanceUID="1.2.3")
    pet, ct = (load_as_slicer_does(tmp_path / name, database) for name in ("pet", "ct"))
    events = []

    def launcher(command, environment):
        return process.launch([sys.executable, "-u", str(FAKE_CHILD), *command[4:]], environment)

    prediction = predict_in_scene(pet, ct, on_event=events.append, launcher=launcher)
    assert prediction.result["seen"]["pet"]["chmfl_units"] == "SUV"
    factor = 70_000 / (350e6 * 2 ** (-3600 / 6400))
    assert prediction.result["seen"]["pet_max"] == pytest.approx(stored.max() * factor, rel=1e-5)
    told = [event["code"] for event in events if event["event"] == "warning"]
    assert told == ["patients_differ", "pet_converted_to_suv", "half_life_unusual"]
    assert [one["code"] for one in prediction.result["warnings"]] == told
    assert stored_result(prediction.nodes["table"])["warnings"] == prediction.result["warnings"]


def test_the_slice_views_show_bqml_like_suv(scene, database, tmp_path):
    made_dicom.write_series(tmp_path / "pet")
    made_dicom.write_series(tmp_path / "ct", "CT", shape=(25, 30))
    pet, ct = (load_as_slicer_does(tmp_path / name, database) for name in ("pet", "ct"))
    show_in_slices(pet, ct)
    assert pet.GetDisplayNode().GetWindowLevelMax() == pytest.approx(10 / SUV_OF_1_BQML)
    database.files.clear()
    show_in_slices(pet, ct)
    assert pet.GetDisplayNode().GetAutoWindowLevel()


# Patients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", ["STS_002", "STS_042"])
def test_real_dicom_gives_the_suv_of_the_nifti(scene, database, sts, patient, tmp_path):
    series = sts / "dicom" / patient
    if not series.is_dir():
        pytest.skip(f"{series} is not here")
    pet, ct = (load_as_slicer_does(series / name / "image", database) for name in ("PET", "CT"))
    assert inputs.guess_pair(scene) == (pet, ct)
    assert inputs.refusal(pet, ct) is None
    image = write_and_read(pet, suv.conversion(pet), tmp_path)
    expected = sitk.ReadImage(str(sts / "images" / patient / "PET.nii.gz"), sitk.sitkFloat32)
    resampled = sitk.Resample(image, expected, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0)
    ours, theirs = sitk.GetArrayFromImage(resampled), sitk.GetArrayFromImage(expected)
    inside = ours >= 0
    assert inside.mean() > 0.9
    assert np.abs(ours[inside] - theirs[inside]).max() < 0.02 * theirs.max()
    hot = inside & (theirs > 1.0)
    assert np.median(ours[hot] / theirs[hot]) == pytest.approx(1.0, abs=0.005)
