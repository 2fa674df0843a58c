"""3DMCL (Table I): multi-modality collaborative learning of deep and hand-crafted features, after Peng et al."""

from __future__ import annotations

import numpy as np

from .hybrids import HybridMethod, box_view


class ThreeDMCL(HybridMethod):
    """A PET and a CT branch inside the tumor, joined with radiomic features in the fully connected layers."""

    NAME = "3DMCL"
    SOURCE = (
        "Peng Y, Bi L, Guo Y, Feng D, Fulham M, Kim J. Deep multi-modality collaborative learning for distant "
        "metastases prediction in PET-CT soft-tissue sarcoma studies. EMBC 2019:3658"
    )
    OPEN = (
        "The paper says: an unconstrained 3D CNN of PET and CT together with hand-crafted features, the tumor "
        "segmented before features are extracted, features of the last convolutional layer only. The source was not at "
        "hand; its abstract, from memory, speaks of an end-to-end volumetric network and of iteratively deriving the "
        "best ensemble of deep and conventional features. Inferred here: the branches are CHMFL's (input transition "
        "and four strided convolutions, one a modality), their input is zero outside the tumor mask after the preset's "
        "normalization, the last level is pooled (largest and mean value), every IBSI feature of PET and CT that is "
        "not constant or a copy (correlation above 0.95, training patients) enters, standardized, through a layer of "
        "its own, and the two vectors meet in a fully connected layer: 'iteratively' is read as training all of it "
        "together, step by step. Cross-entropy and Adam as in section II.E; the threshold is 0.5."
    )
    NEEDS = frozenset({"pet", "ct", "mask"})
    FEATURES = True
    WIDTHS = {"paper": 16, "paper_k3": 16, "compact": 8, "smoke": 4}

    def _build(self):
        from CHMFLPredictorLib.network.chmfl import NetworkConfig

        from ..networks.hybrid import CollaborativeNetwork

        channels = tuple(self.recipe.width * factor for factor in (1, 2, 4, 8, 16))
        config = NetworkConfig(self.preprocessing.size_voxels, channels=channels)
        hidden = (256, 256, 64) if self.settings.preset.startswith("paper") else (32, 32, 16)
        return CollaborativeNetwork(config, len(self.scaling.names), hidden)

    def _prepared(self, case, features: np.ndarray):
        return case.crop(self.preprocessing), features

    def _view(self, prepared, random: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        crop, features = prepared
        inputs, mask = box_view(crop, self.preprocessing, random)
        return inputs * (mask > 0), features
