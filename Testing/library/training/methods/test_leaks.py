"""Thresholds, scaling, selection, early stopping and calibration see training patients only, and no patient stands on
both sides of a fold. A leak of each kind is planted and must be caught.
"""

import csv
import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.model.calibration import sigmoid
from CHMFLTrainingLib.cohort.cohort import Patient
from CHMFLTrainingLib.cohort.folds import draw_folds, read_folds
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.methods.base import Method
from CHMFLTrainingLib.methods.check import NotSoError, check_leaks, other_world
from CHMFLTrainingLib.methods.registry import find, slug
from CHMFLTrainingLib.run.jobs import run_job
from CHMFLTrainingLib.run.run import Comparison, Job, Plan
from CHMFLTrainingLib.statistics.calibration import fit_platt
from CHMFLTrainingLib.training.settings import Settings

KNOWN, HELD_OUT = 10, 5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Training patients, held-out patients, and strangers to put in the place of the latter. Nothing tells their
    outcomes: what is learned of them is chance, and another chance where others take part.
    """
    cases = planted_cases(KNOWN + HELD_OUT, False, 5, tmp_path_factory.mktemp("cohort"))
    return cases[:KNOWN], cases[KNOWN:], planted_cases(HELD_OUT, False, 6, tmp_path_factory.mktemp("strangers"))


@pytest.mark.slow
def test_early_stopping_and_calibration_see_training_patients_only(people, tmp_path):
    """All kinds of fitting that a network has; test_check.py tries every family."""
    options = {"epochs": 2, "validation": 4, "patience": 1}
    check_leaks(lambda: find("CHMFL staged")[0](Settings("smoke", seed=3, options=options)), *people, tmp_path)


# Planted leaks --------------------------------------------------------------------------------------------------


class Honest(Method):
    """Logistic steps on age and a few columns of chance, scaled, selected, stopped, calibrated and cut in training.
    Each part can be fitted to everyone whom the method has met instead, which is the leak.
    """

    NAME, SOURCE, OPEN = "Honest", "a test", "nothing"
    LEAK: ClassVar[str] = ""
    EPOCHS = 30

    def __init__(self, settings):
        super().__init__(settings)
        self.met = {}

    def prepare(self, case):
        self.met[case.patient_id] = case

    def fit(self, cases, folder, on_progress=None):
        x, y = self._columns(cases, "scaling"), outcomes(self._cases(cases, "scaling"))
        self.mean, self.scale = x.mean(axis=0), x.std(axis=0)
        x, y = self._scaled(cases, "selection"), outcomes(self._cases(cases, "selection"))
        self.chosen = np.argsort(-np.abs((x * (y - y.mean())[:, None]).sum(axis=0)))[:2]
        x, y = self._scaled(cases)[:, self.chosen], outcomes(cases)
        train, watched = slice(None, -4), self._watched(cases)
        self.weights, losses, steps = np.zeros(2), [], []
        for _ in range(self.EPOCHS):
            self.weights = self.weights + 0.3 * x[train].T @ (y[train] - sigmoid(x[train] @ self.weights)) / len(x)
            risk = sigmoid(watched[0] @ self.weights)
            losses.append(-np.mean(np.log(np.where(watched[1] == 1, risk, 1 - risk))))
            steps.append(self.weights)
        self.weights = steps[int(np.argmin(losses))]
        judged = self._cases(cases, "calibration")
        self.slope, self.intercept = fit_platt(self._score(judged), outcomes(judged))
        cut = self._cases(cases, "threshold")
        self.threshold = best_cut(self.predict(cut), outcomes(cut))

    def _watched(self, cases):
        watched = self._cases(cases[-4:], "early stopping")
        return self._scaled(watched)[:, self.chosen], outcomes(watched)

    def _cases(self, cases, part):
        """Whom a part is fitted to."""
        return list(self.met.values()) if part and part == self.LEAK else cases

    def _columns(self, cases, part=""):
        return np.array([columns(case) for case in self._cases(cases, part)])

    def _scaled(self, cases, part=""):
        return (self._columns(cases, part) - self.mean) / self.scale

    def _score(self, cases):
        return self._scaled(cases)[:, self.chosen] @ self.weights

    def predict(self, cases):
        return sigmoid(self.slope * self._score(cases) + self.intercept)

    def state(self, folder):
        fitted = {name: getattr(self, name).tolist() for name in ("mean", "scale", "chosen", "weights")}
        return fitted | {"calibration": [self.slope, self.intercept]}


def outcomes(cases):
    return np.array([case.label for case in cases])


def columns(case):
    """Age, and numbers of chance that are the patient's own."""
    noise = np.random.default_rng([int(case.patient_id[1:]), int(case.clinical["age"])]).normal(size=6)
    return [float(case.clinical["age"]), *noise]


