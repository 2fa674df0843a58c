"""Cox's model on a few numbers a patient as a method of the comparison: trained on times, it predicts a risk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput

from ..cohort.cases import Case
from ..statistics.survival import CoxModel, fit_cox, kaplan_meier, median_follow_up
from .base import Method

RIDGE = 1.0  # as strong as the ridge of the logistic methods (C = 1)


class CoxMethod(Method):
    """A method that is Cox's model with a ridge penalty on standardized numbers; a subclass says which by
    :meth:`numbers`.

    The risk is the probability of the event by ``horizon``: the option of that name, in the cohort's unit of time, else
    the training patients' median follow-up. The threshold is their Kaplan-Meier risk at that time, as the share of
    events is the logistic methods'. Training patients without time and event are left out.
    """

    OPTIONS = frozenset({"horizon"})

    def __init__(self, settings):
        super().__init__(settings)
        self.names: list[str] = []
        self.median = self.mean = self.scale = np.zeros(0)
        self.horizon = 0.0
        self.model: CoxModel | None = None

    def numbers(self, case: Case) -> dict[str, float]:
        """The patient's numbers by name, NaN where unknown; never of the outcome."""
        raise NotImplementedError

    def prepare(self, case: Case) -> None:
        """Fill the cache."""
        self.numbers(case)

    def fit(self, cases: list[Case], folder: Path, on_progress=None) -> None:
        """Fit to the training patients, in one step.

        :raises BadInput: time_missing, horizon, survival_no_event.
        """
        followed, time, event = followed_up(cases, self.NAME)
        rows = [self.numbers(case) for case in followed]
        self.names = list(rows[0])
        values = np.array([[row[name] for name in self.names] for row in rows])
        self.median = np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else 0.0
                                for column in values.T])  # fmt: skip
        values = np.where(np.isfinite(values), values, self.median)
        self.mean, spread = values.mean(axis=0), values.std(axis=0)
        self.scale = np.where(spread > 1e-9, spread, 1.0)
        self.horizon = horizon_of(self.settings.options, time, event)
        self.model = fit_cox((values - self.mean) / self.scale, time, event, RIDGE)
        self.threshold = share_by(self.horizon, time, event)
        if on_progress:
            on_progress({"epoch": 1, "epochs": 1})

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Probability of the event by the horizon, (n,)."""
        if self.model is None:
            raise ValueError(f"{self.NAME} is not fitted")
        rows = [self.numbers(case) for case in cases]
        values = np.array([[row[name] for name in self.names] for row in rows]).reshape(len(rows), -1)
        values = np.where(np.isfinite(values), values, self.median)
        return self.model.risk((values - self.mean) / self.scale, self.horizon)

    def state(self, folder: Path) -> dict:
        """Coefficients, scaling, baseline hazard."""
        arrays = {name: getattr(self, name).tolist() for name in ("median", "mean", "scale")}
        arrays |= {name: getattr(self.model, name).tolist() for name in _MODEL}
        likelihood = {"log_likelihood": self.model.log_likelihood}
        return {"names": self.names, "horizon": self.horizon, **likelihood, **arrays}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.names, self.horizon = list(state["names"]), float(state["horizon"])
        for name in ("median", "mean", "scale"):
            setattr(self, name, np.array(state[name], float))
        parts = {name: np.array(state[name], float) for name in _MODEL}
        self.model = CoxModel(log_likelihood=float(state["log_likelihood"]), **parts)
        same = {self.median.shape, self.mean.shape, self.scale.shape, self.model.beta.shape, (len(self.names),)}
        if len(same) > 1 or self.model.times.shape != self.model.cumulative_hazard.shape:
            raise ValueError(f"the arrays do not fit the {len(self.names)} numbers")


def followed_up(cases: list[Case], name: str) -> tuple[list[Case], np.ndarray, np.ndarray]:
    """The training patients with time and event, their times and events (n,).

    :param name: of the method, for the message.
    :raises BadInput: time_missing.
    """
    found = [case for case in cases if case.time is not None and case.event is not None]
    if not found:
        text = f"{name} needs the columns time and event, and no training patient has them."
        raise BadInput("time_missing", text, "Add them to the cohort, or leave this method out.")
    return found, *(np.array([getattr(case, what) for case in found], float) for what in ("time", "event"))


def horizon_of(options: dict, time: np.ndarray, event: np.ndarray) -> float:
    """The time for which the risk is given: the option ``horizon``, else the median follow-up of training patients.

    :raises BadInput: horizon.
    """
    wanted = options.get("horizon")
    horizon = median_follow_up(time, event) if wanted is None else float(wanted)
    if event.any() and not horizon >= time[event > 0].min():
        text = f"No training patient had the event by the horizon {horizon:g}."
        raise BadInput("horizon", text, "Give a later one in the option 'horizon' (unit of the column time).")
    return horizon


def share_by(horizon: float, time: np.ndarray, event: np.ndarray) -> float:
    """Share of patients with the event by a time, by Kaplan and Meier: the threshold of a risk by that time."""
    times, share = kaplan_meier(time, event)
    return float(1 - share[max(np.searchsorted(times, horizon, side="right") - 1, 0)])


_MODEL = ("beta", "covariance", "times", "cumulative_hazard")
