"""One folder as an archive exports it: the corrected PET and its CT are taken, or the list to choose from is given."""

import shutil
import struct

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.reading.dicom import is_dicom_file
from CHMFLPredictorLib.reading.study import choose_study
from CHMFLPredictorLib.reading.volumes import read_ct, read_pair, read_pet, read_volume
from made_dicom import STUDY, write_series
from made_volumes import codes, refusal

NAC = {"CorrectedImage": ["NORM", "DTIM", "DECY"], "SeriesDescription": "PET NAC", "SeriesInstanceUID": STUDY + ".20"}


def of(number, **changes):
    return {"SeriesInstanceUID": f"{STUDY}.{number}", **changes}


def no_image(modality):
    def edit(_, one):
        one.Modality = modality
        for keyword in ("Rows", "Columns", "PixelData", "ImagePositionPatient"):
            delattr(one, keyword)

    return edit


def export(folder):
    """What a PACS gives: everything of the examination, each series in a folder with a number."""
    pet, ct = write_series(folder / "1", "PT"), write_series(folder / "2", "CT")
    write_series(folder / "3", "PT", **NAC)
    write_series(
        folder / "4", "CT", slices=2, **of(21, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesDescription="Topo")
    )
    write_series(folder / "5", "PT", **of(22, ImageType=["DERIVED", "SECONDARY", "MIP"], SeriesDescription="MIP"))
    for number, modality in ((6, "RTSTRUCT"), (7, "SR")):
        write_series(folder / str(number), "CT", slices=1, edit=no_image(modality), **of(20 + number))
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(500))
    return pet, ct


def said(warnings):
    """Their codes; the made series are all thin."""
    return [code for code in codes(warnings) if code != "thin_volume"]


def array(volume):
    return sitk.GetArrayFromImage(volume.image)


# One study -----------------------------------------------------------------------------------------------------------


def test_a_whole_export(tmp_path):
    export(tmp_path)
    pet, ct, warnings = read_pair(tmp_path, tmp_path)
    np.testing.assert_array_equal(array(pet), array(read_pet(tmp_path / "1")))
    np.testing.assert_array_equal(array(ct), array(read_ct(tmp_path / "2")))
    assert said(warnings) == ["study_chosen"]
    taken, left = warnings[0]["text"].split("Left alone: ")
    assert "'PET AC' (PT, 6 files), corrected for attenuation," in taken and "'CT soft' (CT, 6 files)" in taken
    for name in ("PET NAC", "Topo", "MIP", "RTSTRUCT", "SR"):
        assert name in left


def test_the_same_in_one_flat_folder(tmp_path):
    export(tmp_path / "a")
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted((tmp_path / "a").rglob("*.dcm"))):
        shutil.copy(path, flat / f"I{number:05d}")
    pet, ct, warnings = read_pair(flat, flat)
    np.testing.assert_array_equal(array(pet), array(read_pet(tmp_path / "a" / "1")))
    np.testing.assert_array_equal(array(ct), array(read_ct(tmp_path / "a" / "2")))
    assert said(warnings) == ["study_chosen"]


def test_where_nothing_was_chosen_nothing_is_noted(tmp_path):
    write_series(tmp_path, "PT")
    write_series(tmp_path, "CT")
    write_series(tmp_path / "rt", "CT", slices=1, edit=no_image("RTSTRUCT"), **of(30))
    assert said(read_pair(tmp_path, tmp_path)[2]) == []


@pytest.mark.parametrize(
    "other",
    [
        of(9, FrameOfReferenceUID=STUDY + ".99"),
        of(9, StudyInstanceUID=STUDY + ".98"),
        of(9, PatientID="another"),
        of(9, slices=3),
        of(9, origin=(-20, -30, 200.0)),
    ],
    ids=["frame", "study", "patient", "range", "place"],
)
def test_the_ct_of_the_pet(tmp_path, other):
    """The other CT is of another frame of reference, study, patient, or does not cover the PET."""
    write_series(tmp_path / "a", "PT")
    write_series(tmp_path / "b", "CT", SeriesDescription="other", **other)
    write_series(tmp_path / "c", "CT")
    pet, ct = choose_study(str(tmp_path))
    assert (pet.description, ct.description) == ("PET AC", "CT soft") and said(pet.notes) == ["study_chosen"]


