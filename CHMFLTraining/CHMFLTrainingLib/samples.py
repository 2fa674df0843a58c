"""Training samples: every patient's box, resampled once, kept in a cache, augmented anew at each step.

A cached crop reaches ``MARGIN`` voxels beyond the box on each side, so that random shifts and turns find real image
there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from CHMFLPredictorLib import location, preprocessing
from CHMFLPredictorLib.preprocessing import Preprocessing

from .cohort import Patient
from .files import write_bytes

MARGIN = 8
CACHE_VERSION = 1


@dataclass
class Crop:
    """A patient's box with its margin; arrays are (X, Y, Z) of the box plus ``2 * MARGIN`` voxels a side.

    :param measurements: log of the tumor's volume (ml) and log of its SUVmax, from the mask.
    """

    patient_id: str
    label: int
    suv: np.ndarray
    hu: np.ndarray
    mask: np.ndarray
    inside: np.ndarray
    measurements: np.ndarray


def load_crop(patient: Patient, settings: Preprocessing, cache: Path) -> Crop:
    """The patient's crop around the mask's center, from the cache or made now. A changed file or setting makes a new
    cache entry.
    """
    path = Path(cache) / f"{patient.patient_id}-{_key(patient, settings)}.npz"
    if not path.exists():
        arrays = _make(patient, settings)
        data = io.BytesIO()
        np.savez(data, **arrays)
        write_bytes(path, data.getvalue())
    with np.load(path, allow_pickle=False) as arrays:
        return Crop(patient.patient_id, patient.label, **{name: arrays[name] for name in arrays.files})


def _key(patient: Patient, settings: Preprocessing) -> str:
    files = [
        [str(file), os.stat(file).st_size, os.stat(file).st_mtime_ns]
        for file in (patient.pet, patient.ct, patient.mask)
    ]
    return hashlib.sha256(
        json.dumps([CACHE_VERSION, MARGIN, settings.voxel_mm, settings.size_voxels, files]).encode()
    ).hexdigest()[:16]


def _make(patient: Patient, settings: Preprocessing) -> dict[str, np.ndarray]:
    from CHMFLPredictorLib import volumes

    pet, ct, mask = (
        volumes.read_pet(patient.pet).image,
        volumes.read_ct(patient.ct).image,
        volumes.read_mask(patient.mask).image,
    )
    center = location.from_mask(mask).center_ras
    wide = replace(settings, size_voxels=tuple(n + 2 * MARGIN for n in settings.size_voxels))
    sample = preprocessing.prepare(
        pet, ct, center, replace(wide, pet=preprocessing.ChannelSteps(), ct=preprocessing.ChannelSteps())
    )
    tumor = preprocessing.mask_to_grid(mask, sample.grid)
    volume_ml = tumor.sum() * sample.grid.voxel_ml
    measurements = np.log([max(volume_ml, 0.1), max(float(sample.suv[tumor > 0].max(initial=0.0)), 0.1)])
    return {
        "suv": sample.suv.astype(np.float16),
        "hu": np.clip(sample.hu, -2048, 4095).astype(np.int16),
        "mask": tumor,
        "inside": sample.inside,
        "measurements": measurements.astype(np.float32),
    }


def center_crop(crop: Crop, settings: Preprocessing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a test patient gives: inputs (2, X, Y, Z), mask and inside (X, Y, Z), no augmentation."""
    middle = (slice(MARGIN, -MARGIN),) * 3
    suv, hu = crop.suv[middle].astype(np.float32), crop.hu[middle].astype(np.float32)
    return preprocessing.normalize(suv, hu, settings), crop.mask[middle], crop.inside[middle]
