"""The golden numbers: what is equal passes, and nothing that differs is missed."""

import json
import shutil

import golden
import numpy as np
import pytest
import SimpleITK as sitk
from safetensors.numpy import save_file

JOB = "run/CHMFL/repeat_0/fold_0"
PREDICTIONS = [["patient_id", "risk", "dice"], ["P00", "0.25", "0.5"], ["P01", "0.75", ""]]
RESULT = {"risk": 0.812315, "members": [0.83, 0.82], "tumor": {"suv_max": 27.8}, "warnings": []}


@pytest.fixture
def two(tmp_path):
    """Two equal golden folders."""
    old, new = tmp_path / "old", tmp_path / "new"
    golden._write_rows(old / JOB / "predictions.csv", PREDICTIONS)
    golden._write_json(old / JOB / "arrays.json", {"weights": golden.sha256({"bias": np.zeros(2, np.float32)})})
    golden._write_json(old / "results" / "phantom.json", RESULT)
    golden._write_json(old / golden.ABOUT, {"torch": "2.13"})
    shutil.copytree(old, new)
    return old, new


def told(two, capsys) -> tuple[int, list[str]]:
    """The exit code, and the lines that do not say "equal"."""
    code = golden.main(["compare", *map(str, two)])
    return code, [line for line in capsys.readouterr().out.splitlines() if not line.startswith("equal")]


def test_equal_folders_are_equal_whatever_made_them(two, capsys):
    assert told(two, capsys) == (0, ["All equal: 13 values"])
    golden._write_json(two[1] / golden.ABOUT, {"torch": "2.14"})
    code, lines = told(two, capsys)
    assert code == 0 and lines[0] == 'note     made with torch: "2.13" -> "2.14"'


def test_one_digit_is_told_with_its_name_and_both_values(two, capsys):
    rows = [*PREDICTIONS[:2], ["P01", "0.7500000000000001", ""]]
    golden._write_rows(two[1] / JOB / "predictions.csv", rows)
    golden._write_json(two[1] / "results" / "phantom.json", RESULT | {"members": [0.83, 0.820001]})
    code, lines = told(two, capsys)
    assert code == 1 and lines == [
        "DIFFERS  results/phantom.json: members.1: 0.82 -> 0.820001",
        f"DIFFERS  {JOB}/predictions.csv: row 2, risk: 0.75 -> 0.7500000000000001",
        "2 differences",
    ]


def test_what_is_missing_on_either_side_differs(two, capsys):
    (two[0] / JOB / "arrays.json").unlink()
    golden._write_rows(two[1] / JOB / "predictions.csv", PREDICTIONS[:2])
    code, lines = told(two, capsys)
    assert code == 1 and lines[0] == f"DIFFERS  {JOB}/arrays.json: only in {two[1]}"
    assert f"DIFFERS  {JOB}/predictions.csv: row 2, patient_id: P01 -> nothing" in lines
    shutil.rmtree(two[1])
    with pytest.raises(SystemExit, match="was not written by this script"):
        golden.main(["compare", *map(str, two)])


def test_weights_are_hashed_without_their_container(tmp_path):
    arrays = {"bias": np.arange(3, dtype=np.float32), "kernel": np.ones((2, 2), np.float32)}
    one, other, changed = (tmp_path / name for name in ("one", "other", "changed"))
    for job in (one, other, changed):
        (job / "model" / "inner").mkdir(parents=True)
    save_file(arrays, one / "model" / "network.safetensors")
    np.savez_compressed(other / "model" / "inner" / "weights.npz", **dict(reversed(arrays.items())))
    save_file(arrays | {"bias": np.nextafter(arrays["bias"], np.float32(9))}, changed / "model" / "network.safetensors")
    hashes = [golden.hashes_of(job)["weights"] for job in (one, other, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_times_and_paths_are_left_out_of_a_result(tmp_path):
    varies = {
        "timings_s": {"total": 9.2},
        "software": {"torch": "2"},
        "device": "CPU",
        "inputs": {"pet": {"path": "p"}},
    }
    (tmp_path / "result.json").write_text(json.dumps(RESULT | varies))
    for name in ("segmentation", "relevance"):
        sitk.WriteImage(sitk.Image(2, 2, 2, sitk.sitkUInt8), str(tmp_path / f"{name}.nii.gz"))
    kept = golden.result_of(tmp_path)
    assert {name: kept[name] for name in RESULT} == RESULT and kept.keys() == {
        *RESULT,
        "segmentation_sha256",
        "relevance_sha256",
    }
