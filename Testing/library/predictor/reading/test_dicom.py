"""DICOM series: found, told apart, put together exactly, and refused by name where they do not make a volume."""

import os
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading import dicom
from CHMFLPredictorLib.reading.volumes import read_ct, read_pair, read_pet, read_volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import STUDY, write_series
from scipy.spatial.transform import Rotation

pytest.importorskip("pydicom", reason="pydicom is not installed")

ONE_HOUR = 70_000 / (350e6 * 0.5 ** (3600 / 6586.2))


def refusal(read, path):
    with pytest.raises(BadInput) as caught:
        read(path)
    assert caught.value.exit_code == 2 and caught.value.hint and caught.value.message
    return caught.value


def array(volume):
    return sitk.GetArrayFromImage(volume.image)


def test_pet_series_becomes_suv_sorted_by_position(tmp_path):
    stored = write_series(tmp_path, "PT")
    pet = read_pet(tmp_path)
    assert (pet.modality, pet.units) == ("PT", "SUV")
    assert pet.image.GetPixelID() == sitk.sitkFloat32
    assert pet.image.GetSize() == (12, 10, 6)
    assert pet.image.GetSpacing() == pytest.approx((5, 4, 3)) and pet.image.GetOrigin() == pytest.approx((-20, -30, 0))
    np.testing.assert_allclose(array(pet), stored * ONE_HOUR, rtol=1e-6)
    assert pet.dicom["series_uid"] == STUDY + ".2"


def test_unusual_suv_warns(tmp_path):
    write_series(tmp_path, "PT", slices=12, RescaleSlope=100)
    assert [warning["code"] for warning in read_pet(tmp_path).warnings] == ["suv_unusual"]


def test_ct_series_in_hounsfield_units(tmp_path):
    stored = write_series(tmp_path, "CT")
    ct = read_ct(tmp_path)
    assert (ct.modality, ct.units) == ("CT", "HU")
    np.testing.assert_array_equal(array(ct), stored - 1024.0)


def test_padding_below_air_is_air(tmp_path):
    def pad(index, one):
        one.PixelData = b"\x30\xf8" * 10 + one.PixelData[20:]  # -2000 stored: -3024 HU

    write_series(tmp_path, "CT", edit=pad)
    assert array(read_ct(tmp_path)).min() == -1024


def test_rescale_and_intercept_are_each_slices_own(tmp_path):
    def scale(index, one):
        one.RescaleSlope, one.RescaleIntercept = 0.5 + index, 10 * index

    stored = write_series(tmp_path, "PT", edit=scale)
    index = np.arange(6)[:, None, None]
    np.testing.assert_allclose(array(read_pet(tmp_path)), (stored * (0.5 + index) + 10 * index) * ONE_HOUR, rtol=1e-6)


def test_suv_factor_is_each_slices_own(tmp_path):
    def scale(index, one):
        one.private_block(0x7053, "Philips PET Private Group", create=True).add_new(
            0x00, "DS", str(0.001 * (index + 1))
        )

    stored = write_series(tmp_path, "PT", edit=scale, Units="CNTS")
    expected = stored * 0.001 * np.arange(1, 7)[:, None, None]
    np.testing.assert_allclose(array(read_pet(tmp_path)), expected, rtol=1e-6)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rotation=st.tuples(*[st.floats(-180, 180)] * 3),
    flips=st.tuples(st.booleans(), st.booleans()),
    step=st.floats(0.5, 10).map(lambda value: round(value, 3))
    | st.floats(-10, -0.5).map(lambda value: round(value, 3)),
    origin=st.tuples(*[st.floats(-1000, 1000)] * 3),
)
def test_any_orientation_puts_every_voxel_in_its_place(tmp_path_factory, rotation, flips, step, origin):
    """Each voxel lies where DICOM's own equation (PS3.3 C.7.6.2.1.1) puts it, whatever the order of slices."""
    axes = Rotation.from_euler("xyz", rotation, degrees=True).as_matrix()
    for axis, flip in enumerate(flips):
        axes[:, axis] *= -1 if flip else 1
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    folder = tmp_path_factory.mktemp("oblique")
    stored = write_series(folder, "PT", slices=4, shape=(5, 7), step=step, axes=axes, origin=origin)
    volume = read_volume(folder)
    for k, row, column in [(0, 0, 0), (3, 4, 6), (1, 2, 5), (2, 0, 6)]:
        point = np.array(origin) + axes[:, 2] * step * k + axes[:, 0] * 5 * column + axes[:, 1] * 4 * row
        index = volume.image.TransformPhysicalPointToContinuousIndex(point.tolist())
        np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
        assert volume.image[[round(value) for value in index]] == stored[k, row, column]
    assert np.linalg.det(np.reshape(volume.image.GetDirection(), (3, 3))) == pytest.approx(1, abs=1e-6)


