"""The check of a cohort: what stops a patient, what deserves a look, and that nothing is silently passed over."""

import csv
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.check import check_cohort, check_needs, check_outcomes
from CHMFLTrainingLib.cohort.cohort import Patient, read_cohort, sts_cohort, write_cohort
from CHMFLTrainingLib.cohort.findings import COLUMNS, as_text, counts, refuse_errors, write_findings
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.commands import cli
from CHMFLTrainingLib.methods.registry import all_methods

PATIENTS = 12


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Twelve different small patients, six with the event."""
    return planted_cases(PATIENTS, True, 7, tmp_path_factory.mktemp("phantoms"))


@pytest.fixture
def cohort(phantoms, tmp_path):
    """A cohort of copies of the phantoms' files: (CSV, rows as dictionaries, function that writes and checks)."""
    rows = []
    for case in phantoms:
        files = {}
        for name, path in zip(("pet", "ct", "mask"), case.paths, strict=True):
            files[name] = tmp_path / path.name
            shutil.copyfile(path, files[name])
        rows.append(
            {"patient_id": case.patient_id, **files, "label": case.label, "time": case.time, "event": case.event}
        )

    def check(**options):
        with open(tmp_path / "cohort.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, ["patient_id", "pet", "ct", "mask", "label", "time", "event"])
            writer.writeheader()
            writer.writerows(rows)
        return check_cohort(tmp_path / "cohort.csv", **options)

    return rows, check


def change(path, edit):
    """Rewrite an image by a function of its array."""
    image = sitk.ReadImage(str(path))
    new = sitk.GetImageFromArray(edit(sitk.GetArrayFromImage(image)))
    new.CopyInformation(image)
    sitk.WriteImage(new, str(path))


def move(path, origin):
    image = sitk.ReadImage(str(path))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


def of(checked, patient_id):
    """Severity and code of a patient's findings, notes left out."""
    return [
        (one.severity, one.code) for one in checked.findings if one.patient_id == patient_id and one.severity != "note"
    ]


def test_a_sound_cohort_has_notes_only(cohort):
    rows, check = cohort
    told = []
    checked = check(on_progress=lambda *seen: told.append(seen))
    assert counts(checked.findings)["error"] == 0
    assert [one.code for one in checked.findings if one.severity == "warning"] == ["few_events"]  # six of each
    assert len(checked.usable) == len(checked.patients) == PATIENTS
    assert told == [(number, PATIENTS, row["patient_id"]) for number, row in enumerate(rows)]
    refuse_errors(checked.findings)


def test_every_broken_patient_is_named_and_the_others_stay_usable(cohort):
    rows, check = cohort
    (rows[0]["pet"]).unlink()
    rows[1]["ct"].write_bytes(rows[1]["ct"].read_bytes()[:2000])
    change(rows[2]["mask"], lambda array: array * 0)
    move(rows[3]["mask"], (2000.0, 0.0, 0.0))
    change(rows[4]["pet"], lambda array: array * 9000)
    move(rows[5]["pet"], (3000.0, 0.0, 0.0))
    rows[6]["pet"], rows[6]["ct"] = rows[6]["ct"], rows[6]["pet"]
    rows[7]["label"] = "yes"
    rows[8]["time"] = -5
    rows[9]["mask"] = ""
    checked = check()
    first = {name: [code for severity, code in of(checked, name) if severity == "error"] for name in
             (row["patient_id"] for row in rows)}  # fmt: skip
    assert first["P00"] == ["file_missing"]
    assert first["P01"] in (["truncated_file"], ["damaged_file"], ["unreadable"])
    assert first["P02"] == ["mask_empty"]
    assert first["P03"] == ["mask_outside_ct", "mask_outside_pet"]
    assert first["P04"] == ["pet_in_bqml"]
    assert "no_overlap" in first["P05"]
    assert first["P06"] == ["pet_is_ct", "ct_is_pet"]
    assert first["P07"] == ["label_not_binary"]
    assert first["P08"] == ["time_not_positive"]
    assert first["P09"] == ["mask_missing"]
    assert [one.patient_id for one in checked.usable] == ["P10", "P11"]
    line = {one.patient_id: one.line for one in checked.findings if one.patient_id}
    assert line["P00"] == 2 and line["P09"] == 11
    with pytest.raises(BadInput) as caught:
        refuse_errors(checked.findings)
    assert caught.value.code == "cohort_findings" and "P04" in caught.value.message


def test_findings_are_sorted_and_written(cohort, tmp_path):
    rows, check = cohort
    rows[5]["pet"].unlink()
    rows[2]["label"] = ""  # an outcome with five patients and six folds
    findings = check().findings
    severities = [one.severity for one in findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    write_findings(tmp_path / "findings.csv", findings)
    with open(tmp_path / "findings.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert tuple(table[0]) == COLUMNS and len(table) == len(findings)
    first, second = ([row[name] for name in ("patient_id", "line", "code")] for row in table[:2])
    assert first == ["", "", "too_few_for_folds"] and second == ["P05", "7", "file_missing"]
    assert len(as_text(findings, together=False).splitlines()) == len(findings)
    units = [one for one in findings if one.code == "pet_units_assumed"]
    together = as_text(findings)
    assert len(together.splitlines()) == len(findings) - len(units) + 1 and len(units) == PATIENTS - 1
    assert f"(and {len(units) - 1} more like it)" in together and together.count("[file_missing]") == 1


def test_duplicates_by_name_by_file_and_by_content(cohort):
    rows, check = cohort
    rows[1]["patient_id"] = "p00"
    rows[3]["pet"] = rows[2]["pet"]
    change(rows[5]["ct"], lambda array: sitk.GetArrayFromImage(sitk.ReadImage(str(rows[4]["ct"]))))
    nrrd = rows[7]["mask"].with_suffix(".nrrd")
    sitk.WriteImage(sitk.ReadImage(str(rows[6]["mask"])), str(nrrd))
    rows[7]["mask"] = nrrd
    rows[9]["ct"] = rows[9]["pet"]
    checked = check()
    for name in ("P00", "p00"):
        assert of(checked, name) == [("error", "patient_twice")]
    for name, other in (("P02", "P03"), ("P03", "P02"), ("P04", "P05"), ("P05", "P04")):
        assert of(checked, name) == [("error", "image_twice")]
        assert any(one.patient_id == name and f"{other}'s" in one.text for one in checked.findings)
    assert of(checked, "P06") == of(checked, "P07") == [("warning", "image_twice")]
    assert ("error", "ct_is_pet") in of(checked, "P09")
    texts = [one.text for one in checked.findings if one.code == "image_twice"]
    assert any("the same file" in text for text in texts) and any("voxel for voxel" in text for text in texts)


def test_one_modality_is_a_note(cohort):
    rows, check = cohort
    rows[0]["pet"], rows[1]["ct"] = "", ""
    rows[2]["pet"] = rows[2]["ct"] = ""
    checked = check()
    assert {one.code for one in checked.findings if one.patient_id == "P00"} == {"pet_absent"}
    assert "ct_absent" in {one.code for one in checked.findings if one.patient_id == "P01"}
    assert of(checked, "P02") == [("error", "image_missing")]
    assert len(checked.usable) == PATIENTS - 1


def test_what_methods_need_and_patients_lack_is_an_error(cohort):
    rows, check = cohort
    rows[1]["ct"] = ""
    patients, known = check().patients, all_methods()
    found = check_needs(patients, [known[name] for name in ("TLG", "CHMFL", "HC + RF")])
    assert [(one.severity, one.patient_id, one.code) for one in found] == [("error", "P01", "ct_needed")]
    assert "CHMFL, HC + RF" in found[0].text and "TLG" not in found[0].text
    assert not check_needs(patients, [known["TLG"], known["Clinical"]])


def test_command_says_what_it_found_and_answers_by_its_exit_code(cohort, tmp_path, capsys):
    rows, check = cohort
    check()
    arguments = ["cohort", "check", str(tmp_path / "cohort.csv"), "--preset", "paper"]
    assert cli.main(arguments) == 0
    assert "0 errors, 1 warning" in capsys.readouterr().out
    rows[1]["ct"] = ""
    rows[3]["mask"].write_bytes(b"no image")
    check()
    assert cli.main([*arguments, "--methods", "CFL", "--table", str(tmp_path / "found.csv")]) == 2
    said = capsys.readouterr().out
    assert "P01" in said and "[ct_needed]" in said and "P03" in said and "2 errors" in said
    assert "ct_needed" in (tmp_path / "found.csv").read_text()
    names = [row["patient_id"] for number, row in enumerate(rows) if number not in (1, 3)]
    folds = "".join(f"0,{name},{number // 2 % 2}\n" for number, name in enumerate(names))
    (tmp_path / "folds.csv").write_text("repeat,patient_id,fold\n" + folds)
    assert cli.main([*arguments, "--methods", "CFL", "--folds", str(tmp_path / "folds.csv")]) == 0
    assert "P03" not in capsys.readouterr().out
    assert cli.main(["cohort"]) == 2 and "command_line" in capsys.readouterr().err


def test_tumor_larger_than_the_box_is_told_with_its_share(cohort):
    rows, check = cohort

    def slab(array):  # 96 of 144 mm left-right: half of it lies outside a box of 48 mm
        array[:] = 0
        array[8:16, 8:16, 4:20] = 1
        return array

    change(rows[0]["mask"], slab)
    checked = check(box_mm=(48.0, 112.0, 144.0))
    finding = next(one for one in checked.findings if one.patient_id == "P00" and one.code == "tumor_larger_than_box")
    assert finding.severity == "warning" and "50.0%" in finding.text
    assert not [one for one in check().findings if one.code == "tumor_larger_than_box"]


def test_small_tumor_and_partial_overlap_are_warnings(cohort):
    rows, check = cohort

    def dot(array):
        array[:] = 0
        array[12, 12, 12:15] = 1
        return array

    change(rows[0]["mask"], dot)
    pet = sitk.ReadImage(str(rows[1]["pet"]))
    sitk.WriteImage(pet[:, :, :13], str(rows[1]["pet"]))
    checked = check()
    assert of(checked, "P00") == [("warning", "tumor_small")]
    assert ("warning", "mask_partly_outside_pet") in of(checked, "P01")
    assert len(checked.usable) == PATIENTS


def outcomes(labels, **options):
    patients = [Patient(str(n), None, None, None, label) for n, label in enumerate(labels)]
    return [(one.severity, one.code) for one in check_outcomes(patients, **options)]


def test_label_balance():
    assert outcomes([0, 1] * 24) == []
    assert outcomes([0] * 9) == [("error", "one_outcome")]
    assert outcomes([None] * 3) == [("note", "unlabeled"), ("error", "one_outcome")]
    assert outcomes([0] * 20 + [1] * 5) == [("error", "too_few_for_folds")]
    assert outcomes([0] * 20 + [1] * 5, folds=5) == [("warning", "few_events")]
    assert outcomes([0] * 90 + [1] * 12) == [("warning", "labels_unbalanced")]
    assert outcomes([0, 1] * 24 + [None]) == [("note", "unlabeled")]


def test_label_and_follow_up_are_compared():
    def patient(name, label, time, event):
        return Patient(name, None, None, None, label, {}, time, event)

    many = [patient(f"a{n}", n % 2, 900.0, n % 2) for n in range(20)]
    wrong = [patient("b", 1, 300.0, 0), patient("c", 0, 100.0, 0), patient("d", 1, None, None)]
    found = {one.code: one for one in check_outcomes(many + wrong)}
    assert found["label_is_not_event"].patient_id == "b"
    assert found["labels_censored"].text.startswith("1 patients without the event were followed for less than 900 days")
    assert found["time_unknown"].text.startswith("1 of 23")


def test_cohort_of_the_paper(sts, tmp_path):
    """STS_020's tumor leaves the paper's box, read in mm, and fits into one of twice its sides."""
    cohort = sts_cohort(sts.resolve())  # the CSV holds resolved paths
    patients = [one for one in cohort if one.patient_id in ("STS_001", "STS_002", "STS_020")]
    assert [(one.time, one.event) for one in patients] == [(266.0, 1), (501.0, 0), (None, None)]
    write_cohort(tmp_path / "cohort.csv", patients)
    assert read_cohort(tmp_path / "cohort.csv") == patients
    checked = check_cohort(tmp_path / "cohort.csv")
    assert [one.patient_id for one in checked.usable] == ["STS_001", "STS_002", "STS_020"]
    assert {one.code for one in checked.findings if not one.patient_id} >= {"unlabeled", "too_few_for_folds"}
    assert of(checked, "STS_002") == [] and of(checked, "STS_020") == [("warning", "tumor_larger_than_box")]
    write_cohort(tmp_path / "cohort.csv", patients[2:])
    assert of(check_cohort(tmp_path / "cohort.csv", box_mm=(224.0, 224.0, 288.0)), "STS_020") == []


def test_cohort_may_lack_a_modalitys_column_and_has_times(phantoms, tmp_path):
    path = tmp_path / "cohort.csv"
    files = phantoms[0].paths
    path.write_text(f"patient_id,pet,mask,label,time,event,age\nA,{files.pet},{files.mask},1,90.5,1,60\n"
                    f"B,{files.pet},{files.mask},,,,\n")  # fmt: skip
    first, second = read_cohort(path)
    assert (first.ct, first.time, first.event, first.clinical) == (None, 90.5, 1, {"age": "60"})
    assert (second.label, second.time, second.event, second.clinical) == (None, None, None, {"age": ""})
    write_cohort(tmp_path / "again.csv", [first, second])
    assert read_cohort(tmp_path / "again.csv") == [first, second]


def test_a_cohort_as_a_spreadsheet_saves_it(phantoms, tmp_path):
    """Semicolons, decimal commas, capitals, a byte order mark, rows that were emptied."""
    path = tmp_path / "cohort.csv"
    pet, ct, mask = phantoms[0].paths
    rows = f"Patient_ID;PET;CT;Mask;Label;Time;Event;Age\nA;{pet};{ct};{mask};1,0;90,5;1.0;60,5\n;;;;;;;\n;;;;;;;\n"
    path.write_text(rows, encoding="utf-8-sig", newline="\r\n")
    (one,) = read_cohort(path)
    assert (one.patient_id, one.pet, one.mask) == ("A", pet, mask)
    assert (one.label, one.time, one.event, one.clinical) == (1, 90.5, 1, {"Age": "60,5"})
    assert "semicolon" in next(found.text for found in check_cohort(path).findings if found.code == "separator")


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("120,", "time and event must both"),
        (",1", "time and event must both"),
        ("soon,1", "time is 'soon'"),
        ("nan,1", "time is 'nan'"),
        ("0,0", "time is '0'"),
        ("30,2", "event is '2'"),
    ],
)
def test_times_that_cannot_be_used_are_refused(phantoms, tmp_path, cells, problem):
    path = tmp_path / "cohort.csv"
    pet, ct, mask = phantoms[0].paths
    path.write_text(f"patient_id,pet,ct,mask,label,time,event\nA,{pet},{ct},{mask},1,{cells}\n")
    with pytest.raises(BadInput) as caught:
        read_cohort(path)
    assert caught.value.code == "cohort_rows" and problem in caught.value.message


def test_cases_know_the_times(phantoms, tmp_path):
    from CHMFLTrainingLib.cohort.cases import cases_of

    patient = Patient("A", *phantoms[0].paths, 1, {}, 12.0, 1)
    case = cases_of([patient], tmp_path)[0]
    assert (case.time, case.event) == (12.0, 1) and np.isfinite(case.time)
