"""The 2D networks of Table SII: a ResNet a modality as a classifier, and CHMFL with ResNet branches.

They take slices (N, slices, 2, X, Y), PET before CT, and give logits of no event and event (N, 2), the mean of the
slices', and the segmentation's logits (N, 2, slices, X, Y) or None. The ResNets are MONAI's; their weights have the
names that torchvision's files use.
"""

from __future__ import annotations

import torch
from CHMFLPredictorLib.network.chmfl import NetworkConfig
from torch import nn

from .plain import fully_connected, initialize, pool, pooled_values


def resnet(depth: int, width: float = 1.0) -> nn.Module:
    """An untrained ResNet18, 34 or 50 without its last layer, shaped as torchvision's: 3 channels in, stem of stride 2,
    1x1 convolutions in the shortcuts, He initialization.

    :param width: share of the usual channels.
    """
    from monai.networks import nets

    shape = {"spatial_dims": 2, "n_input_channels": 3, "conv1_t_size": 7, "conv1_t_stride": 2}
    shape |= {"shortcut_type": "B", "bias_downsample": False, "feed_forward": False, "widen_factor": width}
    return getattr(nets, f"resnet{depth}")(pretrained=False, **shape)


def level_features(backbone: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps of five levels: the stem (half the size) and the four stages (down to 1/32).

    :param x: (N, 1, X, Y); the image is repeated in the three channels that ImageNet's weights expect.
    """
    x = backbone.act(backbone.bn1(backbone.conv1(x.expand(-1, 3, -1, -1))))
    features = [x]
    x = backbone.maxpool(x)
    for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
        x = stage(x)
        features.append(x)
    return features


def level_widths(depth: int, width: float = 1.0) -> list[int]:
    """Channels of the five levels of one ResNet."""
    expansion, stages = (1 if depth < 50 else 4), [int(width * channels) for channels in (64, 128, 256, 512)]
    return [stages[0], *(expansion * channels for channels in stages)]


class ResNetClassifier(nn.Module):
    """Averaged features of both ResNets, joined, and one fully connected layer, which starts at zero."""

    dimensions = 2

    def __init__(self, depth: int, width: float = 1.0):
        super().__init__()
        self.pet, self.ct = resnet(depth, width), resnet(depth, width)
        self.fc = nn.Linear(2 * level_widths(depth, width)[-1], 2)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    @property
    def output_layer(self) -> nn.Linear:
        """The only fully connected layer."""
        return self.fc

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Logits (N, 2)."""
        pet, ct = x.flatten(0, 1).split(1, dim=1)
        deepest = [level_features(branch, image)[-1] for branch, image in ((self.pet, pet), (self.ct, ct))]
        logits = self.fc(torch.cat(deepest, dim=1).mean(dim=(2, 3)))
        return logits.unflatten(0, x.shape[:2]).mean(dim=1), None


class CHMFLResNet2D(nn.Module):
    """HMFL and CFL over the five levels of two ResNets.

    :param config: of the preset's CHMFL: pooling and fully connected layers of the head, widths of the decoder.
    """

    dimensions = 2

    def __init__(self, depth: int, config: NetworkConfig, width: float = 1.0):
        super().__init__()
        self.pet, self.ct, self.pooling = resnet(depth, width), resnet(depth, width), config.pooling
        levels = [2 * channels for channels in level_widths(depth, width)]
        self.head = fully_connected(pooled_values(config.pooling) * sum(levels), config)
        blocks, below = [], levels[-1]
        for horizontal, channels in zip(levels[-2::-1], config.channels[-2::-1], strict=True):
            blocks.append(UpBlock2D(below, horizontal, channels))
            below = channels
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Sequential(_up(below, below), nn.Conv2d(below, 2, 1))
        self.blocks.apply(initialize)
        self.output.apply(initialize)

    @property
    def output_layer(self) -> nn.Linear:
        """The last layer of the head."""
        return self.head[-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both outputs: logits of the event, and of background and tumor."""
        pet, ct = x.flatten(0, 1).split(1, dim=1)
        pairs = zip(level_features(self.pet, pet), level_features(self.ct, ct), strict=True)
        features = [torch.cat(pair, dim=1) for pair in pairs]
        logits = self.head(torch.cat([pool(level, self.pooling) for level in features], dim=1))
        segmentation = self._decode(features, x.shape[-2:]).unflatten(0, x.shape[:2]).transpose(1, 2)
        return logits.unflatten(0, x.shape[:2]).mean(dim=1), segmentation

    def _decode(self, features: list[torch.Tensor], size) -> torch.Tensor:
        x = features[-1]
        for block, horizontal in zip(self.blocks, features[-2::-1], strict=True):
            x = block(x, horizontal)
        return self.output(x)[..., : size[0], : size[1]]


class UpBlock2D(nn.Module):
    """One level of CFL: up-convolution, joined with the level's PET and CT features, 1x1 convolution to ``width``,
    residual convolution, sum, ELU.
    """

    def __init__(self, below: int, horizontal: int, width: int):
        super().__init__()
        self.up = _up(below, width)
        self.project = _unit(nn.Conv2d(width + horizontal, width, 1), nn.ELU(inplace=True))
        self.residual = _unit(nn.Conv2d(width, width, 3, padding=1))
        self.activation = nn.ELU(inplace=True)

    def forward(self, x: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
        """From the level below to this level's size, which an odd side makes one less than twice that below."""
        up = self.up(x)[..., : horizontal.shape[2], : horizontal.shape[3]]
        x = self.project(torch.cat([up, horizontal], dim=1))
        return self.activation(self.residual(x) + x)


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return _unit(nn.ConvTranspose2d(inputs, outputs, 2, stride=2), nn.ELU(inplace=True))


def _unit(convolution: nn.Module, *activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), *activation)
