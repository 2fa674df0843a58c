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
_PAPER = NetworkConfig()
_COMPACT = NetworkConfig(
    input_size=(48, 48, 64),
    channels=(8, 16, 32, 64, 128),
    projection=True,
    decoder_kernel=3,
    hidden=(128, 32),
)

PRESETS = {
    # section II and Table SI literally; what they leave open as NetworkConfig and Preprocessing say
    "paper": Preset(_PAPER, Preprocessing()),
    # the same with kernel 3 in the decoder, a quarter of the work
    "paper_k3": Preset(replace(_PAPER, decoder_kernel=3), Preprocessing()),
    # what a CPU can train: 192 x 192 x 256 mm at PET's resolution, half of the paper's channels, absolute SUV and HU
    "compact": Preset(_COMPACT, Preprocessing(4.0, (48, 48, 64), **_ABSOLUTE)),
    # seconds, for trying things out and for tests
    "smoke": Preset(
        replace(_COMPACT, input_size=(32, 32, 32), channels=(4, 4, 8, 8, 16), hidden=(16, 8)),
        Preprocessing(6.0, (32, 32, 32), **_ABSOLUTE),
    ),
}
