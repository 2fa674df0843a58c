"""How a method runs in one job, and the options that a user gave it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from CHMFLPredictorLib.errors import BadInput

PRESETS = ("paper", "paper_k3", "compact", "smoke")
PRECISIONS = ("auto", "float32", "bfloat16")
MOVED = {"paper_suv": " It left with version 0.2: 'compact' keeps absolute SUV and HU."}


@dataclass(frozen=True)
class Settings:
    """How a method runs in one job.

    :param preset: one of :data:`PRESETS`: how much the machine can afford.
    :param seed: of repeat and fold; differs by job. All randomness of a method follows from it.
    :param device: "cpu", "cuda" or "cuda:n".
    :param threads: CPU threads that this job may use.
    :param precision: of the convolutions in training: "float32", "bfloat16", or "auto": bfloat16 on a GPU that has it,
        float32 on a CPU, so that the same command trains the same network on every processor but for rounding.
    :param options: per method, e.g. ``{"w": 0.5, "weights": "/path/resnet18.pth"}``; JSON values.
    """

    preset: str = "compact"
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    precision: str = "auto"
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.preset not in PRESETS:
            hint = f"Choose one of {', '.join(PRESETS)}."
            raise BadInput("preset_unknown", f"There is no preset '{self.preset}'.{MOVED.get(self.preset, '')}", hint)
        if self.precision not in PRECISIONS:
            hint = f"Choose one of {', '.join(PRECISIONS)}."
            raise BadInput("precision_unknown", f"There is no precision '{self.precision}'.", hint)

    def random(self, *stream: int) -> np.random.Generator:
        """A generator that follows from the seed; another ``stream`` gives independent numbers."""
        return np.random.default_rng([self.seed, *stream])
