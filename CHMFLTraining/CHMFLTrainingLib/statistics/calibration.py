"""Is a risk to be taken at its word: Brier score, reliability, calibration slope, net benefit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from CHMFLPredictorLib.model.calibration import fit_logistic, sigmoid
from numpy.typing import ArrayLike

from .auc import NORMAL_975

BINS = 5  # of about ten patients each in the paper's cohort; more would show noise only
EDGE = 1e-6  # risks of 0 and 1 have no log-odds
LEAST_SLOPE = 0.05  # of Platt's curve
SEPARATED = 50.0  # a slope that grew beyond this has no maximum: the risks separate the labels


def brier(label: ArrayLike, risk: ArrayLike) -> float:
    """Mean squared difference of risk and label; 0.25 for a risk of 0.5 throughout. Brier, 1950,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    return float(np.mean((np.asarray(risk, dtype=float) - np.asarray(label)) ** 2))


def reliability(label: ArrayLike, risk: ArrayLike, bins: int = BINS) -> list[dict[str, float]]:
    """Observed against predicted risk in groups of equal size.

    :returns: for each group ``patients``, ``risk`` (mean), ``observed`` (share with the event), ``low`` and ``high``
        (95 %, Wilson: doi:10.1080/01621459.1927.10502953). Equal risks stay in one group.
    """
    label, risk = np.asarray(label), np.asarray(risk, dtype=float)
    edges = np.unique(np.quantile(risk, np.linspace(0, 1, bins + 1)[1:-1]))
    group = np.searchsorted(edges, risk, side="right")
    found = []
    for number in np.unique(group):
        inside = group == number
        low, high = wilson(int(label[inside].sum()), int(inside.sum()))
        row = {"patients": int(inside.sum()), "risk": float(risk[inside].mean())}
        found.append({**row, "observed": float(label[inside].mean()), "low": low, "high": high})
    return found


