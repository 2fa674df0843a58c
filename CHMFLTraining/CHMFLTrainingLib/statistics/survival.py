"""Survival: Cox's proportional hazards on a few features, concordance, and AUC at a time, in numpy.

Times are positive numbers in one unit (the cohort's: days); ``event`` is 1 where the event was seen at that time and 0
where the patient was followed so long without it (censored). A patient censored at a time is at risk at that time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from numpy.typing import ArrayLike

TIES = ("efron", "breslow")
_MOST_STEPS, _ENOUGH = 100, 1e-9
_LARGEST = 15.0  # log hazard ratio of one standard deviation: no feature has it, a perfect order has any


def partial_log_likelihood(
    beta: ArrayLike, x: ArrayLike, time: ArrayLike, event: ArrayLike, ties: str = "efron", ridge: float = 0.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log partial likelihood of Cox's model with its gradient and Hessian.

    Cox DR. J R Stat Soc B 1972;34:187. Ties: Breslow N. Biometrics 1974;30:89; Efron B. J Am Stat Assoc 1977;72:557.

    :param beta: coefficients (k,).
    :param x: features (n, k); ``time``, ``event``: (n,).
    :param ridge: half of it times the squared length of ``beta`` is taken off.
    :returns: value, gradient (k,), Hessian (k, k).
    """
    beta, x, time, event = _arrays(beta, x, time, event)
    if ties not in TIES:
        raise ValueError(f"ties must be one of {TIES}, not {ties!r}")
    score = x @ beta
    shift = float(score.max())
    weight = np.exp(score - shift)
    value, gradient, hessian = -0.5 * ridge * beta @ beta, -ridge * beta, -ridge * np.eye(beta.size)
    for now in np.unique(time[event]):
        at_risk, dead = time >= now, event & (time == now)
        sums = [_sums(weight, x, group) for group in (at_risk, dead)]
        count = int(dead.sum())
        value += float(score[dead].sum())
        gradient = gradient + x[dead].sum(axis=0)
        for index in range(count):
            share = index / count if ties == "efron" else 0.0
            s0, s1, s2 = (whole - share * part for whole, part in zip(*sums, strict=True))
            mean = s1 / s0
            value -= float(np.log(s0)) + shift
            gradient = gradient - mean
            hessian = hessian - (s2 / s0 - np.outer(mean, mean))
    return value, gradient, hessian


@dataclass(frozen=True)
class CoxModel:
    """A fitted Cox model.

    :param beta: coefficients (k,): log hazard ratio for one unit of each feature.
    :param covariance: of ``beta`` (k, k), the inverse information.
    :param times: times of events (m,), ascending.
    :param cumulative_hazard: baseline, of a patient with all features 0, just after each time (m,), Breslow's.
    """

    beta: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    times: np.ndarray
    cumulative_hazard: np.ndarray

    def with_coefficients(self, beta: ArrayLike, x: ArrayLike, time: ArrayLike, event: ArrayLike) -> CoxModel:
        """The same with other coefficients (k,), and the baseline that goes with them."""
        beta = np.asarray(beta, float)
        times, hazard = _breslow(np.asarray(x) @ beta, time, event)
        return replace(self, beta=beta, times=times, cumulative_hazard=hazard)

    def score(self, x: ArrayLike) -> np.ndarray:
        """Log of the hazard relative to a patient with all features 0, (n,)."""
        return np.asarray(x, dtype=np.float64) @ self.beta

    def risk(self, x: ArrayLike, horizon: float) -> np.ndarray:
        """Probability of the event up to a time, (n,). Beyond the last event seen in training it stays as it is."""
        index = int(np.searchsorted(self.times, horizon, side="right"))
        hazard = self.cumulative_hazard[index - 1] if index else 0.0
        return -np.expm1(-hazard * np.exp(np.clip(self.score(x), -50, 50)))


