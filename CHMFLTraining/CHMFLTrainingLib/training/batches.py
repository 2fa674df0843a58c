"""Patients' views, stacked and laid out as the network takes them."""

from __future__ import annotations

import numpy as np
import torch
from CHMFLPredictorLib.network.presets import Preset

from ..cohort.crops import Crop, center_crop
from .augmentation import augment
from .config import TrainingConfig
from .device_views import DeviceViews
from .speed import Speed

# inputs float32 (N, channels, X, Y, Z), tumor int64 and inside bool (N, X, Y, Z), on the training's device
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Batches:
    """Makes the batches of one training."""

    def __init__(self, preset: Preset, config: TrainingConfig, device: torch.device, speed: Speed):
        self.preset, self.config, self.device = preset, config, device
        self._layout = torch.channels_last_3d if speed.channels_last else torch.contiguous_format
        self._resident = DeviceViews(preset.preprocessing, device) if speed.resident else None

    def augmented(self, crops: list[Crop], random: np.random.Generator) -> Batch:
        """Random views, made on the device where the patients' boxes lie there."""
        settings, limits, size = self.preset.preprocessing, self.config.augmentation, self.config.patch
        if self._resident is not None:
            return self._stacked([self._resident.augment(crop, limits, random, size) for crop in crops])
        return self._stacked([_tensors(augment(crop, settings, limits, random, size)) for crop in crops])

    def plain(self, crops: list[Crop]) -> Batch:
        """The boxes as a test patient gives them."""
        return self._stacked([_tensors(center_crop(crop, self.preset.preprocessing)) for crop in crops])

    def _stacked(self, views: list[tuple[torch.Tensor, ...]]) -> Batch:
        with_label = self.preset.network.branch_inputs == 2  # as samples.branch_channels orders them
        inputs = torch.stack([_labeled(view) if with_label else view[0] for view in views])
        tumor, inside = (torch.stack([view[number] for view in views]).to(self.device) for number in (1, 2))
        return inputs.to(self.device).contiguous(memory_format=self._layout), tumor.long(), inside


def _labeled(view: tuple[torch.Tensor, ...]) -> torch.Tensor:
    (pet, ct), label = view[0], view[1].float()
    return torch.stack([pet, label, ct, label])


def _tensors(view: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in view)