def test_agrees_with_itks_own_series_reader(tmp_path):
    axes = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    write_series(tmp_path, "CT", axes=axes)
    ours = read_volume(tmp_path).image
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    theirs = sitk.ReadImage(names, sitk.sitkFloat32)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    for get in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(ours, get)() == pytest.approx(getattr(theirs, get)(), abs=1e-5)


@pytest.mark.parametrize("pack", ["pack_rle", "pack_jpeg2000"])
def test_compressed_slices(tmp_path, pack):
    ct = write_series(tmp_path / "ct", "CT", shape=(64, 64))
    pet = write_series(
        tmp_path / "pet", "PT", shape=(64, 64), edit=lambda i, one: setattr(one, "RescaleSlope", 0.37 + i)
    )
    for kind in ("ct", "pet"):
        globals()[pack](tmp_path / kind, tmp_path / f"packed {kind}")
    np.testing.assert_array_equal(array(read_ct(tmp_path / "packed ct")), ct - 1024.0)
    expected = pet * (0.37 + np.arange(6)[:, None, None]) * ONE_HOUR
    np.testing.assert_allclose(array(read_pet(tmp_path / "packed pet")), expected, rtol=1e-6)


def pack_rle(source, target):
    import pydicom
    from pydicom.uid import RLELossless

    target.mkdir()
    for path in source.iterdir():
        one = pydicom.dcmread(path)
        one.compress(RLELossless)
        one.save_as(target / path.name)


def pack_jpeg2000(source, target):
    """Replace the pixels of each slice by what ITK's own encoder makes of them."""
    import pydicom
    from pydicom.uid import JPEG2000Lossless

    target.mkdir()
    for path in source.iterdir():
        one = pydicom.dcmread(path)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG2000")
        writer.SetFileName(str(target / "encoded.dcm"))
        writer.Execute(sitk.GetImageFromArray(one.pixel_array))
        encoded = pydicom.dcmread(target / "encoded.dcm")
        assert encoded.file_meta.TransferSyntaxUID == JPEG2000Lossless
        one.PixelData = encoded.PixelData
        one["PixelData"].VR = "OB"
        one["PixelData"].is_undefined_length = True
        one.file_meta.TransferSyntaxUID = JPEG2000Lossless
        one.save_as(target / path.name)
        (target / "encoded.dcm").unlink()


# Which series ---------------------------------------------------------------------------------------------------------


def test_examination_folder_with_pet_and_ct(tmp_path):
    pet, ct = write_series(tmp_path / "a", "PT"), write_series(tmp_path / "b", "CT")
    (tmp_path / "notes.txt").write_text("nothing")
    np.testing.assert_allclose(array(read_pet(tmp_path)), pet * ONE_HOUR, rtol=1e-6)
    np.testing.assert_array_equal(array(read_ct(tmp_path)), ct - 1024.0)
    error = refusal(read_volume, tmp_path)
    assert error.code == "dicom_many_series" and "PET AC" in error.message and "CT soft" in error.message


