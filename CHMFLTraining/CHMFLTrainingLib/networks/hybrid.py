"""The networks of CNLPC, MOR + 3D CNNs and 3DMCL. Volumes are (N, channels, X, Y, Z), slices (N, channels, X, Y); all
give logits of no event and event (N, 2).
"""

from __future__ import annotations

import torch
from CHMFLPredictorLib.network.chmfl import Encoder, NetworkConfig
from torch import nn
from torch.nn import functional


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
    """The 3D CNN of MOR + 3D CNNs: twelve convolutions (3x3x3, batch normalization, ReLU) with two poolings between
    them, then two fully connected layers. PET and CT are the channels of one input.

    :param widths: channels before the first, the second and after the second pooling.
    :param reduce: the box is averaged over cubes of so many voxels a side before the first convolution.
    """

    def __init__(self, widths: tuple[int, int, int], reduce: int, hidden: int, channels: int = 2):
        super().__init__()
        self.reduce, layers, below = reduce, [], channels
        for number, width in enumerate(widths):
            layers += [nn.MaxPool3d(2)] if number else []
            for _ in range(4):
                layers += [nn.Conv3d(below, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
                below = width
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(2 * below, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(hidden, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the largest and the mean value of every feature map."""
        if self.reduce > 1:
            x = functional.avg_pool3d(x, self.reduce)
        return self.classifier(_pooled(self.blocks(x)))


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
