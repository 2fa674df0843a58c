"""The loss of the paper (Eq. 1) and what this project adds to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from .recipes import PAPER_WEIGHT


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss.

    :param w: share of the segmentation in Eq. 1 (the paper's best: 0.5).
    :param dice: adds 1 - soft Dice to the segmentation's cross-entropy (not in the paper).
    """

    w: float = PAPER_WEIGHT
    dice: bool = False


def total_loss(outputs, targets, config: LossConfig) -> torch.Tensor:
    """Eq. 1: (1 - w) * cross-entropy of DM + w * cross-entropy of the voxels, averaged over voxels (a sum would drown
    the DM term).

    :param outputs: (DM logits (N, 2), segmentation logits (N, 2, X, Y, Z) or None: then Eq. 1's first term alone, not
        weighted).
    :param targets: (labels int64 (N,), tumor int64 (N, X, Y, Z), inside bool (N, X, Y, Z)).
    """
    dm_logits, segmentation = outputs
    labels, tumor, inside = targets
    head = functional.cross_entropy(dm_logits, labels)
    if segmentation is None:
        return head
    return (1 - config.w) * head + config.w * segmentation_loss(segmentation, tumor, inside, config.dice)


def segmentation_loss(
    logits: torch.Tensor, tumor: torch.Tensor, inside: torch.Tensor, dice: bool = False
) -> torch.Tensor:
    """Mean cross-entropy over the voxels that lie inside both images, plus 1 - soft Dice of the tumor if wanted."""
    voxels = inside.sum().clamp(min=1)
    loss = (functional.cross_entropy(logits, tumor, reduction="none") * inside).sum() / voxels
    if not dice:
        return loss
    probability = torch.sigmoid(logits[:, 1] - logits[:, 0]) * inside
    target = (tumor * inside).to(probability.dtype)
    both = (probability * target).sum(dim=(1, 2, 3))
    either = probability.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    return loss + 1 - ((2 * both + 1) / (either + 1)).mean()
