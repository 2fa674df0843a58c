"""The survival methods, trained on times to the event instead of yes and no: Cox's model on two numbers of the outlined
tumor, and on CHMFL's features, the paper's own future work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput

from ..cohort.cases import Case
from ..features.radiomics import measured
from ..networks.cox_head import CoxHead
from ..statistics.survival import CoxModel, fit_cox, kaplan_meier, median_follow_up
from .base import Method
from .chmfl_staged import ChmflStaged
from .hybrids import load_arrays, save_arrays
from .network_method import PENG, NetworkOptions
from .options import Options, numeric
from .simple import log_or_nan

HEAD_FILE = "cox_head.npz"
RIDGE = 1.0  # as strong as the ridge of the logistic methods (C = 1)
_MODEL = ("beta", "covariance", "times", "cumulative_hazard")


@dataclass(frozen=True)
class CoxOptions(Options):
    """:param horizon: the time for which the risk is given, in the cohort's unit."""

    horizon: float | None = numeric(float, 0, 1e6)


@dataclass(frozen=True)
class CoxNetworkOptions(NetworkOptions, CoxOptions):
    """Those of the network and those of Cox's model."""


class CoxMethod(Method):
    """A method that is Cox's model with a ridge penalty on standardized numbers; a subclass says which by
    :meth:`numbers`.

    The risk is the probability of the event by ``horizon``: the option of that name, in the cohort's unit of time, else
    the training patients' median follow-up. The threshold is their Kaplan-Meier risk at that time, as the share of
    events is the logistic methods'. Training patients without time and event are left out.
    """

    Options = CoxOptions

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
        self.horizon = horizon_of(self.options.horizon, time, event)
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


class CoxVolumeSuvMax(CoxMethod):
    """Cox's proportional hazards on log volume (ml) and log SUVmax of the mask."""

    NAME = "Cox volume + SUVmax"
    GROUP = "baseline"
    ROW = 6
    SOURCE = "Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220 (ties: Efron 1977)"
    OPEN = (
        "Not in the paper, which names survival as future work. Here: natural logarithms, standardized, ridge penalty "
        "1, Efron's ties; the risk is that of the event by the training patients' median follow-up."
    )
    NEEDS = frozenset({"pet", "mask"})

    def numbers(self, case: Case) -> dict[str, float]:
        """Both logarithms."""
        values = measured(case)
        return {f"log_{name}": log_or_nan(values[f"measured_{name}"]) for name in ("volume_ml", "suv_max")}


class ChmflCox(ChmflStaged):
    """CHMFL trained to segment, then Cox's model on the features of all its levels. Needs the columns time and event;
    the risk is the probability of the event by ``horizon`` (:class:`CoxMethod`).
    """

    NAME = "CHMFL + Cox"
    GROUP = "baseline"
    ROW = 7
    SOURCE = f"{PENG}; Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220"
    OPEN = (
        "The paper names survival as future work and says no more. Here: trained in two stages in every preset, since "
        "Cox's likelihood compares patients with each other: CFL's segmentation first, then a linear Cox head on the "
        "pooled features of all levels of both modalities (mean of the random views), with a ridge penalty of 10 to "
        "10 000 chosen by the cross-validated partial likelihood inside the training patients. Baseline hazard and "
        "slope are fitted to scores of patients whom a head did not see."
    )
    Options = CoxNetworkOptions
    UNREAD = frozenset({"w"})

    relevance = Method.relevance  # the maps are of the binary head, whose word this is not

    def __init__(self, settings):
        super().__init__(settings)
        self.head: CoxHead | None = None
        self.horizon, self._outcome = 0.0, {}

    def training_config(self):
        """The staged row's."""
        config = super().training_config()
        # the binary head of this stage is not used: one weight decay will do
        return replace(config, head=replace(config.head, decays=(100.0,)))

    def fit(self, cases, folder: Path, on_progress=None) -> None:
        """Train the network, or go on from its checkpoint, then the head (seconds).

        :raises BadInput: time_missing, horizon, survival_no_event, and what reading the patients raises.
        """
        followed, time, event = followed_up(cases, self.NAME)
        self.horizon = horizon_of(self.options.horizon, time, event)
        self._outcome = {case.patient_id: row for case, *row in zip(followed, time, event, strict=True)}
        super().fit(followed, folder, on_progress)
        self.threshold = share_by(self.horizon, time, event)

    def predict(self, cases) -> np.ndarray:
        """Probability of the event by the horizon (n,)."""
        return self.head.risk(self.embedding(cases), self.horizon)

    def embedding(self, cases) -> np.ndarray:
        """What the head reads (n, features of all levels), float32."""
        import torch

        vectors = []
        with torch.inference_mode():
            for case in cases:
                x = torch.from_numpy(self._inputs(case)[None]).to(self._device, memory_format=torch.channels_last_3d)
                vectors.append(self.network.head.vector(self.network.encode(x))[0].float().cpu().numpy())
        return np.stack(vectors) if vectors else np.zeros((0, self.network.head.first.in_features), np.float32)

    def state(self, folder: Path) -> dict:
        """As for all, and the head's arrays."""
        save_arrays(Path(folder) / HEAD_FILE, self.head.arrays())
        return super().state(folder) | {"horizon": self.horizon}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.head, self.horizon = CoxHead.from_arrays(load_arrays(Path(folder) / HEAD_FILE)), float(state["horizon"])
        super().restore(state, folder)

    def _calibrate(self, training, crops):
        """Fit the head to what the network's own head was to learn from; there is nothing else to calibrate."""
        views, stage = training.config.head.views, training.head_stage
        patients = [crop.patient_id for crop in training.crops + training.validation]
        features = stage.vectors.cpu().numpy().reshape(views, len(patients), -1).mean(axis=0)
        time, event = np.array([self._outcome[name] for name in patients]).T
        self.head = CoxHead.fit(features, time, event, training.config.head.inner_folds, self.settings.seed)
        return 1.0, 0.0


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


def horizon_of(wanted: float | None, time: np.ndarray, event: np.ndarray) -> float:
    """The time for which the risk is given.

    :param wanted: the option ``horizon``; None for the median follow-up of the training patients.
    :raises BadInput: horizon.
    """
    horizon = median_follow_up(time, event) if wanted is None else wanted
    if event.any() and not horizon >= time[event > 0].min():
        text = f"No training patient had the event by the horizon {horizon:g}."
        raise BadInput("horizon", text, "Give a later one in the option 'horizon' (unit of the column time).")
    return horizon


def share_by(horizon: float, time: np.ndarray, event: np.ndarray) -> float:
    """Share of patients with the event by a time, by Kaplan and Meier: the threshold of a risk by that time."""
    times, share = kaplan_meier(time, event)
    return float(1 - share[max(np.searchsorted(times, horizon, side="right") - 1, 0)])
