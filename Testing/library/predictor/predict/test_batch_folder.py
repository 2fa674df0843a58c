"""Patients in folders as people keep them: found by names or DICOM headers, and never guessed."""

import os
from pathlib import Path

import pytest
from CHMFLPredictorLib.errors import BadInput, Canceled
from CHMFLPredictorLib.predict.batch import read_rows
from CHMFLPredictorLib.predict.patients import find_patients, write_csv
from made_dicom import write_series


def make(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def found(folder):
    """The only patient, as file names."""
    (row,) = find_patients(folder)
    return {key: os.path.basename(value) for key, value in row.items() if key != "patient_id"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("PET.nii.gz", "CT.nii.gz"), {"pet": "PET.nii.gz", "ct": "CT.nii.gz"}),
        (("pt.nrrd", "ct.mha", "GTV.nii"), {"pet": "pt.nrrd", "ct": "ct.mha", "segmentation": "GTV.nii"}),
        (("STS_001__CT.nii", "STS_001__PT.nii"), {"pet": "STS_001__PT.nii", "ct": "STS_001__CT.nii"}),
        (("petSUV_01.nii", "ct1.nii", "notes.txt"), {"pet": "petSUV_01.nii", "ct": "ct1.nii"}),
        (("PET-CT 7 CT.nii", "PET-CT 7 FDG.nii"), {"pet": "PET-CT 7 FDG.nii", "ct": "PET-CT 7 CT.nii"}),
        (("SUV.nii", "PET.nii", "CT.nii", "CTres.nii"), {"pet": "SUV.nii", "ct": "CT.nii"}),
        (
            ("PET_image.nii.gz", "CT_image.nii.gz", "PET_mask.nii.gz", "CT_mask.nii.gz"),
            {"pet": "PET_image.nii.gz", "ct": "CT_image.nii.gz", "segmentation": "CT_mask.nii.gz"},
        ),
        (
            ("PET.nii", "CT.nii", "tumor.nii", "segmentation.nii"),
            {"pet": "PET.nii", "ct": "CT.nii", "segmentation": "tumor.nii"},
        ),
        (("PET.nii", "CT.nii", ".CT2.nii"), {"pet": "PET.nii", "ct": "CT.nii"}),
        (("PET.nii", "CT.nii", "Octopet.nii", "spect.nii"), {"pet": "PET.nii", "ct": "CT.nii"}),
    ],
)
def test_files_are_known_by_whole_words(tmp_path, names, expected):
    assert found(make(tmp_path / "p", *names)) == expected
    (row,) = find_patients(tmp_path)  # the same from above
    assert row["patient_id"] == "p" and all(Path(row[key]).is_absolute() for key in expected)


def test_a_mask_on_the_pets_grid_serves_where_there_is_no_other(tmp_path):
    assert found(make(tmp_path, "PET.nii", "CT.nii", "PET_mask.nii"))["segmentation"] == "PET_mask.nii"


def test_a_segmentation_of_ours_is_no_input(tmp_path):
    names = ("PET.nii", "CT.nii", "segmentation.nii.gz", "relevance.nii.gz", "result.json")
    assert found(make(tmp_path, *names)) == {"pet": "PET.nii", "ct": "CT.nii"}


def test_the_incomplete_is_left_out_and_said(tmp_path):
    make(tmp_path / "b good", "PET.nii", "CT.nii")
    make(tmp_path / "a no pet", "CT.nii", "x.nii")
    make(tmp_path / "c empty")
    make(tmp_path / "d two CTs", "PET.nii", "CT low.nii", "CT high.nii")
    make(tmp_path / "e two masks", "PET.nii", "CT.nii", "GTV 1.nii", "GTV 2.nii")
    make(tmp_path / "f both", "PET_CT.nii", "CT.nii")
    make(tmp_path / ".hidden", "PET.nii", "CT.nii")
    make(tmp_path / "results", "results.csv", "PET.nii", "CT.nii")
    make(tmp_path, "readme.txt")
    reasons = {}
    (row,) = find_patients(tmp_path, reasons.__setitem__)
    assert row["patient_id"] == "b good"
    assert reasons == {
        "a no pet": "It has no PET.",
        "c empty": "It has no PET and no CT.",
        "d two CTs": "It has 2 files that could be the CT: CT high.nii, CT low.nii.",
        "e two masks": "It has 2 files that could be the mask of the tumor: GTV 1.nii, GTV 2.nii.",
        "f both": "It has no PET.",
    }


