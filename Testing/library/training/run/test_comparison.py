"""A comparison's run folder and its jobs: what is written, what is kept, what goes on when one job cannot."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.methods import registry
from CHMFLTrainingLib.report.report import write_report
from CHMFLTrainingLib.report.results import read_run
from CHMFLTrainingLib.run import jobs as jobs_module
from CHMFLTrainingLib.run.explanations import write_explanations
from CHMFLTrainingLib.run.live import LiveResults
from CHMFLTrainingLib.run.results import Job
from CHMFLTrainingLib.run.run import COLUMNS, Comparison, Plan, find_methods, is_comparison
from CHMFLTrainingLib.run.status import status
from CHMFLTrainingLib.training.settings import Settings
from compared_run import FOLDS, PATIENTS, compare, epochs_run, new_run, numbers, write_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """An undisturbed run of two repeats."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert compare(*new_run(cohort, folder, "--repeats", 2)) == 0
    return folder


def error_of(run, fold=1):
    return json.loads((run / "Walk" / "repeat_0" / f"fold_{fold}" / "error.json").read_text())


def test_every_patient_is_predicted_once_by_each_method_in_each_repeat(run):
    with open(run / "tables" / "out_of_fold.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["method", *COLUMNS]
    assert len(rows) == len({(row["method"], row["repeat"], row["patient_id"]) for row in rows}) == 2 * 2 * PATIENTS
    assert all(0 <= float(row["risk"]) <= 1 for row in rows)


def test_job_leaves_predictions_history_log_and_model(run):
    folder = run / "Walk" / "repeat_1" / "fold_2"
    names = {path.name for path in folder.iterdir()} - {"checkpoint_latest.json", "epochs_run.txt"}
    assert names == {"predictions.csv", "history.csv", "log.txt", "job.json", "model"}
    with open(folder / "history.csv", newline="") as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4", "5"]
    about = json.loads((folder / "job.json").read_text())
    assert (about["seed"], about["device"], about["threads"]) == (1002, "cpu", 1) and "numpy" in about["software"]
    assert "Walk, repeat 1, fold 2: finished" in (folder / "log.txt").read_text()


def test_segmenting_method_has_dice(run):
    with open(run / "Uptake_sum" / "repeat_0" / "fold_0" / "predictions.csv", newline="") as stream:
        overlaps = [float(row["dice"]) for row in csv.DictReader(stream)]
    assert len(overlaps) == PATIENTS // FOLDS and min(overlaps) > 0.5  # the planted tumor is all that is above SUV 2
    assert (run / "Uptake_sum" / "repeat_0" / "fold_0" / "segmentations.npz").exists()
    with open(run / "Walk" / "repeat_0" / "fold_0" / "predictions.csv", newline="") as stream:
        assert {row["dice"] for row in csv.DictReader(stream)} == {""}


def test_job_leaves_features_and_maps_for_the_report(run, cohort, tmp_path):
    """In the first repeat: features of all patients by one network; maps of one held-out patient with the event and
    one without, more if asked for.
    """
    opened, place = Comparison(run), run / "Uptake_sum"
    for fold in range(FOLDS):
        with np.load(place / "repeat_0" / f"fold_{fold}" / "features.npz") as features:
            assert sorted(features.files) == sorted(opened.patients) and features["P00"].shape == (3,)
        with np.load(place / "repeat_0" / f"fold_{fold}" / "relevance.npz") as maps:
            names = maps.files
            assert maps[names[0]].shape == (16, 16, 16) and maps[names[0]].max() == 1
        assert set(names) <= set(opened.held_out(Job("Uptake sum", 0, fold)))
        assert [opened.patients[name].label for name in names] == [1, 0]
    assert not list((place / "repeat_1").rglob("features.npz")) and not list((run / "Walk").rglob("relevance.npz"))
    options = ("--methods", "Uptake sum", "--option", "relevance_patients=3")
    assert compare(*new_run(cohort, tmp_path / "run", *options)) == 0
    with np.load(tmp_path / "run" / "Uptake_sum" / "repeat_0" / "fold_1" / "relevance.npz") as maps:
        assert len(maps.files) == 3
    options = ("--methods", "Uptake sum", "--option", 'relevance_patients="all"')
    assert compare(*new_run(cohort, tmp_path / "other", *options)) == 2


def test_picture_that_cannot_be_made_costs_no_job(run, tmp_path, caplog):
    class Method:
        NAME, settings = "Broken", SimpleNamespace(options={})

        def embedding(self, cases):
            raise MemoryError

        def relevance(self, case):
            return np.full((4, 4, 4), np.nan)

    cases = Comparison(run).parts(Job("Walk", 0, 0))
    write_explanations(Method(), *cases, tmp_path, lambda: None)
    assert not list(tmp_path.iterdir()) and caplog.text.count("Broken: no picture of it") == 2


@pytest.mark.slow
def test_cohort_of_one_modality(cohort, tmp_path, capsys):
    """PET alone: what needs no CT trains; what does is refused before anything trains."""
    with open(cohort / "cohort.csv", newline="") as stream:
        rows = [{name: text for name, text in row.items() if name != "ct"} for row in csv.DictReader(stream)]
    with open(tmp_path / "pet.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    options = ("--cohort", tmp_path / "pet.csv", "--methods")
    assert compare(*new_run(cohort, tmp_path / "run", *options, "Walk,Volume + SUVmax,TLG,Uptake,2D-CNN-PET")) == 0
    assert len(numbers(tmp_path / "run")) == 5 * FOLDS
    pet, mask = rows[0]["pet"], rows[0]["mask"]
    assert compare("predict", tmp_path / "run", "--method", "TLG", "--pet", pet, "--mask", mask) == 0
    assert compare("predict", tmp_path / "run", "--method", "2D-CNN-PET", "--pet", pet) == 2
    assert "--mask" in capsys.readouterr().err  # the place of the box is found in PET and CT together
    assert compare(*new_run(cohort, tmp_path / "refused", *options, "TLG,CHMFL")) == 2
    said = capsys.readouterr().err
    assert "cohort_findings" in said and "needed by CHMFL" in said and not (tmp_path / "refused").exists()


def test_training_never_sees_a_held_out_patient(run):
    opened = Comparison(run)
    for job in opened.jobs:
        known, new = ({case.patient_id for case in part} for part in opened.parts(job))
        assert not known & new and len(known | new) == PATIENTS


def test_randomness_is_of_the_job_not_of_the_order(cohort, run, tmp_path):
    options = ("--repeats", 2, "--methods", "Uptake sum,Walk")
    assert compare(*new_run(cohort, tmp_path / "run", *options)) == 0
    assert numbers(tmp_path / "run") == numbers(run)
    assert len(set(numbers(run).values())) == 2 * 2 * FOLDS
    opened = Comparison(run)
    seeds = {opened.settings(job, "cpu").seed for job in opened.jobs}
    assert seeds == {repeat * 1000 + fold for repeat in (0, 1) for fold in range(FOLDS)}


def test_finished_jobs_are_never_computed_again(run):
    before = {path: path.stat().st_mtime_ns for path in run.glob("*/repeat_*/fold_*/*")}
    assert compare("compare", "--output", run, "--resume", "--no-report", "--jobs", 0) == 0
    assert {path: path.stat().st_mtime_ns for path in run.glob("*/repeat_*/fold_*/*")} == before


def test_existing_run_is_not_overwritten(cohort, run, capsys):
    assert compare(*new_run(cohort, run)) == 2
    assert "run_exists" in capsys.readouterr().err


def test_resumed_run_gets_more_methods_and_repeats_but_no_other_settings(cohort, run, tmp_path, capsys):
    folder = tmp_path / "run"
    assert compare(*new_run(cohort, folder, "--methods", "Uptake sum")) == 0
    again = ("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0)
    assert compare(*again, "--preset", "paper") == 2 and "run_differs" in capsys.readouterr().err
    assert compare(*again, "--repeats", 9) == 2 and "folds_repeat" in capsys.readouterr().err
    assert compare(*again, "--option", "w=0.3") == 2 and "run_differs" in capsys.readouterr().err
    assert compare(*again, "--methods", "Walk", "--repeats", 2) == 0
    assert numbers(folder) == numbers(run)


def test_new_method_of_a_run_brings_its_own_options(cohort, tmp_path):
    folder = tmp_path / "run"
    assert compare(*new_run(cohort, folder, "--methods", "Uptake sum", "--precision", "float32")) == 0
    added = ("--methods", "Walk", "--option", "Walk:step=0.5")
    assert compare("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0, *added) == 0
    about = json.loads((folder / "Walk" / "repeat_0" / "fold_0" / "job.json").read_text())
    assert (about["preset"], about["precision"], about["options"]) == ("smoke", "float32", {"step": 0.5})
    assert about["processor"] and about["software"]["numpy"]
    page = write_report(folder).read_text()
    assert "Walk: step 0.5" in page and "nothing about the methods" in page


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--option", "Walk:preset=paper"), "option_unknown", "All rows of a run have the run's preset"),
        (("--option", "inner_folds=3"), "option_unknown", "calibrates all rows alike"),
        (("--preset", "paper_suv"), "preset_unknown", "'compact' keeps absolute SUV and HU"),
    ],
)
def test_what_moved_is_named(cohort, tmp_path, capsys, options, code, said):
    assert compare(*new_run(cohort, tmp_path / "run", *options)) == 2
    told = capsys.readouterr().err
    assert code in told and said in told


def test_a_run_of_the_first_version_is_refused_by_name(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "schema_version": 1}))
    assert compare("compare", "--output", tmp_path / "run", "--resume") == 2
    told = capsys.readouterr().err
    assert "run_old" in told and "Start a new run" in told


