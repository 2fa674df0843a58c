"""Views of the patients made on the device itself: the boxes are sent there once and stay.

The same changes and steps as in :mod:`.augmentation` and ``CHMFLPredictorLib.network.preprocessing``, on tensors: on a
GPU the luminosity and contrast normalization of the ``paper`` preset takes milliseconds instead of seconds.
"""

from __future__ import annotations

import numpy as np
import torch
from CHMFLPredictorLib.network.preprocessing import AIR_HU, ChannelSteps, Preprocessing
from torch.nn import functional

from ..cohort.crops import Crop
from .augmentation import Augmentation, Change, draw_change, mixed_columns, place_of, turn_weights

_EPSILON = 1e-6  # as in CHMFLPredictorLib.network.normalization
_FLOOR = 0.1


class DeviceViews:
    """Boxes of patients in the device's memory, each sent at its first use: 16 MB a patient with ``paper``."""

    def __init__(self, settings: Preprocessing, device: torch.device):
        self.settings, self.device = settings, device
        self._boxes: dict[int, tuple[Crop, tuple[torch.Tensor, ...]]] = {}

    def augment(self, crop: Crop, limits: Augmentation, random: np.random.Generator, size=None):
        """:func:`.augmentation.augment` as tensors on the device: it draws the same numbers."""
        change = draw_change(self.settings, limits, random, size)
        size = self.settings.size_voxels if size is None else size
        box = self._box(crop)
        suv, hu, mask, inside = _turned(box, size, change) if change.angle else _cut(box, size, change)
        return normalized(suv * float(change.gain), hu + float(change.offset), self.settings), mask, inside

    def _box(self, crop: Crop) -> tuple[torch.Tensor, ...]:
        if id(crop) not in self._boxes:
            arrays = (crop.suv, crop.hu, crop.mask, crop.inside)
            tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays)
            self._boxes[id(crop)] = (crop, tensors)  # the crop is kept, so that no other gets its id
        return self._boxes[id(crop)][1]


def _cut(box: tuple[torch.Tensor, ...], size, change: Change):
    place, axes = place_of(box[0].shape, size, change.shift), tuple(np.flatnonzero(change.mirrored).tolist())
    suv, hu, mask, inside = (values[place].flip(axes) for values in box)
    return suv.float(), hu.float(), mask, inside


def _turned(box: tuple[torch.Tensor, ...], size, change: Change):
    slab = (..., place_of(box[0].shape, size, change.shift)[2])
    suv, hu, mask, inside = (values[slab].float() for values in box)
    columns = torch.cat([suv, hu - AIR_HU, mask, inside], dim=2)
    if change.mirrored[2]:
        columns = columns.unflatten(2, (4, size[2])).flip(3).flatten(2)
    corners, weights = (part.to(columns.device) for part in turn_weights(columns.shape[:2], size, change))
    suv, hu, mask, inside = mixed_columns(columns, corners, weights).view(*size[:2], 4, size[2]).unbind(2)
    return suv, hu + AIR_HU, (mask >= 0.5).to(torch.uint8), inside >= 0.5


def normalized(suv: torch.Tensor, hu: torch.Tensor, settings: Preprocessing) -> torch.Tensor:
    """``preprocessing.normalize`` on tensors: (X, Y, Z) each to (2, X, Y, Z)."""
    return torch.stack([_steps(suv, settings.pet), _steps(hu, settings.ct)])


def _steps(values: torch.Tensor, steps: ChannelSteps) -> torch.Tensor:
    if steps.clip is not None:
        values = values.clamp(*steps.clip)
    if steps.log:
        values = values.log1p()
    if steps.scale is not None:
        values = (values - steps.scale[0]) / steps.scale[1]
    if steps.standardize == "box":
        mean, deviation = values.mean(dtype=torch.float64), values.double().std(correction=0)
        values = (values - mean.float()) / deviation.clamp(min=_EPSILON).float()
    return _without_drifts(values, steps.contrast_window) if steps.luminosity_contrast else values


def _without_drifts(values: torch.Tensor, window: int) -> torch.Tensor:
    """``normalization.normalize_luminosity_and_contrast`` with its default settings but for the window."""
    mean = _mean(values, window)
    deviation = _mean((values - mean) ** 2, window).clamp(min=0).sqrt()
    background = ((values - mean).abs() <= deviation + _EPSILON).float()
    share = _mean(background, window).clamp(min=_EPSILON)
    luminosity = _mean(values * background, window) / share
    contrast = (_mean((values - luminosity) ** 2 * background, window) / share).clamp(min=0).sqrt()
    least = (_FLOOR * values.std(correction=0)).clamp(min=_EPSILON)
    return (values - luminosity) / torch.maximum(contrast, least)


def _mean(values: torch.Tensor, side: int) -> torch.Tensor:
    """Mean over a cube around each voxel; beyond the box the nearest voxel goes on. One axis after the other."""
    half, result = side // 2, values[None, None]
    for axis in range(3):
        sides, window = [0] * 6, [1, 1, 1]
        sides[4 - 2 * axis : 6 - 2 * axis], window[axis] = [half, half], side
        result = functional.avg_pool3d(functional.pad(result, sides, mode="replicate"), window, stride=1)
    return result[0, 0]
