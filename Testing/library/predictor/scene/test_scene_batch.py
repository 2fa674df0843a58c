"""Batches with a real MRML scene: which rows the table gets, and that nothing is lost or left behind at any ending."""

import csv
import json
import math
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import REPOSITORY

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
from CHMFLPredictorLib.child import process
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.predict.batch import RESULTS_FILE
from CHMFLPredictorLib.scene.batch import FolderBatch, SceneBatch
from CHMFLPredictorLib.scene.batch_table import find_table
from CHMFLPredictorLib.scene.results import COLUMNS, find_results
from CHMFLPredictorLib.scene.run import RunOptions
from small_patient import small  # noqa: F401

HERE = REPOSITORY / "Testing" / "library"


@dataclass
class Pair:
    name: str
    pet: object
    ct: object


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


@pytest.fixture
def manner(monkeypatch, tmp_path):
    """Choose how the fake child behaves; the test gets a temporary folder of its own to look into."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(process, "_GRACE_S", 1.0)
    yield lambda name: monkeypatch.setenv("CHMFL_FAKE", name)
    assert list((tmp_path / "temporary").glob("chmfl*")) == []


@pytest.fixture
def pairs(scene, manner):
    return [make_pair(scene, name) for name in ("Ann", "Béa", "Cem")]


def make_pair(scene, name):
    nodes = []
    for modality, size, kind in (("PET", (5, 6, 7), np.float32), ("CT", (8, 9, 10), np.int16)):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} {modality}")
        slicer.util.updateVolumeFromArray(node, np.arange(math.prod(size)).reshape(size[::-1]).astype(kind))
        node.CreateDefaultDisplayNodes()
        nodes.append(node)
    return Pair(name, *nodes)


def one(command, environment):
    return process.launch([sys.executable, "-u", str(HERE / "fake_child.py"), *command[4:]], environment)


def many(command, environment):
    return process.launch([sys.executable, "-u", str(HERE / "fake_batch_child.py"), *command[4:]], environment)


def rows_of(table):
    titles = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    return [
        dict(zip(titles, (table.GetCellText(row, number) for number in range(len(titles))), strict=True))
        for row in range(table.GetNumberOfRows())
    ]


def states(table):
    return [row["Status"] for row in rows_of(table)]


def number_of_nodes(scene, class_name):
    return len(slicer.util.getNodesByClass(class_name, scene))


def finish(batch, events=None):
    batch.start(events.append if events is not None else None)
    return batch.wait(60)


def wait_until(batch, condition):
    until = time.monotonic() + 30
    while not condition():
        assert batch.poll() is None and time.monotonic() < until
        time.sleep(0.02)


# Over the scene ------------------------------------------------------------------------------------------------------


def test_every_pair_gets_its_nodes_and_a_row(pairs, scene):
    events = []
    batch = SceneBatch(pairs, scene=scene, launcher=one)
    assert not batch.running and batch.table is None
    ended = finish(batch, events)
    assert (ended.ending, ended.code) == (Ending.DONE, "") and not batch.running
    assert ended.result == events[-1] and (ended.result["done"], ended.result["failed"]) == (3, 0)
    for pair in pairs:
        assert {"segmentation", "relevance", "table", "box"} <= set(find_results(scene, pair.pet, pair.ct))
    rows = rows_of(batch.table)
    assert [row["Patient"] for row in rows] == ["Ann", "Béa", "Cem"] and states(batch.table) == ["done"] * 3
    assert float(rows[1]["Risk of DM"]) == 0.7 and rows[1]["Label"] == "high" and rows[1]["Error"] == ""
    assert float(rows[1]["Risk, low end"]) == 0.5 and float(rows[2]["Tumor volume [ml]"]) == 12.5
    assert math.isnan(float(rows[0]["SUVmean [g/ml]"]))
    for title, _, unit, description in COLUMNS:
        assert batch.table.GetColumnUnitLabel(title) == unit
        assert batch.table.GetColumnDescription(title) == description
    numbered = [(event["patient_id"], event["patient"], event["patients"]) for event in events[:-1]]
    assert list(dict.fromkeys(numbered)) == [("Ann", 1, 3), ("Béa", 2, 3), ("Cem", 3, 3)]
    assert {event["event"] for event in events} == {"progress", "risk", "result"}
    assert sorted(batch.predictions) == [0, 1, 2] and batch.predictions[1].result["risk"] == 0.7


def test_one_bad_pair_stops_nobody(pairs, scene):
    pairs[1].ct = pairs[1].pet
    events = []
    batch = SceneBatch(pairs, scene=scene, launcher=one)
    ended = finish(batch, events)
    assert ended.ending is Ending.DONE and (ended.result["done"], ended.result["failed"]) == (2, 1)
    assert states(batch.table) == ["done", "failed", "done"]
    row = rows_of(batch.table)[1]
    assert "same volume" in row["Error"] and math.isnan(float(row["Risk of DM"]))
    (warning,) = (event for event in events if event["event"] == "warning")
    assert (warning["code"], warning["patient"]) == ("same_volume", 2) and warning["text"].startswith("Béa: ")
    assert sorted(batch.predictions) == [0, 2]


def test_a_child_that_fails_is_a_row_and_no_error_event(pairs, scene, manner):
    manner("error")
    events = []
    batch = SceneBatch(pairs[:2], scene=scene, launcher=one)
    ended = finish(batch, events)
    assert (ended.ending, ended.code) == (Ending.ERROR, "batch_all_failed")
    assert "The PET is a CT." in ended.message and ended.hint
    assert not any(event["event"] == "error" for event in events)
    assert states(batch.table) == ["failed"] * 2
    assert "Ann:" in batch.log and "The PET is a CT." in batch.log


def test_the_table_is_reused(pairs, scene):
    finish(first := SceneBatch(pairs, scene=scene, launcher=one))
    finish(second := SceneBatch(pairs[:1], RunOptions(risk_only=True), scene, one))
    assert second.table is first.table is find_table(scene)
    assert second.table.GetName() == "CHMFL batch" and second.table.GetNumberOfRows() == 1
    assert number_of_nodes(scene, "vtkMRMLTableNode") == 4  # one a patient, one for all


def test_cancel_keeps_what_is_done(pairs, scene, manner):
    batch, events = SceneBatch(pairs, scene=scene, launcher=one), []
    batch.start(events.append)
    wait_until(batch, lambda: states(batch.table)[0] == "done" if batch.table else False)
    manner("after_risk")
    wait_until(batch, lambda: any(event["event"] == "risk" and event["patient"] == 2 for event in events))
    assert states(batch.table) == ["done", "running", "waiting"]
    assert float(rows_of(batch.table)[1]["Risk of DM"]) == 0.7  # as soon as it is known
    batch.cancel()
    count = len(events)
    ended = batch.wait(30)
    assert (ended.ending, ended.code) == (Ending.CANCELED, "canceled") and "1 of 3" in ended.hint
    assert states(batch.table) == ["done", "canceled", "not run"] and len(events) == count
    assert math.isnan(float(rows_of(batch.table)[1]["Risk of DM"]))
    assert find_results(scene, pairs[0].pet, pairs[0].ct) and not find_results(scene, pairs[1].pet, pairs[1].ct)


def test_cancel_before_the_first_patient(pairs, scene):
    batch = SceneBatch(pairs, scene=scene, launcher=lambda *_: pytest.fail("nothing may start"))
    batch.start()
    batch.cancel()
    assert batch.poll().ending is Ending.CANCELED and states(batch.table) == ["not run"] * 3


def test_what_would_stop_everybody_stops_at_once(pairs, scene, tmp_path):
    def no_python(command, environment):
        raise FileNotFoundError("PythonSlicer")

    batch = SceneBatch(pairs, scene=scene, launcher=no_python)
    assert finish(batch).ending is Ending.FAILED_TO_START
    assert states(batch.table) == ["failed", "not run", "not run"]
    (tmp_path / "file").write_text("no folder")
    batch = SceneBatch(pairs, RunOptions(output=tmp_path / "file"), scene, one)
    ended = finish(batch)
    assert (ended.ending, ended.code) == (Ending.ERROR, "output_unwritable")
    assert states(batch.table) == ["failed", "not run", "not run"]


def test_no_pair_is_an_error(scene):
    batch = SceneBatch([], scene=scene)
    batch.start()
    assert (batch.ended.ending, batch.ended.code) == (Ending.ERROR, "batch_no_pairs")
    assert batch.table is None and batch.wait(1) is batch.ended
    with pytest.raises(RuntimeError):
        batch.start()


def test_a_place_of_one_patient_is_not_used_for_all(pairs, scene):
    batch = SceneBatch(pairs[:1], RunOptions(center_ras=(1.0, 2.0, 3.0), device="cpu"), scene, one)
    finish(batch)
    assert batch.predictions[0].result["box"]["center_ras_mm"] == [-1.0, -2.0, 3.0]
    assert batch.predictions[0].result["device"] == "cpu"


def test_a_listener_that_fails_stops_the_batch(pairs, scene, manner):
    manner("hang")
    batch = SceneBatch(pairs, scene=scene, launcher=one)

    def broken(event):
        raise KeyError("in the panel")

    batch.start(broken)
    with pytest.raises(KeyError, match="in the panel"):
        batch.wait(30)
    assert batch.ended.ending is Ending.CANCELED and not batch.running
    assert states(batch.table) == ["canceled", "not run", "not run"]


def test_a_scene_closed_meanwhile_gets_no_nodes(pairs, scene, manner):
    manner("hang")
    batch = SceneBatch(pairs, scene=scene, launcher=one)
    batch.start()
    batch.poll()
    scene.Clear(0)
    before = scene.GetNumberOfNodes()
    assert batch.table is None
    batch.cancel()
    assert batch.wait(30).ending is Ending.CANCELED and scene.GetNumberOfNodes() == before


def test_a_table_that_the_user_changed_is_mended(pairs, scene):
    batch = SceneBatch(pairs[:2], scene=scene, launcher=one)
    batch.start()
    batch.table.RemoveRow(0)
    assert batch.wait(30).ending is Ending.DONE and states(batch.table) == ["done", "done"]


def test_the_table_survives_saving(pairs, scene, tmp_path):
    pairs[1].ct = pairs[1].pet
    batch = SceneBatch(pairs[:2], scene=scene, launcher=one)
    finish(batch)
    before, path = rows_of(batch.table), tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(path))
    loaded = slicer_headless.new_scene()
    assert loaded.ReadFromMRB(str(path))
    table = find_table(loaded)
    assert rows_of(table) == before and table.GetColumnUnitLabel("Tumor volume [ml]") == "ml"


@pytest.mark.slow
def test_files_of_a_scene_batch(scene, small, tiny_bundle, manner, tmp_path):  # noqa: F811
    """The real command line: a folder for each patient, though two have the same name, and one CSV."""
    pet = slicer_headless.load_volume(small / "PET.nii.gz", "PET")
    ct = slicer_headless.load_volume(small / "CT.nii.gz", "CT")
    pairs = [Pair("A/b", pet, ct), Pair("a_B", pet, pet), Pair("x", ct, pet)]
    output = tmp_path / "out ü"
    batch = SceneBatch(pairs, RunOptions(tiny_bundle, "cpu", risk_only=True, output=output), scene)
    batch.start()
    ended = batch.wait(120)
    assert ended.ending is Ending.DONE and ended.result["files"] == {RESULTS_FILE: str(output / RESULTS_FILE)}
    with open(output / RESULTS_FILE, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["patient_id"] for row in rows] == ["A/b", "a_B (2)", "x"]
    assert [row["error_code"] for row in rows] == ["", "same_volume", "pet_is_ct"]
    result = json.loads((output / "A_b" / "result.json").read_text(encoding="utf-8"))
    assert float(rows[0]["risk"]) == result["risk"] == float(rows_of(batch.table)[0]["Risk of DM"])
    assert sorted(path.name for path in output.iterdir()) == ["A_b", RESULTS_FILE]


# Over a folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cohort(tmp_path):
    """A folder of patients with files of the right names; the fake child does not open them."""
    folder = tmp_path / "cohort ü"
    for name in ("ann", "bad béa", "cem"):
        (folder / name).mkdir(parents=True)
        for modality in ("PET", "CT"):
            (folder / name / f"{modality}.nii.gz").write_bytes(b"x")
    (folder / "dan").mkdir()
    (folder / "dan" / "CT.nii.gz").write_bytes(b"x")
    return folder


def test_a_folder_fills_the_table(scene, manner, cohort, tmp_path):
    events = []
    batch = FolderBatch(cohort, tmp_path / "out", scene=scene, launcher=many)
    ended = finish(batch, events)
    assert ended.ending is Ending.DONE
    assert [ended.result[key] for key in ("done", "failed", "skipped", "left_out")] == [2, 1, 0, 1]
    assert ended.message == "2 predicted, 1 failed, 1 left out."
    rows = rows_of(batch.table)
    assert [row["Patient"] for row in rows] == ["ann", "bad béa", "cem", "dan"]
    assert states(batch.table) == ["done", "failed", "done", "left out"]
    assert float(rows[2]["Risk, high end"]) == 0.9 and float(rows[0]["TLG [SUV ml]"]) == 50.0
    assert "does not exist" in rows[1]["Error"] and "no PET" in rows[3]["Error"]
    assert [event["code"] for event in events if event["event"] == "warning"] == ["batch_patient_left_out", "not_found"]
    assert {event.get("patient") for event in events if event["event"] == "risk"} == {1, 3}
    assert events[-1] == ended.result and "Left out: dan" in batch.log
    assert number_of_nodes(scene, "vtkMRMLScalarVolumeNode") == 0
    again = FolderBatch(cohort / "ann", tmp_path / "out 2", RunOptions(risk_only=True), scene, many)
    assert finish(again).ending is Ending.DONE and again.table is batch.table
    assert states(again.table) == ["done"] and math.isnan(float(rows_of(again.table)[0]["TLG [SUV ml]"]))


def test_cancel_of_a_folder_keeps_what_is_done(scene, manner, cohort, tmp_path):
    (cohort / "bad béa").rename(cohort / "béa")
    manner("hang")
    batch, events = FolderBatch(cohort, tmp_path / "out", scene=scene, launcher=many), []
    batch.start(events.append)
    wait_until(batch, lambda: any(event["event"] == "risk" and event.get("patient") == 2 for event in events))
    assert states(batch.table) == ["done", "running", "waiting", "left out"]
    batch.cancel()
    ended = batch.wait(30)
    assert ended.ending is Ending.CANCELED and "1 of 4" in ended.hint
    assert states(batch.table) == ["done", "canceled", "not run", "left out"]


def test_a_table_of_an_earlier_batch_is_not_taken_for_this_ones(scene, manner, cohort, tmp_path):
    output = tmp_path / "out"
    assert finish(FolderBatch(cohort, output, scene=scene, launcher=many)).ending is Ending.DONE
    manner("too_early")
    batch = FolderBatch(cohort, output, scene=scene, launcher=many)
    batch.start()
    wait_until(batch, lambda: batch.table is not None)
    batch.cancel()
    assert batch.wait(30).ending is Ending.CANCELED
    assert states(batch.table) == ["not run"] * 3 + ["left out"]


@pytest.mark.parametrize(
    ("how", "ending", "code", "expected"),
    [
        ("no_model", Ending.ERROR, "model_missing", ["not run", "not run", "not run"]),
        ("memory", Ending.OUT_OF_MEMORY, "out_of_memory", ["done", "failed", "not run"]),
    ],
)
def test_what_ends_the_child_ends_the_batch(scene, manner, cohort, tmp_path, how, ending, code, expected):
    (cohort / "bad béa").rename(cohort / "béa")
    manner(how)
    batch = FolderBatch(cohort, tmp_path / "out", scene=scene, launcher=many)
    ended = finish(batch)
    assert (ended.ending, ended.code) == (ending, code) and ended.hint
    assert states(batch.table)[:3] == expected


def test_all_failed_is_an_error(scene, manner, cohort, tmp_path):
    rows = "patient_id;pet;ct\nbad 1;a;b\nbad 1;a;b\nbad 2;a;b\n"
    (cohort / "patients.csv").write_text(rows, encoding="utf-8")
    batch = FolderBatch(cohort / "patients.csv", tmp_path / "out", scene=scene, launcher=many)
    ended = finish(batch)
    assert (ended.ending, ended.code, ended.exit_code) == (Ending.ERROR, "batch_all_failed", 2)
    assert "'a' does not exist" in ended.message and states(batch.table) == ["failed"] * 3


def test_wrong_choices_are_errors_without_a_table(scene, manner, cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("a,b\n")
    for source, output, code in (
        ("", "x", "batch_source_missing"),
        (cohort, "", "batch_output_missing"),
        (tmp_path / "empty", "x", "batch_folder_empty"),
        (tmp_path / "gone", "x", "batch_unreadable"),
        (tmp_path / "wrong.csv", "x", "batch_columns"),
    ):
        batch = FolderBatch(source, output, scene=scene, launcher=lambda *_: pytest.fail("nothing may start"))
        ended = finish(batch)
        assert (ended.ending, ended.code) == (Ending.ERROR, code) and ended.hint
        assert batch.table is None and find_table(scene) is None


def test_cancel_while_it_looks_for_patients(scene, manner, cohort, tmp_path):
    events = []
    batch = FolderBatch(cohort, tmp_path / "out", scene=scene, launcher=lambda *_: pytest.fail("nothing may start"))
    batch.start(events.append)
    batch.poll()
    batch.cancel()
    ended = batch.wait(30)
    assert ended.ending is Ending.CANCELED and batch.table is None and not (tmp_path / "out").exists()
    assert events == [{"event": "progress", "stage": "read", "fraction": 0.0, "text": "Looking for patients"}]


@pytest.mark.slow
def test_the_real_command_line_resumes(scene, manner, small, tiny_bundle, tmp_path):  # noqa: F811
    cohort, output = tmp_path / "cohort", tmp_path / "cohort" / "results"
    for name in ("p1", "p2"):
        (cohort / name).mkdir(parents=True)
        for modality, source in (("PET", "PET"), ("CT", "CT" if name == "p1" else "PET")):
            shutil.copy(small / f"{source}.nii.gz", cohort / name / f"{modality}.nii.gz")
    options = RunOptions(tiny_bundle, "cpu", risk_only=True)
    first = FolderBatch(cohort, output, options, scene)
    first.start()
    ended = first.wait(120)
    assert ended.ending is Ending.DONE and (ended.result["done"], ended.result["failed"]) == (1, 1)
    risk = json.loads((output / "p1" / "result.json").read_text(encoding="utf-8"))["risk"]
    assert float(rows_of(first.table)[0]["Risk of DM"]) == risk
    second = FolderBatch(cohort, output, options, scene)  # its own results are no patient
    second.start()
    ended = second.wait(120)
    assert (ended.result["done"], ended.result["skipped"], ended.result["failed"]) == (0, 1, 1)
    assert states(second.table) == ["done", "failed"] and "same" in rows_of(second.table)[1]["Error"]
