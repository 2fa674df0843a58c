"""A batch: every row in, every row out, and no work done twice."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.predict.batch import COLUMNS, RESULTS_FILE, Row, read_rows
from small_patient import center_of, run, small  # noqa: F401


def write(path: Path, rows: list[list[str]], separator=",", encoding="utf-8") -> Path:
    with open(path, "w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=separator).writerows(rows)
    return path


def table(output: Path) -> dict[str, dict]:
    with open(output / RESULTS_FILE, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        assert tuple(reader.fieldnames) == COLUMNS
    return {f"{number} {row['patient_id']}": row for number, row in enumerate(rows)}


@pytest.fixture
def patients(small, tmp_path) -> Path:  # noqa: F811
    """Three good rows and three bad ones, with paths relative to the CSV."""
    for name in ("PET", "CT", "mask"):
        shutil.copy(small / f"{name}.nii.gz", tmp_path / f"{name}.nii.gz")
    center = " ".join(center_of(small / "mask.nii.gz"))
    rows = [
        ["Patient_ID", "PET", "CT", "Segmentation", "Center"],
        ["a", "PET.nii.gz", "CT.nii.gz", "", center],
        ["no file", "gone.nii.gz", "CT.nii.gz", "", ""],
        ["b/é", "PET.nii.gz", str(tmp_path / "CT.nii.gz"), "mask.nii.gz", ""],
        ["A", "PET.nii.gz", "CT.nii.gz", "", ""],
        ["c", "PET.nii.gz", "", "", ""],
        ["d", "PET.nii.gz", "CT.nii.gz", "", "1 2"],
    ]
    return write(tmp_path / "patients.csv", rows)


@pytest.mark.slow
def test_batch_reports_bad_rows_and_resumes(patients, tiny_bundle, capsys):
    output = patients.parent / "out"
    arguments = ["predict", "--batch", patients, "--output", output, "--model", tiny_bundle, "--risk-only"]
    code, events = run(capsys, *arguments)
    assert code == 0 and events[-1]["event"] == "result"
    assert (events[-1]["done"], events[-1]["failed"], events[-1]["skipped"]) == (2, 4, 0)
    assert {e.get("patient_id") for e in events if e["event"] == "risk"} == {"a", "b/é"}
    rows = table(output)
    assert [row["status"] for row in rows.values()] == ["done", "failed", "done", "failed", "failed", "failed"]
    codes = [row["error_code"] for row in rows.values() if row["status"] == "failed"]
    assert codes == ["not_found", "patient_twice", "row_incomplete", "center_not_finite"]
    assert all(row["error_message"] and row["error_hint"] for row in rows.values() if row["status"] == "failed")
    assert sorted(p.name for p in output.iterdir()) == ["a", "b_é", RESULTS_FILE]
    result = json.loads((output / "b_é" / "result.json").read_text(encoding="utf-8"))
    row = rows["2 b/é"]
    assert float(row["risk"]) == result["risk"] and row["found_by"] == "mask" and row["folder"] == "b_é"
    assert float(row["risk_low"]) <= float(row["risk"]) <= float(row["risk_high"])

    first = {name: (output / name / "result.json").stat().st_mtime_ns for name in ("a", "b_é")}
    shutil.copy(patients.parent / "PET.nii.gz", patients.parent / "gone.nii.gz")
    code, events = run(capsys, *arguments)
    assert (events[-1]["done"], events[-1]["failed"], events[-1]["skipped"]) == (1, 3, 2)
    assert first == {name: (output / name / "result.json").stat().st_mtime_ns for name in first}
    assert table(output)["1 no file"]["status"] == "done" and table(output)["2 b/é"] == row

    (patients.parent / "mask.nii.gz").touch()  # the mask was saved again: that patient is stale
    code, events = run(capsys, *arguments)
    assert (events[-1]["done"], events[-1]["skipped"]) == (1, 2)
    assert (output / "a" / "result.json").stat().st_mtime_ns == first["a"]


def test_canceled_batch_keeps_what_is_finished(patients, tiny_bundle, capsys, monkeypatch):
    from CHMFLPredictorLib.errors import Canceled
    from CHMFLPredictorLib.predict import prediction

    output, real, calls = patients.parent / "out", prediction.prepare, []

    def second_is_canceled(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Canceled()
        return real(*arguments)

    monkeypatch.setattr(prediction, "prepare", second_is_canceled)
    code, events = run(
        capsys, "predict", "--batch", patients, "--output", output, "--model", tiny_bundle, "--risk-only"
    )
    assert code == 3 and events[-1]["code"] == "canceled"
    assert sorted(p.name for p in output.iterdir()) == ["a", RESULTS_FILE]
    assert [row["status"] for row in table(output).values()] == ["done", "failed"]


def test_memory_and_defects_cost_one_row(patients, tiny_bundle, capsys, monkeypatch):
    errors = iter([MemoryError(), KeyError("surprise")])

    def broken(*_):
        raise next(errors)

    monkeypatch.setattr("CHMFLPredictorLib.predict.prediction.prepare", broken)
    output = patients.parent / "out"
    code, _ = run(capsys, "predict", "--batch", patients, "--output", output, "--model", tiny_bundle)
    assert code == 2  # no row could be predicted
    codes = [row["error_code"] for row in table(output).values()]
    assert codes[0] == "out_of_memory" and codes[2] == "defect"


def test_person_reads_one_sentence(patients, tiny_bundle, capsys):
    from CHMFLPredictorLib.commands.cli import main

    output = patients.parent / "out"
    common = ["predict", "--batch", str(patients), "--output", str(output), "--model", str(tiny_bundle), "--risk-only"]
    assert main(common) == 0
    seen = capsys.readouterr()
    assert seen.out.count("\n") == 1 and "2 predicted" in seen.out and "4 failed" in seen.out
    assert "no file: " in seen.err and "Traceback" not in seen.err


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "batch_columns"),
        ("patient_id,pet\na,b\n", "batch_columns"),
        ("patient_id,pet,ct\n", "batch_empty"),
        ("patient_id,pet,ct\n,,\n\n", "batch_empty"),
        (b"patient_id,pet,ct\n\xff\xfe,1,2\n", "batch_unreadable"),
        (None, "batch_unreadable"),
    ],
)
def test_unusable_batch(tmp_path, tiny_bundle, capsys, content, code):
    path = tmp_path / "patients.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended, events = run(capsys, "predict", "--batch", path, "--output", tmp_path / "out", "--model", tiny_bundle)
    assert ended == 2 and events[-1]["code"] == code and events[-1]["hint"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_spreadsheets_write_many_kinds_of_csv(tmp_path, separator, encoding):
    rows = [["patient_id", "ct", "pet", "center"], ["ä 1", "c.nii", "p,1.nii", "-1.5 2 3e2"], ["", "", "", ""]]
    (row,) = read_rows(write(tmp_path / "x.csv", rows, separator, encoding))
    inputs = row.inputs()
    assert row.patient_id == "ä 1" and inputs.center == (-1.5, 2.0, 300.0)
    assert inputs.pet == str(tmp_path / "p,1.nii")


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        ("-1,5 2,0 3", (-1.5, 2, 3)),
        ("1, 2, 3", (1, 2, 3)),
        ("1,2,3", (1, 2, 3)),
        ("1;2;3,5", (1, 2, 3.5)),
        ("1,234 2 3", None),
    ],
)
def test_centers_with_decimal_commas(tmp_path, center, expected):
    row = Row({"patient_id": "a", "pet": "p", "ct": "c", "center": center}, 2, tmp_path)
    if expected:
        assert row.inputs().center == expected
    else:
        with pytest.raises(BadInput, match="not three numbers"):
            row.inputs()


def test_a_value_with_the_separator_in_it_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("patient_id,pet,ct\na,p,1.nii,c.nii\n")
    with pytest.raises(BadInput, match=r"more cells than there are columns: c\.nii"):
        read_rows(tmp_path / "x.csv")[0].inputs()


def test_center_and_segmentation_do_not_go_together(tmp_path):
    row = Row({"patient_id": "a", "pet": "p", "ct": "c", "center": "1 2 3", "segmentation": "m"}, 2, tmp_path)
    with pytest.raises(BadInput, match="Both"):
        row.inputs()


@pytest.mark.parametrize(
    ("patient_id", "folder"),
    [
        ("STS_001", "STS_001"),
        ("../../etc", "_.._etc"),
        ("a/b:c", "a_b_c"),
        ("CON", "_CON"),
        ("..", "_"),
        ("results.csv", "_results.csv"),
    ],
)
def test_folder_names_are_safe(tmp_path, patient_id, folder):
    row = Row({"patient_id": patient_id}, 2, tmp_path)
    assert row.folder == folder and (tmp_path / row.folder).parent == tmp_path
