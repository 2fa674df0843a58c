"""How the CNN classifiers and the hybrids are trained, by preset, and the options of a run that change it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from CHMFLPredictorLib.errors import BadInput

from .settings import Settings, option

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
    """How a CNN classifier is trained, and how wide it is. Options of a run change fields of the same name, but for
    ``cosine``, ``dice`` and ``patience``.

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
_LIMITS = {
    "epochs": (int, 1, 1e6), "batch_size": (int, 1, 1e4), "learning_rate": (float, 1e-9, 10.0),
    "weight_decay": (float, 0.0, 1e6), "slices": (int, 1, 1e3), "width": (float, 1 / 64, 1.0), "w": (float, 0.0, 1.0),
    "voxel_mm": (float, 0.5, 20.0),
}  # fmt: skip


def recipe_of(settings: Settings, recipes: dict[str, CnnRecipe]) -> CnnRecipe:
    """The preset's recipe, changed by the run's options.

    :raises BadInput: ``method_option``.
    """
    own = _LIMITS.keys() - {"voxel_mm"}  # of the box, not of the training
    options = {name: value for name, value in settings.options.items() if name in own}
    return replace(recipes[settings.preset], **{name: _number(name, value) for name, value in options.items()})


@dataclass(frozen=True)
class Plan(Recipe):
    """How a hybrid's network is trained, and how wide it is. Options of a run change fields of the same name, but for
    ``cosine`` and ``patience``.

    :param width: channels of the network's first convolution.
    """

    width: int = 16


# what a user may set of a plan
PLAN_OPTIONS = ("epochs", "batch_size", "learning_rate", "weight_decay", "width")


def plan_of(settings: Settings, plans: dict[str, Plan]) -> Plan:
    """The preset's plan, changed by the options that the user gave.

    :raises BadInput: ``method_option``.
    """
    plan = plans[settings.preset]
    asked = [name for name in PLAN_OPTIONS if name in settings.options]
    return replace(plan, **{name: option(settings, name, getattr(plan, name)) for name in asked})


def voxel_option(settings: Settings, preset_mm: float) -> float:
    """Side of a voxel in mm: the option ``voxel_mm``, or the preset's. The box keeps its size.

    :raises BadInput: ``method_option``.
    """
    return _number("voxel_mm", settings.options["voxel_mm"]) if "voxel_mm" in settings.options else preset_mm


def with_voxels(preprocessing: Preprocessing, voxel_mm: float) -> Preprocessing:
    """The same box in voxels of another size."""
    size = tuple(max(1, round(side / voxel_mm)) for side in preprocessing.size_mm)
    return replace(preprocessing, voxel_mm=voxel_mm, size_voxels=size)


def _number(name: str, value):
    kind, least, most = _LIMITS[name]
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not plain or kind(value) != value or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        text = f"The option {name} is {value!r}; it must be {what} from {least:g} to {most:g}."
        raise BadInput("method_option", text, "Change it, or leave it out for the preset's value.")
    return kind(value)