def test_nothing_found_says_what_is_looked_for(tmp_path):
    make(tmp_path / "x", "CT.nii")
    with pytest.raises(BadInput) as caught:
        find_patients(tmp_path)
    assert caught.value.code == "batch_folder_empty" and "'x': It has no PET" in caught.value.message
    for word in ("PET", "PT", "SUV", "FDG", "CT", ".nii.gz", "DICOM", "patients.csv"):
        assert word in caught.value.hint
    for folder in (tmp_path / "gone", tmp_path / "x" / "CT.nii"):
        with pytest.raises(BadInput) as caught:
            find_patients(folder)
        assert caught.value.code == "batch_folder_missing" and caught.value.hint
    with pytest.raises(BadInput, match="2 files that could be the CT"):
        find_patients(make(tmp_path / "one", "PET.nii", "CT 1.nii", "CT 2.nii"))


def test_many_reasons_are_cut(tmp_path):
    for number in range(8):
        make(tmp_path / f"p{number}")
    with pytest.raises(BadInput, match=r"8 subfolders.*and 3 more"):
        find_patients(tmp_path)


# Files that lie deeper -----------------------------------------------------------------------------------------------


def test_autopets_folders(tmp_path):
    """Patient, examination, files; the CT on its own grid is taken, and a patient with two has two rows."""
    for folder in ("PETCT_a/2003-PET-CT", "PETCT_b/2004-PET-CT", "PETCT_b/2005-PET-CT"):
        make(tmp_path / folder, "SUV.nii.gz", "PET.nii.gz", "CTres.nii.gz", "CT.nii.gz", "SEG.nii.gz")
    make(tmp_path / "PETCT_c" / "2006-PET-CT", "CT.nii.gz")
    reasons = {}
    rows = find_patients(tmp_path, reasons.__setitem__)
    assert [row["patient_id"] for row in rows] == ["PETCT_a", "PETCT_b_2004-PET-CT", "PETCT_b_2005-PET-CT"]
    for row, folder in zip(rows, ("PETCT_a/2003", "PETCT_b/2004", "PETCT_b/2005"), strict=True):
        for role, name in (("pet", "SUV.nii.gz"), ("ct", "CT.nii.gz"), ("segmentation", "SEG.nii.gz")):
            assert row[role] == str(tmp_path / f"{folder}-PET-CT" / name)
    assert reasons == {"PETCT_c": "It has no PET."}


def test_bids_folders(tmp_path):
    """By modality, with sessions or without; one without a CT is left out, other modalities are ignored."""
    for folder in ("sub-01", "sub-02/ses-1", "sub-02/ses-2"):
        make(tmp_path / folder / "pet", "x_pet.nii.gz", "x_pet.json")
        make(tmp_path / folder / "ct", "x_ct.nii.gz")
        make(tmp_path / folder / "anat", "x_T1w.nii.gz")
    make(tmp_path / "sub-02" / "ses-3" / "pet", "x_pet.nii.gz")
    make(tmp_path, "participants.tsv")
    reasons = {}
    rows = find_patients(tmp_path, reasons.__setitem__)
    assert [row["patient_id"] for row in rows] == ["sub-01", "sub-02_ses-1", "sub-02_ses-2"]
    assert rows[0]["pet"] == str(tmp_path / "sub-01" / "pet" / "x_pet.nii.gz") and "segmentation" not in rows[0]
    assert rows[2]["ct"] == str(tmp_path / "sub-02" / "ses-2" / "ct" / "x_ct.nii.gz")
    assert reasons == {"sub-02_ses-3": "It has no CT."}
    (row,) = find_patients(tmp_path / "sub-01")  # one patient's folder itself
    assert row == {**rows[0], "patient_id": "sub-01"}


def test_what_lies_deeper_is_never_guessed(tmp_path):
    make(tmp_path / "a", "PET.nii", "CT 1.nii", "CT 2.nii")
    make(tmp_path / "a" / "old", "PET.nii", "CT.nii")
    make(tmp_path / "b", "PET.nii")
    make(tmp_path / "b" / "old", "PET.nii", "CT.nii")
    make(tmp_path / "c" / "ct", "low CT.nii", "high CT.nii")
    make(tmp_path / "c" / "pet", "PET.nii")
    make(tmp_path / "d", "GTV.nii")
    make(tmp_path / "d" / "study", "PET.nii", "CT.nii")
    reasons = {}
    (row,) = find_patients(tmp_path, reasons.__setitem__)
    assert row["patient_id"] == "d" and row["segmentation"] == str(tmp_path / "d" / "GTV.nii")
    assert reasons == {
        "a": "It has 2 files that could be the CT: CT 1.nii, CT 2.nii.",
        "b": "It has 2 files that could be the PET: PET.nii, PET.nii.",
        "c": "It has 2 files that could be the CT: high CT.nii, low CT.nii.",
    }


def test_a_pet_and_a_ct_of_two_patients_are_no_pair(tmp_path):
    make(tmp_path / "sub-01" / "pet", "PET.nii")
    make(tmp_path / "sub-02" / "ct", "CT.nii")
    with pytest.raises(BadInput, match="'sub-01': It has no CT; 'sub-02': It has no PET"):
        find_patients(tmp_path)


# DICOM ---------------------------------------------------------------------------------------------------------------


