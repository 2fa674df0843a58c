"""V-Net in the shape that :class:`..training.fold_training.FoldTraining` trains: a decoder without a head."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from CHMFLPredictorLib.errors import MissingDependency
from CHMFLPredictorLib.network.chmfl import NetworkConfig
from torch import nn

_ACTIVATION = ("elu", {"inplace": True})


class VNetSegmenter(nn.Module):
    """MONAI's V-Net on PET and CT as two channels (N, 2, X, Y, Z). It says nothing of DM: its log-odds are always 0.

    :param config: only ``channels[0]``, the width of the first level, is read; 16 is Milletari's own.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.net = _v_net(config.channels[0])
        self.head = _NoHead()

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The image itself: V-Net is one piece."""
        return [x]

    def classify(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits of 0 (N, 2)."""
        return self.head(features)[0]

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits of background and tumor (N, 2, X, Y, Z); on a CPU always computed in float32.

        PyTorch 2.13 gives a wrong gradient, not the same one twice, of a bfloat16 convolution whose kernel is larger
        than the image, as V-Net's deepest are in a small box.
        """
        (image,) = features
        with torch.autocast("cpu", enabled=False) if image.device.type == "cpu" else nullcontext():
            return self.net(image)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both outputs, as the network of the paper gives them."""
        return self.classify([x]), self.decode([x])


class _NoHead(nn.Module):
    def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, None]:
        return features[0].new_zeros(features[0].shape[0], 2), None


def _v_net(width: int) -> nn.Module:
    try:
        from monai.networks.nets.vnet import VNet
    except ModuleNotFoundError as error:
        text = f"V-net needs the Python package {error.name}."
        raise MissingDependency("method_dependency", text, "Install it: pip install monai") from error
    return VNet(3, in_channels=2, out_channels=2) if width == 16 else narrow_v_net(width)


def narrow_v_net(width: int) -> nn.Module:
    """MONAI's V-Net, which has 16 channels at the first level, with its blocks made ``width`` channels wide."""
    from monai.networks.nets import vnet

    net = vnet.VNet.__new__(vnet.VNet)
    nn.Module.__init__(net)
    down, up = vnet.DownTransition, vnet.UpTransition
    net.in_tr = vnet.InputTransition(3, 2, width, _ACTIVATION)
    net.down_tr32 = down(3, width, 1, _ACTIVATION)
    net.down_tr64 = down(3, 2 * width, 2, _ACTIVATION)
    net.down_tr128 = down(3, 4 * width, 3, _ACTIVATION, dropout_prob=0.5)
    net.down_tr256 = down(3, 8 * width, 2, _ACTIVATION, dropout_prob=0.5)
    net.up_tr256 = up(3, 16 * width, 16 * width, 2, _ACTIVATION, dropout_prob=(0.5, 0.5))
    net.up_tr128 = up(3, 16 * width, 8 * width, 2, _ACTIVATION, dropout_prob=(0.5, 0.5))
    net.up_tr64 = up(3, 8 * width, 4 * width, 1, _ACTIVATION)
    net.up_tr32 = up(3, 4 * width, 2 * width, 1, _ACTIVATION)
    net.out_tr = vnet.OutputTransition(3, 2 * width, 2, _ACTIVATION)
    return net
