"""MOR + 3D CNNs (Table I): many-objective radiomics and a 3D CNN, fused by evidential reasoning, after Chen et al."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..features.many_objective import ManyObjectiveModel, SearchConfig, evidential_reasoning, fit_many_objective
from .base import labels_of
from .hybrids import FeatureScaling, HybridMethod, box_view, hand_crafted
from .hybrids import load_arrays as _load
from .hybrids import save_arrays as _save

FAMILIES = ("stat_", "morph_", "cm_")  # intensity, geometry, gray level co-occurrence
MACHINE, MACHINE_SCALING = "machine.npz", "machine_features.npz"
SEARCH = {"smoke": SearchConfig(8, 3)}  # elsewhere the whole search
LEAST_PLANE = 64  # voxels along both axes of an axial plane


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
        "The paper says only: a hybrid of a many-objective radiomics model and 3D CNNs on PET-CT. The network is built "
        "after its authors' public code (github.com/Yamalutu/HNLymphNodeMaligancyPrediction): twelve convolutions of "
        "64 channels in groups of five, three and four, the first of 5x5x5, two poolings, a flattened vector, 256 "
        "units, dropout 0.05, PET and CT as two channels. Their patches have 64 x 64 voxels or more in an axial plane, "
        "so a table on a smaller box goes without this row. Their machine is a closed program; from what is published "
        "of it: intensity, geometry and co-occurrence features of PET and CT inside the mask, a support vector machine "
        "with features selected by a many-objective immune algorithm, fusion by evidential reasoning. Inferred here: "
        "the objectives for two classes (sensitivity, specificity, AUC of patients left out in five inner folds), "
        "sizes of the search, C = 1 and gamma = 1 / features, Platt's map to probability, all feature sets of the "
        "Pareto front fused with equal weights (one of them alone is mostly luck with 40 patients: in trials with "
        "made-up features, one alone did worse on new patients), equal weights of machine and network, the box around "
        "the tumor as the patch, and training like CHMFL's. The source tells three classes of lymph nodes apart; here "
        "there are two outcomes and the primary tumor. The threshold is 0.5."
    )
    NEEDS = frozenset({"pet", "ct", "mask"})
    WIDTHS = {"paper": 64, "paper_k3": 64, "compact": 32, "smoke": 4}

    @property
    def left_out(self) -> str | None:
        """The sides of the box, where they are too short for the authors' network."""
        x, y, _ = self.preprocessing.size_voxels
        if min(x, y) >= LEAST_PLANE:
            return None
        side = f"{LEAST_PLANE} x {LEAST_PLANE}"
        return f"Its authors' network reads at least {side} voxels of an axial plane; this table's box has {x} x {y}."

    def prepare(self, case) -> None:
        """Fill the cache: crop and hand-crafted features."""
        super().prepare(case)
        hand_crafted([case], self.settings.preset)

    def fit(self, cases, folder: Path, on_progress=None) -> None:
        """The machine (seconds, from the seed alone, so a killed one begins again), then the network."""
        names, values = hand_crafted(cases, self.settings.preset, FAMILIES)
        self.machine_scaling = FeatureScaling.fit(names, values)
        scaled = self.machine_scaling.apply(names, values)
        self.machine = fit_many_objective(
            scaled, labels_of(cases), SEARCH.get(self.settings.preset, SearchConfig()), self.settings.seed
        )
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

        return VolumeNetwork(self.preprocessing.size_voxels, self.recipe.width)

    def _prepared(self, case, features):
        return case.crop(self.preprocessing)

    def _view(self, prepared, random: np.random.Generator | None) -> tuple[np.ndarray]:
        return (box_view(prepared, self.preprocessing, random)[0],)
