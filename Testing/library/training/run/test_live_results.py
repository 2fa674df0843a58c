"""What people see of a run while it works: curves, ROC and metrics from its files, whole, half written or damaged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from CHMFLPredictorLib.files import write_csv, write_json
from CHMFLTrainingLib.run.live import LiveResults
from conftest import REPOSITORY

RANDOM = np.random.default_rng(11)
COLUMNS = ["patient_id", "repeat", "fold", "label", "risk", "threshold", "dice"]
PATIENTS, FOLDS = 24, 4
SIX = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auc")


def write_run(folder: Path, methods=("CHMFL", "My method"), repeats=2, **plan) -> Path:
    """A run's plan and folds, and no result yet."""
    folds = [[repeat, f"P{i:02d}", (i // 2) % FOLDS] for repeat in range(repeats) for i in range(PATIENTS)]
    write_csv(folder / "folds.csv", ["repeat", "patient_id", "fold"], folds)
    plan = {"methods": list(methods), "repeats": repeats, **plan}
    write_json(folder / "config.json", {"kind": "comparison", "schema_version": 1, "plan": plan})
    return folder


def job(run: Path, slug="CHMFL", fold=0, repeat=0) -> Path:
    return run / slug / f"repeat_{repeat}" / f"fold_{fold}"


def rows_of(fold: int, repeat=0, threshold=0.5, dice="", levels=8) -> list[list]:
    """Predictions of a fold with tied risks and half of the patients with the event."""
    members = [i for i in range(PATIENTS) if (i // 2) % FOLDS == fold]
    risks = RANDOM.normal(0.5, 0.25, len(members)) + np.array(members) % 2 * 0.2
    risks = np.clip(np.round(risks * levels), 0, levels)
    return [
        [f"P{i:02d}", repeat, fold, i % 2, repr(float(risk / levels)), threshold, dice]
        for i, risk in zip(members, risks, strict=True)
    ]


def finish(run: Path, fold: int, rows=None, slug="CHMFL", repeat=0) -> list[list]:
    rows = rows_of(fold, repeat) if rows is None else rows
    write_json(job(run, slug, fold, repeat) / "model" / "method.json", {})
    write_csv(job(run, slug, fold, repeat) / "predictions.csv", COLUMNS, rows)
    return rows


def finish_all(run: Path, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Finish all folds of repeat 0; label, risk, threshold, fold of all patients."""
    rows = [row for fold in range(FOLDS) for row in finish(run, fold, rows_of(fold, **options))]
    return tuple(np.array([float(row[column]) for row in rows]) for column in (3, 4, 5, 2))


def write_history(run: Path, rows, header="epoch,loss,validation_loss", **where) -> Path:
    path = job(run, **where) / "history.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def live(run) -> LiveResults:
    return LiveResults(run)


def row_of(live: LiveResults, method="CHMFL") -> dict:
    return next(row for row in live.metrics() if row["method"] == method)


# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 8, 1000])
def test_roc_and_auc_are_those_of_scikit_learn(run, live, levels):
    from sklearn.metrics import roc_auc_score, roc_curve

    label, risk, *_ = finish_all(run, levels=levels)
    assert live.refresh()
    fpr, tpr, area, n = live.roc()["CHMFL"]
    expected_fpr, expected_tpr, _ = roc_curve(label, risk, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected_fpr, atol=1e-12)
    np.testing.assert_allclose(tpr, expected_tpr, atol=1e-12)
    assert area == pytest.approx(roc_auc_score(label, risk), abs=1e-12)
    assert area == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12) and n == PATIENTS
    assert list(live.roc()) == ["CHMFL"], "the method without a finished fold has no ROC"


def test_metrics_are_those_of_scikit_learn(run, live):
    from sklearn import metrics

    label, risk, threshold, fold = finish_all(run, threshold=0.4, dice=0.75)
    live.refresh()
    row, called = row_of(live), risk >= threshold
    assert row["accuracy"] == pytest.approx(metrics.accuracy_score(label, called))
    assert row["sensitivity"] == pytest.approx(metrics.recall_score(label, called))
    assert row["specificity"] == pytest.approx(metrics.recall_score(1 - label, ~called))
    assert row["precision"] == pytest.approx(metrics.precision_score(label, called))
    assert row["f1"] == pytest.approx(metrics.f1_score(label, called))
    assert row["auc"] == pytest.approx(metrics.roc_auc_score(label, risk))
    each = [metrics.roc_auc_score(label[fold == k], risk[fold == k]) for k in range(FOLDS)]
    assert row["fold_auc"] == pytest.approx(np.mean(each))
    assert row["dice"] == pytest.approx(0.75)
    assert (row["n"], row["folds_finished"], row["folds"], row["problem"]) == (PATIENTS, FOLDS, FOLDS, "")


def test_the_paper_stands_beside_its_own_methods(run, live):
    live.refresh()
    ours, mine = row_of(live), row_of(live, "My method")
    assert (ours["paper_auc"], ours["paper_accuracy"], ours["paper_dice"]) == (0.873, 0.854, 0.722)  # Tables I, SIV
    assert [mine[f"paper_{name}"] for name in (*SIX, "dice")] == [None] * 7
    assert [ours[name] for name in (*SIX, "fold_auc", "dice")] == [None] * 8, "nothing is finished"
    assert ours["n"] == ours["folds_finished"] == 0


def test_only_repeat_0_is_shown(run, live):
    finish_all(run)
    live.refresh()
    before = row_of(live)
    finish(run, 0, rows_of(0, repeat=1), repeat=1)
    assert live.refresh()
    assert row_of(live) == before


def test_an_outcome_that_is_missing_leaves_no_roc(run, live):
    rows = [[*row[:3], 0, *row[4:]] for row in rows_of(0)]
    finish(run, 0, rows)
    live.refresh()
    row = row_of(live)
    assert live.roc() == {} and row["auc"] is None and row["sensitivity"] is None
    assert 0 <= row["specificity"] <= 1 and row["n"] == len(rows)


# Curves --------------------------------------------------------------------------------------------------------------


def test_curves_by_fold_with_validation_where_it_was_measured(run, live):
    write_history(run, ["1,0.9,", "2,0.7,0.8", "3,0.6,"], fold=2)
    write_history(run, ["1,0.5"], header="epoch,loss", fold=1)
    write_history(run, ["1,0.4,0.5"], fold=0, repeat=1)
    write_history(run, ["1"], header="epoch", fold=3)  # of a method that has no loss
    assert live.refresh()
    curves = live.curves("CHMFL")
    assert [(curve.repeat, curve.fold) for curve in curves] == [(0, 1), (0, 2), (1, 0)]
    assert curves[0].validation_loss is None
    np.testing.assert_array_equal(curves[1].epochs, [1, 2, 3])
    np.testing.assert_array_equal(curves[1].loss, [0.9, 0.7, 0.6])
    np.testing.assert_array_equal(curves[1].validation_loss, [np.nan, 0.8, np.nan])
    assert live.curves("My method") == [] == live.curves("unknown")


def test_a_half_written_history_shows_its_whole_lines(run, live):
    path = write_history(run, ["1,0.9,1.0", "2,0.8,0.9"])
    path.write_text(path.read_text() + "3,0.7")  # of 0.75, perhaps
    live.refresh()
    np.testing.assert_array_equal(live.curves("CHMFL")[0].epochs, [1, 2])


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00broken\n", b"", b"epoch,loss\n\x00,1\nx,y\n"])
def test_a_damaged_history_costs_its_own_curve_at_most(run, live, damage):
    write_history(run, ["1,0.5,"], fold=1)
    path = write_history(run, ["1,0.9,1.0"])
    live.refresh()
    path.write_bytes(damage)
    live.refresh()
    assert 1 in [curve.fold for curve in live.curves("CHMFL")]
    write_history(run, ["1,0.9,1.0", "2,0.8,1.0"])
    assert live.refresh()
    assert [len(curve.epochs) for curve in live.curves("CHMFL")] == [2, 1]


# Reading again -------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_read_again(run, live, monkeypatch):
    finish_all(run)
    write_history(run, ["1,0.9,"])
    read, plain = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or plain(path))
    assert live.refresh()
    assert sorted(read) == ["config.json", "folds.csv", "history.csv", *["predictions.csv"] * FOLDS]
    read.clear()
    assert not live.refresh() and read == []
    write_history(run, ["1,0.9,", "2,0.8,"])
    assert live.refresh() and read == ["history.csv"]


def test_a_fold_that_is_run_again_is_not_shown_meanwhile(run, live):
    finish_all(run)
    live.refresh()
    (job(run, fold=3) / "predictions.csv").unlink()
    assert live.refresh()
    assert row_of(live)["folds_finished"] == FOLDS - 1 and live.roc()["CHMFL"][3] == PATIENTS - 6
    finish(run, 3)
    assert live.refresh() and row_of(live)["folds_finished"] == FOLDS


def test_a_run_appears_grows_and_survives_damage_to_its_plan(tmp_path):
    live = LiveResults(tmp_path / "run")
    assert not live.refresh() and live.methods == [] and live.metrics() == [] and live.roc() == {}
    write_run(tmp_path / "run")
    assert live.refresh() and live.methods == ["CHMFL", "My method"]
    write_run(tmp_path / "run", ["CHMFL", "My method", "TLG"])
    assert live.refresh() and live.methods[-1] == "TLG"
    for name in ("config.json", "folds.csv"):
        (tmp_path / "run" / name).write_text("{ half")
    live.refresh()
    assert live.methods[-1] == "TLG" and row_of(live)["folds"] == FOLDS


def test_a_run_of_another_kind_shows_nothing(tmp_path):
    write_json(tmp_path / "config.json", {"preset": "compact"})
    live = LiveResults(tmp_path)
    assert not live.refresh() and live.metrics() == []


@pytest.mark.parametrize("damage", ["half a line", "garbage", "other patients", "not a number", "empty"])
def test_predictions_that_are_not_whole_do_not_count(run, live, damage):
    finish_all(run)
    live.refresh()
    path = job(run, fold=0) / "predictions.csv"
    text = path.read_text()
    path.write_bytes({
        "half a line": text[:-5].encode(),
        "garbage": b"\x00\xff\xfe\n",
        "other patients": text.replace("P00", "P99").encode(),
        "not a number": text.replace(text.splitlines()[1].split(",")[4], "nan").encode(),
        "empty": b"",
    }[damage])  # fmt: skip
    assert live.refresh()
    assert row_of(live)["folds_finished"] == FOLDS - 1 and row_of(live)["n"] == PATIENTS - 6
    path.write_text(text)
    assert live.refresh() and row_of(live)["n"] == PATIENTS


def test_predictions_that_cannot_be_used_are_told_beside_the_others(run, live):
    finish_all(run)
    bad = [[*row[:3], 7, *row[4:]] for row in rows_of(0)]
    finish(run, 0, bad, slug="My_method")
    live.refresh()
    assert "label 7" in row_of(live, "My method")["problem"] and row_of(live, "My method")["auc"] is None
    assert row_of(live)["auc"] is not None and list(live.roc()) == ["CHMFL"]


# Company -------------------------------------------------------------------------------------------------------------


def test_it_works_where_nothing_but_numpy_and_scipy_is_installed(run):
    finish_all(run)
    write_history(run, ["1,0.9,"])
    script = """if True:
        import json, sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("torch", "sklearn", "matplotlib", "pydicom", "slicer", "vtk", "dask", "mirp"):
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, Absent())
        from CHMFLTrainingLib.run.live import LiveResults
        live = LiveResults(sys.argv[1])
        live.refresh()
        print(json.dumps([live.metrics(), live.roc()["CHMFL"][2], len(live.curves("CHMFL"))]))
    """
    paths = [str(REPOSITORY / "CHMFLPredictor"), str(REPOSITORY / "CHMFLTraining")]
    script = f"import sys; sys.path[:0] = {paths!r}\n{script}"
    done = subprocess.run([sys.executable, "-c", script, str(run)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    metrics, area, curves = json.loads(done.stdout)
    assert metrics[0]["auc"] == pytest.approx(area) and curves == 1 and metrics[0]["paper_auc"] == 0.873


def test_showing_a_run_executes_nothing_that_it_names(tmp_path):
    folder, marker = tmp_path / "methods", tmp_path / "executed"
    folder.mkdir()
    (folder / "evil_of_the_test.py").write_text(f"open({str(marker)!r}, 'w')")
    live = LiveResults(write_run(tmp_path / "run", methods_folder=str(folder)))
    live.refresh()
    live.metrics()
    assert not marker.exists()


def test_a_real_run_is_read_as_the_run_reads_itself(tmp_path):
    from CHMFLTrainingLib.run.run import Comparison
    from CHMFLTrainingLib.statistics.metrics import out_of_fold, summarize
    from compared_run import EPOCHS, compare, new_run, write_cohort

    assert compare(*new_run(write_cohort(tmp_path), tmp_path / "run")) == 0
    live, run = LiveResults(tmp_path / "run"), Comparison(tmp_path / "run")
    assert live.refresh() and not live.refresh()
    assert [len(curve.epochs) for curve in live.curves("Walk")] == [EPOCHS] * 3 and not live.curves("Uptake sum")
    for method in ("Walk", "Uptake sum"):
        rows = [row for one in run.jobs if one.method == method and one.repeat == 0 for row in run.predictions(one)]
        summary, row = summarize(out_of_fold(rows), resamples=10), row_of(live, method)
        assert {name: row[name] for name in SIX} == pytest.approx(summary["pooled"], nan_ok=True)
        assert row["fold_auc"] == pytest.approx(summary["fold_mean"]["auc"])
        assert row["dice"] == pytest.approx(summary["dice"]) and row["n"] == summary["patients"]
