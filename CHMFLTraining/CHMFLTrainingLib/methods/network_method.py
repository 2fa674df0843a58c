"""What the paper's network and its relatives share as methods of the comparison.

A method here is a change of the network's configuration; training is
:class:`..training.fold_training.FoldTraining`. The seed of a job is 1000 times the seed of the training plus the fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from CHMFLPredictorLib.errors import MissingModel
from CHMFLPredictorLib.files import write_bytes
from CHMFLPredictorLib.model.calibration import sigmoid

from .base import Method, labels_of, preset_of, standardized_by
from .options import TrainedOptions, numeric

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.chmfl import NetworkConfig
    from CHMFLPredictorLib.network.presets import Preset

    from ..cohort.cases import Case
    from ..training.config import TrainingConfig
    from ..training.fold_training import FoldTraining

PENG = (
    "Peng Y, Bi L, Kumar A, Fulham M, Feng D, Kim J. Predicting distant metastases in soft-tissue sarcomas from "
    "PET-CT scans using constrained hierarchical multi-modality feature learning. Phys Med Biol 2021;66(24), "
    "preprint arXiv:2104.11416"
)
OPEN = (
    "Left open by the paper: side of the voxels (2 mm, as Table SIV implies), residual blocks, widths of the fully "
    "connected layers, whether level 5 joins the pooled levels before the first of them or after, the window of the "
    "contrast step (143 voxels, chosen on images alone); the README's table of presets lists every choice. 'paper' "
    "and 'paper_k3' train Eq. 1 and nothing else; 'compact' and 'smoke' add soft Dice to its segmentation term, as in "
    "every row that segments, keep absolute SUV and HU, and are smaller. The risk is the head's softmax, not "
    "calibrated; the report puts a logistic curve of the other folds' out-of-fold log-odds beside it. Threshold 0.5, "
    "fixed."
)
WEIGHTS_FILE = "weights.safetensors"
JOBS_A_SEED = 1000


@dataclass(frozen=True)
class NetworkOptions(TrainedOptions):
    """Options of the networks of the paper's family.

    :param validation: :param patience: as in :class:`..training.config.TrainingConfig`.
    :param w: weight of the segmentation in Eq. 1; the rows of Fig. 5 have their own.
    """

    validation: int | None = numeric(int, 0, 1e3)
    patience: int | None = numeric(int, 0, 1e6)
    w: float | None = numeric(float, 0, 1)


class NetworkMethod(Method):
    """A method that is a network trained by :class:`..training.fold_training.FoldTraining`.

    :cvar NETWORK: fields of the network's configuration that differ from the preset's.
    :cvar W: weight of the segmentation in Eq. 1, which no option overrides; None for the preset's or the option's.
    """

    SOURCE = PENG
    OPEN = OPEN
    NEEDS_TO_PREDICT = frozenset({"pet", "ct"})
    Options = NetworkOptions
    NETWORK: ClassVar[dict] = {}
    W: ClassVar[float | None] = None

    def __init__(self, settings):
        super().__init__(settings)
        self.network, self.calibration = None, (1.0, 0.0)
        self._fitted_preset = None

    @property
    def preset(self) -> Preset:
        """Network and preprocessing: as fitted, or as the settings ask for."""
        if self._fitted_preset is not None:
            return self._fitted_preset
        chosen = preset_of(self.settings.preset, self.options)
        network = replace(chosen.network, **self.NETWORK)
        if self._weight() == 0:  # nothing would train the decoder: its segmentation would be noise
            network = replace(network, constrained=False)
        return replace(chosen, network=network)

    @property
    def recipe(self) -> TrainingConfig:
        """:meth:`training_config`."""
        return self.training_config()

    def training_config(self) -> TrainingConfig:
        """How the network is trained."""
        from ..training.config import TRAINING_PRESETS, TrainingConfig

        config, w = TRAINING_PRESETS[self.settings.preset], self._weight()
        if w is not None:
            config = replace(config, loss=replace(config.loss, w=w))
        return replace(config, **self.options.given(TrainingConfig))

    def build(self, config: NetworkConfig):
        """An untrained network."""
        from CHMFLPredictorLib.network.chmfl import build_network

        return build_network(config)

    def prepare(self, case: Case) -> None:
        """Resample the patient's box."""
        case.crop(self.preset.preprocessing)

    def fit(self, cases: list[Case], folder: Path, on_progress: Callable[[dict], None] | None = None) -> None:
        """Train, or go on from the checkpoint in ``folder``; history.csv lies beside it."""
        labels_of(cases)
        chosen = self.preset
        crops = [case.crop(chosen.preprocessing) for case in cases]
        self._fitted_preset = replace(chosen, preprocessing=standardized_by(chosen.preprocessing, crops))
        training = self._trained(crops, Path(folder), on_progress)
        self.calibration = self._calibrate(training, crops)
        self.network = training.network

    def log_odds(self, cases: list[Case]) -> np.ndarray:
        """What the head says before calibration (n,)."""
        return np.array([self._forward(case, decode=False)[0] for case in cases])

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Calibrated risk of DM, 0 to 1, (n,)."""
        slope, intercept = self.calibration
        return sigmoid(slope * self.log_odds(cases) + intercept)

    def segment(self, case: Case) -> np.ndarray | None:
        """The tumor in the box, uint8 (X, Y, Z); None without a decoder."""
        tumor = self._forward(case)[1]
        return None if tumor is None else tumor.astype(np.uint8)

    def embedding(self, cases: list[Case]) -> np.ndarray | None:
        """What the output layer reads (n, width of the second hidden layer), float32, for Fig. 7."""
        import torch

        head, vectors = self.network.head, []
        with torch.inference_mode():
            for case in cases:
                fused = head.vector(self.network.encode(torch.from_numpy(self._inputs(case)[None]).to(self._device)))
                vectors.append(torch.relu(head.second(torch.relu(head.first(fused))))[0].float().cpu().numpy())
        return np.stack(vectors) if vectors else np.zeros((0, head.second.out_features), np.float32)

    def relevance(self, case: Case) -> np.ndarray | None:
        """Where the risk comes from, float32 (X, Y, Z) of the box, 0 to 1, for Fig. 6; see
        :func:`CHMFLPredictorLib.network.relevance.relevance_map`.
        """
        from CHMFLPredictorLib.network.relevance import relevance_map

        return relevance_map([self.network], self._inputs(case))

    def state(self, folder: Path) -> dict:
        """Configuration and calibration; the weights go into ``weights.safetensors``."""
        from CHMFLPredictorLib.model.weights import stored_array
        from safetensors.numpy import save

        arrays = {key: stored_array(key, value, half=False) for key, value in self.network.state_dict().items()}
        write_bytes(Path(folder) / WEIGHTS_FILE, save(arrays))
        preset = self.preset
        return {
            "network": preset.network.to_dict(),
            "preprocessing": preset.preprocessing.to_dict(),
            "calibration": list(self.calibration),
        }

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`; ValueError where the weights do not fit or cannot be read."""
        import torch
        from CHMFLPredictorLib.model.weights import Tensors
        from CHMFLPredictorLib.network.chmfl import NetworkConfig
        from CHMFLPredictorLib.network.preprocessing import Preprocessing
        from CHMFLPredictorLib.network.presets import Preset

        preset = Preset(NetworkConfig.from_dict(state["network"]), Preprocessing.from_dict(state["preprocessing"]))
        network = self.build(preset.network)
        try:
            stored = Tensors(Path(folder) / WEIGHTS_FILE)
            with torch.no_grad():
                for key, value in network.state_dict().items():
                    value.copy_(torch.from_numpy(stored.take(key, tuple(value.shape))))
        except MissingModel as error:
            raise ValueError(error.message) from error
        usable = torch.cuda.is_available() or not self.settings.device.startswith("cuda")
        device = self.settings.device if usable else "cpu"  # trained on a GPU, read where there is none
        self.network = network.to(device, memory_format=torch.channels_last_3d).eval()
        self._fitted_preset, self.calibration = preset, tuple(map(float, state["calibration"]))

    def _trained(self, crops: list, folder: Path, on_progress: Callable[[dict], None] | None) -> FoldTraining:
        import torch

        from ..training.fold_training import FoldTraining

        torch.set_num_threads(self.settings.threads)
        seed, fold = divmod(self.settings.seed, JOBS_A_SEED)
        config = replace(self.training_config(), seed=seed)
        device, precision = self.settings.device, self.settings.precision
        training = FoldTraining(self.preset, config, crops, fold, folder, device, self.build, precision=precision)
        training.run(on_progress)
        return training

    def _calibrate(self, training: FoldTraining, crops: list) -> tuple[float, float]:
        """Slope and intercept from log-odds to the risk: here the head's own softmax, as the paper's."""
        return 1.0, 0.0

    def _forward(self, case: Case, decode: bool = True) -> tuple[float, np.ndarray | None]:
        import torch

        from ..training.fold_training import predict_crop

        torch.set_num_threads(self.settings.threads)
        settings = self.preset.preprocessing
        return predict_crop(self.network, case.crop(settings), settings, self._device, decode)

    def _inputs(self, case: Case) -> np.ndarray:
        """What the network reads of a patient, float32 (channels of both branches, X, Y, Z)."""
        from ..cohort.crops import branch_channels, center_crop

        preset = self.preset
        inputs, mask, _ = center_crop(case.crop(preset.preprocessing), preset.preprocessing)
        return branch_channels(inputs, mask, preset.network.branch_inputs)

    @property
    def _device(self):
        return next(self.network.parameters()).device

    def _weight(self) -> float | None:
        """The weight w of Eq. 1 that is asked for: a row's own, which no option overrides, or the option's."""
        return self.options.w if self.W is None else self.W
