"""From the networks' tumor probability in the box to the segmentation on the CT's grid."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..network.preprocessing import Grid, NetworkInput, to_reference

PROBABILITY_CUT = 0.5
JOIN_MM = 6.0  # pieces closer than about one PET voxel belong to one lesion
POINTED_AT_MM = 15.0


def segment(
    probability: np.ndarray, network_input: NetworkInput, reference: sitk.Image
) -> tuple[sitk.Image, np.ndarray]:
    """The tumor's segmentation: what both images cover, at least one half probable, the main lesion only.

    :param probability: float32 (X, Y, Z) in the box.
    :param reference: the CT.
    :return: uint8 image on exactly the reference's voxels, and the tumor in the box, bool (X, Y, Z).
    """
    probability = np.where(network_input.inside, probability, np.float32(0))
    over = probability >= PROBABILITY_CUT
    tumor = keep_main_lesion(over, network_input.grid.spacing[0])
    probability[over & ~tumor] = 0.0
    return on_reference(probability, network_input.grid, reference, PROBABILITY_CUT), tumor


def keep_main_lesion(tumor: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Keep the lesion that the prediction is about and drop the rest: hot organs, noise, other lesions.

    The main lesion is the largest piece among those that lie within 15 mm of the middle of the box, where the point,
    the mask or the search put the tumor; without any there, the largest piece of all. Pieces within 6 mm of it are
    kept too.

    :param tumor: bool (X, Y, Z), the voxels over the probability cut.
    :param voxel_mm: side of a voxel.
    :return: bool (X, Y, Z).
    """
    pieces, count = ndimage.label(tumor, structure=np.ones((3, 3, 3), bool))
    if count < 2:
        return tumor
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    middle = [(n - 1) / 2 for n in tumor.shape]
    reach = tuple(
        slice(int(max(0, m - POINTED_AT_MM / voxel_mm)), int(m + POINTED_AT_MM / voxel_mm) + 2) for m in middle
    )
    near = np.unique(pieces[reach])
    near = near[near > 0]
    main = int(near[np.argmax(sizes[near])]) if near.size else int(np.argmax(sizes))
    away = ndimage.distance_transform_edt(pieces != main, sampling=voxel_mm)
    touching = np.unique(pieces[away <= JOIN_MM])
    return np.isin(pieces, touching[touching > 0])


def on_reference(array: np.ndarray, grid: Grid, reference: sitk.Image, cut: float | None = None) -> sitk.Image:
    """Bring an array of the box to exactly the reference's voxels, 0 outside the box. Works on the box's part only.

    :param array: float32 (X, Y, Z) on ``grid``.
    :param cut: None for a float32 image; a number for a uint8 image that is 1 where the value reaches it.
    """
    pixel_type = sitk.sitkFloat32 if cut is None else sitk.sitkUInt8
    whole = sitk.Image(reference.GetSize(), pixel_type)
    whole.CopyInformation(reference)
    part, low = around(grid, reference)
    if part is None:
        return whole
    part = to_reference(array, grid, part)
    if cut is not None:
        part = sitk.Cast(part >= cut, pixel_type)
    return sitk.Paste(whole, part, part.GetSize(), [0, 0, 0], low)


def around(grid: Grid, reference: sitk.Image, margin_mm: float = 0.0) -> tuple[sitk.Image | None, list[int]]:
    """The part of the reference's voxels around the box, and the index of its first voxel; None where it has none."""
    ways = [s + margin_mm for s in grid.spacing]
    ends = [
        (o - way, o + s * (n - 1) + way)
        for o, s, n, way in zip(grid.origin_lps, grid.spacing, grid.size, ways, strict=True)
    ]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    indices = np.array([reference.TransformPhysicalPointToContinuousIndex(corner) for corner in corners.tolist()])
    size = np.array(reference.GetSize())
    low = np.clip(np.floor(indices.min(0)), 0, size).astype(int)
    high = np.clip(np.ceil(indices.max(0)) + 1, 0, size).astype(int)
    if np.any(high <= low):
        return None, low.tolist()
    return reference[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))], low.tolist()
