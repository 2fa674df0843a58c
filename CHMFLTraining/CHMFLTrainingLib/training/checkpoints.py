"""Checkpoints of a training, and when it is time for the next one."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_with

LATEST, BEST = "checkpoint_latest.pt", "checkpoint_best.pt"
WORK_A_SAVE = 10.0  # a training works so many times as long as the last checkpoint took before it writes the next


def save(path: Path, state) -> None:
    """Write tensors to a file, whole or not at all, without a copy of them in memory (3.4 GB with ``paper``).

    :raises OSError: the disk is full, say.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_with(path, lambda stream: torch.save(state, stream))


def load(path: Path, device: torch.device) -> dict:
    """What :func:`save` wrote.

    :raises BadInput: checkpoint_damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> BadInput:
    """The refusal of a file that does not hold what it should."""
    hint = "Delete the checkpoints of this fold to train it from its beginning."
    return BadInput("checkpoint_damaged", f"The checkpoint {path} cannot be read: {error}.", hint)


class Pace:
    """Whether a checkpoint is due. On a GPU writing one takes longer than an epoch: it would be most of the time."""

    def __init__(self):
        self._ended, self._took = -float("inf"), 0.0

    def due(self) -> bool:
        """Whether enough was done since the last one."""
        return time.monotonic() - self._ended >= WORK_A_SAVE * self._took

    def save(self, path: Path, state) -> None:
        """:func:`save`, timed."""
        started = time.monotonic()
        save(path, state)
        self._ended = time.monotonic()
        self._took = self._ended - started