def fit_cox(x: ArrayLike, time: ArrayLike, event: ArrayLike, ridge: float = 0.0, ties: str = "efron") -> CoxModel:
    """Maximize the partial likelihood by Newton's method with halved steps.

    :raises BadInput: survival_no_event, survival_diverged (a feature that separates the events; give a ridge).
    """
    _, x, time, event = _arrays(np.zeros(np.shape(x)[1]), x, time, event)
    if not event.any():
        raise BadInput("survival_no_event", "None of the patients has the event.", "Cox's model needs some.")
    center = x.mean(axis=0)  # the likelihood does not change, its numbers stay small
    beta = np.zeros(x.shape[1])
    value, gradient, hessian = partial_log_likelihood(beta, x - center, time, event, ties, ridge)
    for _ in range(_MOST_STEPS):
        step = np.linalg.lstsq(-hessian, gradient, rcond=None)[0]
        if gradient @ step < _ENOUGH**2 * (1 + abs(value)):
            break
        for _ in range(50):
            new = partial_log_likelihood(beta + step, x - center, time, event, ties, ridge)
            if np.isfinite(new[0]) and new[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        beta = beta + step
        value, gradient, hessian = new
    if not np.isfinite(beta).all() or np.abs(beta * x.std(axis=0)).max(initial=0.0) > _LARGEST:
        text = "Cox's model has no finite best coefficients: a feature puts the events in perfect order."
        raise BadInput("survival_diverged", text, "Give a ridge penalty above 0, or fewer features.")
    hazard_times, hazard = _breslow(x @ beta, time, event)
    return CoxModel(beta, np.linalg.pinv(-hessian), value, hazard_times, hazard)


def _breslow(score: np.ndarray, time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    time, event = np.asarray(time), np.asarray(event).astype(bool)
    times, relative = np.unique(time[event]), np.exp(score)
    steps = [(event & (time == now)).sum() / relative[time >= now].sum() for now in times]
    return times, np.cumsum(steps)


def _sums(weight: np.ndarray, x: np.ndarray, group: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    w, x = weight[group], x[group]
    return w.sum(), w @ x, (w[:, None] * x).T @ x


def _arrays(beta: ArrayLike, x: ArrayLike, time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, ...]:
    beta, x = np.atleast_1d(np.asarray(beta, float)), np.asarray(x, float)
    time, event = np.asarray(time, float), np.asarray(event)
    if x.shape != (time.size, beta.size) or event.shape != time.shape:
        raise ValueError(f"x {x.shape}, time {time.shape}, event {event.shape} and beta {beta.shape} do not fit")
    if not (np.isfinite(x).all() and np.isfinite(time).all() and (time > 0).all() and np.isin(event, (0, 1)).all()):
        raise ValueError("features and times must be finite, times above 0, events 0 or 1")
    return beta, x, time, event.astype(bool)


# How good a risk is ------------------------------------------------------------------------------------------------


def kaplan_meier(time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Share without the event just after each distinct time of an event. Kaplan EL, Meier P. J Am Stat Assoc
    1958;53:457.

    :returns: times (m,), shares (m,).
    """
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    times = np.unique(time[event])
    steps = [1 - (event & (time == now)).sum() / (time >= now).sum() for now in times]
    return times, np.cumprod(steps)


def median_follow_up(time: ArrayLike, event: ArrayLike) -> float:
    """Median time that patients were or would have been followed: Kaplan-Meier with the roles exchanged (Schemper M,
    Smith TL. Control Clin Trials 1996;17:343); the longest time where fewer than half were censored.
    """
    times, share = kaplan_meier(time, 1 - np.asarray(event))
    reached = np.flatnonzero(share <= 0.5 + 1e-12)
    return float(times[reached[0]] if reached.size else np.max(time))


def concordance(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> float:
    """Harrell's C: of all pairs whose order is known, the share in which the higher risk had the event first.

    Harrell FE, et al. Stat Med 1996;15:361. A pair counts where the one with the shorter time had the event, or where
    both times are equal and only one had it (that one came first). Equal risks count a half. NaN without any pair.

    :param risk: higher means earlier; any monotone scale.
    """
    known, right = _pairs(time, event, risk)
    return float(right[known].mean()) if known.any() else float("nan")


def concordance_interval(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap percentile interval of :func:`concordance` over patients: low, high."""
    known, right = _pairs(time, event, risk)
    n = len(known)
    count = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    pairs = ((count @ known) * count).sum(axis=1)  # a patient drawn twice makes no pair with itself
    values = ((count @ (known * right)) * count).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _pairs(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Whether it is known that the row's patient had the event first, and whether the risks say so (n, n)."""
    time, event, risk = np.asarray(time, float), np.asarray(event).astype(bool), np.asarray(risk, float)
    if not (time.shape == event.shape == risk.shape and np.isfinite(risk).all()):
        raise ValueError("time, event and risk must have one finite value a patient")
    later = (time[:, None] < time) | ((time[:, None] == time) & ~event)  # row before column
    return event[:, None] & later, (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)


def auc_at(horizon: float, time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> float:
    """Cumulative/dynamic AUC at a time: how often who had the event by then has a higher risk than who was followed
    longer without it.

    Patients censored before the horizon are neither; those with the event are weighted by the inverse share still
    followed just before (Kaplan-Meier of censoring), as if these patients had gone the same way. Uno H, et al. J Am
    Stat Assoc 2007;102:527; Hung H, Chiang CT. Can J Stat 2010;38:8. Equal risks count a half. NaN where one side is
    empty.
    """
    time, event, risk = np.asarray(time, float), np.asarray(event).astype(bool), np.asarray(risk, float)
    cases, controls = event & (time <= horizon), time > horizon
    if not cases.any() or not controls.any():
        return float("nan")
    weight = 1 / _still_followed(time, event, time[cases])
    right = (risk[cases][:, None] > risk[controls]) + 0.5 * (risk[cases][:, None] == risk[controls])
    return float(weight @ right.mean(axis=1) / weight.sum())


def survival_metrics(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    folds: ArrayLike | None = None,
    horizons: Iterable[float] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What a table shows of a risk where times are known.

    :param risk: out-of-fold, higher means earlier.
    :param folds: fold of each patient: the mean of the folds' own concordances is given as well.
    :param horizons: times for :func:`auc_at`; None: the quartiles of the times at which events were seen.
    :returns: ``patients``, ``events``, ``concordance``, ``concordance_ci`` (bootstrap, 95 %), ``concordance_folds``
        (mean over folds with a known pair, None without folds), ``auc_at`` (list of time and AUC).
    """
    time, event, risk = np.asarray(time, float), np.asarray(event).astype(int), np.asarray(risk, float)
    if horizons is None:
        horizons = np.quantile(time[event > 0], (0.25, 0.5, 0.75), method="inverted_cdf") if event.any() else ()
    by_fold = None
    if folds is not None:
        groups = [np.asarray(folds) == fold for fold in np.unique(folds)]
        each = [concordance(time[group], event[group], risk[group]) for group in groups]
        by_fold = float(np.nanmean(each)) if np.isfinite(each).any() else None
    return {
        "patients": int(time.size),
        "events": int(event.sum()),
        "concordance": concordance(time, event, risk),
        "concordance_ci": list(concordance_interval(time, event, risk, seed)) if event.any() else None,
        "concordance_folds": by_fold,
        "auc_at": [[float(horizon), auc_at(float(horizon), time, event, risk)] for horizon in horizons],
    }


def _still_followed(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Share not yet censored just before each time. An event at the time of a censoring comes first."""
    steps = []
    for now in np.unique(time[~event]):
        followed = (time > now).sum() + (~event & (time == now)).sum()
        steps.append((now, 1 - (~event & (time == now)).sum() / followed))
    return np.array([np.prod([factor for now, factor in steps if now < when]) for when in at])