def test_two_series_of_one_modality_are_refused_by_name_and_one_file_chooses(tmp_path):
    write_series(tmp_path / "ac", "PT")
    other = write_series(
        tmp_path / "nac", "PT", SeriesInstanceUID=STUDY + ".77", SeriesDescription="PET NAC", RescaleSlope=2
    )
    error = refusal(read_pet, tmp_path)
    assert error.code == "dicom_many_series"
    for text in ("PET AC", "PET NAC", STUDY + ".2", STUDY + ".77"):
        assert text in error.message
    chosen = next((tmp_path / "nac").iterdir())
    np.testing.assert_allclose(array(read_pet(chosen)), other * 2 * ONE_HOUR, rtol=1e-6)


def test_two_series_in_one_flat_folder(tmp_path):
    write_series(tmp_path, "PT")
    write_series(tmp_path, "CT")
    assert read_pet(tmp_path).modality == "PT" and read_ct(tmp_path).modality == "CT"


def test_scout_and_structure_set_are_no_second_series(tmp_path):
    write_series(tmp_path / "ct", "CT")
    write_series(tmp_path / "scout", "CT", slices=1, SeriesInstanceUID=STUDY + ".5")
    write_series(tmp_path / "top", "CT", SeriesInstanceUID=STUDY + ".6", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])

    def structure(index, one):
        one.Modality = "RTSTRUCT"
        for keyword in ("Rows", "Columns", "PixelData", "ImagePositionPatient"):
            delattr(one, keyword)

    write_series(tmp_path / "rt", "CT", slices=1, SeriesInstanceUID=STUDY + ".8", edit=structure)
    assert read_ct(tmp_path).image.GetSize()[2] == 6
    assert refusal(read_ct, tmp_path / "rt").code == "dicom_no_image_series"


def test_wrong_modality_is_said(tmp_path):
    write_series(tmp_path / "ct", "CT")
    write_series(tmp_path / "pet", "PT")
    assert refusal(read_pet, tmp_path / "ct").code == "pet_is_ct"
    assert refusal(read_ct, tmp_path / "pet").code == "ct_is_pet"
    with pytest.raises(BadInput) as caught:
        read_pair(tmp_path / "ct", tmp_path / "pet")
    assert caught.value.code == "swapped_pet_ct"
    with pytest.raises(BadInput) as caught:
        read_pair(tmp_path / "ct", tmp_path / "ct")
    assert caught.value.code == "dicom_no_pet_series"


def test_no_series_of_the_modality_among_several(tmp_path):
    write_series(tmp_path / "a", "CT")
    write_series(tmp_path / "b", "CT", SeriesInstanceUID=STUDY + ".4")
    error = refusal(read_pet, tmp_path)
    assert error.code == "dicom_no_pet_series" and STUDY + ".4" in error.message


def test_folder_without_dicom(tmp_path):
    assert refusal(read_pet, tmp_path).code == "dicom_none"
    (tmp_path / "CT.nii.gz").write_bytes(b"abc")
    error = refusal(read_pet, tmp_path)
    assert error.code == "dicom_none" and "CT.nii.gz" in error.message


def test_folder_with_too_many_files(tmp_path, monkeypatch):
    write_series(tmp_path, "CT")
    monkeypatch.setattr(dicom, "MOST_FILES", 5)
    assert refusal(read_ct, tmp_path).code == "dicom_too_many_files"


def test_files_without_suffix_and_beside_others(tmp_path):
    stored = write_series(tmp_path, "CT")
    for index, path in enumerate(sorted(tmp_path.iterdir())):
        path.rename(tmp_path / f"IM{index}")
    (tmp_path / "DICOMDIR").write_bytes(b"x")
    (tmp_path / "readme").write_text("text")
    np.testing.assert_array_equal(array(read_ct(tmp_path)), stored - 1024.0)


def test_unicode_spaces_and_long_paths(tmp_path):
    folder = tmp_path / "Größe 日本 – CT scan" / ("x" * 100) / ("y" * 100)
    write_series(folder, "CT")
    assert read_ct(folder).image.GetSize() == (12, 10, 6)


