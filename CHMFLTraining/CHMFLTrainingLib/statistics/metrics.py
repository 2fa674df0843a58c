"""How good are out-of-fold risks: the paper's six metrics by fold and pooled, with intervals, and methods compared.

The paper (section II.F) reports "the mean value across all 6 folds" and an unpaired Student's t-test on them. Both are
here as it says, beside what uses the patients better: metrics of all out-of-fold predictions pooled, bootstrap
intervals over patients, and DeLong's test on the same patients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from numpy.typing import ArrayLike

from .auc import AucComparison, auc, delong_test, ordered_pairs, standard_error
from .calibration import brier, calibration_line, platt_across_folds

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auc")
RESAMPLES = 2000
ROUNDING = 1e-9  # metrics are ratios of small counts: what differs by less is equal


@dataclass(frozen=True)
class OutOfFold:
    """A method's predictions of patients that it never saw, one row a repeat.

    :ivar patients: ids (n,), sorted.
    :ivar label: 0 or 1 (n,).
    :ivar repeats: numbers of the repeats (r,); each holds all these patients.
    :ivar fold, risk, threshold, dice: (r, n); dice is NaN where nothing was segmented.
    :ivar incomplete: repeats that lack patients which others have, left out.
    """

    patients: tuple[str, ...]
    label: np.ndarray
    repeats: tuple[int, ...]
    fold: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray
    dice: np.ndarray
    incomplete: tuple[int, ...] = ()

    @property
    def positive(self) -> np.ndarray:
        """Risk at or above the threshold that was fitted inside the fold's training patients, bool (r, n)."""
        return self.risk >= self.threshold

    def part(self, patients: Iterable[str], repeats: Iterable[int]) -> OutOfFold:
        """Some patients and repeats of these, in sorted order."""
        patients, repeats = sorted(patients), sorted(repeats)
        columns = [self.patients.index(name) for name in patients]
        chosen = np.ix_([self.repeats.index(number) for number in repeats], columns)
        arrays = {name: getattr(self, name)[chosen] for name in ("fold", "risk", "threshold", "dice")}
        return replace(self, patients=tuple(patients), label=self.label[columns], repeats=tuple(repeats), **arrays)


def out_of_fold(rows: Iterable[dict[str, Any]]) -> OutOfFold:
    """Gather the rows of ``predictions.csv`` of one method.

    :param rows: texts or numbers under patient_id, repeat, fold, label, risk, threshold, dice (may be empty).
    :raises BadInput: predictions_none, predictions_unreadable, predictions_conflict.
    """
    parsed = [_parsed(row) for row in rows]
    if not parsed:
        raise BadInput("predictions_none", "There are no predictions.", "Wait until a fold is finished.")
    labels: dict[str, int] = {}
    cells: dict[tuple[int, str], tuple[float, ...]] = {}
    for patient, repeat, fold, label, *numbers in parsed:
        if labels.setdefault(patient, label) != label or (repeat, patient) in cells:
            text = f"Patient {patient} has two labels, or two predictions in repeat {repeat}."
            raise BadInput("predictions_conflict", text, "Predict each patient once a repeat; train the folds again.")
        cells[repeat, patient] = (fold, *numbers)
    repeats, incomplete = _complete(cells, len(labels))
    patients = tuple(sorted({name for repeat, name in cells if repeat in repeats}))
    table = np.array([[cells[repeat, name] for name in patients] for repeat in repeats], dtype=float)
    outcomes = np.array([labels[name] for name in patients])
    folds, risk, threshold, dice = np.moveaxis(table, 2, 0)
    return OutOfFold(patients, outcomes, repeats, folds.astype(int), risk, threshold, dice, incomplete)


def _parsed(row: dict[str, Any]) -> tuple[str, int, int, int, float, float, float]:
    try:
        risk, threshold = float(row["risk"]), float(row["threshold"])
        dice = float(row["dice"]) if str(row.get("dice") or "").strip() else float("nan")
        label = int(row["label"])
        if not 0 <= risk <= 1 or not np.isfinite(threshold) or label not in (0, 1):
            raise ValueError(f"risk {risk}, threshold {threshold}, label {label}")
        return str(row["patient_id"]), int(row["repeat"]), int(row["fold"]), label, risk, threshold, dice
    except (KeyError, TypeError, ValueError) as error:
        text = f"A row of predictions cannot be used: {dict(row)} ({error})."
        hint = "Delete that predictions.csv and train its fold again."
        raise BadInput("predictions_unreadable", text, hint) from error


