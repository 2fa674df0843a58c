"""HC + RF (Table I): hand-crafted features of PET and CT inside the mask, selected in training, and a random forest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cohort.cases import Case
from ..features.forest import Forest
from ..features.radiomics import MODALITIES, RADIOMICS_PRESETS, case_features, feature_table
from ..features.selection import Selection
from .base import Method, labels_of
from .options import Options, numeric, several, table

TREES = {"paper": 500, "paper_k3": 500, "compact": 500, "smoke": 100}
FEATURES = 20
FOREST_FILE = "forest.npz"


@dataclass(frozen=True)
class HcRfOptions(Options):
    """:param features: how many are kept.
    :param radiomics: fields of :class:`..features.radiomics.RadiomicsSettings`.
    """

    features: int = numeric(int, 1, 1e4, default=FEATURES)
    modalities: tuple[str, ...] = several(*MODALITIES, default=MODALITIES)
    radiomics: Mapping[str, Any] = table()


class HcRf(Method):
    """IBSI features, univariate selection without copies, 500 trees."""

    NAME = "HC + RF"
    SOURCE = (
        "Vallieres M, Freeman CR, Skamene SR, El Naqa I. A radiomics model from joint FDG-PET and MRI texture features "
        "for the prediction of lung metastases in soft-tissue sarcomas of the extremities. Phys Med Biol 2015;60:5471, "
        "doi:10.1088/0031-9155/60/14/5471"
    )
    OPEN = (
        "The paper names the source and 'random forest' and nothing else; its source used FDG-PET and MRI (fused "
        "scans, texture at several scales, logistic regression), not PET-CT and a forest. Here: all 2 x 177 IBSI "
        "features of PET and CT at 2 mm (smoke: 4 mm; PET bins 0.5 SUV, CT bins 25 HU from -1000 to 400) and five "
        f"measurements; in training, gaps filled by the median, the {FEATURES} features with the best univariate AUC "
        "kept that are no copies (absolute Spearman above 0.9); 500 trees (smoke: 100), leaves of at least 2 patients, "
        "outcomes of equal weight, threshold 0.5. These numbers were fixed beforehand, not tuned."
    )
    Options = HcRfOptions
    NEEDS = frozenset({"pet", "ct", "mask"})

    def __init__(self, settings):
        super().__init__(settings)
        changes = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.options.radiomics.items()
        }
        self.radiomics = replace(RADIOMICS_PRESETS[settings.preset], **changes)
        self.selection: Selection | None = None
        self.forest: Forest | None = None

    def prepare(self, case: Case) -> None:
        """Compute the patient's features."""
        case_features(case, self.radiomics, self.options.modalities)

    def fit(self, cases: list[Case], folder: Path, on_progress=None) -> None:
        """Select features and grow the forest; seconds, so nothing is kept for a resume."""
        labels = labels_of(cases)
        names, values = feature_table(cases, self.radiomics, self.options.modalities)
        self.selection = Selection.fit(names, values, labels, self.options.features)
        self.forest = Forest.fit(
            self.selection.apply(names, values),
            labels,
            TREES[self.settings.preset],
            self.settings.seed,
            self.settings.threads,
            min_samples_leaf=2,
        )
        if on_progress:
            on_progress({"epoch": 1, "epochs": 1})

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk of the event, (n,)."""
        if self.forest is None:
            raise ValueError(f"{self.NAME} is not fitted")
        return self.forest.predict(self.selection.apply(*feature_table(cases, self.radiomics, self.options.modalities)))

    def state(self, folder: Path) -> dict:
        """The selection; the trees lie beside it."""
        self.forest.save(Path(folder) / FOREST_FILE)
        return self.selection.to_dict()

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.selection = Selection.from_dict(state)
        self.forest = Forest.load(Path(folder) / FOREST_FILE)
        if self.forest.feature.max() >= len(self.selection.names):
            raise ValueError("the forest does not fit its features")
