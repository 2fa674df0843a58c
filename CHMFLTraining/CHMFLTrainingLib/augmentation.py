"""3D augmentation: random shift, mirror and turn, and small changes of intensity. Size is never changed: it predicts
DM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from CHMFLPredictorLib.preprocessing import AIR_HU, Preprocessing, normalize

from .samples import MARGIN, Crop


@dataclass(frozen=True)
class Augmentation:
    """Limits of the random changes.

    :param shift_voxels: the box's center lies off the tumor's by up to so many voxels along each axis, as an automatic
        box does.
    :param turn_share: share of the views that are turned about the foot-head axis; the others need no interpolation.
    """

    shift_voxels: int = 8
    turn_degrees: float = 15.0
    turn_share: float = 0.3
    mirror: bool = True
    suv_spread: float = 0.05
    hu_shift: float = 10.0


def augment(crop: Crop, settings: Preprocessing, limits: Augmentation, random: np.random.Generator, size=None):
    """A random view of a crop: inputs float32 (2, X, Y, Z), mask uint8 and inside bool (X, Y, Z).

    :param size: voxels of the view; None for the whole box. A smaller view lies anywhere in the box.
    """
    size = settings.size_voxels if size is None else size
    room = [
        min(limits.shift_voxels, MARGIN) + (box - side) // 2
        for box, side in zip(settings.size_voxels, size, strict=True)
    ]
    shift = np.array([random.integers(-r, r + 1) for r in room])
    mirrored = random.random(3) < 0.5 if limits.mirror else np.zeros(3, bool)
    angle = math.radians(random.uniform(-1, 1) * limits.turn_degrees) if random.random() < limits.turn_share else 0.0
    view = _turned(crop, size, shift, mirrored, angle) if angle else _sliced(crop, size, shift, mirrored)
    suv, hu, mask, inside = view
    suv = suv * np.float32(random.lognormal(0.0, limits.suv_spread))
    hu = hu + np.float32(random.normal(0.0, limits.hu_shift))
    return normalize(suv, hu, settings), mask, inside


def _sliced(crop: Crop, size, shift: np.ndarray, mirrored: np.ndarray):
    """Shift and mirror are copies of voxels."""
    starts = (np.array(crop.suv.shape) - size) // 2 + shift
    place = tuple(slice(int(start), int(start) + side) for start, side in zip(starts, size, strict=True))
    axes = tuple(np.flatnonzero(mirrored))
    suv, hu, mask, inside = (np.flip(array[place], axes) for array in (crop.suv, crop.hu, crop.mask, crop.inside))
    return suv.astype(np.float32), hu.astype(np.float32), np.ascontiguousarray(mask), np.ascontiguousarray(inside)


def _turned(crop: Crop, size, shift: np.ndarray, mirrored: np.ndarray, angle: float):
    """Shift, mirror and turn by linear interpolation; air beyond the crop."""
    arrays = np.stack([crop.suv.astype(np.float32), crop.hu - np.float32(AIR_HU), crop.mask, crop.inside])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    matrix = torch.from_numpy(turn @ np.diag(np.where(mirrored, -1.0, 1.0))).float()
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ matrix.T + torch.from_numpy(shift).float()
    # grid_sample wants coordinates in -1..1 (voxel edges), the last array axis first
    grid = (points * torch.tensor([2.0 / n for n in arrays.shape[1:]])).flip(-1)[None]
    found = torch.nn.functional.grid_sample(torch.from_numpy(arrays).float()[None], grid, align_corners=False)[0]
    suv, hu, mask, inside = found.numpy()
    return suv, hu + np.float32(AIR_HU), (mask >= 0.5).astype(np.uint8), inside >= 0.5
