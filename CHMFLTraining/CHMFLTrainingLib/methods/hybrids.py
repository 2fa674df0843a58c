"""What CNLPC, MOR + 3D CNNs and 3DMCL share: views of a patient, hand-crafted features scaled by
the training patients, and a method that is one trained network.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes

from ..training.recipes import Plan, recipe_of
from .base import Method, labels_of, preset_of, standardized_by
from .options import TrainedOptions, numeric

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.preprocessing import Preprocessing

WEIGHTS, SCALING = "network.safetensors", "features.npz"
LIMIT = 5.0  # standard deviations; a test patient far outside the training patients must not outshout everything


@dataclass(frozen=True)
class HybridOptions(TrainedOptions):
    """Options of the hybrids, of the same names as in :class:`..training.recipes.Plan`.

    :param width: channels of the network's first convolution.
    """

    weight_decay: float | None = numeric(float, 0, 1e6)
    width: int | None = numeric(int, 1, 1e4)


def box_view(crop, preprocessing, random: np.random.Generator | None, limits=None):
    """Inputs (2, X, Y, Z) and tumor mask (X, Y, Z) of a crop, augmented where ``random`` is given."""
    if random is None:
        from ..cohort.crops import center_crop

        return center_crop(crop, preprocessing)[:2]
    from ..training.augmentation import Augmentation, augment

    return augment(crop, preprocessing, limits or Augmentation(), random)[:2]


def hand_crafted(cases, preset: str, families: tuple[str, ...] = ("",)) -> tuple[list[str], np.ndarray]:
    """Names and values (n, features) of the radiomic features of PET and CT inside the tumor mask; NaN for gaps.

    :param families: what the names start with after the modality (``stat_``, ``cm_``); the measurements of the panel
        (volume, uptake, diameter) always come along.
    """
    from ..features.radiomics import feature_table

    names, values = feature_table(cases, preset)
    used = [name.startswith("measured_") or name.split("_", 1)[-1].startswith(families) for name in names]
    return [name for name, use in zip(names, used, strict=True) if use], values[:, used]


@dataclass
class FeatureScaling:
    """Names, median (for gaps), mean and scale of the features in use, all from training patients."""

    names: list[str]
    median: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, names: list[str], values: np.ndarray, most_alike: float = 0.95) -> FeatureScaling:
        """Drop features that are mostly missing, constant, or copies of one kept before (correlation above
        ``most_alike``); outcomes play no part.

        :param values: (training patients, features), with NaN for gaps.
        """
        found = np.isfinite(values)
        known = found.mean(0) > 0.5
        names, values, found = [n for n, k in zip(names, known, strict=True) if k], values[:, known], found[:, known]
        values = np.where(found, values, np.nan)
        median = np.nanmedian(values, axis=0) if names else np.zeros(0)
        values = np.where(found, values, median)
        mean, scale = values.mean(0), values.std(0)
        z = (values - mean) / np.where(scale > 0, scale, 1.0)
        kept = []
        for column in np.flatnonzero(scale > 1e-9 * np.maximum(1.0, np.abs(mean))):
            if not kept or np.abs(z[:, column] @ z[:, kept]).max() / len(z) <= most_alike:
                kept.append(int(column))
        if not kept:
            text = "The hand-crafted features are the same in all training patients."
            raise BadInput("method_features", text, "Check the cohort's images and masks.")
        return cls([names[i] for i in kept], median[kept], mean[kept], scale[kept])

    def apply(self, names: list[str], values: np.ndarray) -> np.ndarray:
        """Standardized features (n, features in use), float32, within five standard deviations."""
        place = {name: i for i, name in enumerate(names)}
        columns = [place.get(name) for name in self.names]
        picked = np.stack([np.full(len(values), np.nan) if i is None else values[:, i] for i in columns], axis=1)
        picked = np.where(np.isfinite(picked), picked, self.median)
        return np.clip((picked - self.mean) / self.scale, -LIMIT, LIMIT).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays without objects, for an npz file."""
        return {"names": np.array(self.names), "median": self.median, "mean": self.mean, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays) -> FeatureScaling:
        """The inverse of :meth:`arrays`."""
        return cls([str(n) for n in arrays["names"]], *(np.asarray(arrays[k]) for k in ("median", "mean", "scale")))


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an npz file atomically, without pickled objects."""
    data = io.BytesIO()
    np.savez(data, **arrays)
    write_bytes(path, data.getvalue())


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file.

    :raises ValueError: it is damaged. :raises OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name}: {error}") from error


class HybridMethod(Method):
    """A method that is one trained network, with or without hand-crafted features. A subclass gives ``_build``,
    ``_prepared`` (once a patient) and ``_view`` (at each step).

    :cvar WIDTHS: preset to the channels of the network's first convolution.
    """

    Options = HybridOptions
    WIDTHS: ClassVar[dict[str, int]] = {}
    FEATURES = False
    scaling: FeatureScaling | None = None
    _steps: Preprocessing | None = None  # standardized by the training patients

    @property
    def recipe(self) -> Plan:
        """How the network of this run is trained: the preset's recipe, changed by the run's options."""
        preset = self.settings.preset
        return replace(recipe_of(Plan, preset, width=self.WIDTHS[preset]), **self.options.given(Plan))

    @property
    def preprocessing(self):
        """Box and intensity steps: as fitted, or as the settings ask for."""
        return self._steps or preset_of(self.settings.preset, self.options).preprocessing

    def prepare(self, case) -> None:
        """Fill the cache: the crop and, where they are used, the hand-crafted features."""
        case.crop(self.preprocessing)
        if self.FEATURES:
            hand_crafted([case], self.settings.preset)

    def fit(self, cases, folder: Path, on_progress=None) -> None:
        """Train on these patients; see :class:`Method`."""
        from ..training.hybrid_training import NetworkTraining

        labels, steps = labels_of(cases), preset_of(self.settings.preset, self.options).preprocessing
        self._steps = standardized_by(steps, [case.crop(steps) for case in cases])
        if self.FEATURES:
            self.scaling = FeatureScaling.fit(*hand_crafted(cases, self.settings.preset))
        prepared = self._all_prepared(cases)
        identity = [self.NAME, self.settings.preset, self.settings.options, [case.patient_id for case in cases]]
        self.network = NetworkTraining(
            self._build(),
            lambda number, random: self._view(prepared[number], random),
            labels,
            self.recipe,
            self.settings.seed,
            folder,
            self.settings.device,
            identity,
        ).run(on_progress)

    def predict(self, cases) -> np.ndarray:
        """Risk of the event (n,)."""
        from ..training.hybrid_training import risks

        prepared = self._all_prepared(cases)
        return risks(self.network, lambda number, random: self._view(prepared[number], random), len(prepared))

    def embedding(self, cases) -> np.ndarray:
        """What the network's output layer reads (n, width of the last hidden layer), float32, for Fig. 7."""
        from ..training.hybrid_training import hidden_features

        prepared = self._all_prepared(cases)
        return hidden_features(self.network, lambda number, random: self._view(prepared[number], random), len(prepared))

    def state(self, folder: Path) -> dict:
        """Write network.safetensors and, with hand-crafted features, features.npz."""
        from ..training.hybrid_training import save_network

        save_network(folder / WEIGHTS, self.network)
        if self.scaling:
            save_arrays(folder / SCALING, self.scaling.arrays())
        return {"preprocessing": self.preprocessing.to_dict()}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        from CHMFLPredictorLib.network.preprocessing import Preprocessing

        from ..training.hybrid_training import load_network

        self._steps = Preprocessing.from_dict(state["preprocessing"])
        if self.FEATURES:
            self.scaling = FeatureScaling.from_arrays(load_arrays(folder / SCALING))
        self.network = load_network(folder / WEIGHTS, self._build(), self.settings.device)

    def _all_prepared(self, cases) -> list:
        cases, rows = list(cases), [None] * len(cases)
        if self.scaling and cases:
            rows = self.scaling.apply(*hand_crafted(cases, self.settings.preset))
        return [self._prepared(case, row) for case, row in zip(cases, rows, strict=True)]

    def _prepared(self, case, features: np.ndarray | None):
        raise NotImplementedError

    def _view(self, prepared, random: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        raise NotImplementedError

    def _build(self):
        raise NotImplementedError
