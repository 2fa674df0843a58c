"""3D augmentation: random shift, mirror and turn, and small changes of intensity. Size is never changed: it predicts
DM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from CHMFLPredictorLib.network.preprocessing import AIR_HU, Preprocessing, normalize

from ..cohort.crops import MARGIN, Crop


@dataclass(frozen=True)
class Augmentation:
    """Limits of the random changes.

    :param shift_mm: the box's center lies off the tumor's by up to so many mm along each axis, as an automatic box
        does; a cached crop has room for :data:`MARGIN` voxels.
    :param turn_share: share of the views that are turned about the foot-head axis; the others need no interpolation.
    """

    shift_mm: float = 16.0
    turn_degrees: float = 15.0
    turn_share: float = 0.3
    mirror: bool = True
    suv_spread: float = 0.05
    hu_shift: float = 10.0


@dataclass(frozen=True)
class Change:
    """What was drawn for one view.

    :param shift: voxels (3,). :param mirrored: by axis, bool (3,). :param angle: radians about the foot-head axis.
    :param gain: factor of SUV. :param offset: added to HU.
    """

    shift: np.ndarray
    mirrored: np.ndarray
    angle: float
    gain: np.float32
    offset: np.float32


def draw_change(settings: Preprocessing, limits: Augmentation, random: np.random.Generator, size=None) -> Change:
    """Draw the changes of a view of ``size`` voxels; None for the whole box."""
    size = settings.size_voxels if size is None else size
    room = [
        min(round(limits.shift_mm / settings.voxel_mm), MARGIN) + (box - side) // 2
        for box, side in zip(settings.size_voxels, size, strict=True)
    ]
    shift = np.array([random.integers(-r, r + 1) for r in room])
    mirrored = random.random(3) < 0.5 if limits.mirror else np.zeros(3, bool)
    angle = math.radians(random.uniform(-1, 1) * limits.turn_degrees) if random.random() < limits.turn_share else 0.0
    gain, offset = random.lognormal(0.0, limits.suv_spread), random.normal(0.0, limits.hu_shift)
    return Change(shift, mirrored, angle, np.float32(gain), np.float32(offset))


def augment(crop: Crop, settings: Preprocessing, limits: Augmentation, random: np.random.Generator, size=None):
    """A random view of a crop: inputs float32 (2, X, Y, Z), mask uint8 and inside bool (X, Y, Z).

    :param size: voxels of the view; None for the whole box. A smaller view lies anywhere in the box.
    """
    suv, hu, mask, inside = changed(crop, settings, limits, random, size)
    return normalize(suv, hu, settings), mask, inside


def changed(crop: Crop, settings: Preprocessing, limits: Augmentation, random: np.random.Generator, size=None):
    """:func:`augment` before the intensity steps: SUV and HU float32, mask uint8 and inside bool, (X, Y, Z) each."""
    change = draw_change(settings, limits, random, size)
    size = settings.size_voxels if size is None else size
    suv, hu, mask, inside = _turned(crop, size, change) if change.angle else _sliced(crop, size, change)
    return suv * change.gain, hu + change.offset, mask, inside


def place_of(shape, size, shift) -> tuple[slice, slice, slice]:
    """The voxels of a view that is not turned, in an array of ``shape``."""
    starts = [(whole - side) // 2 + int(step) for whole, side, step in zip(shape, size, shift, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, size, strict=True))


def _sliced(crop: Crop, size, change: Change):
    """Shift and mirror are copies of voxels."""
    place = place_of(crop.suv.shape, size, change.shift)
    axes = tuple(np.flatnonzero(change.mirrored))
    suv, hu, mask, inside = (np.flip(array[place], axes) for array in (crop.suv, crop.hu, crop.mask, crop.inside))
    return suv.astype(np.float32), hu.astype(np.float32), np.ascontiguousarray(mask), np.ascontiguousarray(inside)


def _turned(crop: Crop, size, change: Change):
    """Shift, mirror and turn by linear interpolation; air beyond the crop."""
    slab = (slice(None), slice(None), place_of(crop.suv.shape, size, change.shift)[2])
    backwards = (..., slice(None, None, -1 if change.mirrored[2] else 1))
    arrays = [array[slab][backwards] for array in (crop.suv, crop.hu, crop.mask, crop.inside)]
    arrays[1] = arrays[1] - np.float32(AIR_HU)
    columns = torch.from_numpy(np.concatenate(arrays, axis=2, dtype=np.float32, casting="unsafe"))
    corners, weights = turn_weights(columns.shape[:2], size, change)
    found = mixed_columns(columns, corners, weights).view(*size[:2], 4, size[2]).numpy()
    suv, hu, mask, inside = (np.ascontiguousarray(found[:, :, number]) for number in range(4))
    return suv, hu + np.float32(AIR_HU), (mask >= 0.5).astype(np.uint8), inside >= 0.5


def turn_weights(shape, size, change: Change) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the columns of a turned view come from. About the foot-head axis whole columns turn: the four around the
    point are mixed.

    :param shape: columns of the crop (X, Y).
    :returns: numbers of the four columns and their weights, (columns of the view, 4); 0 beyond the crop.
    """
    cosine, sine = math.cos(change.angle), math.sin(change.angle)
    x, y = (
        (np.arange(side) - (side - 1) / 2) * (-1.0 if mirrored else 1.0)
        for side, mirrored in zip(size[:2], change.mirrored[:2], strict=True)
    )
    at_x = cosine * x[:, None] - sine * y + change.shift[0] + (shape[0] - 1) / 2
    at_y = sine * x[:, None] + cosine * y + change.shift[1] + (shape[1] - 1) / 2
    corners, weights = [], []
    for i in (0, 1):
        for j in (0, 1):
            near_x, near_y = np.floor(at_x) + i, np.floor(at_y) + j
            there = (near_x >= 0) & (near_x < shape[0]) & (near_y >= 0) & (near_y < shape[1])
            weights.append(np.where(there, (1 - np.abs(at_x - near_x)) * (1 - np.abs(at_y - near_y)), 0.0))
            corners.append(np.where(there, near_x * shape[1] + near_y, 0))
    stacked = np.stack(corners, axis=-1).reshape(-1, 4), np.stack(weights, axis=-1).reshape(-1, 4)
    return torch.from_numpy(stacked[0].astype(np.int64)), torch.from_numpy(stacked[1].astype(np.float32))


def mixed_columns(columns: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums of columns: (X, Y, values) to (columns of the view, values)."""
    return torch.nn.functional.embedding_bag(corners, columns.flatten(0, 1), per_sample_weights=weights, mode="sum")
