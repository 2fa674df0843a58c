"""Random networks whose normalization and head have statistics as after training, for the tests of the engines."""

import torch
from CHMFLPredictorLib.network.chmfl import build_network
from torch import nn


def random_network(config, seed=0):
    """A network in evaluation mode. A fresh one has mean 0, variance 1 and no risk: folding it would prove nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 3)
            if isinstance(module, nn.BatchNorm3d | nn.GroupNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear) and module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        nn.init.normal_(network.head.third.weight, 0, 0.3)
    return network


def random_inputs(config, seed=1):
    """Smooth noise with a hot ball in the middle, numpy float32 (channels, X, Y, Z)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((2 * config.branch_inputs, *config.input_size), generator=generator)
    axes = [torch.arange(side) - side / 2 for side in config.input_size]
    distance = sum(axis.view([-1 if i == j else 1 for j in range(3)]) ** 2 for i, axis in enumerate(axes)).sqrt()
    return (0.5 * x + 3 * (distance < min(config.input_size) / 4)).numpy()
