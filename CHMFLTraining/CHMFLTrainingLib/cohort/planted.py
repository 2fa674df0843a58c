"""Made patients whose outcome is planted in the tumor's size, uptake and density, or nowhere: a method must tell these
apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.reading.volumes import AIR_HU, LOWEST_HU

from .cases import Case, Paths

SIZE = 24  # voxels a side
VOXEL_MM = 6.0
RADIUS_MM = (15.0, 27.0)  # without and with the event
SUV = (4.0, 9.0)
TUMOR_HU = (10.0, 240.0)
MUSCLE_HU = 55.0


def planted_cases(n: int, signal: bool, seed: int, tmp) -> list[Case]:
    """Small phantoms of 24 x 24 x 24 voxels of 6 mm: PET in SUV, CT in HU, mask, clinical columns, follow-up.

    :param n: patients, half of them with the event.
    :param signal: the event goes with a larger, hotter and denser tumor, higher age and grade, and a short time to the
        event. Otherwise the same tumors, ages, grades and times are dealt out without regard to it.
    :param tmp: folder for the files and the cache.

    The column ``treatment`` gives the event away in both cases, as it does in real cohorts, where it follows the
    disease: a method that reads it does not stay at chance.
    """
    folder = Path(tmp) / f"planted_{n}_{signal}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, int(signal)])
    labels = random.permutation(np.arange(n) % 2)
    kinds = labels if signal else random.permutation(labels)
    return [
        _case(folder, f"P{number:02d}", int(label), int(kind), random)
        for number, (label, kind) in enumerate(zip(labels, kinds, strict=True))
    ]


def _case(folder: Path, name: str, label: int, kind: int, random: np.random.Generator) -> Case:
    paths = Paths(*(folder / f"{name}_{part}.nii" for part in ("pet", "ct", "mask")))
    radius_mm, uptake = RADIUS_MM[kind] * random.uniform(0.9, 1.1), SUV[kind] * random.uniform(0.85, 1.15)
    suv, hu, tumor = _arrays(radius_mm, uptake, TUMOR_HU[kind], random)
    for path, array in zip(paths, (suv, hu, tumor), strict=True):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((VOXEL_MM,) * 3)
        image.SetOrigin((-VOXEL_MM * SIZE / 2,) * 3)
        sitk.WriteImage(image, str(path))
    clinical = {
        "age": str(round(random.normal(45 + 25 * kind, 6))),
        "sex": "Female" if random.random() < 0.5 else "Male",
        "grade": ("Low", "High")[kind if random.random() < 0.9 else 1 - kind],
        "treatment": ("Surgery", "Surgery + Chemotherapy")[label],
        "outcome": ("--", "Mets - lungs")[label],
    }
    time = float(np.round(random.uniform(100, 500) if kind else random.uniform(600, 2000)))
    return Case(name, label, clinical, time, label, paths, folder / "cache")


def _arrays(radius_mm: float, uptake: float, density: float, random: np.random.Generator):
    """SUV (float32), HU (int16) and tumor (uint8), each (Z, Y, X): a limb along z with an ellipsoid in it."""
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * VOXEL_MM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    center = random.uniform(-9, 9, 3)
    shape = random.uniform(0.9, 1.1, 3)
    distance = np.sqrt(sum(((p - c) / s) ** 2 for p, c, s in zip((x, y, z), center, shape, strict=True)))
    body, tumor = x**2 + y**2 < 62.0**2, distance < radius_mm
    suv = np.where(body, 0.6, 0.02) + np.where(tumor, uptake * (1 - 0.4 * (distance / radius_mm) ** 2), 0.0)
    suv = np.maximum(suv * random.normal(1.0, 0.08, suv.shape), 0.0)
    hu = np.where(body, np.where(tumor, density, MUSCLE_HU), AIR_HU) + random.normal(0, 8, suv.shape)
    return suv.astype(np.float32), np.maximum(hu, LOWEST_HU).round().astype(np.int16), tumor.astype(np.uint8)
