"""From the network's log-odds to a probability of distant metastases (DM), with an interval.

The log-odds of a network trained on 40 patients are overconfident, so they are mapped by a logistic curve that was
fitted to out-of-fold log-odds only (Platt scaling): ``risk = 1 / (1 + exp(-(slope * log_odds + intercept)))``. The
curve was fitted to single networks; the mean of an ensemble is less extreme than its members, which leaves the
calibrated risk nearer to one half.
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


def fit_logistic(x, dm, ridge: float = 0.01):
    """Fit ``P(dm) = sigmoid(x @ slope + intercept)`` by Newton's method.

    :param x: one number a patient, shape (n,), or several, shape (n, features).
    :param dm: label of each patient, 0 or 1, shape (n,).
    :param ridge: penalty on the squared slopes for ``x`` scaled to unit standard deviation, beside the mean over the
        patients of the loss. It keeps the slopes finite when the two groups separate, as they do in some resamples of
        a small cohort. scikit-learn's ``C`` is ``1 / (n * ridge)``.
    :return: slope (a float, or an array of shape (features,)) and intercept on the scale of ``x``.
    :raises ValueError: values that are not finite, lengths that differ, or one label only.
    """
    x, dm = np.asarray(x, dtype=np.float64), np.asarray(dm, dtype=np.float64).ravel()
    if x.shape[:1] != dm.shape or not np.isfinite(x).all():
        raise ValueError("x and dm must be finite and of one length")
    if not 0.0 < dm.mean() < 1.0:
        raise ValueError("both labels are needed to fit a probability")
    columns = np.ascontiguousarray(x.reshape(dm.size, -1).T)
    center = columns.mean(axis=1, keepdims=True)
    scale = np.sqrt(((columns - center) ** 2).mean(axis=1, keepdims=True))
    scale[scale == 0.0] = 1.0
    design = np.stack([*(columns - center) / scale, np.ones(dm.size)], axis=1)
    penalty = np.diag([*np.full(len(columns), ridge * dm.size), 1e-9])
    beta = np.zeros(len(penalty))
    for _ in range(100):
        p = sigmoid(design @ beta)
        gradient = design.T @ (dm - p) - penalty @ beta
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        beta += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    slope = beta[:-1] / scale[:, 0]
    intercept = float(beta[-1] - slope @ center[:, 0])
    return (float(slope[0]) if x.ndim == 1 else slope), intercept


def fit_calibration(log_odds, dm, resamples: int = 200, seed: int = 0) -> dict:
    """Fit the card's ``calibration`` to out-of-fold log-odds.

    :param log_odds: one out-of-fold log-odds a patient, shape (n,).
    :param dm: label of each patient, 0 or 1, shape (n,).
    :param resamples: number of bootstrap resamples of the patients, drawn within each label so that both are always
        there.
    :return: ``{"slope", "intercept", "bootstrap": [[slope, intercept], ...]}``.
    """
    log_odds, dm = np.asarray(log_odds, dtype=np.float64), np.asarray(dm, dtype=int)
    slope, intercept = fit_logistic(log_odds, dm)
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(dm == label) for label in (0, 1)]
    bootstrap = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(group, group.size) for group in groups])
        bootstrap.append([round(number, 6) for number in fit_logistic(log_odds[drawn], dm[drawn])])
    return {"slope": slope, "intercept": intercept, "bootstrap": bootstrap}
