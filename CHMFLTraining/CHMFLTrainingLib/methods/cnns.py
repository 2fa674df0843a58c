"""The plain CNNs of Table II, and what they share with the ResNets of Table SII: slices and views of a patient, and a
method that is one network trained by :class:`..training.convnet_training.ConvNetTraining`. Needs no torch to be listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..training.recipes import SOFT_DICE, CnnRecipe, recipe_of
from ..training.settings import Settings
from .base import Method, labels_of, preset_of, standardized_by
from .network_method import PENG
from .options import TrainedOptions, numeric

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.preprocessing import Preprocessing
    from CHMFLPredictorLib.network.presets import Preset

    from ..cohort.cases import Case
    from ..cohort.crops import Crop

CHANNELS = ("pet", "ct")  # of a crop's inputs
SLICE_STEP_MM = 12.0
WEIGHTS_FILE = "network.safetensors"

OPEN_COMMON = (
    "The output is the softmax of two logits, not calibrated; threshold 0.5, fixed. Trained like CHMFL: 'paper' as "
    "section II.E says (Adam, 0.0001, batch size 1, 200 epochs, He initialization), the smaller presets with larger "
    "batches, weight decay and a learning rate that falls along a cosine. Views in training are shifted, mirrored and "
    "turned, which the paper does not mention. "
)
OPEN_SLICES = (
    f"2D: the paper says 'few axial slices' and no more. Here: slices {SLICE_STEP_MM:g} mm apart around the middle of "
    "the box (9; 5 or 3 in 'smoke'), the same for every patient and chosen without the tumor's outline; each passes "
    "the same network and the patient's log-odds are the mean of the slices'; the loss is taken of that mean, not of "
    "single slices. "
)
_PLAIN = (
    "The paper gives no layers for its plain CNNs. Here: CHMFL without CFL and HMFL, that is one branch of Table SI a "
    "modality (five convolutions with batch normalization and ELU), their last feature maps joined, and the three "
    "fully connected layers of section II.D. "
)


@dataclass(frozen=True)
class ConvNetOptions(TrainedOptions):
    """Options of the CNNs, of the same names as in :class:`..training.recipes.Recipe`.

    :param slices: axial slices of a patient (2D).
    """

    weight_decay: float | None = numeric(float, 0, 1e6)
    slices: int | None = numeric(int, 1, 1e3)


class ConvNet(Method):
    """A method that is one trained CNN on the box around the tumor.

    :cvar MODALITIES: of "pet" and "ct", in the order of the network's branches.
    :cvar DIMENSIONS: 2: axial slices; 3: the box.
    :cvar CHANGES: preset to what this family has of its own in its recipe.
    """

    GROUP = "Table II"
    SOURCE = f"{PENG}; layers after its Table SI"
    Options = ConvNetOptions
    MODALITIES: ClassVar[tuple[str, ...]] = CHANNELS
    DIMENSIONS: ClassVar[int] = 2
    CHANGES: ClassVar[dict[str, dict]] = {"smoke": {"slices": 5}}

    def __init_subclass__(cls, **words):
        super().__init_subclass__(**words)
        cls.NEEDS_TO_PREDICT = frozenset(cls.MODALITIES)
        cls.NEEDS = cls.NEEDS_TO_PREDICT | {"mask"}  # it places the box

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.network, self.width = None, 1.0  # share of a ResNet's channels
        self._steps: Preprocessing | None = None  # standardized by the training patients

    @property
    def recipe(self) -> CnnRecipe:
        """How this run trains: the preset's recipe, changed by the run's options."""
        preset = self.settings.preset
        own = {"dice": SOFT_DICE[preset], **self.CHANGES.get(preset, {})}
        return replace(recipe_of(CnnRecipe, preset, **own), **self.options.given(CnnRecipe))

    @property
    def preset(self) -> Preset:
        """The preset's network and box, with the voxels that were asked for."""
        return preset_of(self.settings.preset, self.options)

    @property
    def preprocessing(self) -> Preprocessing:
        """Box and intensity steps: as fitted, or as the settings ask for."""
        return self._steps or self.preset.preprocessing

    def prepare(self, case: Case) -> None:
        """Resample the patient's box."""
        case.crop(self.preprocessing)

    def fit(self, cases: list[Case], folder: Path, on_progress: Callable[[dict], None] | None = None) -> None:
        """Train, or go on from the checkpoint in ``folder``; history.csv lies beside it.

        :raises BadInput: what reading the patients raises, ``checkpoint_damaged``,
            ``checkpoint_other``, ``weights_*``.
        """
        from ..training.convnet_training import ConvNetTraining, seeded

        labels, crops = labels_of(cases), [case.crop(self.preprocessing) for case in cases]
        self._steps = standardized_by(self.preset.preprocessing, crops)
        with seeded(self.settings.seed):
            network = self._initial()
        identity = [self.NAME, self.settings.options, self.preprocessing.to_dict()]
        training = ConvNetTraining(
            network,
            lambda number, random: self._view(crops[number], random),
            labels,
            self.recipe,
            self.settings,
            folder,
            [*identity, [case.patient_id for case in cases]],
        )
        self.network = training.run(on_progress)

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk of the event (n,), each patient alone and unaugmented."""
        from ..training.convnet_training import outputs

        views = (self._view(case.crop(self.preprocessing), None)[0] for case in cases)
        return np.array([outputs(self.network, view)[0] for view in views])

    def embedding(self, cases: list[Case]) -> np.ndarray:
        """What the output layer reads, float32 (n, its inputs); in 2D the mean of the slices'."""
        from ..training.convnet_training import last_features

        views = (self._view(case.crop(self.preprocessing), None)[0] for case in cases)
        return np.array([last_features(self.network, view) for view in views], dtype=np.float32)

    def state(self, folder: Path) -> dict:
        """The weights go into ``network.safetensors``."""
        from ..training.hybrid_training import save_network

        save_network(Path(folder) / WEIGHTS_FILE, self.network)
        return {"width": self.width, "preprocessing": self.preprocessing.to_dict()}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        from CHMFLPredictorLib.network.preprocessing import Preprocessing

        from ..training.convnet_training import laid_out
        from ..training.hybrid_training import load_network

        self.width, self._steps = float(state["width"]), Preprocessing.from_dict(state["preprocessing"])
        network = load_network(Path(folder) / WEIGHTS_FILE, self._build(), self.settings.device)
        # the layout in memory decides in which order numbers are summed
        self.network = laid_out(network, next(network.parameters()).device)

    def _build(self):
        """The network, with He initialization."""
        raise NotImplementedError

    def _initial(self):
        """The network as training begins."""
        self.width = self.recipe.width
        return self._build()

    def _view(self, crop: Crop, random: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, tumor and inside of a patient, augmented where ``random`` is given.

        :returns: float32 (modalities, X, Y, Z), uint8 and bool (X, Y, Z); in 2D (slices, modalities, X, Y) and
            (slices, X, Y).
        """
        from ..cohort.crops import center_crop
        from ..training.augmentation import Augmentation, augment

        settings = self.preprocessing
        if random is None:
            view = center_crop(crop, settings)
        else:
            view = augment(crop, settings, Augmentation(), random)
        if self.DIMENSIONS == 2:
            return self._sliced(view, slice_places(settings.size_voxels[2], settings.voxel_mm, self.recipe.slices))
        return view[0][self._channels()], view[1], view[2]

    def _sliced(self, view, places) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs, mask, inside = view
        slices = inputs[self._channels()][..., places].transpose(3, 0, 1, 2)
        return slices, mask[..., places].transpose(2, 0, 1), inside[..., places].transpose(2, 0, 1)

    def _channels(self) -> list[int]:
        return [CHANNELS.index(name) for name in self.MODALITIES]


class PlainCNN(ConvNet):
    """2D or 3D CNN without CFL and HMFL (Table II)."""

    def _build(self):
        from ..networks.plain import PlainNetwork

        return PlainNetwork(self.preset.network, len(self.MODALITIES), self.DIMENSIONS)


def slice_places(depth: int, voxel_mm: float, count: int) -> np.ndarray:
    """Indices of axial slices around the middle of a box, :data:`SLICE_STEP_MM` apart; closer where the box is too low.

    :param depth: voxels of the box along the foot-head axis.
    """
    step = min(SLICE_STEP_MM / voxel_mm, (depth - 1) / max(1, count - 1))
    places = (depth - 1) / 2 + (np.arange(count) - (count - 1) / 2) * step
    return np.unique(np.clip(np.floor(places + 0.5), 0, depth - 1).astype(int))


def _row(dimensions: int, modalities: tuple[str, ...]) -> type[PlainCNN]:
    fields = {
        "__doc__": "On axial slices." if dimensions == 2 else "On the whole box.",
        "__module__": __name__,
        "NAME": f"{dimensions}D-CNN-{'-'.join(modalities).upper()}",
        "OPEN": _PLAIN + (OPEN_SLICES if dimensions == 2 else "") + OPEN_COMMON,
        "MODALITIES": modalities,
        "DIMENSIONS": dimensions,
        "UNREAD": frozenset({"slices"} if dimensions == 3 else ()),
    }
    return type("Cnn", (PlainCNN,), fields)


ROWS = tuple(_row(dimensions, modalities) for dimensions in (2, 3) for modalities in (("ct",), ("pet",), CHANNELS))
