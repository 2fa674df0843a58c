"""Logistic regression on a few numbers a patient: what the simple methods share.

Gaps, scaling, coefficients and the threshold come from the training patients only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.model.calibration import sigmoid

from ..cohort.cases import Case
from .base import Method, labels_of


class LogisticMethod(Method):
    """A method that is a logistic regression with a ridge penalty (scikit-learn's default, C = 1) on standardized
    numbers. A subclass says which by :meth:`numbers`.

    The threshold is the share of events among the training patients: with calibrated risks that treats both outcomes
    alike, and it is 0.5 in a balanced cohort.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.names: list[str] = []
        self.median = self.mean = self.scale = self.slopes = np.zeros(0)
        self.intercept = 0.0

    def numbers(self, case: Case) -> dict[str, float]:
        """The patient's numbers by name, NaN where unknown; never of the outcome."""
        raise NotImplementedError

    def learn_columns(self, cases: list[Case]) -> None:
        """Choose what :meth:`numbers` gives, from training patients, where it is not fixed."""

    def prepare(self, case: Case) -> None:
        """Fill the cache."""
        self.numbers(case)

    def fit(self, cases: list[Case], folder: Path, on_progress=None) -> None:
        """Fit to the training patients, in one step.

        :raises BadInput: label_missing, one_outcome, no_numbers.
        """
        from sklearn.linear_model import LogisticRegression

        labels = labels_of(cases)
        self.learn_columns(cases)
        rows = [self.numbers(case) for case in cases]
        values = np.array([list(row.values()) for row in rows], dtype=np.float64).reshape(len(rows), -1)
        known = np.isfinite(values).any(axis=0)
        if not known.any():
            text = f"None of the training patients has what {self.NAME} needs."
            raise BadInput("no_numbers", text, "Check the cohort, or leave this method out.")
        self.names = [name for name, usable in zip(rows[0], known, strict=True) if usable]
        values = values[:, known]
        self.median = np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=0)
        values = np.where(np.isfinite(values), values, self.median)
        self.mean, spread = values.mean(axis=0), values.std(axis=0)
        self.scale = np.where(spread > 1e-9, spread, 1.0)
        model = LogisticRegression(C=1.0, max_iter=1000, tol=1e-8).fit((values - self.mean) / self.scale, labels)
        self.slopes, self.intercept = model.coef_[0], float(model.intercept_[0])
        self.threshold = float(labels.mean())
        if on_progress:
            on_progress({"epoch": 1, "epochs": 1})

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk of the event, (n,)."""
        if not self.names:
            raise ValueError(f"{self.NAME} is not fitted")
        rows = [self.numbers(case) for case in cases]
        values = np.array([[row[name] for name in self.names] for row in rows], dtype=np.float64)
        values = np.where(np.isfinite(values), values, self.median).reshape(len(rows), -1)
        return sigmoid((values - self.mean) / self.scale @ self.slopes + self.intercept)

    def state(self, folder: Path) -> dict:
        """Coefficients and scaling."""
        arrays = {name: getattr(self, name).tolist() for name in ("median", "mean", "scale", "slopes")}
        return {"names": self.names, "intercept": self.intercept, **arrays}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.names, self.intercept = list(state["names"]), float(state["intercept"])
        for name in ("median", "mean", "scale", "slopes"):
            values = np.array(state[name], dtype=np.float64)
            if values.shape != (len(self.names),) or not np.isfinite(values).all():
                raise ValueError(f"{name} does not fit the {len(self.names)} numbers")
            setattr(self, name, values)


def log_or_nan(value: float) -> float:
    """Natural logarithm; NaN for what is not positive or unknown."""
    return float(np.log(value)) if value is not None and value > 0 else float("nan")
