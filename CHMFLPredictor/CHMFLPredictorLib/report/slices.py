"""Slices along the patient's axes through volumes of any direction, and what a picture of them needs to know.

Radiological orientation: the patient's right on the left of the picture, anterior on the left of a sagittal slice.
Coordinates are LPS mm unless a name says RAS.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..reading.geometry import bounds_lps, flipped, middle_lps

FIELD_MM = (160.0, 340.0)
TUMOR_SURROUNDINGS_MM = 90.0


@dataclass(frozen=True)
class Plane:
    """A slice direction: unit vectors in LPS that point right and down in the picture, and the letters at its edges."""

    name: str
    right: tuple[int, int, int]
    down: tuple[int, int, int]
    letters: tuple[str, str, str, str]  # left, right, top, bottom
    normal: int  # the LPS axis across the slice


PLANES = (
    Plane("Axial", (1, 0, 0), (0, 1, 0), ("R", "L", "A", "P"), 2),
    Plane("Sagittal", (0, 1, 0), (0, 0, -1), ("A", "P", "S", "I"), 0),
    Plane("Coronal", (1, 0, 0), (0, 0, -1), ("R", "L", "S", "I"), 1),
)


@dataclass(frozen=True)
class Tumor:
    """A segmentation as pictures need it.

    `field` is about 0.5 on the tumor's border and smooth, as the steps of the voxels are no anatomy.
    """

    field: sitk.Image
    centroid: np.ndarray
    extent_mm: float

    def holds(self, point_lps) -> bool:
        """Whether a point lies in the tumor."""
        index = self.field.TransformPhysicalPointToIndex([float(p) for p in point_lps])
        inside = all(0 <= i < size for i, size in zip(index, self.field.GetSize(), strict=True))
        return inside and self.field[index] > 0.5


def tumor_of(mask) -> Tumor | None:
    """The tumor of a mask image (values above 0); None for no mask or an empty one."""
    if mask is None:
        return None
    mask = sitk.Cast(mask > 0, sitk.sitkUInt8)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    if not shape.HasLabel(1):
        return None
    box = np.array(shape.GetBoundingBox(1))
    extent = float((box[3:] * np.array(mask.GetSpacing())).max())
    near = sitk.ConstantPad(sitk.RegionOfInterest(mask, box[3:].tolist(), box[:3].tolist()), [6] * 3, [6] * 3, 0)
    field = sitk.Cast(near, sitk.sitkFloat32)
    # of a small tumor the smoothing leaves less than half: there it is weaker
    sigma = min(0.6 * max(mask.GetSpacing()), 0.08 * extent)
    smooth = sitk.DiscreteGaussian(field, sigma**2, 24)
    enough = sitk.GetArrayViewFromImage(smooth).max() > 0.6
    return Tumor(smooth if enough else field, np.array(shape.GetCentroid(1)), extent)


def center_lps(ct, tumor, center_ras) -> np.ndarray:
    """Where the slices meet, LPS mm: the place given, but the tumor's centroid where that lies outside the tumor."""
    if center_ras is not None:
        center = flipped(center_ras)
        if tumor is None or tumor.holds(center):
            return center
    if tumor is not None:
        return tumor.centroid
    return middle_lps(ct)


def field_mm(ct, tumor) -> float:
    """The side of the square that each panel shows: the tumor with its surroundings, no more than the CT holds."""
    low, high = bounds_lps(ct)
    most = float((high - low).max())
    wanted = most if tumor is None else tumor.extent_mm + TUMOR_SURROUNDINGS_MM
    return float(np.clip(min(wanted, most), *FIELD_MM))


def _window_center(image, plane, center, field) -> np.ndarray:
    """The middle of a panel: the center, moved so that no part of the panel is empty while the CT has more to show."""
    low, high = bounds_lps(image)
    middle = np.array(center, float)
    for axis in {int(np.flatnonzero(plane.right)[0]), int(np.flatnonzero(plane.down)[0])}:
        if high[axis] - low[axis] <= field:
            middle[axis] = (low[axis] + high[axis]) / 2
        else:
            middle[axis] = np.clip(middle[axis], low[axis] + field / 2, high[axis] - field / 2)
    return middle


def panel_grid(image, plane, center, field, pixels) -> sitk.Image:
    """An empty image of one slice to resample onto: a panel of pixels x pixels that shows field x field mm."""
    middle = _window_center(image, plane, center, field)
    right, down = np.array(plane.right, float), np.array(plane.down, float)
    pixel = field / pixels
    grid = sitk.Image(pixels, pixels, 1, sitk.sitkUInt8)
    grid.SetSpacing((pixel, pixel, 1.0))
    grid.SetDirection(np.stack([right, down, np.cross(right, down)], axis=1).ravel().tolist())
    grid.SetOrigin((middle - (right + down) * pixel * (pixels - 1) / 2).tolist())
    return grid


def sample(image, grid, interpolator, outside) -> np.ndarray:
    """An image's values on a panel, float32 (rows, columns); only the part near the slice is touched."""
    image = _near(image, grid)
    if image is None:
        return np.full(grid.GetSize()[1::-1], outside, np.float32)
    values = sitk.Resample(image, grid, sitk.Transform(), interpolator, outside, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(values)[0]


def _near(image, grid) -> sitk.Image | None:
    """The part of an image that a panel needs (a spline over a whole body takes long), or None where it has none."""
    columns, rows, _ = grid.GetSize()
    corners = [grid.TransformIndexToPhysicalPoint((i, j, 0)) for i in (0, columns - 1) for j in (0, rows - 1)]
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(corner) for corner in corners])
    size = np.array(image.GetSize())
    first = np.clip(np.floor(indices.min(axis=0)).astype(int) - 6, 0, size)
    last = np.clip(np.ceil(indices.max(axis=0)).astype(int) + 7, 0, size)
    if (last <= first).any():
        return None
    return sitk.RegionOfInterest(image, (last - first).tolist(), first.tolist())


def position_text(plane, center) -> str:
    """Where the slice lies in RAS mm, as Slicer writes it: a letter and a distance."""
    value = float(center[plane.normal])
    positive, negative = (("L", "R"), ("P", "A"), ("S", "I"))[plane.normal]
    return f"{positive if value >= 0 else negative} {abs(value):.0f} mm"
