"""Which features of PET and CT drive the risk, and where they lie (the paper's Fig. 6)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .chmfl import dm_log_odds

_BACKGROUND_VOXELS = 4096  # as many as are looked at for a channel's median


def relevance_map(networks: list[nn.Module], inputs: np.ndarray) -> np.ndarray:
    """Relevance of each voxel for the ensemble's risk, float32 (X, Y, Z), 0 to 1; all 0 when nothing matters.

    The paper does not say how it weights the feature maps that it shows. Here the weight of a channel is the gradient
    of the log-odds of DM with respect to what the head reads of it (Grad-CAM, Selvaraju 2017); level 5, which the
    head may read voxel by voxel, has a weight for each voxel (HiRes-CAM, Draelos 2020). A level's map is the size of
    the weighted sum of its PET and CT channels, each measured from its background (the median), so that it answers in
    log-odds: how far does what the network sees here move the risk, up or down? The levels' maps are brought to the
    box's voxels and averaged, each with the weight of what the level moves in all; then the members'.

    Why not the gradient at the input, or at the feature maps themselves: the head takes maxima, and their gradient is
    a single voxel a channel. Why the size: for a patient at low risk the features that speak against DM are the
    relevant ones.

    Only the three fully connected layers are differentiated; the decoder has no part in the risk and is not run.

    :param networks: members of one configuration, in evaluation mode; batch norm may be folded, and they may be on a
        GPU.
    :param inputs: preprocessed images, float32 (channels, X, Y, Z).
    """
    total = None
    for network in networks:
        device = next(network.parameters()).device
        x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))[None].to(device)
        relevance = _member_map(network, x).cpu()
        total = relevance if total is None else total.add_(relevance)
    return total.div_(total.max().clamp(min=torch.finfo(torch.float32).tiny)).numpy()


@torch.no_grad()
def _member_map(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Map (X, Y, Z) of one network; its largest value is at most 1."""
    features = network.encode(x)
    weights = _weights(network, features)
    fused, moved_in_all = torch.zeros(x.shape[2:], device=x.device), 0.0
    while features:
        level, weight = features.pop(), weights.pop()
        if weight is None:
            continue
        step = max(1, round((level[0, 0].numel() / _BACKGROUND_VOXELS) ** (1 / 3)))
        background = level[0, :, ::step, ::step, ::step].flatten(1).median(dim=1).values
        # sum over channels of weight * (feature - background), without a copy of the feature map
        if weight.dim() == 1:
            moved = (weight @ level[0].flatten(1) - weight @ background).view(level.shape[2:])
        else:
            moved = (weight * (level[0] - background[:, None, None, None])).sum(dim=0)
        moved = moved.abs_()
        # a maximum is decided by one voxel; voxels that are read each for itself add up
        share, highest = float(moved.max() if weight.dim() == 1 else moved.sum()), float(moved.max())
        if highest > 0:
            moved = F.interpolate(moved[None, None], size=x.shape[2:], mode="trilinear", align_corners=False)[0, 0]
            fused.add_(moved, alpha=share / highest)
            moved_in_all += share
    return fused.div_(moved_in_all) if moved_in_all else fused


def _weights(network: nn.Module, features: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """Gradient of the log-odds for each level: (channels,), or (channels, x, y, z) if flattened; None if not read."""
    head, config = network.head, network.config
    with torch.enable_grad():
        vector = head.vector(features).detach().float().requires_grad_()
        logits = head.third(torch.relu(head.second(torch.relu(head.first(vector)))))
        (gradient,) = torch.autograd.grad(dm_log_odds(logits).sum(), vector)
    gradient, weights = gradient[0], []
    # "max_uptake" gives two numbers a channel, "max" one; moving the whole channel moves either by as much
    pools = 1 if config.pooling == "max" else 2
    for number, level in enumerate(features):
        channels, last = level.shape[1], number == len(features) - 1
        if not last and not config.hierarchical:
            weights.append(None)
        elif last and not config.pool_deepest:
            weights.append(gradient.view(level.shape[1:]))
        else:
            weights.append(gradient[: pools * channels].view(pools, channels).sum(dim=0))
            gradient = gradient[pools * channels :]
    return weights
