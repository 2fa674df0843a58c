"""What speaks against a place that was found by uptake alone: none of it moves the box, all of it is said.

Hot places that are no tumor have their own anatomy: contrast medium hides the urine of a bladder from the CT's density,
a single kidney has no twin, and tracer that missed the vein stays in the arm. Limits between what the 51 patients of
Soft-tissue-Sarcoma show and what these places do; SUV are the field's, smoothed to 8 mm.
"""

import numpy as np
from scipy import ndimage

from .organs import KIDNEY_ML, STEP_MM, Field

UNCERTAIN_RATIO = 0.5
EDGE_MM = 25.0  # the tumors of the cohort lie 46 mm and more inside their images
ARM_SHARE = 1 / 3  # of the largest cross-section on its slice; a leg has a half
HOT_SPOT_SUV, HOT_SPOT_ML = 15.0, 150.0  # no tumor of the cohort is that hot and smaller than 199 ml
TRUNK_MM, MIDLINE_MM = 260.0, 30.0
BLADDER_SUV = 8.0
KIDNEY_ASIDE_MM, KIDNEY_UNDER_LUNG_MM = (25.0, 110.0), 200.0


def doubts(field: Field, part: np.ndarray, center_index, tissue: np.ndarray, lung: np.ndarray) -> list[str]:
    """What the place may be instead of the tumor, in words; empty when nothing speaks against it.

    :param part: bool (X, Y, Z), the uptake that was taken.  :param center_index: its center, continuous index.
    :param tissue: :func:`.organs.body`.  :param lung: :func:`.organs.lungs`.
    """
    x, y, z = (int(np.clip(round(float(i)), 0, n - 1)) for i, n in zip(center_index, tissue.shape, strict=True))
    reasons = []
    if (edge := _to_edge_mm(field.inside, (x, y, z))) < EDGE_MM:
        reasons.append(f"it lies {edge:.0f} mm from the edge of the images")
    if _in_arm(tissue[:, :, z], x, y):
        reasons.append("it lies in an arm, where tracer stays that missed the vein")
    volume_ml, hottest = float(part.sum()) * field.voxel_ml, float(field.suv[part].max())
    if hottest > HOT_SPOT_SUV and volume_ml < HOT_SPOT_ML:
        reasons.append("it is smaller and hotter than any tumor that the search was checked on")
    columns, rows = np.nonzero(tissue[:, :, z])
    aside_mm = abs(x - columns.mean()) * STEP_MM if columns.size else 0.0
    if columns.size and np.ptp(columns) * STEP_MM >= TRUNK_MM:
        if aside_mm <= MIDLINE_MM and hottest > BLADDER_SUV:
            reasons.append("it lies in the middle of the trunk, as a bladder with contrast medium does")
        behind = y > (rows.min() + rows.max()) / 2
        if lung.any() and behind and _like_kidney(aside_mm, z, volume_ml, lung):
            reasons.append("it lies where a kidney does")
    return reasons


def _to_edge_mm(inside: np.ndarray, index: tuple[int, int, int]) -> float:
    """The way along the nearest axis to where one of the images ends."""
    ways = []
    for axis, at in enumerate(index):
        line = np.nonzero(inside[tuple(slice(None) if a == axis else i for a, i in enumerate(index))])[0]
        ways += [at - line.min(), line.max() - at] if line.size else [0]
    return max(0.0, float(min(ways)) * STEP_MM)


def _in_arm(slice_tissue: np.ndarray, x: int, y: int) -> bool:
    """Whether the cross-section that holds the place is small beside the slice's largest."""
    labels, count = ndimage.label(slice_tissue)
    if not labels[x, y] or count < 2:
        return False
    areas = np.bincount(labels.ravel())[1:]
    return bool(areas[labels[x, y] - 1] < ARM_SHARE * areas.max())


def _like_kidney(aside_mm: float, z: int, volume_ml: float, lung: np.ndarray) -> bool:
    slices = np.nonzero(lung.any(axis=(0, 1)))[0]
    height = slices.min() - KIDNEY_UNDER_LUNG_MM / STEP_MM <= z < slices.mean()
    # no least volume: a rim is left where the kidney's pelvis was known as urine
    return bool(height and KIDNEY_ASIDE_MM[0] <= aside_mm <= KIDNEY_ASIDE_MM[1] and volume_ml <= KIDNEY_ML[1])