def test_dicom_in_folders_of_its_own(tmp_path):
    pytest.importorskip("pydicom")
    for name in ("p1", "p2"):
        write_series(tmp_path / name / "study" / "s1", "PT", PatientID=name)
        write_series(tmp_path / name / "study" / "s2", "CT", PatientID=name)
    make(tmp_path / "p2", "GTV.nii.gz")
    first, second = find_patients(tmp_path)
    assert first == {
        "patient_id": "p1",
        "pet": str(tmp_path / "p1" / "study" / "s1"),
        "ct": str(tmp_path / "p1" / "study" / "s2"),
    }
    assert second["segmentation"] == str(tmp_path / "p2" / "GTV.nii.gz")


def test_dicom_in_one_folder_and_several_series(tmp_path):
    pytest.importorskip("pydicom")
    write_series(tmp_path / "mixed", "PT")
    write_series(tmp_path / "mixed", "CT")
    for name, modality in (("a", "PT"), ("b", "CT"), ("c", "CT")):
        write_series(tmp_path / "several" / name, modality)
    mixed, several = find_patients(tmp_path)
    assert mixed["pet"] == mixed["ct"] == str(tmp_path / "mixed")
    assert several["pet"] == several["ct"] == str(tmp_path / "several")  # the prediction names the series


def test_a_folder_of_series_is_one_patient(tmp_path):
    pytest.importorskip("pydicom")
    write_series(tmp_path / "case" / "PT", "PT")
    write_series(tmp_path / "case" / "CT", "CT")
    make(tmp_path / "case" / "RTSTRUCT", "readme.txt")
    (row,) = find_patients(tmp_path / "case")
    assert (row["patient_id"], os.path.basename(row["pet"]), os.path.basename(row["ct"])) == ("case", "PT", "CT")
    write_series(tmp_path / "case" / "CT", "CT", PatientID="somebody else")
    with pytest.raises(BadInput, match="no patient") as caught:
        find_patients(tmp_path / "case")
    assert caught.value.code == "batch_folder_empty"


def test_patients_in_one_dicom_folder_are_not_mixed(tmp_path):
    pytest.importorskip("pydicom")
    write_series(tmp_path / "all" / "p1", "PT", PatientID="1")
    write_series(tmp_path / "all" / "p2", "CT", PatientID="2")
    make(tmp_path / "good", "PET.nii", "CT.nii")
    reasons = {}
    assert [row["patient_id"] for row in find_patients(tmp_path, reasons.__setitem__)] == ["good"]
    assert reasons == {"all": "Its DICOM files belong to 2 patients."}


def test_a_search_can_be_stopped(tmp_path):
    pytest.importorskip("pydicom")
    write_series(tmp_path / "p", "PT")
    with pytest.raises(Canceled):
        find_patients(tmp_path, canceled=lambda: True)


# The CSV -------------------------------------------------------------------------------------------------------------


def test_what_is_found_can_be_read_as_a_batch(tmp_path):
    make(tmp_path / "c" / 'Ä, 1; "x"', "PET.nii", "CT.nii", "GTV.nii")
    make(tmp_path / "c" / "2", "PET.nii", "CT.nii")
    rows = find_patients(tmp_path / "c")
    third = {"patient_id": "3", "pet": "p", "ct": "c", "center": "1 2 3", "more": "x"}
    path = write_csv([*rows, third], tmp_path / "b.csv")
    read = read_rows(path)
    assert [row.patient_id for row in read] == ["2", 'Ä, 1; "x"', "3"]
    assert read[1].inputs().pet == rows[1]["pet"] and read[1].inputs().segmentation == rows[1]["segmentation"]
    assert read[0].inputs().segmentation is None and read[2].inputs().center == (1.0, 2.0, 3.0)


def test_a_csv_that_cannot_be_written(tmp_path):
    with pytest.raises(BadInput) as caught:
        write_csv([], tmp_path / "gone" / "b.csv")
    assert caught.value.code == "output_unwritable"


def test_results_never_replace_the_inputs(tmp_path, phantom, tiny_bundle, capsys):
    """The output folder is that of the patients: the mask of a patient must outlive the batch."""
    from small_patient import run

    folder = make(tmp_path / "p", "segmentation.nii.gz")
    for name in ("PET.nii.gz", "CT.nii.gz"):
        (folder / name).symlink_to(phantom / name)
    path = write_csv(find_patients(tmp_path), tmp_path / "b.csv")
    arguments = ["predict", "--batch", path, "--output", tmp_path, "--model", tiny_bundle, "--risk-only"]
    code, events = run(capsys, *arguments)
    assert code == 2 and [e["code"] for e in events if e["event"] == "warning"] == ["output_holds_inputs"]
    assert (folder / "segmentation.nii.gz").read_bytes() == b"x"
    assert sorted(p.name for p in folder.iterdir()) == ["CT.nii.gz", "PET.nii.gz", "segmentation.nii.gz"]