def test_a_row_that_does_not_fit_the_box_is_left_out_by_name(cohort, tmp_path, capsys, caplog):
    """MOR's network needs 64 voxels in a plane; smoke's box has 32."""
    folder, asked = tmp_path / "run", ("--methods", "Uptake sum,MOR + 3D CNNs")
    assert compare(*new_run(cohort, folder, *asked)) == 0
    assert "MOR + 3D CNNs is left out" in caplog.text
    opened = Comparison(folder)
    assert opened.plan.methods == ["Uptake sum"] and "32 x 32" in opened.plan.left_out["MOR + 3D CNNs"]
    assert "32 x 32" in write_report(folder).read_text()
    assert compare(*new_run(cohort, tmp_path / "alone", "--methods", "MOR + 3D CNNs")) == 2
    assert "methods_left_out" in capsys.readouterr().err and not (tmp_path / "alone").exists()
    wide = Settings("smoke", options={"box_voxels": [64, 64, 32]})
    assert find_methods("MOR + 3D CNNs", None)[0](wide).left_out is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("w=0.5", {"*": {"w": 0.5}}),
        ("CHMFL w=0.25:epochs=5", {"CHMFL w=0.25": {"epochs": 5}}),
        ("3DMCL:weights=C:/a=b.pth", {"3DMCL": {"weights": "C:/a=b.pth"}}),
    ],
)
def test_options_are_read_as_meant(text, option):
    from CHMFLTrainingLib.commands.compare import _options

    assert _options(SimpleNamespace(option=[text], methods_folder=None)) == option


