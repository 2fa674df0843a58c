"""Which voxels of a mask file are the tumor, and whether the mask belongs to the CT."""

import numpy as np
import SimpleITK as sitk

from ..errors import BadInput
from .geometry import VoxelGrid


def tumor_label(values: np.ndarray, label: int | None, voxel_ml: float, path: str) -> float:
    """The value that stands for the tumor.

    :param values: the voxels.
    :param label: the label that the user chose, or None for the only one there is.
    :param voxel_ml: volume of a voxel, for the listing.
    :raises BadInput: mask_not_binary, mask_empty, mask_full, mask_many_labels.
    """
    found = _labels(values, path)
    if label is not None:
        if label not in found:
            text = f"The mask '{path}' has no voxel of label {label}; it has {_listing(found)}."
            raise BadInput("mask_empty", text, "Choose one of its labels.")
        return float(label)
    if found.size > 1:
        sizes = (f"{value:g} ({np.count_nonzero(values == value) * voxel_ml:.1f} ml)" for value in found[:10])
        text = f"The mask '{path}' holds {found.size} labels: {', '.join(sizes)}."
        raise BadInput("mask_many_labels", text, "Export the tumor alone, or merge its parts into one segment.")
    return float(found[0])


def _labels(values: np.ndarray, path: str) -> np.ndarray:
    """The labels of a mask other than 0."""
    top = values.max()
    two_values = np.all((values == 0) | (values == top))  # the usual mask, without sorting millions of voxels
    found = np.unique([values.min(), top]) if two_values else np.unique(values)
    if not np.all(np.isfinite(found)) or np.any(found != np.rint(found)):
        text = (
            f"The mask '{path}' holds {found.size} values from {found[0]:g} to {found[-1]:g}, not only whole numbers."
        )
        raise BadInput("mask_not_binary", text, "A mask has 0 outside and 1 in the tumor; threshold it first.")
    labels = found[found != 0]
    if not labels.size:
        raise BadInput("mask_empty", f"The mask '{path}' is empty: every voxel is 0.", "Choose the mask of the tumor.")
    if labels.size == found.size:
        text = f"The mask '{path}' has no voxel outside the tumor: its values are {_listing(labels)}."
        raise BadInput("mask_full", text, "A mask has 0 outside and 1 in the tumor.")
    return labels


def _listing(labels: np.ndarray) -> str:
    return ", ".join(f"{label:g}" for label in labels[:10]) + (", ..." if labels.size > 10 else "")


def check_mask(mask, ct) -> list[dict]:
    """Check that a tumor mask lies in the CT, where that has data.

    :param mask: Volume with an image of 0 and 1, on any grid.
    :param ct: Volume.
    :return: warnings (mask_partly_outside).
    :raises BadInput: mask_outside_ct.
    """
    inside = np.nonzero(sitk.GetArrayViewFromImage(mask.image))
    index = np.stack(inside[::-1], axis=1)[:: max(1, inside[0].size // 5000)]
    points = VoxelGrid.of_image(mask.image).points(index)
    share = VoxelGrid.of_image(ct.image).share(points)
    if ct.no_data is not None:
        filled = sitk.Resample(ct.no_data, mask.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        share -= float(np.mean(sitk.GetArrayViewFromImage(filled)[inside]))
    if share <= 0:
        text = f"The mask '{mask.source}' lies outside the CT."
        raise BadInput("mask_outside_ct", text, "Choose the mask that was drawn on this CT.")
    if share < 0.99:
        return [{"code": "mask_partly_outside", "text": f"Only {share:.0%} of the mask lies in the CT."}]
    return []
