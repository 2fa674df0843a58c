"""The one way in which a network is trained here: epochs, atomic checkpoints, resume, a history that can be watched.

What differs between the families of networks is what a batch is and what its loss is; a subclass says that. All
randomness of an epoch follows from seed and epoch, so a resumed training ends with the numbers of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_csv
from torch import nn

from . import checkpoints
from .recipes import Recipe
from .speed import repeatable

LARGEST_GRADIENT = 5.0
WARM_UP = 0.05  # share of the steps in which a cosine's learning rate rises
_LOG = logging.getLogger(__name__)


class Trainer:
    """Training of one network on one fold's training patients. :meth:`run` trains what is left of it; what it needs to
    go on after a kill lies in ``folder``.

    :param network: initialized, on its device. :param optimizer: of its parameters.
    :param identity: what makes this training itself (method, settings, patients, seed), as JSON types: a checkpoint of
        another one is refused.
    """

    def __init__(self, network: nn.Module, optimizer, recipe: Recipe, folder: Path, identity):
        self.network, self.optimizer, self.recipe, self.folder = network, optimizer, recipe, Path(folder)
        self.device = next(network.parameters()).device
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.epoch, self.history = 0, []
        self.waited = 0.0  # seconds of the last epoch in which there was no data
        self._pace = checkpoints.Pace()

    # What a family of networks says ---------------------------------------------------------------------------------

    def batches(self) -> AbstractContextManager[tuple[int, Iterator]]:
        """How many batches this epoch has, and they, one after the other."""
        raise NotImplementedError

    def loss(self, batch) -> torch.Tensor:
        """Of one batch, with its gradient."""
        raise NotImplementedError

    def torch_seed(self) -> int:
        """What torch draws from in this epoch (dropout)."""
        raise NotImplementedError

    def validation_loss(self) -> float | None:
        """After an epoch, on patients held back; None where none are."""
        return None

    # The loop -------------------------------------------------------------------------------------------------------

    def run(self, on_epoch: Callable[[dict], None] | None = None) -> nn.Module:
        """Train what is left; the network comes back ready for prediction. ``on_epoch`` gets each row of the history,
        with the number of ``epochs``, and may raise to stop: the epoch is on disk by then.

        :raises BadInput: ``checkpoint_damaged`` or ``checkpoint_other``.
        """
        self.resume()
        while not self._ended():
            row = self._run_epoch()
            self._save(self._pace.due() or self._ended())
            if on_epoch:
                self._report(on_epoch, {**row, "epochs": self.recipe.epochs})
        if self.history and "validation_loss" in self.history[-1]:
            self._load(checkpoints.BEST)
        return self.network.eval()

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one. One that is damaged or another training's is refused."""
        if (self.folder / checkpoints.LATEST).exists():
            self._load(checkpoints.LATEST)

    def _run_epoch(self) -> dict:
        started = time.monotonic()
        with repeatable():
            loss = self._train_epoch()
        self.epoch += 1
        row = {
            "epoch": self.epoch,
            "loss": round(loss, 5),
            "learning_rate": round(self._learning_rate(self.epoch - 1, 0, 1), 10),
            "seconds": round(time.monotonic() - started, 2),
        }
        held_back = self.validation_loss()
        if held_back is not None:
            row["validation_loss"] = round(held_back, 5)
        self.history.append(row)
        share = 100 * self.waited / max(row["seconds"], 0.01)
        text = "epoch %d/%d loss %.4f, %.1f s, %.0f %% of it waiting for data"
        _LOG.info(text, self.epoch, self.recipe.epochs, loss, row["seconds"], share)
        return row

    def _train_epoch(self) -> float:
        torch.manual_seed(self.torch_seed())
        self.network.train()
        losses, self.waited = [], 0.0
        with self.batches() as (steps, coming):
            for step in range(steps):
                started = time.monotonic()
                batch = next(coming)
                self.waited += time.monotonic() - started
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate(self.epoch, step, steps)
                losses.append(self._step(batch))
        # asked for once an epoch: a GPU would have to be waited for at each step
        loss = float(np.mean([float(loss) for loss in losses]))
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} in epoch {self.epoch + 1}")
        return loss

    def _step(self, batch) -> torch.Tensor:
        loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # here, so that the next batch's features find the room
        return loss.detach()

    def _learning_rate(self, epoch: int, step: int, steps: int) -> float:
        """At a step of an epoch."""
        if not self.recipe.cosine:
            return self.recipe.learning_rate
        position = (epoch * steps + step) / (self.recipe.epochs * steps)
        rise, fall = min(1.0, position / WARM_UP + 0.02), 0.5 * (1 + math.cos(math.pi * position))
        return self.recipe.learning_rate * rise * fall

    def _ended(self) -> bool:
        stalled = self.history and self.recipe.patience and self.epoch - self._best_epoch() >= self.recipe.patience
        return self.epoch >= self.recipe.epochs or bool(stalled)

    def _best_epoch(self) -> int:
        """The first epoch with the least loss."""
        losses = [row.get("validation_loss", row["loss"]) for row in self.history]
        return int(np.argmin(losses)) + 1

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def _save(self, due: bool) -> None:
        """The history, and what is needed to go on: always where this epoch is the best, else when it is ``due``."""
        # the best one first: a kill between the two repeats this epoch and writes it again
        if "validation_loss" in self.history[-1] and self._best_epoch() == self.epoch:
            checkpoints.save(self.folder / checkpoints.BEST, {"network": self.network.state_dict()})
        if due:
            self._save_latest()
        write_csv(self.folder / "history.csv", list(self.history[0]), [list(row.values()) for row in self.history])

    def _save_latest(self) -> None:
        """All that is needed to go on; of a finished training without the optimizer, which is two thirds of it."""
        state = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": None if self._ended() else self.optimizer.state_dict(),
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

    def _load(self, name: str) -> None:
        path = self.folder / name
        state = checkpoints.load(path, self.device)
        if name == checkpoints.LATEST and state.get("identity") != self.identity:
            text = f"The checkpoint {path} belongs to a training with other patients, settings or seed."
            raise BadInput("checkpoint_other", text, "Delete it to train this fold from its beginning.")
        try:
            self.network.load_state_dict(state["network"])
            if state.get("optimizer") is not None:
                own = [group.get("fused") for group in self.optimizer.param_groups]
                self.optimizer.load_state_dict(state["optimizer"])
                for group, fused in zip(self.optimizer.param_groups, own, strict=True):
                    group["fused"] = fused  # this computer's way, not the file's
            if name == checkpoints.LATEST:
                self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except Exception as error:
            raise checkpoints.damaged(path, error) from error


def torch_seed(*stream: int) -> int:
    """What torch is seeded with for a stream of random numbers, such as (seed, epoch, 1)."""
    return int(np.random.default_rng(stream).integers(2**31))


def even_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """All of an order, once, in batches of about ``size`` and nearly equal."""
    return np.array_split(order, max(1, round(len(order) / size)))