@pytest.mark.parametrize(
    ("disturb", "code", "exit_code"),
    [
        ("refuse", "planted_refusal", 2),
        ("defect", "defect", 1),
        ("memory", "out_of_memory", 4),
        ("full", "output_full", 2),
    ],
)
def test_failed_job_is_recorded_and_the_others_go_on(cohort, run, tmp_path, capsys, disturb, code, exit_code):
    folder = tmp_path / "run"
    assert compare(*new_run(cohort, folder, "--option", f"Walk:disturb={disturb}")) == exit_code
    said = capsys.readouterr().err
    assert "jobs_failed" in said and code in said and "Walk, repeat 0, fold 1" in said
    error = error_of(folder)
    assert (error["code"], error["exit_code"]) == (code, exit_code) and "Traceback" in error["traceback"]
    missing = "Walk/repeat_0/fold_1/predictions.csv"
    expected = {name: text for name, text in numbers(run).items() if "repeat_0" in name and name != missing}
    assert numbers(folder) == expected
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["finished"], summary["failed"]) == (2 * FOLDS - 1, 1)
    # mended, it goes on from its checkpoint to the same numbers, and the record of the failure goes
    config = json.loads((folder / "config.json").read_text())
    config["plan"]["options"] = {}
    (folder / "config.json").write_text(json.dumps(config))
    assert compare("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0) == 0
    assert numbers(folder)[missing] == numbers(run)[missing]
    assert epochs_run(folder, 1) == [1, 2, 3, 4, 5]
    assert not (folder / "Walk" / "repeat_0" / "fold_1" / "error.json").exists()


def test_full_disk_is_said_before_anything_is_trained(cohort, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(jobs_module.shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    assert compare(*new_run(cohort, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert "output_full" in said and "6 of 6 jobs" in said
    assert numbers(tmp_path / "run") == {}


def test_damaged_checkpoint_is_named(cohort, run, tmp_path, capsys):
    folder = tmp_path / "run"
    place = folder / "Walk" / "repeat_0" / "fold_1"
    place.mkdir(parents=True)
    (place / "checkpoint_latest.json").write_text("{")
    assert compare(*new_run(cohort, folder)) == 2
    assert str(place / "checkpoint_latest.json") in capsys.readouterr().err
    (place / "checkpoint_latest.json").unlink()
    assert compare("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0) == 0
    assert numbers(folder) == {name: text for name, text in numbers(run).items() if "repeat_0" in name}


@pytest.mark.parametrize("damage", ["patient_id,repeat\nP00,0\n", "\0\0\0", "empty"])
def test_damaged_predictions_are_named_and_made_again(run, tmp_path, capsys, damage):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    path = folder / "Walk" / "repeat_0" / "fold_1" / "predictions.csv"
    path.write_text("" if damage == "empty" else damage)
    assert Comparison(folder).state(Job("Walk", 0, 1)) == "damaged"
    assert compare("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0, "--progress", "json") == 0
    warned = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(one["event"] == "warning" and str(path) in one["text"] for one in warned)
    assert numbers(folder) == numbers(run)


def test_damaged_patient_stops_only_what_needs_it(cohort, run, tmp_path, capsys):
    """The CT of one patient cannot be read: what reads PET and mask alone is as ever, the other says why it is not."""
    rows = (cohort / "cohort.csv").read_text().splitlines()
    broken = tmp_path / "P00_ct.nii.gz"
    broken.write_bytes(b"no image")
    rows[1] = ",".join([*rows[1].split(",")[:2], str(broken), *rows[1].split(",")[3:]])
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    folder = tmp_path / "run"
    arguments = new_run(cohort, folder, "--cohort", tmp_path / "cohort.csv")
    assert compare(*arguments) == 2
    said = capsys.readouterr().err
    assert "cohort_findings" in said and "P00" in said and not folder.exists()
    assert compare(*arguments, "--despite-findings") == 2
    assert "jobs_failed" in capsys.readouterr().err
    assert str(broken) in (folder / "cohort_findings.csv").read_text()
    walk = {name: text for name, text in numbers(run).items() if name.startswith("Walk/repeat_0")}
    assert numbers(folder) == walk


@pytest.mark.parametrize("name", ["config.json", "cohort.csv", "folds.csv"])
def test_damaged_run_is_refused_with_the_files_name(run, tmp_path, capsys, name):
    for path in ("config.json", "cohort.csv", "folds.csv"):
        shutil.copyfile(run / path, tmp_path / path)
    (tmp_path / name).write_bytes(b"\xff{")
    assert compare("status", tmp_path) == 2
    assert str(tmp_path / name) in capsys.readouterr().err


@pytest.mark.parametrize("risks", [[0.5], [0.5, float("nan")], [0.5, 1.5], [0.5, -0.1], [[0.5], [0.5]]])
def test_prediction_that_is_no_risk_is_a_defect(risks):
    method = SimpleNamespace(NAME="Broken", predict=lambda cases: risks)
    with pytest.raises(ValueError, match="not 2 risks"):
        jobs_module._risks(method, [None, None])


def test_plans_that_cannot_be(cohort, tmp_path, capsys):
    for options, code in (
        (("--methods", "Walk,Nonsense"), "method_unknown"),
        (("--repeats", 0), "repeats_unusable"),
        (("--repeats", 3), "folds_repeat"),
        (("--jobs", -1), "jobs_unusable"),
        (("--option", "nothing"), "option_unreadable"),
        (("--methods", "Walk", "--option", "Walk:stepp=1"), "option_unknown"),
        (("--methods", "Walk", "--option", "epochs=3"), "option_unknown"),
        (("--methods", "Walk", "--option", "CHMFL:w=0.3"), "option_unknown"),
        (("--methods-folder", tmp_path / "absent"), "methods_folder"),
    ):
        assert compare(*new_run(cohort, tmp_path / code, *options)) == 2
        assert code in capsys.readouterr().err
    with pytest.raises(BadInput, match="preset"):
        Comparison.create(tmp_path / "x", cohort / "cohort.csv", None, Plan(["Walk"], preset="huge"))
    assert not is_comparison(tmp_path / "x")


def test_folds_are_drawn_where_none_are_given(cohort, tmp_path):
    made = Comparison.create(tmp_path / "run", cohort / "cohort.csv", None, Plan(["Walk"], repeats=2))
    assert made.folds[0] != made.folds[1] and Comparison(tmp_path / "run").folds == made.folds
    assert [sorted(folds) for folds in made.folds] == [sorted(made.patients)] * 2


def test_run_of_another_kind_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"method": "CHMFL"}')
    assert compare("status", tmp_path) == 2 and "run_other_kind" in capsys.readouterr().err


def test_a_run_parses_its_cohort_and_lists_the_methods_once(tmp_path, monkeypatch):
    """Each job opens the run; what has not changed since is not parsed again, what has is."""
    write_cohort(tmp_path)
    read, listed, plain, methods_in = [], [], Path.read_bytes, registry._methods_in
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(str(path)) or plain(path))
    monkeypatch.setattr(registry, "_methods_in", lambda module: listed.append(module.__name__) or methods_in(module))
    registry._listed.cache_clear()
    assert compare(*new_run(tmp_path, tmp_path / "run", "--repeats", 2, "--no-report")) == 0
    read = [path for path in read if path.endswith("cohort.csv")]
    assert sorted(read) == sorted(map(str, (tmp_path / "cohort.csv", tmp_path / "run" / "cohort.csv")))
    assert listed and len(listed) <= 2 * len(set(listed)), "once before the run's own methods are known, once with them"
    table = tmp_path / "run" / "cohort.csv"
    table.write_text(table.read_text().replace("P00,", "P99,"))
    with pytest.raises(BadInput) as refused:
        Comparison(tmp_path / "run")
    assert refused.value.code == "folds_patients"


def test_a_job_without_its_model_is_finished_for_nobody(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "Walk" / "repeat_0" / "fold_1" / "model" / "method.json").unlink()
    live, opened = LiveResults(folder), Comparison(folder)
    live.refresh()
    assert opened.state(Job("Walk", 0, 1)) == "damaged" and status(folder)["methods"]["Walk"]["damaged"] == 1
    assert {row["method"]: row["folds_finished"] for row in live.metrics()} == {"Walk": FOLDS - 1, "Uptake sum": FOLDS}
    assert {one.name: one.states.get("damaged", 0) for one in read_run(folder).methods} == {"Walk": 1, "Uptake sum": 0}