# Slices that make no volume -------------------------------------------------------------------------------------------


def without(*left_out):
    return lambda index, one: index not in left_out


def test_missing_slices_are_counted_and_placed(tmp_path):
    write_series(tmp_path, "CT", slices=10, edit=without(4, 5))
    error = refusal(read_ct, tmp_path)
    assert error.code == "dicom_missing_slices"
    assert "about 2 of 10" in error.message and "9.00 to 18.00 mm" in error.message and ".dcm" in error.message


def test_slices_missing_at_the_end_are_warned_of(tmp_path):
    write_series(tmp_path, "PT", slices=14, edit=without(12, 13), NumberOfSlices=14)
    assert [warning["code"] for warning in read_pet(tmp_path).warnings] == ["dicom_fewer_slices"]


def test_duplicate_slice_is_named(tmp_path):
    write_series(tmp_path, "CT")
    first = sorted(tmp_path.iterdir())[0]
    shutil.copy(first, tmp_path / "copy.dcm")
    error = refusal(read_ct, tmp_path)
    assert error.code == "dicom_duplicate_slices" and "copy.dcm" in error.message and first.name in error.message


def test_gated_series_is_refused_as_duplicates(tmp_path):
    write_series(tmp_path / "a", "PT")
    write_series(tmp_path / "b", "PT")
    error = refusal(read_pet, tmp_path)
    assert error.code == "dicom_duplicate_slices" and "2 volumes" in error.hint


def test_uneven_steps(tmp_path):
    def move(index, one):
        if index == 3:
            one.ImagePositionPatient = [-20, -30, 10]

    write_series(tmp_path, "CT", edit=move)
    error = refusal(read_ct, tmp_path)
    assert error.code == "dicom_irregular_slices" and "2 to 4" in error.message


def test_gantry_tilt(tmp_path):
    def tilt(index, one):
        one.ImagePositionPatient = [-20, -30 + 0.5 * index, 3 * index]

    write_series(tmp_path, "CT", edit=tilt)
    error = refusal(read_ct, tmp_path)
    assert error.code == "sheared" and "9.5 degrees" in error.message


def test_rows_and_columns_not_at_right_angles(tmp_path):
    def skew(index, one):
        one.ImageOrientationPatient = [1, 0, 0, 0.1, 0.995, 0]

    write_series(tmp_path, "CT", edit=skew)
    assert refusal(read_ct, tmp_path).code == "sheared"


