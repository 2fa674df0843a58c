"""Crops: every patient's box, resampled once, kept in a cache, augmented anew at each step.

A cached crop reaches ``MARGIN`` voxels beyond the box on each side, so that random shifts and turns find real image
there.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.files import write_bytes
from CHMFLPredictorLib.network import preprocessing
from CHMFLPredictorLib.network.preprocessing import Preprocessing
from CHMFLPredictorLib.tumor import location

from .cohort import Patient

MARGIN = 8
CACHE_VERSION = 2
_ARRAYS = ("suv", "hu", "mask", "inside", "measurements")
_LOG = logging.getLogger(__name__)


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
    try:
        arrays = _read(path)
    except FileNotFoundError:
        arrays = None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _LOG.warning("the cached box %s cannot be read (%s) and is made again", path, error)
        arrays = None
    if arrays is None:
        data = io.BytesIO()
        np.savez(data, **_make(patient, settings))
        write_bytes(path, data.getvalue())
        arrays = _read(path)
    return Crop(patient.patient_id, patient.label, **arrays)


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        # views are cut along the last axis, so it is the one that lies together in memory
        return {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}


def _key(patient: Patient, settings: Preprocessing) -> str:
    files = [file and _identity(Path(file)) for file in (patient.pet, patient.ct, patient.mask)]
    return hashlib.sha256(
        json.dumps([CACHE_VERSION, MARGIN, settings.voxel_mm, settings.size_voxels, files]).encode()
    ).hexdigest()[:16]


def _identity(file: Path) -> list:
    """Changes when the file changes; of a DICOM folder, those of all its files."""
    about = os.stat(file)
    below = [_identity(one) for one in sorted(file.iterdir()) if one.is_file()] if file.is_dir() else []
    return [str(file), about.st_size, about.st_mtime_ns, *below]


def _make(patient: Patient, settings: Preprocessing) -> dict[str, np.ndarray]:
    """The arrays of a :class:`Crop`. A modality that the patient lacks is air: 0 SUV or -1000 HU everywhere."""
    from CHMFLPredictorLib.reading import volumes

    pet = volumes.read_pet(patient.pet).image if patient.pet else None
    ct_volume = volumes.read_ct(patient.ct) if patient.ct else None
    ct, no_data = (ct_volume.image, ct_volume.no_data) if ct_volume else (None, None)
    mask = volumes.read_mask(patient.mask).image
    center = location.from_mask(mask).center_ras
    wide = replace(settings, size_voxels=tuple(n + 2 * MARGIN for n in settings.size_voxels))
    wide = replace(wide, pet=preprocessing.ChannelSteps(), ct=preprocessing.ChannelSteps())
    images = ct if pet is None else pet, pet if ct is None else ct
    network_input = preprocessing.prepare(*images, center, wide, no_data)
    if pet is None:
        network_input.suv[:] = 0.0
    if ct is None:
        network_input.hu[:] = volumes.AIR_HU
    tumor = preprocessing.mask_to_grid(mask, network_input.grid)
    volume_ml = tumor.sum() * network_input.grid.voxel_ml
    measurements = np.log([max(volume_ml, 0.1), max(float(network_input.suv[tumor > 0].max(initial=0.0)), 0.1)])
    return {
        "suv": network_input.suv.astype(np.float16),
        "hu": np.clip(network_input.hu, -2048, 4095).astype(np.int16),
        "mask": tumor,
        "inside": network_input.inside,
        "measurements": measurements.astype(np.float32),
    }


def center_crop(crop: Crop, settings: Preprocessing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a test patient gives: inputs (2, X, Y, Z), mask and inside (X, Y, Z), no augmentation."""
    suv, hu, mask, inside = box_of_crop(crop)
    return preprocessing.normalize(suv.astype(np.float32), hu.astype(np.float32), settings), mask, inside


def box_of_crop(crop: Crop) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """SUV, HU, mask and inside of the box itself, without the margin (X, Y, Z), as they were read."""
    middle = (slice(MARGIN, -MARGIN),) * 3
    return crop.suv[middle], crop.hu[middle], crop.mask[middle], crop.inside[middle]


def branch_channels(inputs: np.ndarray, mask: np.ndarray, channels: int) -> np.ndarray:
    """The network's input from PET and CT (2, X, Y, Z): itself, or with two channels a branch (4, X, Y, Z) the images
    and the tumor's label as Mask + HMFL wants them (section II.F): PET, label, CT, label.
    """
    if channels == 1:
        return inputs
    if channels != 2:
        raise ValueError(f"a branch has 1 or 2 channels, not {channels}")
    label = mask.astype(np.float32)
    return np.stack([inputs[0], label, inputs[1], label])