def test_a_coronal_reformat_is_not_the_ct(tmp_path):
    write_series(tmp_path / "a", "PT", slices=20)
    write_series(tmp_path / "c", "CT", slices=20)
    coronal = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    write_series(tmp_path / "b", "CT", slices=30, axes=coronal, SeriesDescription="coronal", **of(9))
    assert choose_study(str(tmp_path))[1].description == "CT soft"


def test_a_ct_of_no_known_frame_is_taken_and_said(tmp_path):
    write_series(tmp_path / "a", "PT")
    write_series(tmp_path / "c", "CT", FrameOfReferenceUID=STUDY + ".99")
    assert said(read_pair(tmp_path, tmp_path)[2]) == ["frames_of_reference_differ"]


@pytest.mark.parametrize("modality", ["PT", "CT"])
def test_what_stays_open_is_listed_with_what_tells_them_apart(tmp_path, modality):
    write_series(tmp_path / "a", "PT")
    write_series(tmp_path / "b", "CT", ConvolutionKernel="B30f", SliceThickness=3)
    more = {"CT": {"ConvolutionKernel": "B70f"}, "PT": {"StudyDate": "20210101"}}[modality]
    write_series(tmp_path / "c", modality, SeriesDescription="second", **of(9, **more))
    error = refusal(read_pair, tmp_path, tmp_path)
    assert error.code == "study_undecided" and "--pet" in error.hint and "--ct" in error.hint
    for told in ("'second'", str(tmp_path / "c"), *more.values()):
        assert told in error.message
    chosen = {"PT": tmp_path / "a", "CT": tmp_path / "b"}
    chosen[modality] = next((tmp_path / "c").iterdir())  # as the hint says
    assert said(read_pair(chosen["PT"], chosen["CT"])[2]) == []


def test_a_study_without_a_pet_or_ct(tmp_path):
    write_series(tmp_path / "ct", "CT")
    write_series(tmp_path / "pet", "PT")
    for only, code in (("ct", "dicom_no_pet_series"), ("pet", "dicom_no_ct_series")):
        assert refusal(read_pair, tmp_path / only, tmp_path / only).code == code


# AC and NAC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [NAC["CorrectedImage"], "DECY", None], ids=["NAC", "one word", "absent"])
def test_of_two_pets_the_corrected_one_is_taken_and_said(tmp_path, tag):
    write_series(tmp_path, "PT", RescaleSlope=3, **{**NAC, "CorrectedImage": tag})
    stored = write_series(tmp_path / "ac", "PT")
    volume = read_pet(tmp_path)
    np.testing.assert_array_equal(array(volume), array(read_pet(tmp_path / "ac")))
    assert stored.any() and said(volume.warnings) == ["pet_corrected_chosen"]
    assert "PET NAC" in volume.warnings[0]["text"]


def test_two_corrected_pets_stay_a_choice(tmp_path):
    write_series(tmp_path / "1", "PT")
    write_series(tmp_path / "2", "PT", SeriesDescription="PET AC HD", **of(9))
    write_series(tmp_path / "3", "PT", **NAC)
    error = refusal(read_pet, tmp_path)
    assert error.code == "dicom_many_series" and "PET NAC" not in error.message and "2 PET series" in error.message


# Files without preamble or file meta, and the index of a disc ------------------------------------------------------


