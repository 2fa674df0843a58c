"""How the CNN classifiers and the hybrids are trained, by preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.preprocessing import Preprocessing


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the paper's (section II.E), the epochs apart from which its loss was
    stable.

    :param weight_decay: decoupled; 0: the paper's plain Adam.
    :param cosine: the learning rate falls to zero along a cosine after a short rise.
    :param patience: training ends after so many epochs without a lower loss (the validation loss where there is one):
        the paper's "no further changes in the total loss". 0: never before ``epochs``.
    """

    epochs: int = 200
    batch_size: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    cosine: bool = False
    patience: int = 0


@dataclass(frozen=True)
class CnnRecipe(Recipe):
    """How a CNN classifier is trained, and how wide it is.

    :param slices: axial slices of a patient (2D).
    :param width: share of a ResNet's channels; a pretrained one is as wide as its weights.
    :param w: share of the segmentation in Eq. 1. :param dice: soft Dice is added to the segmentation's cross-entropy.
    """

    slices: int = 9
    width: float = 1.0
    w: float = 0.5
    dice: bool = False


_QUICK = {"weight_decay": 1e-2, "cosine": True, "dice": True, "batch_size": 4}
PLAIN = {
    "paper": CnnRecipe(),
    "compact": CnnRecipe(60, learning_rate=1e-3, **_QUICK),
    "smoke": CnnRecipe(3, learning_rate=3e-3, slices=5, **_QUICK),
}
# a ResNet's slice is many times the work of a plain CNN's
RESNET = {
    "paper": CnnRecipe(),
    "compact": CnnRecipe(16, learning_rate=3e-4, **_QUICK),
    "smoke": CnnRecipe(2, learning_rate=1e-3, slices=3, width=0.125, **_QUICK),
}


@dataclass(frozen=True)
class Plan(Recipe):
    """How a hybrid's network is trained, and how wide it is.

    :param width: channels of the network's first convolution.
    """

    width: int = 16


def with_voxels(preprocessing: Preprocessing, voxel_mm: float) -> Preprocessing:
    """The same box in voxels of another size."""
    size = tuple(max(1, round(side / voxel_mm)) for side in preprocessing.size_mm)
    return replace(preprocessing, voxel_mm=voxel_mm, size_voxels=size)
