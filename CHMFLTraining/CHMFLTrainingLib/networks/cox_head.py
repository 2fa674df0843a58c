"""A Cox head on a network's features: what the paper names as future work, times to the event instead of yes and no.

Linear in the features, with a ridge penalty chosen inside the training patients. Their scores for the baseline hazard
come from heads that did not see the patient, as the risks' calibration of the binary head does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cohort.folds import inner_folds
from ..statistics.survival import CoxModel, fit_cox, partial_log_likelihood

RIDGES = (10.0, 100.0, 1000.0, 10000.0)
SCORE_RIDGE = 1.0  # of the one coefficient of the scores, as strong as that of the methods on a few numbers
LEAST_SLOPE = 0.05  # inner scores may temper what the head says but not turn it round


@dataclass(frozen=True)
class CoxHead:
    """A fitted head.

    :param mean, scale, weights: (d,); the score of features x is ``weights @ ((x - mean) / scale)``.
    :param model: Cox's model of that one score; it makes a probability of it.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    model: CoxModel

    @classmethod
    def fit(cls, features, time, event, inner_folds: int = 5, seed: int = 0) -> CoxHead:
        """Fit to training patients.

        :param features: (n, d); ``time`` and ``event`` as in :mod:`..statistics.survival`, (n,).
        :raises BadInput: survival_no_event.
        """
        features, time, event = np.asarray(features, float), np.asarray(time, float), np.asarray(event)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        scale = np.where(spread > 1e-9, spread, 1.0)
        x = (features - mean) / scale
        parts = _parts(event, inner_folds, seed)
        trials = [_left_out(x, time, event, ridge, parts) for ridge in RIDGES]
        best = int(np.argmax([likelihood for _, likelihood in trials]))
        weights = ridge_weights(x, time, event, RIDGES[best])
        model = fit_cox(trials[best][0][:, None], time, event, SCORE_RIDGE)
        if model.beta[0] < LEAST_SLOPE:
            model = model.with_coefficients([LEAST_SLOPE], trials[best][0][:, None], time, event)
        return cls(mean, scale, weights, model)

    def score(self, features) -> np.ndarray:
        """Log of the relative hazard before calibration, (n,)."""
        return (np.asarray(features, float) - self.mean) / self.scale @ self.weights

    def risk(self, features, horizon: float) -> np.ndarray:
        """Probability of the event up to a time, (n,)."""
        return self.model.risk(self.score(features)[:, None], horizon)

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays, for an npz file."""
        parts = {name: getattr(self, name) for name in ("mean", "scale", "weights")}
        return parts | {f"model_{name}": np.asarray(value) for name, value in vars(self.model).items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> CoxHead:
        """The inverse of :meth:`arrays`."""
        model = {name.removeprefix("model_"): value for name, value in arrays.items() if name.startswith("model_")}
        model["log_likelihood"] = float(model["log_likelihood"])
        return cls(*(arrays[name] for name in ("mean", "scale", "weights")), CoxModel(**model))


def ridge_weights(x, time, event, ridge: float) -> np.ndarray:
    """Coefficients (d,) of Cox's model with a ridge, for more features than patients.

    The best coefficients lie in the space that the patients span, so the fit has as many unknowns as that space.
    """
    center = x.mean(axis=0)
    _, length, axes = np.linalg.svd(x - center, full_matrices=False)
    axes = axes[length > 1e-9 * max(length.max(initial=0.0), 1e-300)]
    return fit_cox((x - center) @ axes.T, time, event, ridge).beta @ axes


def _left_out(x, time, event, ridge: float, parts: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Scores (n,) from heads that did not see the patient, and the cross-validated partial likelihood (Verweij PJM, van
    Houwelingen HC. Stat Med 1993;12:2305).
    """
    scores, likelihood, one = np.zeros(len(x)), 0.0, np.ones(1)
    for out in parts:
        weights = ridge_weights(x[~out], time[~out], event[~out], ridge)
        # a head's own level has no meaning in Cox's model: that of the patients it learned from is 0
        every = (x - x[~out].mean(axis=0)) @ weights
        scores[out] = every[out]
        whole = partial_log_likelihood(one, every[:, None], time, event)[0]
        likelihood += whole - partial_log_likelihood(one, every[~out, None], time[~out], event[~out])[0]
    return scores, likelihood


def _parts(event, count: int, seed: int) -> list[np.ndarray]:
    """Patients to be left out in turn, bool (n,) each, with equal shares of events."""
    part = inner_folds(event, count, [seed, 11])
    found = [part == number for number in range(count)]
    return [out for out in found if out.any() and np.asarray(event)[~out].any()]
