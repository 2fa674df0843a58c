"""Contours of an RTSTRUCT to a mask: even-odd filling, slice by slice.

DICOM PS3.3 C.8.8.6: a region of interest is a list of contours, each a closed polygon in one plane, points in LPS mm
(the patient's coordinates, as SimpleITK's). A voxel counts when its center lies inside an odd number of the slice's
polygons, so an inner polygon is a hole, and a "keyhole" (a hole joined to the outside by a channel of no width) is one
too.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.reading.geometry import VoxelGrid

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OFF_SLICE = 0.25  # of the step between slices: contours drawn on these slices lie nearer
TILT = 0.25  # of the step: how far a polygon's points may leave their plane


def contours_of(roi_contour) -> tuple[list[np.ndarray], int]:
    """Closed polygons of an item of ROIContourSequence.

    :param roi_contour: pydicom Dataset.
    :returns: arrays (points, 3) in LPS mm, and how many contours were left out: points, open lines, fewer than three
        points.
    """
    closed, left_out = [], 0
    for contour in roi_contour.get("ContourSequence") or []:
        numbers = np.array([float(value) for value in contour.get("ContourData") or []])
        kind = str(contour.get("ContourGeometricType", ""))
        if kind in CLOSED and numbers.size >= 9 and numbers.size % 3 == 0 and np.isfinite(numbers).all():
            closed.append(numbers.reshape(-1, 3))
        else:
            left_out += 1
    return closed, left_out


def fill_contours(contours: list[np.ndarray], image: sitk.Image) -> tuple[sitk.Image, list[dict]]:
    """The voxels of an image that lie inside closed polygons.

    :param contours: arrays (points, 3), LPS mm.
    :param image: 3D image whose grid the mask gets; any direction.
    :returns: mask (uint8, 0 and 1), and warnings (``code``, ``text``): contour_repeated, contour_tilted,
        contour_outside_image, contour_between_slices, contour_slices_left_out.
    """
    columns, rows, slices = image.GetSize()
    by_slice, warnings = _on_slices(contours, image)
    mask = np.zeros((slices, rows, columns), np.uint8)
    for number, polygons in by_slice.items():
        mask[number] = fill_polygons(polygons, (rows, columns))
    filled = sitk.GetImageFromArray(mask)
    filled.CopyInformation(image)
    return filled, warnings


def fill_polygons(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Even-odd filling of closed polygons on a pixel grid.

    :param polygons: arrays (points, 2): column and row of each corner, in pixels; pixel centers are whole numbers.
    :param shape: rows, columns.
    :returns: uint8 (rows, columns), 1 where a pixel's center lies inside an odd number of polygons. A center on the
        left or upper edge counts, one on the right or lower edge does not: neighbors that share an edge never overlap.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.int32)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            first, last = max(int(np.ceil(min(y0, y1))), 0), min(int(np.ceil(max(y0, y1))), rows)
            if first >= last:
                continue  # the edge crosses no row of centers
            row = np.arange(first, last)
            x = x0 + (row - y0) * ((x1 - x0) / (y1 - y0))
            np.add.at(crossings, (row, np.clip(np.ceil(x), 0, columns).astype(int)), 1)
    return (np.cumsum(crossings[:, :columns], axis=1) % 2).astype(np.uint8)


def _on_slices(contours: list[np.ndarray], image: sitk.Image) -> tuple[dict[int, list[np.ndarray]], list[dict]]:
    """Polygons in pixels by slice number, and warnings."""
    grid = VoxelGrid.of_image(image)
    by_slice, seen, found = defaultdict(list), set(), defaultdict(int)
    for points in contours:
        index = grid.index(points)
        height = index[:, 2]
        number = int(np.rint(height.mean()))
        same = (number, index.round(4).tobytes())
        if same in seen:
            found["contour_repeated"] += 1  # twice the same would cancel itself out
            continue
        seen.add(same)
        if np.ptp(height) > TILT:
            found["contour_tilted"] += 1
            continue
        if not 0 <= number < grid.size[2]:
            found["contour_outside_image"] += 1
            continue
        found["contour_between_slices"] += bool(abs(height.mean() - number) > OFF_SLICE)
        by_slice[number].append(index[:, :2])
    if by_slice:
        found["contour_slices_left_out"] = max(by_slice) - min(by_slice) + 1 - len(by_slice)
    return by_slice, [{"code": code, "text": _TEXTS[code].format(n)} for code, n in found.items() if n]


_TEXTS = {
    "contour_repeated": "{} contours are there twice; the copies were left out.",
    "contour_tilted": "{} contours do not lie in the plane of a slice and were left out.",
    "contour_outside_image": "{} contours lie above or below the image and were left out.",
    "contour_between_slices": "{} contours lie between slices and were filled on the nearest one.",
    "contour_slices_left_out": "{} slices between the first and the last contour have none and stay empty.",
}
