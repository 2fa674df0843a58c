"""The plain CNNs of Table II: branches of Table SI in 2D or 3D, three fully connected layers, no decoder.

A network takes PET, CT or both as channels, (N, modalities, X, Y, Z) in 3D and (N, slices, modalities, X, Y) in 2D, and
gives logits of no event and event (N, 2), and None: it segments nothing.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from CHMFLPredictorLib.network.chmfl import NetworkConfig
from torch import nn

_LAYERS = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}


class PlainNetwork(nn.Module):
    """One branch a modality, joined at the last level.

    :param config: box, channels, pooling and widths of the fully connected layers of the preset's CHMFL.
    """

    def __init__(self, config: NetworkConfig, modalities: int, dimensions: int):
        super().__init__()
        self.dimensions, self.config = dimensions, config
        self.branches = nn.ModuleList([_branch(config.channels, dimensions) for _ in range(modalities)])
        positions = math.prod(side >> (len(config.channels) - 1) for side in config.input_size[:dimensions])
        values = pooled_values(config.pooling) if config.pool_deepest else positions
        self.head = fully_connected(modalities * config.channels[-1] * values, config)
        self.branches.apply(initialize)

    @property
    def output_layer(self) -> nn.Linear:
        """The last layer of the head."""
        return self.head[-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Logits (N, 2); in 2D the mean of the slices' logits."""
        if self.dimensions == 3:
            return self.head(self.vector(x)), None
        return self.head(self.vector(x.flatten(0, 1))).unflatten(0, x.shape[:2]).mean(dim=1), None

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """The head's input (N, values) for images (N, modalities, X, Y[, Z])."""
        deepest = [branch(image) for branch, image in zip(self.branches, x.split(1, dim=1), strict=True)]
        joined = torch.cat(deepest, dim=1)
        return pool(joined, self.config.pooling) if self.config.pool_deepest else joined.flatten(1)


def fully_connected(inputs: int, config: NetworkConfig) -> nn.Sequential:
    """Three layers with ReLU and dropout (section II.D), the last without; it starts at zero: no risk is given before
    anything is learned.
    """
    layers, below = [], inputs
    for width, share in zip(config.hidden, config.dropout, strict=True):
        layers += [nn.Linear(below, width), nn.ReLU(inplace=True), nn.Dropout(share)]
        below = width
    head = nn.Sequential(*layers, nn.Linear(below, 2))
    head.apply(initialize)
    nn.init.zeros_(head[-1].weight)
    return head


def pool(x: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector from feature maps (N, channels, ...): the maximum, and with "max_uptake" the log of the mean of the
    exponential beside it (as in :class:`CHMFLPredictorLib.network.chmfl.NetworkConfig`).
    """
    positions = tuple(range(2, x.ndim))
    maximum = x.amax(dim=positions)
    if pooling == "max":
        return maximum
    return torch.cat([maximum, x.logsumexp(dim=positions) - math.log(x[0, 0].numel())], dim=1)


def pooled_values(pooling: str) -> int:
    """Values that :func:`pool` gives for a channel."""
    return 1 if pooling == "max" else 2


def initialize(module: nn.Module) -> None:
    """He initialization (the paper's reference 40) of a layer that has weights."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _branch(channels: tuple[int, ...], dimensions: int) -> nn.Sequential:
    """Input transition and strided convolutions of Table SI."""
    convolution, norm = _LAYERS[dimensions]
    layers = [convolution(1, channels[0], 5, padding=2)]
    layers += [convolution(a, b, 2, stride=2) for a, b in pairwise(channels)]
    units = [nn.Sequential(layer, norm(layer.out_channels), nn.ELU(inplace=True)) for layer in layers]
    return nn.Sequential(*units)
