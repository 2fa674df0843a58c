"""ROC curves and AUCs of scores on the same patients, their covariance and the test of a difference.

DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver operating
characteristic curves: a nonparametric approach. Biometrics 1988;44:837-845, doi:10.2307/2531595. Out-of-fold risks of
several repeats are averaged inside its kernel: the mean of the repeats' AUCs is a U-statistic of the patients too, so
its variance follows in the same way and repeats add no patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

NORMAL_975 = 1.959963984540054
NO_DIFFERENCE = 1e-12  # AUCs are means of 0, 0.5 and 1: a smaller difference is rounding
NO_VARIANCE = 1e-15


@dataclass(frozen=True)
class AucComparison:
    """Two AUCs on the same patients.

    :ivar difference: ``auc_a - auc_b``.
    :ivar se: standard error of the difference; NaN with fewer than two patients of a label.
    :ivar low, high: 95 % interval of the difference.
    :ivar p: two-sided; NaN where the AUCs differ and the variance is zero (perfect separation), for then the normal
        approximation says nothing.
    """

    auc_a: float
    auc_b: float
    difference: float
    se: float
    low: float
    high: float
    z: float
    p: float


def ordered_pairs(label: ArrayLike, risk: ArrayLike) -> np.ndarray:
    """For each patient with (rows) and without the event (columns): 1 where the first has the higher risk, 0.5 at a
    tie, 0 otherwise. The mean is the AUC.

    :param label: 0 or 1 (n,).
    :param risk: any score (n,).
    """
    label, risk = np.asarray(label), np.asarray(risk, dtype=float)
    return (np.sign(risk[label == 1][:, None] - risk[label == 0][None, :]) + 1) / 2


def auc(label: ArrayLike, risk: ArrayLike) -> float:
    """Area under the ROC curve (Mann-Whitney; a tie counts half); NaN where a label is missing."""
    pairs = ordered_pairs(label, risk)
    return float(pairs.mean()) if pairs.size else float("nan")


def roc_curve(label: ArrayLike, risk: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """1 - specificity and sensitivity at every threshold, from (0, 0) to (1, 1); tied risks make a slanted step."""
    label, risk = np.asarray(label), np.asarray(risk, dtype=float)
    cuts = np.concatenate([[np.inf], np.unique(risk)[::-1]])
    called = risk[None, :] >= cuts[:, None]
    return called[:, label == 0].mean(1), called[:, label == 1].mean(1)


def covariance(label: ArrayLike, scores: ArrayLike | Sequence[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """AUCs (k,) and their covariance (k, k).

    :param label: 0 or 1 (n,).
    :param scores: (k, n), or (k, repeats, n): then each AUC is the mean over the repeats.
    :returns: NaN covariance with fewer than two patients of a label.
    """
    label, scores = np.asarray(label), np.asarray(scores, dtype=float)
    scores = scores[:, None, :] if scores.ndim == 2 else scores
    pairs = np.array([np.mean([ordered_pairs(label, risk) for risk in repeats], axis=0) for repeats in scores])
    count, events, others = pairs.shape
    if min(events, others) < 2:
        values = pairs.mean((1, 2)) if pairs.size else np.full(count, np.nan)
        return values, np.full((count, count), np.nan)
    of_events, of_others = np.cov(pairs.mean(2)), np.cov(pairs.mean(1))
    return pairs.mean((1, 2)), np.atleast_2d(of_events / events + of_others / others)


def standard_error(label: ArrayLike, risk: ArrayLike) -> float:
    """Standard error of one AUC; ``risk`` (n,) or (repeats, n)."""
    return float(np.sqrt(covariance(label, [risk])[1][0, 0]))


def delong_test(label: ArrayLike, risk_a: ArrayLike, risk_b: ArrayLike) -> AucComparison:
    """Test whether two scores of the same patients have different AUCs.

    :param label: 0 or 1 (n,).
    :param risk_a, risk_b: (n,) or (repeats, n), one shape, patients in the order of ``label``.
    """
    values, matrix = covariance(label, [risk_a, risk_b])
    difference = float(values[0] - values[1])
    variance = float(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    se = float(np.sqrt(max(variance, 0.0))) if np.isfinite(variance) else float("nan")
    z, p = _z_and_p(difference, variance)
    half = NORMAL_975 * se
    return AucComparison(float(values[0]), float(values[1]), difference, se, difference - half, difference + half, z, p)


def _z_and_p(difference: float, variance: float) -> tuple[float, float]:
    from scipy.special import ndtr

    if abs(difference) < NO_DIFFERENCE:
        return 0.0, 1.0
    if not variance > NO_VARIANCE:
        return float("nan"), float("nan")
    z = difference / np.sqrt(variance)
    return float(z), float(2 * ndtr(-abs(z)))


def planned_error(area: float, events: int, others: int) -> float:
    """Standard error that an AUC of this size has with so many patients, before any is seen.

    Hanley JA, McNeil BJ. Radiology 1982;143:29-36, doi:10.1148/radiology.143.1.7063747.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (events - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    return float(np.sqrt(spread / (events * others)))


def luck_of_the_best(count: int) -> float:
    """By how many standard errors the best of ``count`` equally good, independent methods is expected to look better
    than it is: the mean of the maximum of so many standard normal numbers.
    """
    from scipy.special import ndtr

    x = np.linspace(-9.0, 9.0, 3601)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.trapezoid(x * count * density * ndtr(x) ** (count - 1), x))
