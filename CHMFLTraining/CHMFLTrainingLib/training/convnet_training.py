"""The training loop of the CNN classifiers: Adam, Eq. 1, views made ahead of the device, resume from a checkpoint.

A network here gives logits of the event (N, 2) and the segmentation's logits or None. All randomness of an epoch
follows from the job's seed and the epoch, and that of a view from its patient too: a resumed training ends with the
numbers of an undisturbed one, however many threads make views.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes, write_csv
from torch import nn

from .losses import LossConfig, total_loss
from .recipes import Recipe
from .settings import Settings

CHECKPOINT = "checkpoint_latest.pt"
SECONDS_BETWEEN_CHECKPOINTS = 20.0  # a tiny network's epoch is shorter than writing it to disk
LARGEST_GRADIENT = 5.0
WARM_UP = 0.05  # share of the steps in which a cosine's learning rate rises
_LOG = logging.getLogger(__name__)

# What one patient gives: view(number, random generator) -> inputs, tumor, inside
View = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]]


class ConvNetTraining:
    """Training of one network on one fold's training patients.

    :param network: initialized. :param labels: (n,) 0 or 1.
    :param identity: what makes this training itself beside recipe, seed and labels, as JSON types (method, patients):
        a checkpoint of another one is refused.
    """

    def __init__(
        self, network: nn.Module, view: View, labels, recipe: Recipe, settings: Settings, folder: Path, identity
    ):
        self.view, self.labels, self.recipe, self.seed = view, np.asarray(labels, np.int64), recipe, settings.seed
        self.folder, self.device, self.threads = Path(folder), torch.device(settings.device), settings.threads
        self.network = laid_out(network, self.device)
        self.loss = LossConfig(w=recipe.w, dice=recipe.dice)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        values = [identity, asdict(recipe), self.seed, settings.preset, self.labels.tolist()]
        self.identity = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.epoch, self.history, self._saved_at = 0, [], time.monotonic()

    def run(self, on_progress: Callable[[dict], None] | None = None) -> nn.Module:
        """Train what is left; the network comes back ready for prediction. ``on_progress`` may raise to stop: the epoch
        is on disk by then.

        :raises BadInput: ``checkpoint_damaged`` or ``checkpoint_other``.
        """
        self._resume()
        with _repeatable(), ThreadPoolExecutor(max(1, self.threads)) as makers:
            while self.epoch < self.recipe.epochs:
                row = self._run_epoch(makers)
                done = self.epoch == self.recipe.epochs
                if done or time.monotonic() - self._saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                    self._save(done)
                if on_progress:
                    self._report(on_progress, row)
        return self.network.eval()

    def _report(self, on_progress: Callable[[dict], None], row: dict) -> None:
        try:
            on_progress({**row, "epochs": self.recipe.epochs})
        except BaseException:
            self._save(self.epoch == self.recipe.epochs)
            raise

    def _run_epoch(self, makers: ThreadPoolExecutor) -> dict:
        started = time.monotonic()
        loss, waited = self._train_epoch(makers)
        self.epoch += 1
        seconds = time.monotonic() - started
        rate = round(self._learning_rate(self.epoch - 1, 0), 10)
        row = {"epoch": self.epoch, "loss": round(loss, 5), "learning_rate": rate, "seconds": round(seconds, 2)}
        self.history.append(row)
        share = 100 * waited / max(seconds, 1e-9)
        text = "epoch %d/%d loss %.4f, %.1f s, %.0f %% of it waiting for data"
        _LOG.info(text, self.epoch, self.recipe.epochs, loss, seconds, share)
        return row

    def _train_epoch(self, makers: ThreadPoolExecutor) -> tuple[float, float]:
        """Mean loss, and seconds that the device waited for views."""
        torch.manual_seed(_torch_seed(self.seed, self.epoch, 1))
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.labels))
        batches = np.array_split(order, max(1, round(len(order) / self.recipe.batch_size)))
        self.network.train()
        losses, waited, coming = [], 0.0, self._begin(makers, batches[0])
        for step, chosen in enumerate(batches):
            started = time.monotonic()
            views = [view.result() for view in coming]
            waited += time.monotonic() - started
            coming = self._begin(makers, batches[step + 1]) if step + 1 < len(batches) else []
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(self.epoch, step / len(batches))
            losses.append(self._step(chosen, views))
        return float(np.mean(losses)), waited

    def _begin(self, makers: ThreadPoolExecutor, chosen: np.ndarray) -> list:
        """Views of a batch in the making. Each has its own generator, so their order does not matter."""
        numbers = [int(number) for number in chosen]
        return [makers.submit(self.view, n, np.random.default_rng([self.seed, self.epoch, n, 2])) for n in numbers]

    def _step(self, chosen: np.ndarray, views: list[tuple]) -> float:
        inputs, tumor, inside = (np.stack(arrays) for arrays in zip(*views, strict=True))
        labels = self._tensor(self.labels[chosen])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, segmentation = self.network(self._tensor(inputs))
        targets = (labels, None, None, None)
        if segmentation is not None:
            targets = (labels, None, self._tensor(tumor.astype(np.int64)), self._tensor(inside))
            segmentation = segmentation.float()
        loss = total_loss((logits.float(), None, segmentation), targets, self.loss)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} in epoch {self.epoch + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        return float(loss.detach())

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def _learning_rate(self, epoch: int, share: float) -> float:
        """At a share (0 to 1) of an epoch."""
        if not self.recipe.cosine:
            return self.recipe.learning_rate
        position = (epoch + share) / self.recipe.epochs
        rise, fall = min(1.0, position / WARM_UP + 0.02), 0.5 * (1 + math.cos(math.pi * position))
        return self.recipe.learning_rate * rise * fall

    def _save(self, done: bool) -> None:
        """The checkpoint; of a finished training without the optimizer, which is two thirds of it."""
        state = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": None if done else self.optimizer.state_dict(),
            "epoch": self.epoch,
            "history": self.history,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.folder / CHECKPOINT, buffer.getvalue())
        write_csv(self.folder / "history.csv", list(self.history[0]), [list(row.values()) for row in self.history])
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        path, hint = self.folder / CHECKPOINT, "Delete it to train this fold from its beginning."
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["identity"] != self.identity:
                text = f"The checkpoint {path} belongs to a training with other patients, settings or seed."
                raise BadInput("checkpoint_other", text, hint)
            self.network.load_state_dict(state["network"])
            if state["optimizer"] is not None:
                self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except BadInput:
            raise
        except Exception as error:
            raise BadInput("checkpoint_damaged", f"The checkpoint {path} cannot be read: {error}.", hint) from error


def outputs(network: nn.Module, view: np.ndarray) -> tuple[float, np.ndarray | None]:
    """Risk of the event for one patient's inputs, and the tumor in them, bool (slices, X, Y); None where the network
    does not segment.
    """
    logits, segmentation = _forward(network, view)
    tumor = None if segmentation is None else (segmentation[0, 1] > segmentation[0, 0]).cpu().numpy()
    return float(torch.softmax(logits.double(), dim=1)[0, 1]), tumor


def last_features(network: nn.Module, view: np.ndarray) -> np.ndarray:
    """What the output layer reads of one patient's inputs (values,); in 2D the mean of the slices', which is all that
    their mean log-odds depend on.
    """
    seen: list[torch.Tensor] = []
    hook = network.output_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        _forward(network, view)
    finally:
        hook.remove()
    return seen[0].float().mean(dim=0).cpu().numpy()


def _forward(network: nn.Module, view: np.ndarray):
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(view[None])).to(device))


def laid_out(network: nn.Module, device) -> nn.Module:
    """The network on its device; on a GPU with its channels last in memory, as convolutions there like it best.

    Not on a CPU: torch 2.13's strided 1x1 convolution of fewer than 8 channels writes past its memory in that layout.
    """
    if torch.device(device).type != "cuda":
        return network.to(device)
    layout = torch.channels_last_3d if network.dimensions == 3 else torch.channels_last
    return network.to(device, memory_format=layout)


@contextmanager
def seeded(seed: int):
    """What torch draws in here follows from the job's seed."""
    torch.manual_seed(_torch_seed(seed, 0, 0))
    yield


@contextmanager
def _repeatable():
    """Repeatable kernels of cuDNN: the same input gives the same numbers on the same GPU."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def _torch_seed(seed: int, epoch: int, stream: int) -> int:
    return int(np.random.default_rng([seed, epoch, stream]).integers(2**31))
