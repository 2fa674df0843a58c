"""Training of one fold: epochs, atomic checkpoints, resume, predictions of the patients left out."""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.network import build_network, dm_log_odds
from CHMFLPredictorLib.presets import Preset

from .augmentation import Augmentation, augment
from .evaluation import dice
from .files import read_csv, write_bytes, write_csv
from .head_training import HeadConfig, choose_decay, feature_vectors, fit_head
from .losses import LossConfig, segmentation_loss, total_loss
from .samples import Crop, center_crop

PREDICTION_COLUMNS = ["patient_id", "fold", "label", "dm_log_odds", "dice", "box"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. The defaults are the paper's (section II.E), the epochs apart from which its loss was
    stable.

    :param decay: weight decay of all weights (decoupled; 0: the paper's plain Adam).
    :param head_decay: weight decay of the head's, which has 40 labels to learn from.
    :param cosine: the learning rate falls to zero along a cosine after a short rise.
    :param patch: voxels of the views that the segmentation is trained on; None for the whole box.
    :param head: the head is trained after the segmentation, on its features (not in the paper); None for both at once.
    """

    epochs: int = 200
    batch_size: int = 1
    learning_rate: float = 1e-4
    decay: float = 0.0
    head_decay: float = 0.0
    cosine: bool = False
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    patch: tuple[int, int, int] | None = None
    head: HeadConfig | None = None
    seed: int = 0

    def __post_init__(self):
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


_CPU = {"batch_size": 2, "learning_rate": 8e-3, "decay": 1e-2, "cosine": True}
TRAINING_PRESETS = {
    "paper": TrainingConfig(),
    "paper_suv": TrainingConfig(),
    # what a CPU can do in an hour: the segmentation on patches, then the head on its features
    "compact": TrainingConfig(28, **_CPU, loss=LossConfig(dice=True), patch=(48, 48, 64), head=HeadConfig()),
    "smoke": TrainingConfig(2, **_CPU, loss=LossConfig(dice=True, measurements=0.5)),
}


class FoldTraining:
    """One fold of a run. ``run`` trains what is left of it; everything it needs to go on after a kill lies in
    ``folder``.
    """

    def __init__(
        self,
        preset: Preset,
        config: TrainingConfig,
        crops: list[Crop],
        held_out: list[Crop],
        fold: int,
        folder: Path,
        device="cpu",
    ):
        self.preset, self.config, self.crops, self.held_out = preset, config, crops, held_out
        self.fold, self.folder, self.device = fold, Path(folder), torch.device(device)
        torch.manual_seed(config.seed * 1000 + fold)
        self.network = build_network(preset.network).to(self.device, memory_format=torch.channels_last_3d)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=config.learning_rate)
        # measurements are standardized by this fold's training patients only
        measured = np.stack([crop.measurements for crop in crops])
        self.measured = (measured.mean(0), np.maximum(measured.std(0), 1e-3))
        self.epoch, self.history = 0, []

    def run(self, on_epoch: Callable[[dict], None] | None = None) -> None:
        """Train to the last epoch, a checkpoint after each, then predict the held-out patients."""
        self.resume()
        while self.epoch < self.config.epochs:
            started = time.monotonic()
            loss = self._train_epoch()
            self.epoch += 1
            row = {
                "epoch": self.epoch,
                "loss": round(loss, 5),
                "learning_rate": self._learning_rate(self.epoch - 1, 0),
                "seconds": round(time.monotonic() - started, 2),
            }
            self.history.append(row)
            self._save()
            _LOG.info(
                "fold %d epoch %d/%d loss %.4f, %.1f s", self.fold, self.epoch, self.config.epochs, loss, row["seconds"]
            )
            if on_epoch:
                on_epoch(row)
        if self.config.head is not None:
            self._train_head()
        write_bytes(self.folder / "network.pt", _saved(self.network.state_dict()))
        self._predict()

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one. A damaged one is refused by name."""
        path = self.folder / "checkpoint_latest.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except Exception as error:
            hint = "Delete it to train this fold from its beginning."
            raise BadInput("checkpoint_damaged", f"The checkpoint {path} cannot be read: {error}.", hint) from error

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "history": self.history,
        }
        write_bytes(self.folder / "checkpoint_latest.pt", _saved(state))
        write_csv(self.folder / "history.csv", list(self.history[0]), [list(row.values()) for row in self.history])

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
        order = random.permutation(len(self.crops))
        self.network.train()
        losses = []
        for step in range(self._steps()):
            chosen = [self.crops[i] for i in order[step * self.config.batch_size : (step + 1) * self.config.batch_size]]
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(self.epoch, step)
            losses.append(self._step(chosen, random))
        return float(np.mean(losses))

    def _step(self, crops: list[Crop], random: np.random.Generator) -> float:
        config = self.config
        views = [augment(crop, self.preset.preprocessing, config.augmentation, random, config.patch) for crop in crops]
        inputs = self._tensor(np.stack([view[0] for view in views])).to(memory_format=torch.channels_last_3d)
        tumor = self._tensor(np.stack([view[1] for view in views]).astype(np.int64))
        inside = self._tensor(np.stack([view[2] for view in views]))
        features = self.network.encode(inputs)
        if config.head is not None:
            loss = segmentation_loss(self.network.decode(features), tumor, inside, config.loss.dice)
        else:
            labels = self._tensor(np.array([crop.label for crop in crops], dtype=np.int64))
            measured = self._tensor(self._measurements(crops))
            outputs = (*self.network.head(features), self.network.decode(features))
            loss = total_loss(outputs, (labels, measured, tumor, inside), config.loss)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} in fold {self.fold}, epoch {self.epoch + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return float(loss.detach())

    def _measurements(self, crops: list[Crop]) -> np.ndarray:
        measured = np.stack([crop.measurements for crop in crops])
        return ((measured - self.measured[0]) / self.measured[1]).astype(np.float32)

    def _train_head(self) -> None:
        """The head's own stage. It is short and follows from the seed alone, so a killed one begins again."""
        config, seed = self.config.head, [self.config.seed, self.fold, 7]
        settings, limits = self.preset.preprocessing, self.config.augmentation
        vectors = feature_vectors(self.network, self.crops, settings, limits, config.views, seed, self.device)
        labels = np.tile([crop.label for crop in self.crops], config.views)
        measured = np.tile(self._measurements(self.crops), (config.views, 1))
        decay = choose_decay(self.network.head, vectors, labels, measured, config, seed=self.fold)
        loss = fit_head(self.network.head, vectors, labels, measured, config, decay, seed=self.fold)
        _LOG.info("fold %d head: weight decay %g, loss %.4f", self.fold, decay, loss)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def _predict(self) -> None:
        rows = []
        self.network.eval()
        for crop in self.held_out:
            inputs, mask, inside = center_crop(crop, self.preset.preprocessing)
            with torch.inference_mode():
                dm_logits, segmentation = self.network(self._tensor(inputs[None]))
            overlap = (
                ""
                if segmentation is None
                else round(dice((segmentation[0, 1] > segmentation[0, 0]).cpu().numpy() & inside, mask), 4)
            )
            rows.append(
                [crop.patient_id, self.fold, crop.label, round(float(dm_log_odds(dm_logits)), 5), overlap, "mask"]
            )
        write_csv(self.folder / "predictions.csv", PREDICTION_COLUMNS, rows)


def _saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def fold_predictions(folder: Path) -> list[dict]:
    """The held-out predictions of a finished fold."""
    return read_csv(Path(folder) / "predictions.csv")
