"""What a run has found so far, for people who watch it: learning curves, out-of-fold ROC, metrics beside the paper's.

Only the run's files are read, so it does not matter which computer works on the run. A file that is half written or
damaged counts as not there yet, and a curve stays as it was last seen whole. No code that the run's folder names is
executed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from CHMFLPredictorLib.errors import ChmflError

from ..methods import registry as methods
from ..statistics.auc import roc_curve
from ..statistics.metrics import METRICS, OutOfFold, fold_metrics, out_of_fold, pooled_metrics
from .results import Job, RunFolder, table
from .run import KIND

SHOWN_REPEAT = 0  # the paper has one; the report pools all
NUMBERS = (*METRICS, "fold_auc", "dice")


@dataclass(frozen=True, eq=False)
class Curve:
    """The learning curve of one job.

    :ivar epochs: numbers of the epochs (n,), increasing.
    :ivar loss: mean training loss of each epoch (n,).
    :ivar validation_loss: loss of the inner validation patients (n,), NaN where it was not measured; None: never.
    """

    fold: int
    repeat: int
    epochs: np.ndarray
    loss: np.ndarray
    validation_loss: np.ndarray | None


class LiveResults(RunFolder):
    """The results of a run folder, read again where its files have changed.

    :param run_folder: of ``compare``; it may still be empty.
    """

    def __init__(self, run_folder):
        super().__init__(run_folder)
        self._plan: dict = {}
        self._folds: dict[int, dict[int, frozenset]] = {}
        self._histories: dict[Job, list[dict]] = {}
        self._rows: dict[Job, list[dict]] = {}
        self._pooled: dict[str, tuple[OutOfFold | None, str]] = {}

    @property
    def methods(self) -> list[str]:
        """Names of the run's methods, in its order; empty before the run has a plan."""
        return list(self._plan.get("methods", []))

    def held_out(self, job: Job) -> frozenset:
        """The patients that the job predicts."""
        return self._folds[job.repeat][job.fold]

    def refresh(self) -> bool:
        """Read what is new. Returns whether anything changed."""
        before = self._plan, self._folds, self._histories, self._rows
        self._plan = self.content(self.folder / "config.json", _plan) or self._plan
        self._folds = self.content(self.folder / "folds.csv", _folds) or self._folds
        jobs = self._jobs()
        found = {job: self.history(job) for job in jobs}
        self._histories = {job: self._histories.get(job, []) if found[job] is None else found[job] for job in jobs}
        self._rows = {job: rows for job in jobs if (rows := self.predictions(job))}
        changed = before != (self._plan, self._folds, self._histories, self._rows)
        if changed:
            self._pooled.clear()
        return changed

    def curves(self, method: str) -> list[Curve]:
        """The learning curves of a method, by repeat and fold; empty for a method without epochs."""
        found = [_curve(job, rows) for job, rows in self._histories.items() if job.method == method]
        return sorted((curve for curve in found if curve), key=lambda curve: (curve.repeat, curve.fold))

    def roc(self) -> dict[str, tuple[np.ndarray, np.ndarray, float, int]]:
        """ROC of each method from the pooled predictions of its finished folds of repeat 0.

        :returns: method to 1 - specificity and sensitivity (from 0, 0 to 1, 1), AUC, number of patients. Methods whose
            finished folds lack one outcome are left out.
        """
        found = {}
        for method in self.methods:
            pooled = self._pool(method)[0]
            if pooled is not None and np.unique(pooled.label).size == 2:
                area = float(pooled_metrics(pooled)["auc"][0])
                curve = roc_curve(pooled.label, pooled.risk[0])
                found[method] = (*curve, area, len(pooled.patients))
        return found

    def metrics(self) -> list[dict]:
        """A row for each method, in the run's order, of the finished folds of repeat 0.

        :returns: ``method``, ``n`` (patients), ``folds_finished``, ``folds``, the six metrics of the pooled predictions
            (accuracy, sensitivity, specificity, precision, f1, auc), ``fold_auc`` (mean of the folds' AUCs), ``dice``
            (mean over patients), the paper's as ``paper_accuracy`` ... ``paper_auc`` and ``paper_dice``, and
            ``problem`` (why predictions cannot be used, or ""). None: not known.
        """
        installed = _installed()
        return [self._row(method, installed.get(method)) for method in self.methods]

    # Inside ---------------------------------------------------------------------------------------------------------

    def _row(self, method: str, installed: type | None) -> dict:
        pooled, problem = self._pool(method)
        finished = sum(Job(method, SHOWN_REPEAT, fold) in self._rows for fold in self._folds.get(SHOWN_REPEAT, {}))
        row = {"method": method, "n": len(pooled.patients) if pooled else 0, "folds_finished": finished}
        row |= {"folds": len(self._folds.get(SHOWN_REPEAT, {})), **dict.fromkeys(NUMBERS), "problem": problem}
        row |= {f"paper_{name}": value for name, value in _paper(installed).items()}
        if pooled is not None:
            numbers = {name: values[0] for name, values in pooled_metrics(pooled).items()}
            numbers |= {"fold_auc": _mean(fold_metrics(pooled)["auc"]), "dice": _mean(pooled.dice)}
            row |= {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
        return row

    def _pool(self, method: str) -> tuple[OutOfFold | None, str]:
        if method not in self._pooled:
            jobs = [job for job in self._rows if (job.method, job.repeat) == (method, SHOWN_REPEAT)]
            rows = [row for job in sorted(jobs, key=lambda job: job.fold) for row in self._rows[job]]
            try:
                self._pooled[method] = (out_of_fold(rows) if rows else None), ""
            except ChmflError as error:
                self._pooled[method] = None, str(error)
        return self._pooled[method]

    def _jobs(self) -> list[Job]:
        repeats = range(self._plan.get("repeats", 0))
        return [Job(name, r, fold) for r in repeats for name in self.methods for fold in self._folds.get(r, {})]


def _plan(data: bytes) -> dict:
    """Methods and repeats of a comparison's config.json."""
    config = json.loads(data)
    plan = config["plan"] if config["kind"] == KIND else {}
    return {"methods": [str(name) for name in plan["methods"]], "repeats": int(plan["repeats"])}


def _folds(data: bytes) -> dict[int, dict[int, frozenset]]:
    """Repeat to fold to its patients."""
    found: dict[int, dict[int, set]] = {}
    for row in table(data):
        found.setdefault(int(row["repeat"]), {}).setdefault(int(row["fold"]), set()).add(row["patient_id"])
    return {repeat: {fold: frozenset(found[repeat][fold]) for fold in sorted(found[repeat])} for repeat in found}


def _curve(job: Job, rows: list[dict]) -> Curve | None:
    """The curve of a history; None where it holds no loss. Rows that hold no numbers are left out."""
    points = {}
    for row in rows:
        epoch, *losses = (_number(row.get(name)) for name in ("epoch", "loss", "validation_loss"))
        if math.isfinite(epoch) and math.isfinite(losses[0]):
            points[epoch] = losses
    if not points:
        return None
    epochs = np.array(sorted(points))
    loss, validation = np.array([points[epoch] for epoch in epochs]).T
    return Curve(job.fold, job.repeat, epochs, loss, validation if np.isfinite(validation).any() else None)


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _mean(values) -> float:
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


def _paper(method: type | None) -> dict[str, float | None]:
    """The paper's figures of a method, None where it has none."""
    paper, segmentation = (getattr(method, name, None) or {} for name in ("PAPER", "PAPER_SEGMENTATION"))
    return {**{name: paper.get(name) for name in METRICS}, "dice": segmentation.get("dice")}


def _installed() -> dict[str, type]:
    """The installed methods by name; none where one needs a package that is not there: results are shown all the same.

    The run's own ``methods_folder`` is not looked into: showing a run must not execute what its folder names.
    """
    try:
        return methods.all_methods()
    except ChmflError:
        return {}