def wilson(successes: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion."""
    share, z2 = successes / count, NORMAL_975**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_975 / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


@dataclass(frozen=True)
class Calibration:
    """``logit P(event) = intercept + slope * logit(risk)``: 0 and 1 for a calibrated risk, a slope below 1 for an
    overconfident one. NaN where it cannot be fitted: equal risks, one label, or separated labels.

    :ivar se: standard error of the slope.
    :ivar excess: mean risk less the share with the event (calibration in the large).
    """

    slope: float
    intercept: float
    se: float
    excess: float


def calibration_line(label: ArrayLike, risk: ArrayLike) -> Calibration:
    """Fit the calibration slope and intercept. Cox DR. Biometrika 1958;45:562-565, doi:10.1093/biomet/45.3-4.562.

    :param label: 0 or 1 (n,).
    :param risk: 0 to 1 (n,).
    """
    label, risk = np.asarray(label), np.asarray(risk, dtype=float).clip(EDGE, 1 - EDGE)
    log_odds, excess = np.log(risk / (1 - risk)), float(risk.mean() - label.mean())
    none = Calibration(float("nan"), float("nan"), float("nan"), excess)
    if np.unique(label).size < 2 or np.ptp(log_odds) < 1e-9:
        return none
    events, others = log_odds[label == 1], log_odds[label == 0]
    if events.min() >= others.max() or others.min() >= events.max():
        return none
    slope, intercept = fit_logistic(log_odds, label, ridge=0.0)
    probability = sigmoid(intercept + slope * log_odds)
    weight = probability * (1 - probability)
    design = np.stack([log_odds, np.ones_like(log_odds)], axis=1)
    if abs(slope) * log_odds.std() > SEPARATED or np.linalg.matrix_rank(design.T * weight @ design) < 2:
        return none
    se = float(np.sqrt(np.linalg.inv(design.T * weight @ design)[0, 0]))
    return Calibration(float(slope), float(intercept), se, excess)


def cross_fitted(label: ArrayLike, features: ArrayLike, fold: ArrayLike, inverse_penalty: float = 1.0) -> np.ndarray:
    """Risks of a logistic regression that never saw the patient's own fold, 0 to 1 (n,).

    :param label: 0 or 1 (n,).
    :param features: (n,) or (n, features), scaled inside the training folds.
    :param fold: of each patient (n,).
    :param inverse_penalty: scikit-learn's ``C``.
    """
    label, fold = np.asarray(label), np.asarray(fold)
    features = np.asarray(features, dtype=float).reshape(label.size, -1)
    risk = np.zeros(label.size)
    for number in np.unique(fold):
        test = fold == number
        ridge = 1 / (inverse_penalty * np.count_nonzero(~test))
        slope, intercept = fit_logistic(features[~test], label[~test], ridge)
        risk[test] = sigmoid(features[test] @ slope + intercept)
    return risk


def fit_platt(log_odds: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of ``risk = sigmoid(slope * log_odds + intercept)``.

    The slope is at least ``LEAST_SLOPE``: with 40 patients it can come out negative by chance, and a calibration may
    temper what the network says but not turn it round.
    """
    slope, intercept = fit_logistic(log_odds, labels)
    if slope >= LEAST_SLOPE:
        return slope, intercept
    share = float(np.mean(labels))
    return LEAST_SLOPE, float(np.log(share / (1 - share)) - LEAST_SLOPE * np.mean(log_odds))


def platt_across_folds(label: ArrayLike, risk: ArrayLike, fold: ArrayLike) -> np.ndarray:
    """Risks after one logistic curve of the *other* folds' out-of-fold log-odds (n,): how every method is calibrated
    alike, without training anything again. Platt JC. Advances in large margin classifiers 1999:61-74.

    The curve of a fold is fitted to patients outside it, each judged by a network that did not see the patient; those
    networks saw this fold's patients, so the curve is not fully independent of them.

    :param label: 0 or 1 (n,). :param risk: 0 to 1, out of fold (n,). :param fold: of each patient (n,).
    """
    label, fold = np.asarray(label), np.asarray(fold)
    risk = np.asarray(risk, dtype=float).clip(EDGE, 1 - EDGE)
    log_odds, found = np.log(risk / (1 - risk)), np.full(risk.shape, np.nan)
    for number in np.unique(fold):
        own = fold == number
        if np.unique(label[~own]).size == 2:
            slope, intercept = fit_platt(log_odds[~own], label[~own])
            found[own] = sigmoid(slope * log_odds[own] + intercept)
    return found


def net_benefit(label: ArrayLike, positive: ArrayLike, threshold: float) -> float:
    """True positives per patient, less the false positives at the rate of exchange that the threshold states."""
    label, positive = np.asarray(label), np.asarray(positive)
    true, false = np.mean(positive & (label == 1)), np.mean(positive & (label == 0))
    return float(true - false * threshold / (1 - threshold))


def decision_curve(label: ArrayLike, risk: ArrayLike, thresholds: ArrayLike | None = None) -> dict[str, np.ndarray]:
    """Net benefit of acting on risks at and above each threshold, of acting on all patients and on none.

    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574, doi:10.1177/0272989X06295361.

    :param thresholds: probabilities above 0 and below 1; None gives 0.05 to 0.80.
    :returns: ``threshold``, ``model``, ``all``, ``none``, each (t,).
    """
    label, risk = np.asarray(label), np.asarray(risk, dtype=float)
    grid = np.linspace(0.05, 0.80, 76) if thresholds is None else np.asarray(thresholds, dtype=float)
    everybody = np.ones(label.size, dtype=bool)
    model = np.array([net_benefit(label, risk >= value, value) for value in grid])
    treat_all = np.array([net_benefit(label, everybody, value) for value in grid])
    return {"threshold": grid, "model": model, "all": treat_all, "none": np.zeros(grid.size)}