def best_cut(risks, labels):
    """Where most are right."""
    return float(max(np.sort(risks), key=lambda cut: np.mean((risks >= cut) == labels)))


def leaking(part):
    return type("Leaking", (Honest,), {"LEAK": part})


def test_the_check_passes_what_is_honest(people, tmp_path):
    check_leaks(lambda: Honest(Settings("smoke")), *people, tmp_path)


@pytest.mark.parametrize("part", ["threshold", "scaling", "selection", "early stopping", "calibration"])
def test_a_leak_of_each_kind_is_caught(part, people, tmp_path):
    with pytest.raises(NotSoError, match="was fitted depends"):
        check_leaks(lambda: leaking(part)(Settings("smoke")), *people, tmp_path)
    # the leak is where it was planted: what is fitted before it is the same in both lives
    states = [json.loads((tmp_path / life / "before" / "method.json").read_text()) for life in ("one", "other")]
    fitted = [{**state["state"], "threshold": state["threshold"]} for state in states]
    own = {"scaling": "mean", "selection": "chosen", "early stopping": "weights"}.get(part, part)
    order = ["mean", "scale", "chosen", "weights", "calibration", "threshold"]
    earlier = order[: order.index(own)]
    assert fitted[0][own] != fitted[1][own] and all(fitted[0][name] == fitted[1][name] for name in earlier)


class CutOnTheTested(Honest):
    """Its threshold is chosen when it predicts, by the labels that come along."""

    def predict(self, cases):
        risks = super().predict(cases)
        if all(case.label is not None for case in cases):
            self.threshold = best_cut(risks, outcomes(cases))
        return risks


class ScaledByTheTested(Honest):
    """Predicted patients are standardized among themselves."""

    def predict(self, cases):
        risks = super().predict(cases)
        return sigmoid((risks - risks.mean()) / max(risks.std(), 1e-9))


class ReadsTheAnswer(Honest):
    """The label itself moves the risk."""

    def predict(self, cases):
        return np.clip(super().predict(cases) + [0.1 * (case.label or 0) for case in cases], 0, 1)


@pytest.mark.parametrize("method", [CutOnTheTested, ScaledByTheTested, ReadsTheAnswer])
def test_a_leak_while_predicting_is_caught(method, people, tmp_path):
    with pytest.raises(NotSoError):
        check_leaks(lambda: method(Settings("smoke")), *people, tmp_path)


# The run itself -------------------------------------------------------------------------------------------------

COLUMNS = ["patient_id", "pet", "ct", "mask", "label", "time", "event", "age", "grade"]
COLUMNS_OF_FOLDS = ["repeat", "patient_id", "fold"]