def _complete(cells: Iterable[tuple[int, str]], patients: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Repeats that hold all patients (or, before any does, the fullest one), and the others."""
    count: dict[int, int] = {}
    for repeat, _ in cells:
        count[repeat] = count.get(repeat, 0) + 1
    whole = sorted(repeat for repeat in count if count[repeat] == patients)
    whole = whole or [min(count, key=lambda repeat: (-count[repeat], repeat))]
    return tuple(whole), tuple(sorted(set(count) - set(whole)))


def rates(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> dict[str, np.ndarray]:
    """The five threshold metrics from counts of any one shape.

    NaN where undefined: sensitivity without events, specificity without others, precision where nobody is called
    positive, F1 where there is neither an event nor a call.
    """
    tp, fp, fn, tn = (np.asarray(count, dtype=float) for count in (tp, fp, fn, tn))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }


def confusion(label: ArrayLike, positive: ArrayLike) -> dict[str, int]:
    """Counts ``tp``, ``fp``, ``fn``, ``tn``."""
    event, positive = np.asarray(label) == 1, np.asarray(positive, dtype=bool)
    pairs = {"tp": event & positive, "fp": ~event & positive, "fn": event & ~positive, "tn": ~event & ~positive}
    return {name: int(chosen.sum()) for name, chosen in pairs.items()}


def six_metrics(label: ArrayLike, risk: ArrayLike, positive: ArrayLike) -> dict[str, float]:
    """The paper's six metrics of some patients; NaN where undefined, see :func:`rates`."""
    values = rates(**confusion(label, positive))
    return {**{name: float(value) for name, value in values.items()}, "auc": auc(label, risk)}


def fold_metrics(found: OutOfFold, repeat: int = 0) -> dict[str, np.ndarray]:
    """The six metrics of each fold of a repeat (folds,); NaN where a fold's patients leave one undefined.

    :param repeat: position among ``found.repeats``.
    """
    folds, positive = found.fold[repeat], found.positive[repeat]
    each = [folds == fold for fold in np.unique(folds)]
    values = [six_metrics(found.label[one], found.risk[repeat][one], positive[one]) for one in each]
    return {name: np.array([value[name] for value in values]) for name in METRICS}


def pooled_metrics(found: OutOfFold) -> dict[str, np.ndarray]:
    """The six metrics of all out-of-fold predictions together, for each repeat (r,)."""
    values = [six_metrics(found.label, *pair) for pair in zip(found.risk, found.positive, strict=True)]
    return {name: np.array([value[name] for value in values]) for name in METRICS}


def bootstrap(found: OutOfFold, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """The six pooled metrics of resampled patients (resamples,): drawn with replacement within each label, the same
    ones in every repeat, whose mean each value is. The networks are not trained again: what another training set
    would change is not in it.
    """
    random = np.random.default_rng(seed)
    event = found.label == 1
    counts = [int(event.sum()), int((~event).sum())]
    if not all(counts):
        return {name: np.full(resamples, np.nan) for name in METRICS}
    of_events, of_others = (random.multinomial(n, np.full(n, 1 / n), size=resamples) for n in counts)
    each = []
    for risk, positive in zip(found.risk, found.positive, strict=True):
        tp, fp = of_events @ positive[event], of_others @ positive[~event]
        values = rates(tp, fp, counts[0] - tp, counts[1] - fp)
        pairs = (of_events @ ordered_pairs(found.label, risk) * of_others).sum(1)
        each.append({**values, "auc": pairs / (counts[0] * counts[1])})
    return {name: np.mean([one[name] for one in each], axis=0) for name in METRICS}


def interval(values: ArrayLike, percent: float = 95.0) -> tuple[float, float]:
    """Percentile interval; undefined values (NaN) are left out."""
    values = _defined(values)
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.percentile(values, [50 - percent / 2, 50 + percent / 2])
    return float(low), float(high)


def summarize(found: OutOfFold, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """All numbers of one method, as JSON values (None: undefined).

    ``pooled`` and ``interval`` (95 %, bootstrap) are means over the repeats; ``fold_mean``, ``fold_sd`` and
    ``folds_used`` (folds in which the metric is defined) are of the first repeat, as in the paper; ``confusion`` too.
    """
    pooled, folds = pooled_metrics(found), fold_metrics(found)
    drawn = bootstrap(found, resamples, seed)
    lines = [calibration_line(found.label, risk) for risk in found.risk]
    overlap = found.dice[np.isfinite(found.dice)]
    summary = {
        "patients": len(found.patients),
        "events": int(found.label.sum()),
        "repeats": list(found.repeats),
        "incomplete_repeats": list(found.incomplete),
        "folds": int(np.unique(found.fold[0]).size),
        "pooled": {name: _mean(pooled[name]) for name in METRICS},
        "interval": {name: list(interval(drawn[name])) for name in METRICS},
        "repeat_range": {name: [float(np.min(pooled[name])), float(np.max(pooled[name]))] for name in METRICS},
        "fold_mean": {name: _mean(folds[name]) for name in METRICS},
        "fold_sd": {name: _sd(folds[name]) for name in METRICS},
        "folds_used": {name: int(np.isfinite(folds[name]).sum()) for name in METRICS},
        "auc_se": standard_error(found.label, found.risk),
        "confusion": confusion(found.label, found.positive[0]),
        "brier": float(np.mean([brier(found.label, risk) for risk in found.risk])),
        "calibration": {name: _mean([getattr(line, name) for line in lines]) for name in asdict(lines[0])},
        "platt": _one_curve(found),
        "dice": _mean(overlap),
    }
    return _plain(summary)


def _one_curve(found: OutOfFold) -> dict[str, float]:
    """Brier score and pooled accuracy at a threshold of 0.5 after Platt's curve across folds, means over the repeats.
    Its AUC is each fold's own, and is not given: a curve cannot change the order within a fold.
    """
    scores, right = [], []
    for risk, fold in zip(found.risk, found.fold, strict=True):
        curved = platt_across_folds(found.label, risk, fold)
        scores.append(brier(found.label, curved))
        right.append(float(np.mean((curved >= 0.5) == (found.label == 1))) if np.isfinite(curved).all() else np.nan)
    return {"brier": _mean(scores), "accuracy": _mean(right)}


def compare(a: OutOfFold, b: OutOfFold) -> dict[str, Any]:
    """Two methods on the patients and repeats that both have, as JSON values.

    :returns: DeLong's test (``auc_a`` to ``p``), ``patients``, ``repeats``, and ``t_test``: for each metric the p of
        the paper's unpaired t-test. None where the methods share no patient or no repeat.
    """
    patients, repeats = set(a.patients) & set(b.patients), set(a.repeats) & set(b.repeats)
    if not patients or not repeats:
        return _plain({**asdict(AucComparison(*[float("nan")] * 8)), "patients": 0, "repeats": [], "t_test": {}})
    a, b = a.part(patients, repeats), b.part(patients, repeats)
    if (a.label != b.label).any():
        text = "Two methods of the run hold different labels of the same patient."
        raise BadInput("predictions_conflict", text, "Train both on one cohort.")
    of_a, of_b = fold_metrics(a), fold_metrics(b)
    tests = {name: unpaired_t_test(of_a[name], of_b[name]) for name in METRICS}
    found = asdict(delong_test(a.label, a.risk, b.risk))
    return _plain({**found, "patients": len(patients), "repeats": sorted(repeats), "t_test": tests})


def unpaired_t_test(a: ArrayLike, b: ArrayLike) -> float:
    """The p-value of Student's t-test with equal variances, two-sided, as in the paper's tables.

    It takes folds for independent and ignores that both methods saw the same patients, so it is shown for comparison
    with the paper only. Undefined values are left out; NaN with fewer than two on a side, or where all agree within
    both sides and differ between them.
    """
    from scipy.special import stdtr

    a, b = _defined(a), _defined(b)
    if min(a.size, b.size) < 2:
        return float("nan")
    if max(np.ptp(a), np.ptp(b)) < ROUNDING:
        return 1.0 if abs(a[0] - b[0]) < ROUNDING else float("nan")
    freedom = a.size + b.size - 2
    variance = (((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / freedom
    t = (a.mean() - b.mean()) / np.sqrt(variance * (1 / a.size + 1 / b.size))
    return float(2 * stdtr(freedom, -abs(t)))


def holm(p_values: ArrayLike) -> np.ndarray:
    """p-values adjusted for their number by Holm's method (Scand J Stat 1979;6:65-70); NaN stays and is not counted."""
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    adjusted = np.full(p.shape, np.nan)
    steps = p[order] * (order.size - np.arange(order.size))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _defined(values: ArrayLike) -> np.ndarray:
    """Those that are not NaN."""
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def _mean(values: ArrayLike) -> float:
    """Mean of what is defined; NaN if nothing is."""
    values = _defined(values)
    return float(values.mean()) if values.size else float("nan")


def _sd(values: ArrayLike) -> float:
    values = _defined(values)
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _plain(value: Any) -> Any:
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
