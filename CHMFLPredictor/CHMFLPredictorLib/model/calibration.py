"""From the network's log-odds to a probability of distant metastases (DM), with an interval.

The log-odds of a network trained on 40 patients are overconfident, so they are mapped by a logistic curve that was
fitted to out-of-fold log-odds only (Platt scaling): ``risk = 1 / (1 + exp(-(slope * log_odds + intercept)))``. The
curve was fitted to single networks; the mean of an ensemble is less extreme than its members, which leaves the
calibrated risk on the cautious side.
"""

import numpy as np


def sigmoid(x) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))`` without overflow, for numbers or arrays."""
    x = np.asarray(x, dtype=np.float64)
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def risk(log_odds, card: dict) -> tuple[float, list[float], tuple[float, float]]:
    """Turn the members' log-odds of one patient into the calibrated risk.

    :param log_odds: DM log-odds of each ensemble member, shape (members,).
    :param card: the model card; its ``calibration`` holds ``slope``, ``intercept`` and ``bootstrap``, a list of
        ``[slope, intercept]`` fitted to resampled patients.
    :return: risk (0 to 1) of the mean log-odds, the risk of each member, and the (low, high) interval: the 5th to 95th
        percentile over every pair of a bootstrap calibration and a member, widened where needed to hold the risk
        itself.
    """
    members = np.asarray(log_odds, dtype=np.float64).ravel()
    if members.size == 0 or not np.isfinite(members).all():
        raise ValueError(f"log-odds must be finite and at least one, got {members.tolist()}")
    calibration = card["calibration"]
    slope, intercept = float(calibration["slope"]), float(calibration["intercept"])
    value = float(sigmoid(slope * members.mean() + intercept))
    pairs = np.asarray(calibration.get("bootstrap") or [[slope, intercept]], dtype=np.float64).reshape(-1, 2)
    cloud = sigmoid(pairs[:, :1] * members[None, :] + pairs[:, 1:])
    low, high = np.percentile(cloud, (5.0, 95.0))
    return (
        value,
        [float(r) for r in sigmoid(slope * members + intercept)],
        (min(float(low), value), max(float(high), value)),
    )


def fit_logistic(x, dm, ridge: float = 0.01, weights=None) -> tuple[float, float]:
    """Fit ``P(dm) = sigmoid(slope * x + intercept)`` by Newton's method.

    :param x: one number a patient, shape (n,).
    :param dm: outcome of each patient, 0 or 1, shape (n,).
    :param ridge: weight of the penalty on the squared slope for ``x`` scaled to unit standard deviation. It keeps the
        slope finite when the two groups separate, as they do in some resamples of a small cohort.
    :param weights: weight of each patient, shape (n,), or None for equal weights.
    :return: slope and intercept on the scale of ``x``.
    """
    x, dm = np.asarray(x, dtype=np.float64).ravel(), np.asarray(dm, dtype=np.float64).ravel()
    weights = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if x.shape != dm.shape or x.shape != weights.shape or not np.isfinite(x).all():
        raise ValueError("x, dm and weights must be finite and of one length")
    if not 0.0 < float((weights * dm).sum()) < float(weights.sum()):
        raise ValueError("both outcomes are needed to fit a probability")
    center = float(np.average(x, weights=weights))
    scale = float(np.sqrt(np.average((x - center) ** 2, weights=weights))) or 1.0
    design = np.stack([(x - center) / scale, np.ones_like(x)], axis=1)
    penalty = np.diag([ridge * weights.sum(), 1e-9])
    beta = np.zeros(2)
    for _ in range(100):
        p = sigmoid(design @ beta)
        gradient = design.T @ (weights * (dm - p)) - penalty @ beta
        hessian = (design * (weights * p * (1.0 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        beta += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    slope = beta[0] / scale
    return float(slope), float(beta[1] - slope * center)


def fit_calibration(log_odds, dm, resamples: int = 200, seed: int = 0) -> dict:
    """Fit the card's ``calibration`` to out-of-fold log-odds.

    :param log_odds: one out-of-fold log-odds a patient, shape (n,).
    :param dm: outcome of each patient, 0 or 1, shape (n,).
    :param resamples: number of bootstrap resamples of the patients, drawn within each outcome so that both are always
        there.
    :return: ``{"slope", "intercept", "bootstrap": [[slope, intercept], ...]}``.
    """
    log_odds, dm = np.asarray(log_odds, dtype=np.float64), np.asarray(dm, dtype=int)
    slope, intercept = fit_logistic(log_odds, dm)
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(dm == outcome) for outcome in (0, 1)]
    bootstrap = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(group, group.size) for group in groups])
        bootstrap.append([round(number, 6) for number in fit_logistic(log_odds[drawn], dm[drawn])])
    return {"slope": slope, "intercept": intercept, "bootstrap": bootstrap}
