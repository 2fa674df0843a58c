"""CNLPC (Table I): a 2D CNN on the largest CT slice of the delineated tumor, after Diamant et al."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cohort.crops import Crop, box_of_crop
from .hybrids import HybridMethod, HybridOptions
from .options import choice

HU_RANGE = (-500.0, 500.0)
LOG_SUV_MOST = np.log1p(50.0)
CHANNELS = {"ct": ("ct",), "pet": ("pet",), "pet_ct": ("pet", "ct")}


@dataclass(frozen=True)
class CNLPCOptions(HybridOptions):
    """Those of the hybrids, and what the network sees."""

    modality: str = choice(*CHANNELS, default="ct")


class CNLPC(HybridMethod):
    """Convolution, non-linearity, pooling, classification."""

    NAME = "CNLPC"
    SOURCE = (
        "Diamant A, Chatterjee A, Vallieres M, Shenouda G, Seuntjens J. Deep learning in head & neck cancer outcome "
        "prediction. Sci Rep 2019;9:2764. doi:10.1038/s41598-019-39206-1"
    )
    OPEN = (
        "The paper says only: convolution, non-linearity, pooling and classification, on pre-treatment CT. From memory "
        "of the source, whose text was not at hand: one axial slice, the one in which the tumor is largest, all "
        "outside the tumor's outline set to zero; three blocks (5x5, 3x3, 3x3) with PReLU and max pooling by 4; two "
        "hidden layers with dropout 0.5. Inferred here: the channels (64, 128, 256; hidden 256, 128), HU cut to -500 "
        "to 500 and scaled to 0 to 1 (so that tumor differs from the zero outside), two outputs with cross-entropy, "
        "trained and its views changed like CHMFL's instead of the source's stochastic gradient descent and turns of "
        "20 degrees, and the slice at the preset's voxels instead of the CT's. The option modality (ct, pet, pet_ct) "
        "is ours; ct is the source's. The threshold is 0.5."
    )
    Options = CNLPCOptions
    NEEDS = frozenset({"ct", "mask"})
    WIDTHS = {"paper": 64, "paper_k3": 64, "compact": 64, "smoke": 16}

    def _build(self):
        from ..networks.hybrid import SliceNetwork

        width, side = self.recipe.width, min(self.preprocessing.size_voxels[:2])
        return SliceNetwork(side, len(self._channels()), (width, 2 * width, 4 * width), (4 * width, 2 * width))

    def _channels(self) -> tuple[str, ...]:
        return CHANNELS[self.options.modality]

    def _prepared(self, case, features) -> Crop:
        return case.crop(self.preprocessing)

    def _view(self, prepared: Crop, random: np.random.Generator | None) -> tuple[np.ndarray]:
        """The tumor in its largest slice, zero outside: float32 (channels, X, Y)."""
        from ..training.augmentation import Augmentation, changed

        if random is None:
            suv, hu, tumor, _ = box_of_crop(prepared)
        else:
            suv, hu, tumor, _ = changed(prepared, self.preprocessing, Augmentation(), random)
        place = int(np.argmax(tumor.sum((0, 1))))
        hu = (np.clip(hu[:, :, place].astype(np.float32), *HU_RANGE) - HU_RANGE[0]) / (HU_RANGE[1] - HU_RANGE[0])
        suv = np.log1p(np.clip(suv[:, :, place].astype(np.float32), 0, 50)) / np.float32(LOG_SUV_MOST)
        slices = {"ct": hu, "pet": suv}
        inside = tumor[:, :, place] > 0
        return (np.stack([slices[name] * inside for name in self._channels()]).astype(np.float32),)
