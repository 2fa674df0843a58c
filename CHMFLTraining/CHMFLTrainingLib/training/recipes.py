"""How networks are trained, by preset: one recipe for every row of a table, so that rows differ in what they are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar


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


_PAPER = Recipe()
# What a CPU's budget needs: fewer and larger steps
_COMPACT = Recipe(40, batch_size=2, learning_rate=2e-3, weight_decay=1e-2, cosine=True)
RECIPES = {
    "paper": _PAPER,
    "paper_k3": _PAPER,
    "compact": _COMPACT,
    "smoke": Recipe(2, batch_size=2, learning_rate=2e-3, weight_decay=1e-2, cosine=True),
}
# where the preset adds soft Dice to the segmentation's term of Eq. 1, and then in every row that segments
SOFT_DICE = {"paper": False, "paper_k3": False, "compact": True, "smoke": True}
Kind = TypeVar("Kind", bound=Recipe)


PAPER_WEIGHT = 0.5  # w of Eq. 1, the paper's best


@dataclass(frozen=True)
class CnnRecipe(Recipe):
    """How a CNN classifier is trained, and how wide it is.

    :param slices: axial slices of a patient (2D).
    :param width: share of a ResNet's channels; a pretrained one is as wide as its weights.
    :param w: share of the segmentation in Eq. 1. :param dice: soft Dice is added to the segmentation's cross-entropy.
    """

    slices: int = 9
    width: float = 1.0
    w: float = PAPER_WEIGHT
    dice: bool = False


@dataclass(frozen=True)
class Plan(Recipe):
    """How a hybrid's network is trained, and how wide it is.

    :param width: channels of the network's first convolution.
    """

    width: int = 16


def recipe_of(kind: type[Kind], preset: str, **values) -> Kind:
    """The preset's recipe as another class of recipe, with the values that this one adds or changes."""
    shared = {one.name: getattr(RECIPES[preset], one.name) for one in fields(Recipe)}
    return kind(**{**shared, **values})
