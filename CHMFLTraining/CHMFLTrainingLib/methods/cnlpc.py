"""CNLPC (Table I): a 2D CNN on the largest CT slice of the delineated tumor, after Diamant et al."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cohort.crops import MARGIN
from ..training.recipes import Plan
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
        "of the source, whose text was not at hand: one axial slice, the one in "
        "which the tumor is largest, all outside the tumor's outline set to zero; three blocks (5x5, 3x3, 3x3) with "
        "PReLU and max pooling by 4; two hidden layers with dropout 0.5; mirrored, turned (20 degrees) and shifted "
        "slices. Inferred here: the channels (64, 128, 256; hidden 256, 128), HU cut to -500 to 500 and scaled to 0 "
        "to 1 (so that tumor differs from the zero outside), two outputs with cross-entropy, Adam with the paper's "
        "learning rate of 0.0001 instead of the source's stochastic gradient descent, and the slice at the preset's "
        "voxels instead of the CT's. The option modality (ct, pet, pet_ct) is ours; ct is the source's. The threshold "
        "is 0.5."
    )
    Options = CNLPCOptions
    NEEDS = frozenset({"ct", "mask"})
    PLANS = {
        "paper": Plan(epochs=100, batch_size=32, width=64),
        "compact": Plan(epochs=100, batch_size=8, learning_rate=3e-4, width=64),
        "smoke": Plan(epochs=2, batch_size=8, learning_rate=1e-3, width=16),
    }

    def _build(self):
        from ..networks.hybrid import SliceNetwork

        width, side = self.plan.width, min(self.preprocessing.size_voxels[:2])
        return SliceNetwork(side, len(self._channels()), (width, 2 * width, 4 * width), (4 * width, 2 * width))

    def _channels(self) -> tuple[str, ...]:
        return CHANNELS[self.options.modality]

    def _prepared(self, case, features) -> np.ndarray:
        """The tumor in its largest slice, zero outside, with the crop's margin: float32 (channels, X, Y)."""
        crop = case.crop(self.preprocessing)
        tumor = crop.mask > 0
        place = int(np.argmax(tumor[:, :, MARGIN:-MARGIN].sum((0, 1)))) + MARGIN
        hu = (np.clip(crop.hu[:, :, place].astype(np.float32), *HU_RANGE) - HU_RANGE[0]) / (HU_RANGE[1] - HU_RANGE[0])
        suv = np.log1p(np.clip(crop.suv[:, :, place].astype(np.float32), 0, 50)) / np.float32(LOG_SUV_MOST)
        slices = {"ct": hu, "pet": suv}
        return np.stack([slices[name] * tumor[:, :, place] for name in self._channels()]).astype(np.float32)

    def _view(self, prepared: np.ndarray, random: np.random.Generator | None) -> tuple[np.ndarray]:
        moved = prepared if random is None else _moved(prepared, random)
        return (np.ascontiguousarray(moved[:, MARGIN:-MARGIN, MARGIN:-MARGIN]),)


def _moved(slices: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirrored, turned by up to 20 degrees and shifted by up to the margin; size is never changed."""
    from scipy import ndimage

    mirror = np.diag(random.choice([-1.0, 1.0], 2))
    angle = np.deg2rad(random.uniform(-20, 20))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ mirror
    middle = (np.array(slices.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle + random.uniform(-MARGIN, MARGIN, 2)
    return np.stack([ndimage.affine_transform(one, matrix, offset, order=1, mode="constant") for one in slices])
