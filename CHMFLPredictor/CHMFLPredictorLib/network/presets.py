"""The model configurations that have a name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .chmfl import NetworkConfig
from .preprocessing import ChannelSteps, Preprocessing


@dataclass(frozen=True)
class Preset:
    """A network and the preprocessing of its input."""

    network: NetworkConfig
    preprocessing: Preprocessing


# Absolute SUV and HU survive. log(1 + SUV) is near 0.7 in muscle and 2 to 3 in tumor; -160 to 240 HU is the
# soft-tissue window.
_ABSOLUTE = {
    "pet": ChannelSteps(clip=(0.0, 50.0), log=True, scale=(0.7, 0.7)),
    "ct": ChannelSteps(clip=(-160.0, 240.0), scale=(40.0, 80.0)),
}
_COMPACT = NetworkConfig(
    input_size=(64, 64, 80),
    channels=(8, 16, 32, 64, 128),
    projection=True,
    decoder_kernel=3,
    pooling="max_uptake",
    pool_deepest=True,
    hidden=(64, 16),
    dropout=(0.5, 0.0),
    measurements=2,
)

PRESETS = {
    # Table SI and design choices, the box in millimeters, normalized as in section II.A
    "paper": Preset(NetworkConfig(), Preprocessing()),
    # the same network, but absolute SUV and HU are kept
    "paper_suv": Preset(NetworkConfig(), Preprocessing(**_ABSOLUTE)),
    # what a CPU can train: PET's own resolution, a box that holds nearly every tumor, half of the paper's channels
    "compact": Preset(_COMPACT, Preprocessing(3.0, (64, 64, 80), **_ABSOLUTE)),
    # seconds, for trying things out and for tests
    "smoke": Preset(
        replace(_COMPACT, input_size=(32, 32, 32), channels=(4, 4, 8, 8, 16), hidden=(16, 8)),
        Preprocessing(6.0, (32, 32, 32), **_ABSOLUTE),
    ),
}
