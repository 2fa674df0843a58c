"""The networks of CNLPC, MOR + 3D CNNs and 3DMCL. Volumes are (N, channels, X, Y, Z), slices (N, channels, X, Y); all
give logits of no event and event (N, 2).
"""

from __future__ import annotations

import numpy as np
import torch
from CHMFLPredictorLib.network.chmfl import Encoder, NetworkConfig
from torch import nn

HIDDEN = 256  # of MOR's first fully connected layer


class SliceNetwork(nn.Module):
    """CNLPC: three blocks of convolution, non-linearity (PReLU) and pooling, then fully connected layers.

    :param side: voxels of the slice along its shorter side: pooling goes by 4 while that is possible.
    :param widths: channels of the three blocks. :param hidden: widths of the two hidden fully connected layers.
    """

    def __init__(self, side: int, channels: int, widths: tuple[int, int, int], hidden: tuple[int, int]):
        super().__init__()
        layers, below = [], channels
        for width, kernel in zip(widths, (5, 3, 3), strict=True):
            pooling = max(1, min(4, side))
            layers += [nn.Conv2d(below, width, kernel, padding=kernel // 2), nn.PReLU(width), nn.MaxPool2d(pooling)]
            below, side = width, side // pooling
        self.blocks = nn.Sequential(*layers)
        self.classifier = _classifier(below, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is left of the slice after the third pooling is one vector a channel."""
        return self.classifier(self.blocks(x).amax(dim=(2, 3)))


class VolumeNetwork(nn.Module):
    """The 3D CNN of MOR + 3D CNNs: five, three and four convolutions with a pooling between, each followed by batch
    normalization, ReLU and dropout; what is left of the box is flattened before two fully connected layers. PET and CT
    are the channels of one input.

    The convolutions of the first two groups but the last take no padding, so that the box shrinks.

    :param size: voxels of the box (X, Y, Z). :param width: channels of all but the last convolution, which has half.
    """

    def __init__(self, size: tuple[int, int, int], width: int = 64, channels: int = 2):
        super().__init__()
        kernels = [5, 3, 3, 3, 3, "pool", 3, 2, (3, 3, 3), "pool", (3, 3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)]
        layers, below, sides = [], channels, np.array(size)
        for number, kernel in enumerate(kernels):
            if kernel == "pool":  # the first by 2, the second over 3 in steps of 2
                window = 2 if number == 5 else 3
                layers.append(nn.MaxPool3d(window, stride=2))
                sides = (sides - window) // 2 + 1
                continue
            padded, last = isinstance(kernel, tuple), number == len(kernels) - 1
            above = width // 2 if last else width
            layers += _convolution(below, above, kernel, padded)
            below, sides = above, sides - (0 if padded else kernel - 1)
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(below * int(sides.prod()), HIDDEN), nn.Linear(HIDDEN, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2) of a volume (N, channels, X, Y, Z)."""
        return self.classifier(self.blocks(x).flatten(1))


def _convolution(below: int, above: int, kernel: int | tuple[int, ...], padded: bool) -> list[nn.Module]:
    layer = nn.Conv3d(below, above, kernel, padding="same" if padded else 0)
    return [layer, nn.BatchNorm3d(above), nn.ReLU(inplace=True), nn.Dropout(0.05)]


class CollaborativeNetwork(nn.Module):
    """3DMCL: a PET and a CT branch (those of CHMFL, unconstrained, last level only), whose features meet the
    hand-crafted ones in the fully connected layers; everything is trained together.

    :param features: number of hand-crafted features (standardized).
    :param hidden: widths of the deep vector, the hand-crafted vector and the layer that both enter.
    """

    def __init__(self, config: NetworkConfig, features: int, hidden: tuple[int, int, int]):
        super().__init__()
        self.pet, self.ct = Encoder(config), Encoder(config)
        self.deep = _unit(4 * config.channels[-1], hidden[0])
        self.crafted = _unit(features, hidden[1])
        self.classifier = nn.Sequential(_unit(hidden[0] + hidden[1], hidden[2]), nn.Linear(hidden[2], 2))

    def forward(self, x: torch.Tensor, crafted: torch.Tensor) -> torch.Tensor:
        """:param x: PET and CT (N, 2, X, Y, Z), zero outside the tumor. :param crafted: (N, features)."""
        return self.classifier(self.joined(x, crafted))

    def joined(self, x: torch.Tensor, crafted: torch.Tensor) -> torch.Tensor:
        """The joined feature vector (N, hidden[0] + hidden[1]) before the classifier."""
        pet, ct = x.chunk(2, dim=1)
        deep = torch.cat([_pooled(self.pet(pet)[-1]), _pooled(self.ct(ct)[-1])], dim=1)
        return torch.cat([self.deep(deep), self.crafted(crafted)], dim=1)


def _pooled(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x.amax(dim=(2, 3, 4)), x.mean(dim=(2, 3, 4))], dim=1)


def _unit(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(0.5))


def _classifier(inputs: int, hidden: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(_unit(inputs, hidden[0]), _unit(hidden[0], hidden[1]), nn.Linear(hidden[1], 2))
