"""MOR + 3D CNNs (Table I): many-objective radiomics and a 3D CNN, fused by evidential reasoning, after Chen et al."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..features.many_objective import ManyObjectiveModel, SearchConfig, evidential_reasoning, fit_many_objective
from ..training.recipes import Plan
from .base import labels_of
from .hybrids import FeatureScaling, HybridMethod, box_view, hand_crafted
from .hybrids import load_arrays as _load
from .hybrids import save_arrays as _save

FAMILIES = ("stat_", "morph_", "cm_")  # intensity, geometry, gray level co-occurrence
MACHINE, MACHINE_SCALING = "machine.npz", "machine_features.npz"
SEARCH = {"paper": SearchConfig(), "compact": SearchConfig(), "smoke": SearchConfig(8, 3)}


class MOR3DCNNs(HybridMethod):
    """Two models of the same patients, whose risks are fused."""

    # paper.csv has the specificity as printed, 0.780; the row's accuracy, sensitivity and precision are those of 17 of
    # 24 correct without the event, a specificity of 0.708
    NAME = "MOR + 3D CNNs"
    SOURCE = (
        "Chen L, et al. Combining many-objective radiomics and 3D convolutional neural network through evidential "
        "reasoning to predict lymph node metastasis in head and neck cancer. Phys Med Biol 2019;64:075011. "
        "doi:10.1088/1361-6560/ab083a"
    )
    OPEN = (
        "The paper says only: a hybrid of a many-objective radiomics model and 3D CNNs on PET-CT. From memory of the "
        "source, whose text was not at hand: intensity, geometry and "
        "co-occurrence features of PET and CT inside the mask, a support vector machine with features selected by a "
        "many-objective immune algorithm, a network of twelve 3x3x3 convolutions with two poolings and two fully "
        "connected layers on PET and CT as two channels, and fusion by evidential reasoning. Inferred here: the "
        "objectives for two classes (sensitivity, specificity, AUC of patients left out in five inner folds), sizes "
        "of the search, C = 1 and gamma = 1 / features, Platt's map to probability, all feature sets of the Pareto "
        "front fused with equal weights (one of them alone is mostly luck with 40 patients: in trials with made-up "
        "features, one alone did worse on new patients), equal weights of machine and network, the network's "
        "channels, pooling of the last level (largest and mean value), the box around the tumor as the patch, "
        "averaged over 2 x 2 x 2 voxels but in the paper preset, and Adam as in section II.E. The source tells three "
        "classes of lymph nodes apart; here there are two outcomes and the primary tumor. The threshold is 0.5."
    )
    NEEDS = frozenset({"pet", "ct", "mask"})
    PLANS = {
        "paper": Plan(epochs=200, batch_size=1, width=16),
        "compact": Plan(epochs=40, batch_size=4, learning_rate=1e-3, weight_decay=0.01, width=8),
        "smoke": Plan(epochs=2, batch_size=4, learning_rate=2e-3, weight_decay=0.01, width=8),
    }

    def prepare(self, case) -> None:
        """Fill the cache: crop and hand-crafted features."""
        super().prepare(case)
        hand_crafted([case], self.settings.preset)

    def fit(self, cases, folder: Path, on_progress=None) -> None:
        """The machine (seconds, from the seed alone, so a killed one begins again), then the network."""
        names, values = hand_crafted(cases, self.settings.preset, FAMILIES)
        self.machine_scaling = FeatureScaling.fit(names, values)
        scaled = self.machine_scaling.apply(names, values)
        self.machine = fit_many_objective(scaled, labels_of(cases), SEARCH[self.settings.preset], self.settings.seed)
        super().fit(cases, folder, on_progress)

    def predict(self, cases) -> np.ndarray:
        """Fused risk (n,)."""
        machine, network = self.parts(cases)
        beliefs = np.stack([np.stack([1 - risk, risk], axis=-1) for risk in (machine, network)])
        return evidential_reasoning(beliefs, [0.5, 0.5])[:, 1]

    def parts(self, cases) -> tuple[np.ndarray, np.ndarray]:
        """Risks of the machine and of the network alone (n,) each."""
        scaled = self.machine_scaling.apply(*hand_crafted(cases, self.settings.preset, FAMILIES))
        return self.machine.risk(scaled), super().predict(cases)

    def state(self, folder: Path) -> dict:
        """As for all, and the machine's arrays; the features chosen are named."""
        _save(folder / MACHINE, self.machine.arrays())
        _save(folder / MACHINE_SCALING, self.machine_scaling.arrays())
        names = self.machine_scaling.names
        chosen = [[names[column] for column in machine.columns] for machine in self.machine.machines]
        return {**super().state(folder), "feature_sets": chosen}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.machine = ManyObjectiveModel.from_arrays(_load(folder / MACHINE))
        self.machine_scaling = FeatureScaling.from_arrays(_load(folder / MACHINE_SCALING))
        super().restore(state, folder)

    def _build(self):
        from ..networks.hybrid import VolumeNetwork

        width, paper = self.plan.width, self.settings.preset == "paper"
        return VolumeNetwork((width, 2 * width, 4 * width), 1 if paper else 2, 256 if paper else 32)

    def _prepared(self, case, features):
        return case.crop(self.preprocessing)

    def _view(self, prepared, random: np.random.Generator | None) -> tuple[np.ndarray]:
        return (box_view(prepared, self.preprocessing, random)[0],)
