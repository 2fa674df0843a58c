"""How a network is trained: the settings, and those that have a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from .augmentation import Augmentation
from .head import HeadConfig
from .losses import LossConfig
from .recipes import RECIPES, SOFT_DICE, Recipe, recipe_of


@dataclass(frozen=True)
class TrainingConfig(Recipe):
    """How CHMFL and its relatives are trained.

    :param head_decay: weight decay of the head's, which has 40 labels to learn from.
    :param patch: voxels of the views that the segmentation is trained on; None for the whole box.
    :param head: the head is trained after the segmentation, on its features (not in the paper); None for both at once.
    :param validation: parts into which the training patients are divided; one of them is held back and chooses the
        epoch that is kept (``checkpoint_best.pt``). 0: none is held back and the last epoch is kept, as in the paper.
    """

    head_decay: float = 0.0
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    patch: tuple[int, int, int] | None = None
    head: HeadConfig | None = None
    seed: int = 0
    validation: int = 0

    def __post_init__(self):
        if self.validation == 1:
            raise ValueError("validation divides the training patients into at least two parts, or is 0")
        if self.patch is not None and self.head is None:
            raise ValueError("the head reads the whole box: patches need staged training")

    def to_dict(self) -> dict:
        """As JSON types, for the run's config.json and the model's card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> TrainingConfig:
        """The inverse of :meth:`to_dict`."""
        nested = {"loss": LossConfig(**values["loss"]), "augmentation": Augmentation(**values["augmentation"])}
        nested["patch"] = values["patch"] and tuple(values["patch"])
        nested["head"] = values["head"] and HeadConfig(**{**values["head"], "decays": tuple(values["head"]["decays"])})
        return cls(**{**values, **nested})


TRAINING_PRESETS = {name: recipe_of(TrainingConfig, name, loss=LossConfig(dice=SOFT_DICE[name])) for name in RECIPES}
