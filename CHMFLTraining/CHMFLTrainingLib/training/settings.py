"""How a method runs in one job, and the options that a user gave it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from CHMFLPredictorLib.errors import BadInput

PRESETS = ("paper", "compact", "smoke")


@dataclass(frozen=True)
class Settings:
    """How a method runs in one job.

    :param preset: "paper" | "compact" | "smoke": how much the machine can afford.
    :param seed: of repeat and fold; differs by job. All randomness of a method follows from it.
    :param device: "cpu", "cuda" or "cuda:n".
    :param threads: CPU threads that this job may use.
    :param options: per method, e.g. ``{"w": 0.5, "weights": "/path/resnet18.pth"}``; JSON values.
    """

    preset: str = "compact"
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.preset not in PRESETS:
            hint = f"Choose one of {', '.join(PRESETS)}."
            raise BadInput("preset_unknown", f"There is no preset '{self.preset}'.", hint)

    def random(self, *stream: int) -> np.random.Generator:
        """A generator that follows from the seed; another ``stream`` gives independent numbers."""
        return np.random.default_rng([self.seed, *stream])
