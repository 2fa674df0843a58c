"""Training of CHMFL and its relatives on one fold, and what the trained network says of a patient."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.network.chmfl import build_network, dm_log_odds
from CHMFLPredictorLib.network.presets import Preset

from ..cohort.crops import Crop, branch_channels, center_crop
from ..cohort.folds import draw_folds
from .batches import Batch, Batches
from .config import TrainingConfig
from .head import choose_decay, feature_vectors, fit_head
from .losses import segmentation_loss, total_loss
from .speed import Speed, autocast, fastest, made_ahead, prepared
from .trainer import Trainer, torch_seed

_LOG = logging.getLogger(__name__)


class FoldTraining(Trainer):
    """One fold of a run. ``fit`` trains what is left of it; everything it needs to go on after a kill lies in
    ``folder``.

    :param build: makes the network; it must offer what :class:`CHMFLPredictorLib.network.chmfl.CHMFL` does.
    :param speed: how it runs; None for what is fast on the device in the ``precision`` of :class:`.settings.Settings`.
    """

    def __init__(
        self,
        preset: Preset,
        config: TrainingConfig,
        crops: list[Crop],
        fold: int,
        folder: Path,
        device="cpu",
        build: Callable = build_network,
        speed: Speed | None = None,
        precision: str = "auto",
    ):
        if config.head is not None and not preset.network.constrained:
            raise ValueError("staged training learns its features from the segmentation: it needs a decoder")
        self.preset, self.config, self.fold, device = preset, config, fold, torch.device(device)
        self.crops, self.validation = _held_back(crops, config.validation, config.seed)
        torch.manual_seed(config.seed * 1000 + fold)
        voxels = config.batch_size * math.prod(config.patch or preset.network.input_size)
        self.speed = fastest(device, preset.network, voxels, precision) if speed is None else speed
        network = prepared(build(preset.network), device, self.speed)
        optimizer = torch.optim.AdamW(_groups(network, config), lr=config.learning_rate, fused=self.speed.fused)
        # without the speed and the labels' type: a checkpoint goes on on another computer
        identity = [preset.network.to_dict(), preset.preprocessing.to_dict(), config.to_dict(), fold]
        patients = [[crop.patient_id, int(crop.label)] for crop in crops]
        super().__init__(network, optimizer, config, folder, [*identity, patients])
        self.views = Batches(preset, config, device, self.speed)
        self.head_stage = None  # what the head's own stage learned from: initial head, vectors, labels, ..., decay

    def run(self, on_epoch: Callable[[dict], None] | None = None) -> torch.nn.Module:
        """As for all, then the head's own stage, if it has one."""
        network = super().run(on_epoch)
        if self.config.head is not None and next(network.head.parameters(), None) is not None:
            self._train_head()
        return network.eval()

    def torch_seed(self) -> int:
        """From (seed, fold, epoch)."""
        return torch_seed(self.config.seed, self.fold, self.epoch, 1)

    @contextmanager
    def batches(self):
        """Views of the patients in random order, whole batches only."""
        random = np.random.default_rng([self.config.seed, self.fold, self.epoch])
        order, size = random.permutation(len(self.crops)), self.config.batch_size
        count = max(1, len(self.crops) // size)
        chosen = [[self.crops[i] for i in order[n * size : (n + 1) * size]] for n in range(count)]
        with made_ahead(lambda crops: (crops, self.views.augmented(crops, random)), chosen, self.speed.ahead) as made:
            yield count, made

    def loss(self, batch: tuple[list[Crop], Batch]) -> torch.Tensor:
        """Eq. 1 for a batch; the segmentation's term alone where the head has its own stage."""
        crops, (inputs, tumor, inside) = batch
        outputs = self._outputs(inputs)
        if self.config.head is not None:
            return segmentation_loss(outputs[1], tumor, inside, self.config.loss.dice)
        labels = torch.tensor([crop.label for crop in crops], device=self.device)
        return total_loss(outputs, (labels, tumor, inside), self.config.loss)

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Mean loss over the patients held back, without augmentation, one at a time."""
        if not self.validation:
            return None
        self.network.eval()
        return float(np.mean([float(self.loss(([crop], self.views.plain([crop])))) for crop in self.validation]))

    def _outputs(self, inputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """DM logits, None where the head has its own stage, and the segmentation's logits."""
        bfloat16, network, dm_logits = self.speed.bfloat16, self.network, None
        with autocast(self.device, bfloat16):
            features = network.encode(inputs)
        # before the decoder: the gradient of its many weights comes when the decoder's features are gone. In float32,
        # as in a prediction
        if self.config.head is None:
            dm_logits = network.classify([level.float() for level in features])
        with autocast(self.device, bfloat16):
            segmentation = network.decode(features)
        return dm_logits, None if segmentation is None else segmentation.float()

    def _measurements(self, crops: list[Crop]) -> np.ndarray:
        """Of patients, standardized by this fold's training patients only."""
        known = np.stack([crop.measurements for crop in self.crops])
        measured = np.stack([crop.measurements for crop in crops])
        return ((measured - known.mean(0)) / np.maximum(known.std(0), 1e-3)).astype(np.float32)

    def _train_head(self) -> None:
        """The head's own stage. It is short and follows from the seed alone, so a killed one begins again."""
        config, seed = self.config.head, [self.config.seed, self.fold, 7]
        settings, limits = self.preset.preprocessing, self.config.augmentation
        crops = self.crops + self.validation  # those held back chose the segmentation's epoch, which saw no label
        vectors = feature_vectors(self.network, crops, settings, limits, config.views, seed, self.device)
        labels = np.tile([crop.label for crop in crops], config.views)
        measured = np.tile(self._measurements(crops), (config.views, 1))
        decay = choose_decay(self.network.head, vectors, labels, measured, config, seed=self.fold)
        self.head_stage = HeadStage(copy.deepcopy(self.network.head), vectors, labels, measured, decay)
        loss = fit_head(self.network.head, vectors, labels, measured, config, decay, seed=self.fold)
        _LOG.info("fold %d head: weight decay %g, loss %.4f", self.fold, decay, loss)


@dataclass(frozen=True)
class HeadStage:
    """What the head learned from in its own stage, for the calibration inside the training patients: the head before
    it, feature vectors (views * patients, features), labels, measurements, and the weight decay that was chosen.
    """

    head: torch.nn.Module
    vectors: torch.Tensor
    labels: np.ndarray
    measurements: np.ndarray
    decay: float


def _groups(network: torch.nn.Module, config: TrainingConfig) -> list[dict]:
    """The head's weights apart from the others', each with its decay."""
    head = set(map(id, network.head.parameters()))
    rest = [parameter for parameter in network.parameters() if id(parameter) not in head]
    return [
        {"params": rest, "weight_decay": config.weight_decay},
        {"params": list(network.head.parameters()), "weight_decay": config.head_decay},
    ]


def _held_back(crops: list[Crop], parts: int, seed: int) -> tuple[list[Crop], list[Crop]]:
    """The patients to learn from and those held back: one of ``parts``, with the cohort's share of events."""
    if not parts:
        return crops, []
    drawn = draw_folds(crops, parts, seed)
    held = [drawn[crop.patient_id] == 0 for crop in crops]
    return [c for c, out in zip(crops, held, strict=True) if not out], [
        c for c, out in zip(crops, held, strict=True) if out
    ]


def predict_crop(network, crop: Crop, settings, device="cpu", decode=True) -> tuple[float, np.ndarray | None]:
    """What a network in eval mode says of a patient it may never have seen: log-odds of DM, and the tumor, bool
    (X, Y, Z) of the box; None without a decoder.

    :param decode: False leaves the segmentation out, which is nearly all of the work.
    """
    inputs, mask, inside = center_crop(crop, settings)
    x = torch.from_numpy(branch_channels(inputs, mask, network.config.branch_inputs)[None])
    with torch.inference_mode():
        features = network.encode(x.to(device))
        dm_logits, segmentation = network.classify(features), network.decode(features) if decode else None
    tumor = None if segmentation is None else (segmentation[0, 1] > segmentation[0, 0]).cpu().numpy() & inside
    return float(dm_log_odds(dm_logits)), tumor
