"""Measurements of a segmented tumor: volume, uptake and longest diameter.

The segmentation lies on the CT's grid, the PET on its own. Definitions follow the Image Biomarker Standardisation
Initiative where it has one (volume by voxel counting, maximum 3D diameter between the vertices of the surface).
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

SUV_UNIT, SUV_UCUM = "g/ml", "{SUVbw}g/ml"  # of body-weight SUV


@dataclass(frozen=True)
class Measurement:
    """A number of the tumor and how every table, file and page writes it.

    :ivar key: its name in a result.
    :ivar ucum: the unit as UCUM has it.
    :ivar digits: decimals below 100; from there on none.
    :ivar meaning: in a few words.
    """

    key: str
    title: str
    unit: str
    ucum: str
    digits: int
    meaning: str

    def text(self, value: float) -> str:
        """The value for people, without its unit."""
        return f"{value:.{self.digits if abs(value) < 100 else 0}f}"


MEASUREMENTS = {
    one.key: one
    for one in (
        Measurement("volume_ml", "Tumor volume", "ml", "ml", 1, "Voxels of the segmentation times their volume"),
        Measurement("suv_max", "SUVmax", SUV_UNIT, SUV_UCUM, 1, "Hottest PET voxel in the segmentation"),
        Measurement("suv_mean", "SUVmean", SUV_UNIT, SUV_UCUM, 1, "Mean over the segmentation"),
        Measurement("tlg", "TLG", "SUV ml", "{SUVbw}g", 0, "Total lesion glycolysis: volume times mean SUV"),
        Measurement("longest_diameter_mm", "Longest diameter", "mm", "mm", 0, "In any direction of space"),
    )
}
FEW_PET_VOXELS = 8


def measure(tumor_mask_image: sitk.Image, pet_suv_image: sitk.Image) -> dict[str, float | None]:
    """Measure a tumor.

    :param tumor_mask_image: segmentation; every voxel above 0 is tumor, however many pieces.
    :param pet_suv_image: PET in SUV on any grid of the same patient space; only the overlap with the tumor counts.
    :returns: floats, or None for what cannot be measured: everything of an empty segmentation, SUV outside the PET.

        - volume_ml: tumor voxels times their volume.
        - suv_max: largest PET voxel whose center lies in the tumor, on the PET's own grid: interpolation lowers peaks.
          A tumor with fewer than 8 such voxels is small against that grid: its interpolated values count as well.
        - suv_mean: mean of the PET, linearly interpolated, at the tumor voxels that the PET covers.
        - tlg: total lesion glycolysis, SUV x ml, the sum of SUV over the same voxels times their volume.
        - longest_diameter_mm: see `longest_diameter_mm`.
    """
    values: dict[str, float | None] = dict.fromkeys(MEASUREMENTS)
    tumor_image = _cropped(tumor_mask_image)
    if tumor_image is None:
        return values
    tumor = sitk.GetArrayViewFromImage(tumor_image) > 0
    voxel_ml = float(np.prod(tumor_image.GetSpacing())) / 1000.0
    values["volume_ml"] = float(tumor.sum()) * voxel_ml
    values["longest_diameter_mm"] = longest_diameter_mm(tumor, tumor_image.GetSpacing()[::-1])
    suv = _suv_at(tumor_image, tumor, pet_suv_image)
    if suv.size:
        values["suv_max"] = _suv_max(tumor_image, pet_suv_image, suv)
        values["suv_mean"] = float(suv.mean())
        values["tlg"] = float(suv.sum()) * voxel_ml
    return values


def longest_diameter_mm(tumor: np.ndarray, spacing_mm: ArrayLike) -> float | None:
    """The largest distance between two points of the tumor's surface in any direction of space.

    The surface points are the middles of the faces between tumor and background voxels: the vertices that marching
    cubes gives a binary mask, so this is the initiative's maximum 3D diameter. Exact: both points are corners of the
    convex hull, and all its corners are compared.

    :param tumor: bool, three axes in any order.
    :param spacing_mm: voxel size along the same axes.
    :returns: mm, or None without tumor.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    tumor = np.asarray(tumor, bool)
    if not tumor.any():
        return None
    padded = np.pad(tumor, 1)
    points = []
    for axis in range(3):
        change = np.argwhere(np.diff(padded.astype(np.int8), axis=axis)).astype(float)
        change[:, axis] += 0.5
        points.append(change)
    points = np.concatenate(points) * np.asarray(spacing_mm, float)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def _cropped(mask_image: sitk.Image) -> sitk.Image | None:
    """The rectangle of voxels around the tumor as uint8, or None for an empty mask; saves work on whole-body images."""
    mask_image = sitk.Cast(mask_image > 0, sitk.sitkUInt8)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputeOrientedBoundingBoxOff()
    shape.Execute(mask_image)
    if not shape.HasLabel(1):
        return None
    box = shape.GetBoundingBox(1)
    return sitk.RegionOfInterest(mask_image, box[3:], box[:3])


def _suv_at(tumor_image: sitk.Image, tumor: np.ndarray, pet_image: sitk.Image) -> np.ndarray:
    """PET, linearly interpolated, at the centers of the tumor voxels that it covers; float64, one axis."""
    pet = sitk.Resample(pet_image, tumor_image, sitk.Transform(), sitk.sitkLinear, float("nan"), sitk.sitkFloat32)
    suv = sitk.GetArrayViewFromImage(pet)[tumor].astype(float)
    return suv[np.isfinite(suv)]


def _suv_max(tumor_image: sitk.Image, pet_image: sitk.Image, interpolated: np.ndarray) -> float:
    """The largest PET voxel in the tumor; where these are few, the interpolated values count too."""
    inside = sitk.Resample(tumor_image, pet_image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    suv = sitk.GetArrayViewFromImage(pet_image)[sitk.GetArrayViewFromImage(inside) > 0]
    suv = suv[np.isfinite(suv)]
    if suv.size < FEW_PET_VOXELS:
        suv = np.concatenate([suv, interpolated])
    return float(suv.max())