def write_csv(path, header, rows):
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def write_run(folder, cases, methods):
    """A comparison of the cases in three folds; the last patients are fold 2."""
    folder.mkdir()
    rows = [[c.patient_id, *c.paths, c.label, c.time, c.event, c.clinical["age"], c.clinical["grade"]] for c in cases]
    per_fold = len(cases) // 3
    cohort = write_csv(folder / "cohort.csv", COLUMNS, rows)
    folds = [[0, case.patient_id, number // per_fold] for number, case in enumerate(cases)]
    options = {"CHMFL": {"epochs": 1}} if "CHMFL" in methods else {}
    plan = Plan(methods, preset="smoke", device="cpu", options=options)
    return Comparison.create(folder / "run", cohort, write_csv(folder / "folds.csv", COLUMNS_OF_FOLDS, folds), plan)


@pytest.mark.slow
def test_a_job_of_a_run_gives_a_method_its_training_patients_only(people, tmp_path):
    """The same job of two runs that differ in nothing but the held-out patients ends with the same model."""
    known, held_out, strangers = people
    names, models = ["Volume + SUVmax", "Clinical", "CHMFL"], []
    for place, tested in (("one", held_out), ("other", other_world(held_out, strangers))):
        run = write_run(tmp_path / place, known + tested, names)
        models.append({})
        for name in names:
            outcome = run_job(str(run.folder), name, 0, 2)
            assert outcome["state"] == "finished", outcome
            model = run.folder / slug(name) / "repeat_0" / "fold_2" / "model"
            files = [path for path in model.rglob("*") if path.is_file()]
            assert files
            models[-1] |= {f"{name} {path.name}": path.read_bytes() for path in files}
    assert models[0] == models[1]


def test_no_patient_is_on_both_sides_of_a_job(people, tmp_path):
    known, held_out, _ = people
    run = write_run(tmp_path / "drawn", known + held_out, ["TLG"])
    tested = []
    for fold in range(3):
        training, testing = ({case.patient_id for case in part} for part in run.parts(Job("TLG", 0, fold)))
        assert training and testing and not training & testing
        assert len(training | testing) == KNOWN + HELD_OUT
        tested += sorted(testing)
    assert len(tested) == len(set(tested)) == KNOWN + HELD_OUT


def patients(tmp_path, count=12):
    return [Patient(f"P{n}", tmp_path / f"{n}.nii", None, tmp_path / "mask.nii", n % 2) for n in range(count)]


def test_drawn_folds_hold_each_patient_once(tmp_path):
    for seed in range(20):
        folds = draw_folds(patients(tmp_path), 6, seed)
        assert sorted(folds) == sorted(patient.patient_id for patient in patients(tmp_path))
        assert sorted(folds.values()) == sorted([0, 1, 2, 3, 4, 5] * 2)


def test_a_patient_in_two_folds_is_refused(tmp_path):
    rows = [[0, f"P{n}", n % 3] for n in range(12)]
    assert len(read_folds(write_csv(tmp_path / "good.csv", COLUMNS_OF_FOLDS, rows), 0, patients(tmp_path))) == 12
    shared = write_csv(tmp_path / "shared.csv", COLUMNS_OF_FOLDS, [*rows, [0, "P0", 1]])
    with pytest.raises(BadInput) as refused:
        read_folds(shared, 0, patients(tmp_path))
    assert refused.value.code == "folds_patients" and "two folds" in refused.value.message


def test_one_person_under_two_names_in_two_folds_is_refused(tmp_path):
    everyone = patients(tmp_path)
    everyone[4] = replace(everyone[4], pet=tmp_path / "sub" / ".." / "0.nii")  # P0's PET under another path
    rows = [[0, f"P{n}", n % 3] for n in range(12)]
    with pytest.raises(BadInput) as refused:
        read_folds(write_csv(tmp_path / "folds.csv", COLUMNS_OF_FOLDS, rows), 0, everyone)
    assert refused.value.code == "folds_shared" and "P0" in refused.value.message and "P4" in refused.value.message
    together = [[0, name, 1 if name == "P4" else fold] for _, name, fold in rows]
    together[0][2] = 1
    assert read_folds(write_csv(tmp_path / "same.csv", COLUMNS_OF_FOLDS, together), 0, everyone)["P0"] == 1
