"""What a run has found so far, for people who watch it: learning curves, out-of-fold ROC, metrics beside the paper's.

Only the run's files are read, so it does not matter which computer works on the run. A file that is half written or
damaged counts as not there yet, and a curve stays as it was last seen whole. No code that the run's folder names is
executed.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import ChmflError

from ..methods import registry as methods
from ..statistics.auc import roc_curve
from ..statistics.metrics import METRICS, OutOfFold, fold_metrics, out_of_fold, pooled_metrics
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


class LiveResults:
    """The results of a run folder, read again where its files have changed.

    :param run_folder: of ``compare``; it may still be empty.
    """

    def __init__(self, run_folder):
        self.folder = Path(run_folder)
        self._seen: dict[Path, tuple] = {}  # file: size, time and number when it was read
        self._config: dict = {}
        self._folds: dict[int, dict[int, frozenset]] = {}
        self._curves: dict[tuple, Curve] = {}
        self._rows: dict[tuple, list[dict]] = {}
        self._pooled: dict[str, tuple[OutOfFold | None, str]] = {}

    @property
    def methods(self) -> list[str]:
        """Names of the run's methods, in its order; empty before the run has a plan."""
        return list(self._config.get("methods", []))

    def refresh(self) -> bool:
        """Read what is new. Returns whether anything changed."""
        changed = self._update(self.folder / "config.json", self._take_config)
        changed |= self._update(self.folder / "folds.csv", self._take_folds)
        if changed:
            self._forget_predictions()  # which patients a fold must hold may have changed
        for job in self._jobs():
            folder = self._job_folder(*job)
            changed |= self._update(folder / "history.csv", lambda data, job=job: self._take_history(job, data))
            changed |= self._update(folder / "predictions.csv", lambda data, job=job: self._take_predictions(job, data))
        if changed:
            self._pooled.clear()
        return changed

    def curves(self, method: str) -> list[Curve]:
        """The learning curves of a method, by repeat and fold; empty for a method without epochs."""
        found = [curve for (name, _, _), curve in self._curves.items() if name == method]
        return sorted(found, key=lambda curve: (curve.repeat, curve.fold))

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
        finished = sum((method, SHOWN_REPEAT, fold) in self._rows for fold in self._folds.get(SHOWN_REPEAT, {}))
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
            jobs = [job for job in self._rows if job[:2] == (method, SHOWN_REPEAT)]
            rows = [row for job in sorted(jobs) for row in self._rows[job]]
            try:
                self._pooled[method] = (out_of_fold(rows) if rows else None), ""
            except ChmflError as error:
                self._pooled[method] = None, str(error)
        return self._pooled[method]

    def _jobs(self) -> list[tuple[str, int, int]]:
        repeats = range(self._config.get("repeats", 0))
        return [(name, repeat, k) for repeat in repeats for name in self.methods for k in self._folds.get(repeat, {})]

    def _job_folder(self, method: str, repeat: int, fold: int) -> Path:
        return self.folder / methods.slug(method) / f"repeat_{repeat}" / f"fold_{fold}"

    def _update(self, path: Path, take) -> bool:
        """Hand a file's content to ``take`` if it is another than last time, None if it is gone."""
        try:
            about = path.stat()
            mark = about.st_size, about.st_mtime_ns, about.st_ino
            if self._seen.get(path) == mark:
                return False
            data = path.read_bytes()
        except OSError:  # not written yet, removed, or replaced at this moment
            if self._seen.pop(path, None) is None:
                return False
            data = None
        else:
            self._seen[path] = mark
        return take(data)

    def _take_config(self, data: bytes | None) -> bool:
        try:
            config = json.loads(data or b"{}")
            plan = config["plan"] if config["kind"] == KIND else {}
            found = {"methods": [str(name) for name in plan["methods"]], "repeats": int(plan["repeats"])}
        except (ValueError, KeyError, TypeError):
            return False  # what was known stays
        changed, self._config = found != self._config, found
        return changed

    def _take_folds(self, data: bytes | None) -> bool:
        found: dict[int, dict[int, set]] = {}
        try:
            for row in _table(data):
                members = found.setdefault(int(row["repeat"]), {}).setdefault(int(row["fold"]), set())
                members.add(row["patient_id"])
        except (ValueError, KeyError, TypeError):
            return False
        if not found:
            return False
        folds = {repeat: {k: frozenset(found[repeat][k]) for k in sorted(found[repeat])} for repeat in found}
        changed, self._folds = folds != self._folds, folds
        return changed

    def _take_history(self, job: tuple, data: bytes | None) -> bool:
        if data is None:
            return self._curves.pop(job, None) is not None
        try:
            curve = _curve(job, _table(data))
        except ValueError:
            return False
        if curve is None:
            return self._curves.pop(job, None) is not None
        self._curves[job] = curve
        return True

    def _take_predictions(self, job: tuple, data: bytes | None) -> bool:
        rows = None
        if data is not None and data.endswith(b"\n"):  # else it is half written
            try:
                rows = _table(data)
                sound = all(math.isfinite(float(row[name])) for row in rows for name in ("risk", "threshold"))
                names = sorted(row["patient_id"] for row in rows)
                rows = rows if sound and names == sorted(self._folds[job[1]][job[2]]) else None
            except (ValueError, KeyError, TypeError):
                rows = None
        before = self._rows.pop(job, None)
        if rows:
            self._rows[job] = rows
        return self._rows.get(job) != before

    def _forget_predictions(self) -> None:
        self._rows.clear()
        self._seen = {path: mark for path, mark in self._seen.items() if path.name != "predictions.csv"}


def _table(data: bytes | None) -> list[dict]:
    """Rows of a CSV; a last line that is not complete is left out.

    :raises ValueError: it is no text or no CSV.
    """
    text = (data or b"").decode("utf-8")
    try:
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _curve(job: tuple, rows: list[dict]) -> Curve | None:
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
    return Curve(job[2], job[1], epochs, loss, validation if np.isfinite(validation).any() else None)


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