@pytest.mark.parametrize(
    "tag",
    [("ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), ("PixelSpacing", [3, 3]), ("ImageOrientationPatient", None)],
)
def test_mixed_slices(tmp_path, tag):
    def mix(index, one):
        if index == 2:
            setattr(one, *tag)

    write_series(tmp_path, "CT", edit=mix)
    code = "dicom_no_position" if tag[1] is None else "dicom_mixed_geometry"
    error = refusal(read_ct, tmp_path)
    assert error.code == code and ".dcm" in error.message


def test_single_slice(tmp_path):
    write_series(tmp_path, "CT", slices=1)
    assert refusal(read_ct, tmp_path).code == "one_slice"


def test_zero_and_huge_spacing(tmp_path):
    write_series(tmp_path / "zero", "CT", edit=lambda index, one: setattr(one, "PixelSpacing", [0, 2]))
    write_series(tmp_path / "huge", "CT", step=500.0)
    assert refusal(read_ct, tmp_path / "zero").code == "bad_spacing"
    assert refusal(read_ct, tmp_path / "huge").code == "bad_spacing"


def test_multiframe_and_color(tmp_path):
    write_series(tmp_path / "enhanced", "CT", NumberOfFrames=3)
    write_series(tmp_path / "color", "CT", SamplesPerPixel=3)
    assert refusal(read_ct, tmp_path / "enhanced").code == "dicom_multiframe"
    assert refusal(read_ct, tmp_path / "color").code == "color_volume"


def test_damaged_files_are_not_skipped(tmp_path):
    for kind in ("truncated", "zero", "text", "pixels"):
        write_series(tmp_path / kind, "CT")
    victim = {kind: sorted((tmp_path / kind).iterdir())[2] for kind in ("truncated", "zero", "text", "pixels")}
    victim["truncated"].write_bytes(victim["truncated"].read_bytes()[:-50])
    victim["zero"].write_bytes(b"")
    victim["text"].write_bytes(b"this is no DICOM file at all" * 20)
    victim["pixels"].write_bytes(victim["pixels"].read_bytes()[:-260])
    expected = {"truncated": "truncated_file", "zero": "empty_file", "text": "unreadable"}
    for kind, path in victim.items():
        error = refusal(read_ct, tmp_path / kind)
        assert path.name in error.message
        assert error.code == expected.get(kind, error.code)
        assert error.code in ("truncated_file", "empty_file", "unreadable", "dicom_unreadable_pixels")


def test_missing_pydicom_is_said(tmp_path, monkeypatch):
    import sys

    from CHMFLPredictorLib.errors import MissingDependency

    write_series(tmp_path, "CT")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingDependency) as caught:
        read_ct(tmp_path)
    assert caught.value.exit_code == 5 and "pip install pydicom" in caught.value.hint


def test_pet_and_ct_of_different_patients_and_frames_warn(tmp_path):
    write_series(tmp_path / "pet", "PT", slices=20, shape=(40, 40))
    write_series(
        tmp_path / "ct", "CT", slices=20, shape=(80, 80), PatientID="someone else", FrameOfReferenceUID=STUDY + ".99"
    )
    _, _, warnings = read_pair(tmp_path / "pet", tmp_path / "ct")
    assert {"patients_differ", "frames_of_reference_differ"} <= {warning["code"] for warning in warnings}


# Real studies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", ["STS_002", "STS_042"])
def test_real_study_equals_its_nifti(sts, patient):
    """One folder with PET, CT and structure sets; the publisher's NIfTI has the same voxels on the same grid."""
    pet, ct, warnings = read_pair(sts / "dicom" / patient, sts / "dicom" / patient)
    assert warnings == []
    for ours, name in ((pet, "PET"), (ct, "CT")):
        theirs = sitk.ReadImage(str(sts / "images" / patient / f"{name}.nii.gz"), sitk.sitkFloat32)
        np.testing.assert_array_equal(array(ours), sitk.GetArrayFromImage(theirs))
        for get, tolerance in (("GetOrigin", 1e-4), ("GetSpacing", 1e-6), ("GetDirection", 1e-6)):
            assert getattr(ours.image, get)() == pytest.approx(getattr(theirs, get)(), abs=tolerance)


def test_real_study_in_bqml_gives_the_same_suv(sts, tmp_path):
    """The pixels of STS_042 as the scanner would store them, in Bq/ml at the series time: SUV must come back."""
    import pydicom

    source = sts / "dicom" / "STS_042" / "PET" / "image"
    for name in sorted(os.listdir(source)):
        one = pydicom.dcmread(source / name)
        dose = float(one.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose)
        uptake_s = (10 - 8) * 3600 + (17 - 50) * 60 + 57  # injected 8:50:00, series 10:17:57
        at_scan = dose * 2 ** (-uptake_s / float(one.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife))
        assert (one.SeriesTime, one.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime) == (
            "101757",
            "085000",
        )
        one.RescaleSlope = f"{float(one.RescaleSlope) * at_scan / (1000 * float(one.PatientWeight)):.10g}"
        one.Units, one.DecayCorrection = "BQML", "START"
        one.save_as(tmp_path / name)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(sts / "images" / "STS_042" / "PET.nii.gz")))
    np.testing.assert_allclose(array(read_pet(tmp_path)), expected, rtol=2e-6)
