"""Training of one fold: epochs, atomic checkpoints, resume; and what the trained network says of a patient."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.files import write_csv
from CHMFLPredictorLib.network.chmfl import build_network, dm_log_odds
from CHMFLPredictorLib.network.presets import Preset

from ..cohort.crops import Crop, branch_channels, center_crop
from ..cohort.folds import draw_folds
from . import checkpoints
from .batches import Batch, Batches
from .config import TrainingConfig
from .head import choose_decay, feature_vectors, fit_head
from .losses import segmentation_loss, total_loss
from .speed import Compiled, Speed, autocast, fastest, made_ahead, prepared, repeatable

_LOG = logging.getLogger(__name__)


class FoldTraining:
    """One fold of a run. ``fit`` trains what is left of it; everything it needs to go on after a kill lies in
    ``folder``.

    :param build: makes the network; it must offer what :class:`CHMFLPredictorLib.network.chmfl.CHMFL` does.
    :param speed: how it runs; None for what is fast on the device.
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
    ):
        if config.head is not None and not preset.network.constrained:
            raise ValueError("staged training learns its features from the segmentation: it needs a decoder")
        self.preset, self.config = preset, config
        self.fold, self.folder, self.device = fold, Path(folder), torch.device(device)
        self.crops, self.validation = _held_back(crops, config.validation, config.seed)
        torch.manual_seed(config.seed * 1000 + fold)
        voxels = config.batch_size * math.prod(config.patch or preset.network.input_size)
        self.speed = fastest(self.device, preset.network, voxels) if speed is None else speed
        self.network = prepared(build(preset.network), self.device, self.speed)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=config.learning_rate, fused=self.speed.fused)
        self._outputs = Compiled(self._eager_outputs, self.speed.compiled)
        self.batches = Batches(preset, config, self.device, self.speed)
        self._pace, self.waited = checkpoints.Pace(), 0.0  # seconds of the last epoch in which there was no data
        # measurements are standardized by this fold's training patients only
        measured = np.stack([crop.measurements for crop in self.crops])
        self.measured = (measured.mean(0), np.maximum(measured.std(0), 1e-3))
        self.epoch, self.history = 0, []
        self.head_stage = None  # what the head's own stage learned from: initial head, vectors, labels, ..., decay

    def fit(self, on_epoch: Callable[[dict], None] | None = None) -> None:
        """Train what is left; ``network`` is the trained one after it. ``on_epoch`` gets each row of the history and
        may raise to stop: the epoch is on disk by then.
        """
        self.resume()
        while self.epoch < self.config.epochs and not self._stalled():
            started = time.monotonic()
            with repeatable():
                loss = self._train_epoch()
            self.epoch += 1
            row = {
                "epoch": self.epoch,
                "loss": round(loss, 5),
                "learning_rate": self._learning_rate(self.epoch - 1, 0),
                "seconds": round(time.monotonic() - started, 2),
            }
            if self.validation:
                row["validation_loss"] = round(self._validation_loss(), 5)
            self.history.append(row)
            self._save(self._pace.due() or self.epoch == self.config.epochs or self._stalled())
            text = "fold %d epoch %d/%d loss %.4f, %.1f s, %.0f %% of it waiting for data"
            share = 100 * self.waited / max(row["seconds"], 0.01)
            _LOG.info(text, self.fold, self.epoch, self.config.epochs, loss, row["seconds"], share)
            if on_epoch:
                self._report(on_epoch, row)
        if self.validation:
            self._load(checkpoints.BEST)
        if self.config.head is not None and next(self.network.head.parameters(), None) is not None:
            self._train_head()
        self.network.eval()

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one. A damaged one is refused by name."""
        if (self.folder / checkpoints.LATEST).exists():
            self._load(checkpoints.LATEST)

    def _load(self, name: str) -> None:
        path = self.folder / name
        state = checkpoints.load(path, self.device)
        try:
            self.network.load_state_dict(state["network"])
            if "optimizer" in state:
                for group in state["optimizer"]["param_groups"]:  # this computer's way, not the file's
                    group["fused"] = self.speed.fused
                self.optimizer.load_state_dict(state["optimizer"])
                self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except Exception as error:
            raise checkpoints.damaged(path, error) from error

    def _save(self, due: bool) -> None:
        """The history, and what is needed to go on: always where this epoch is the best, else when it is ``due``."""
        # the best one first: a kill between the two repeats this epoch and writes it again
        if self.validation and self._best_epoch() == self.epoch:
            checkpoints.save(self.folder / checkpoints.BEST, {"network": self.network.state_dict()})
        if due:
            self._save_latest()
        write_csv(self.folder / "history.csv", list(self.history[0]), [list(row.values()) for row in self.history])

    def _save_latest(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "history": self.history,
        }
        self._pace.save(self.folder / checkpoints.LATEST, state)

    def _report(self, on_epoch: Callable[[dict], None], row: dict) -> None:
        try:
            on_epoch(row)
        except BaseException:
            self._save_latest()
            raise

    def _best_epoch(self) -> int:
        """The first epoch with the least loss."""
        losses = [row.get("validation_loss", row["loss"]) for row in self.history]
        return int(np.argmin(losses)) + 1

    def _stalled(self) -> bool:
        return bool(self.history and self.config.patience) and self.epoch - self._best_epoch() >= self.config.patience

    def _groups(self) -> list[dict]:
        head = set(map(id, self.network.head.parameters()))
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in head]
        return [
            {"params": rest, "weight_decay": self.config.decay},
            {"params": list(self.network.head.parameters()), "weight_decay": self.config.head_decay},
        ]

    def _learning_rate(self, epoch: int, step: int) -> float:
        config = self.config
        if not config.cosine:
            return config.learning_rate
        steps = self._steps()
        position = (epoch * steps + step) / max(1, config.epochs * steps)
        return config.learning_rate * min(1.0, position / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * position))

    def _steps(self) -> int:
        return max(1, len(self.crops) // self.config.batch_size)

    def _train_epoch(self) -> float:
        # all randomness of an epoch follows from (seed, fold, epoch): a resumed run repeats an undisturbed one
        seed = [self.config.seed, self.fold, self.epoch]
        random = np.random.default_rng(seed)
        torch.manual_seed(int(np.random.default_rng([*seed, 1]).integers(2**31)))
        order, size = random.permutation(len(self.crops)), self.config.batch_size
        batches = [[self.crops[i] for i in order[n * size : (n + 1) * size]] for n in range(self._steps())]
        self.network.train()
        losses, self.waited = [], 0.0
        with made_ahead(lambda crops: self.batches.augmented(crops, random), batches, self.speed.ahead) as made:
            for step, chosen in enumerate(batches):
                started = time.monotonic()
                batch = next(made)
                self.waited += time.monotonic() - started
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate(self.epoch, step)
                losses.append(self._step(chosen, batch))
        # asked for once an epoch: a GPU would have to be waited for at each step
        loss = float(np.mean([float(loss) for loss in losses]))
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} in fold {self.fold}, epoch {self.epoch + 1}")
        return loss

    def _step(self, crops: list[Crop], batch: Batch) -> torch.Tensor:
        loss = self._outputs.attempt(lambda: self._backward(crops, batch), self.optimizer.zero_grad)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # here, so that the next batch's features find the room
        return loss

    def _backward(self, crops: list[Crop], batch: Batch) -> torch.Tensor:
        loss = self._loss(crops, batch)
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean loss over the patients held back, without augmentation, one at a time."""
        self.network.eval()
        return float(np.mean([float(self._loss([crop], self.batches.plain([crop]))) for crop in self.validation]))

    def _loss(self, crops: list[Crop], batch: Batch) -> torch.Tensor:
        """Eq. 1 for a batch; the segmentation's term alone where the head has its own stage."""
        inputs, tumor, inside = batch
        outputs = (self._outputs.run if torch.is_grad_enabled() else self._eager_outputs)(inputs)
        if self.config.head is not None:
            return segmentation_loss(outputs[2], tumor, inside, self.config.loss.dice)
        labels = torch.tensor([crop.label for crop in crops], device=self.device)
        measured = torch.from_numpy(self._measurements(crops)).to(self.device)
        return total_loss(outputs, (labels, measured, tumor, inside), self.config.loss)

    def _eager_outputs(self, inputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """DM logits and measurements, None where the head has its own stage, and the segmentation's logits."""
        bfloat16, network, head = self.speed.bfloat16, self.network, (None, None)
        with autocast(self.device, bfloat16):
            features = network.encode(inputs)
        # before the decoder: the gradient of its many weights comes when the decoder's features are gone. In float32,
        # as in a prediction
        if self.config.head is None:
            head = network.head([level.float() for level in features])
        with autocast(self.device, bfloat16):
            segmentation = network.decode(features)
        return (*head, None if segmentation is None else segmentation.float())

    def _measurements(self, crops: list[Crop]) -> np.ndarray:
        measured = np.stack([crop.measurements for crop in crops])
        return ((measured - self.measured[0]) / self.measured[1]).astype(np.float32)

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