def bare(folder, implicit=True, little=True, meta=False, name="{}"):
    """Rewrite a series as old archives do: the data set alone, or the file meta and it, without a preamble."""
    for number, path in enumerate(sorted(folder.iterdir())):
        one = pydicom.dcmread(path)
        if not little:
            one["PixelData"].value = np.frombuffer(one.PixelData, "<i2").astype(">i2").tobytes()
        kind = {(True, True): "ImplicitVRLittleEndian", (False, True): "ExplicitVRLittleEndian"}
        syntax = getattr(pydicom.uid, kind.get((implicit, little), "ExplicitVRBigEndian"))
        one.file_meta.TransferSyntaxUID = syntax
        buffer = pydicom.filebase.DicomBytesIO()
        pydicom.dcmwrite(buffer, one, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
        raw = buffer.getvalue()
        length = struct.unpack_from("<I", raw, 140)[0]  # of the file meta behind its own element
        path.unlink()
        (folder / name.format(number, path.name)).write_bytes(raw[132:] if meta else raw[144 + length :])


@pytest.mark.parametrize("name", ["{1}", "IM{0}"], ids=["named .dcm", "without suffix"])
@pytest.mark.parametrize(
    ("implicit", "little", "meta"),
    [(True, True, False), (False, True, False), (False, False, False), (False, True, True), (True, True, True)],
)
@pytest.mark.parametrize("modality", ["PT", "CT"])
def test_files_without_preamble_read_as_with_it(tmp_path, modality, implicit, little, meta, name):
    write_series(tmp_path / "whole", modality)
    shutil.copytree(tmp_path / "whole", tmp_path / "bare")
    bare(tmp_path / "bare", implicit, little, meta, name)
    read = {"PT": read_pet, "CT": read_ct}[modality]
    for given in (tmp_path / "bare", next((tmp_path / "bare").iterdir())):
        assert given.is_dir() or is_dicom_file(str(given))
        np.testing.assert_array_equal(array(read(given)), array(read(tmp_path / "whole")))


def test_what_only_begins_like_dicom_is_passed_over(tmp_path):
    write_series(tmp_path, "CT")
    for name, raw in (("a", b"\x08\0\5\0\x0a\0\0\0" + bytes(300)), ("b", b"\x08\0\x60\0CS\2\0PT" + bytes(300))):
        (tmp_path / name).write_bytes(raw)
    assert read_ct(tmp_path).image.GetSize()[2] == 6


def test_compressed_without_file_meta_is_refused_with_the_cause(tmp_path):
    def edit(_, one):
        one.PixelData = pydicom.encaps.encapsulate([one.PixelData])
        one["PixelData"].VR, one["PixelData"].is_undefined_length = "OB", True
        one.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless

    write_series(tmp_path, "CT", edit=edit)
    for path in tmp_path.iterdir():
        raw = path.read_bytes()
        path.write_bytes(raw[144 + struct.unpack_from("<I", raw, 140)[0] :])
    error = refusal(read_ct, tmp_path)
    assert error.code == "dicom_unreadable_pixels" and "compressed" in error.message


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir", "DicomDir", "DICOMDIR;1", "dicomdir.dcm"])
def test_the_index_of_a_disc_is_no_slice(tmp_path, name):
    from pydicom.fileset import FileSet

    for folder, modality in (("A", "PT"), ("B", "CT")):
        write_series(
            tmp_path / "disc" / folder, modality, StudyDate="20200310", StudyTime="10", StudyID="1", SeriesNumber=1
        )
    index = FileSet()
    for path in (tmp_path / "disc").rglob("*.dcm"):
        index.add(path)
    index.write(tmp_path / "set")
    shutil.copy(tmp_path / "set" / "DICOMDIR", tmp_path / "disc" / name)
    assert said(read_pair(tmp_path / "disc", tmp_path / "disc")[2]) == []
    if name.upper() == "DICOMDIR":
        given = tmp_path / "disc" / name
        assert said(read_pair(given, given)[2]) == [] and read_ct(given).modality == "CT"
        assert refusal(read_volume, given).code == "dicom_many_series"
