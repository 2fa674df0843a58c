"""The network of the paper: two encoders (HMFL), a decoder that holds them to the tumor (CFL), and a head that
predicts DM.

Tensors are (N, channels, X, Y, Z). What the paper leaves open is a field of :class:`NetworkConfig`; the README
beside the library lists the defaults.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that shapes the network. The defaults are the ``paper`` preset: Table SI, and design choices where it
    is silent.

    :param input_size: voxels of the box (X, Y, Z); each side a multiple of 16.
    :param branch_inputs: channels into each branch: 1, or 2 for Mask + HMFL (image and tumor label).
    :param hierarchical: the head reads all five levels (HMFL); False reads level 5 only (the ablation CFL).
    :param constrained: there is a decoder (CFL); False leaves it out (the ablation Mask + HMFL).
    :param projection: after concatenation a 1x1x1 convolution brings the channels back to the up-convolution's.
    :param decoder_kernel: side of the decoder's and the output's convolutions.
    :param decoder_convolutions: residual convolutions a level, deepest first.
    :param residual_activated: every residual convolution is followed by batch norm and ELU, the last one too, as the
        paper names the non-linearity before the sum. False leaves it out before the sum (bundles of 2026).
    :param group_channels: channels a group of group normalization (Table SIII: 4, 8, 16); None for batch normalization.
    :param pooling: "max" (paper) or "max_uptake": beside the maximum the log of the mean of the exponential. Of a
        channel that
        follows log SUV, the first is the log of SUVmax and the second, up to a constant, the log of total uptake.
    :param pool_deepest: level 5 is pooled like the others; False flattens it (Eq. 4).
    :param fusion: Eq. 4 read as "joined" (the text: one first fully connected layer over the pooled levels and level 5)
        or "apart" (the formula: F of the pooled levels beside F of level 5, each with half of the first width).
    :param hidden: widths of the first two fully connected layers; the third has 2 outputs.
    :param dropout: dropout after each of them, in training.
    :param measurements: how many tumor measurements the second layer must predict as well in training (0: none, the
        paper).
    """

    input_size: tuple[int, int, int] = (112, 112, 144)
    branch_inputs: int = 1
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    hierarchical: bool = True
    constrained: bool = True
    projection: bool = False
    decoder_kernel: int = 5
    decoder_convolutions: tuple[int, ...] = (2, 2, 1, 1)
    residual_activated: bool = True
    group_channels: int | None = None
    pooling: str = "max"
    pool_deepest: bool = False
    fusion: str = "joined"
    hidden: tuple[int, int] = (1024, 256)
    dropout: tuple[float, float] = (0.5, 0.5)
    measurements: int = 0

    def __post_init__(self):
        factor = 2 ** (len(self.channels) - 1)
        if any(side % factor for side in self.input_size):
            raise ValueError(f"each side of the box must be a multiple of {factor} voxels, not {self.input_size}")
        if self.pooling not in ("max", "max_uptake"):
            raise ValueError(f"pooling must be 'max' or 'max_uptake', not {self.pooling!r}")
        if self.fusion not in ("joined", "apart"):
            raise ValueError(f"fusion must be 'joined' or 'apart', not {self.fusion!r}")
        if self.fusion == "apart" and not self.hierarchical:
            raise ValueError("without the pooled levels there is nothing to keep apart")

    def to_dict(self) -> dict:
        """As JSON types, for the model's card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> NetworkConfig:
        """The inverse of :meth:`to_dict`; unknown keys raise TypeError. A card that does not name the residual branch's
        last ELU was written before there was one.
        """
        values = {"residual_activated": False, **values}
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def build_network(config: NetworkConfig) -> CHMFL:
    """A network with He initialization (the paper's reference 40), in training mode. The last layer of the head starts
    at zero: no risk
    is given before anything is learned.
    """
    network = CHMFL(config)
    network.apply(_initialize)
    for layer in (network.head.third, network.head.measure):
        if layer is not None:
            nn.init.zeros_(layer.weight)
    return network


def dm_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Log-odds of DM from the head's two outputs (N, 2); class 1 is DM."""
    return logits[:, 1] - logits[:, 0]


class CHMFL(nn.Module):
    """Constrained hierarchical multi-modality feature learning. Input (N, 2 * branch_inputs, X, Y, Z): the PET
    branch's channels, then CT's.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.pet = Encoder(config)
        self.ct = Encoder(config)
        self.head = Head(config)
        self.decoder = Decoder(config) if config.constrained else None

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of the five levels, PET and CT concatenated: (N, 2 * channels, X / 2^l, ...)."""
        pet, ct = x.chunk(2, dim=1)
        return [torch.cat(pair, dim=1) for pair in zip(self.pet(pet), self.ct(ct), strict=True)]

    def classify(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits of no DM and DM (N, 2). Reads encoder features only, so the risk is out before the decoder runs."""
        return self.head(features)[0]

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor | None:
        """Logits of background and tumor (N, 2, X, Y, Z); None without a decoder. Table SI's softmax is left to the
        loss and to prediction.
        """
        return None if self.decoder is None else self.decoder(features)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both outputs: DM logits and segmentation logits."""
        features = self.encode(x)
        return self.classify(features), self.decode(features)


class Encoder(nn.Module):
    """One branch of the HMFL module: input transition and four strided convolutions (Table SI)."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        widths = config.channels
        levels = [_unit(nn.Conv3d(config.branch_inputs, widths[0], 5, padding=2), config)]
        levels += [_unit(nn.Conv3d(a, b, 2, stride=2), config) for a, b in pairwise(widths)]
        self.levels = nn.ModuleList(levels)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of all levels, finest first."""
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The CFL module: four up-convolutions, each followed by horizontal concatenation and residual learning, and the
    output transition.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        blocks, below = [], 2 * config.channels[-1]
        for width, convolutions in zip(config.channels[-2::-1], config.decoder_convolutions, strict=True):
            block = UpBlock(below, width, convolutions, config)
            blocks.append(block)
            below = block.out_channels
        self.blocks = nn.ModuleList(blocks)
        kernel = config.decoder_kernel
        self.output = nn.Sequential(_unit(nn.Conv3d(below, 2, kernel, padding=kernel // 2), config), nn.Conv3d(2, 2, 1))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Segmentation logits (N, 2, X, Y, Z)."""
        x = features[-1]
        for block, horizontal in zip(self.blocks, features[-2::-1], strict=True):
            x = block(x, horizontal)
        return self.output(x)


class UpBlock(nn.Module):
    """One level of the CFL module: up-convolution, concatenation with the level's PET and CT features, residual
    convolutions, sum, ELU.
    """

    def __init__(self, below: int, width: int, convolutions: int, config: NetworkConfig):
        super().__init__()
        self.up = _unit(nn.ConvTranspose3d(below, width, 2, stride=2), config)
        joined = 3 * width
        self.out_channels = width if config.projection else joined
        self.project = _unit(nn.Conv3d(joined, width, 1), config) if config.projection else nn.Identity()
        kernel, layers = config.decoder_kernel, []
        for number in range(convolutions):
            convolution = nn.Conv3d(self.out_channels, self.out_channels, kernel, padding=kernel // 2)
            last = number == convolutions - 1
            layers.append(_unit(convolution, config, activated=config.residual_activated or not last))
        self.residual = nn.Sequential(*layers)
        self.activation = nn.ELU(inplace=True)

    def forward(self, x: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
        """From the level below (N, below, ...) to this level (N, out_channels, twice the size)."""
        x = self._join(self.up(x), horizontal)
        return self.activation(self.residual(x) + x)

    def _join(self, up: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
        """Concatenation and projection. A 1x1x1 convolution of parts is the sum of their convolutions: nothing is
        copied.
        """
        if isinstance(self.project, nn.Identity):
            return torch.cat([up, horizontal], dim=1)
        convolution, rest = self.project[0], self.project[1:]
        weights = convolution.weight.split([up.shape[1], horizontal.shape[1]], dim=1)
        return rest(functional.conv3d(up, weights[0], convolution.bias) + functional.conv3d(horizontal, weights[1]))


class Head(nn.Module):
    """From the features of all levels to the risk (Eq. 4): pooling, concatenation, three fully connected layers."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.hierarchical, self.pooling, self.pool_deepest = config.hierarchical, config.pooling, config.pool_deepest
        pooled, deepest = _head_inputs(config)
        apart = config.fusion == "apart"
        self.first = (
            Apart(pooled, deepest, config.hidden[0]) if apart else nn.Linear(pooled + deepest, config.hidden[0])
        )
        self.second = nn.Linear(config.hidden[0], config.hidden[1])
        self.third = nn.Linear(config.hidden[1], 2)
        self.measure = nn.Linear(config.hidden[1], config.measurements) if config.measurements else None
        self.dropout = nn.ModuleList([nn.Dropout(share) for share in config.dropout])

    def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """DM logits (N, 2) and, where the network has them, the tumor measurements (N, measurements)."""
        return self.layers(self.vector(features))

    def layers(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The fully connected layers alone."""
        x = self.dropout[0](torch.relu(self.first(vector)))
        x = self.dropout[1](torch.relu(self.second(x)))
        return self.third(x), None if self.measure is None else self.measure(x)

    def vector(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The fused feature vector of Eq. 4 (N, inputs of the first layer)."""
        deepest = _pool(features[-1], self.pooling) if self.pool_deepest else features[-1].flatten(1)
        shallow = [_pool(level, self.pooling) for level in features[:-1]] if self.hierarchical else []
        return torch.cat([*shallow, deepest], dim=1)


class Apart(nn.Module):
    """The first fully connected layer of Eq. 4 as the formula has it: F of the pooled levels beside F of level 5.

    :param pooled: inputs from levels 1 to 4. :param deepest: from level 5. :param width: outputs, half for each.
    """

    def __init__(self, pooled: int, deepest: int, width: int):
        super().__init__()
        self.in_features, self.out_features = pooled + deepest, width
        self.pooled, self.deepest = nn.Linear(pooled, width // 2), nn.Linear(deepest, width - width // 2)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        """From the fused vector (N, in_features) to (N, out_features)."""
        pooled, deepest = vector.split([self.pooled.in_features, self.deepest.in_features], dim=1)
        return torch.cat([self.pooled(pooled), self.deepest(deepest)], dim=1)


def _pool(x: torch.Tensor, pooling: str) -> torch.Tensor:
    # with an index: amax's gradient would read and write the whole level several times to look for ties
    maximum = x.movedim(1, -1).flatten(1, 3).max(dim=1).values
    if pooling == "max":
        return maximum
    voxels = x.shape[2] * x.shape[3] * x.shape[4]
    return torch.cat([maximum, x.logsumexp(dim=(2, 3, 4)) - math.log(voxels)], dim=1)


def _head_inputs(config: NetworkConfig) -> tuple[int, int]:
    """How many numbers the head reads of levels 1 to 4, and of level 5."""
    pools = 1 if config.pooling == "max" else 2
    pooled = pools * 2 * sum(config.channels[:-1]) if config.hierarchical else 0
    factor = 2 ** (len(config.channels) - 1)
    voxels = math.prod(side // factor for side in config.input_size)
    return pooled, 2 * config.channels[-1] * (pools if config.pool_deepest else voxels)


def _unit(convolution: nn.Module, config: NetworkConfig, activated: bool = True) -> nn.Sequential:
    """Convolution, normalization and, unless a sum follows, ELU."""
    channels = convolution.out_channels
    if config.group_channels is None:
        norm = nn.BatchNorm3d(channels)
    else:
        norm = nn.GroupNorm(max(1, channels // config.group_channels), channels)
    layers = [convolution, norm, nn.ELU(inplace=True)]
    return nn.Sequential(*layers[: 3 if activated else 2])


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
