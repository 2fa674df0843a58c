"""Contours of an RTSTRUCT to a mask on an image's grid, whatever planes they were drawn on.

DICOM PS3.3 C.8.8.6: a region of interest is a list of contours, each a closed polygon in one plane, points in LPS mm
(the patient's coordinates, as SimpleITK's). The planes need not be the image's slices: they may lie between them,
nearer to each other, or on every second one. A slice gets what the planes on both sides of it make of its place; a
plane stands for half of the way to its neighbors, so that the mask has the volume of the polygons.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading.checks import warning
from CHMFLPredictorLib.reading.geometry import VoxelGrid

from .polygons import Region, enclosed, pixels, pixels_between

EXCLUSIVE_OR = "CLOSEDPLANAR_XOR"
CLOSED = ("CLOSED_PLANAR", EXCLUSIVE_OR, "INTERPOLATED_PLANAR")  # the last as plugins of OsiriX and Horos write it
OFF_SLICE = 0.25  # of the step between slices: contours drawn on these slices lie nearer
TILT = 0.25  # of the step: how far a polygon's points may leave their plane
ONE_PLANE = 0.25  # of the usual distance between planes: nearer than this is the same plane, but for rounding
REGULAR = 1.5  # times the usual distance between planes: a larger gap is no rule, but left out or between two pieces
SPARSEST = 3.0  # slices between the only two planes: farther apart they are two pieces
SPARSE = 1.1  # slices between planes
ROUNDING = 0.01  # slices
NOTEWORTHY = 0.01  # of the volume
LARGE_SHARE, LARGE_ML = 0.05, 1.0  # of the volume: what differs by more than both matters


@dataclass
class Plane:
    """Contours of one plane.

    :ivar height: in slices, from the first slice's middle.
    :ivar region: coordinates and areas in mm and mm².
    :ivar below, above: how far it stands for the tumor around it, in slices.
    """

    height: float
    region: Region
    below: float
    above: float


def contours_of(roi_contour) -> tuple[list[np.ndarray], list[str], bool]:
    """Closed polygons of an item of ROIContourSequence.

    :param roi_contour: pydicom Dataset.
    :returns: arrays (points, 3) in LPS mm, the types of the contours that were left out (points, open lines, fewer than
        three points), and whether the contours say that they combine by exclusive-or.
    """
    closed, left_out, kinds = [], [], set()
    for contour in roi_contour.get("ContourSequence") or []:
        numbers = np.array([float(value) for value in contour.get("ContourData") or []])
        kind = str(contour.get("ContourGeometricType", "")).strip().upper()
        if kind in CLOSED and numbers.size >= 9 and numbers.size % 3 == 0 and np.isfinite(numbers).all():
            closed.append(numbers.reshape(-1, 3))
            kinds.add(kind)
        else:
            left_out.append(kind or "without a type")
    return closed, left_out, EXCLUSIVE_OR in kinds


def fill_contours(
    contours: list[np.ndarray], image: sitk.Image, exclusive_or: bool = False
) -> tuple[sitk.Image, list[dict]]:
    """The voxels of an image that lie inside closed polygons.

    :param contours: arrays (points, 3), LPS mm.
    :param image: 3D image whose grid the mask gets; any direction.
    :param exclusive_or: how contours of a plane combine, see :func:`.polygons.enclosed`.
    :returns: mask (uint8, 0 and 1), and warnings (``code``, ``text``): contour_repeated, contour_tilted,
        contour_outside_image, contour_crossing, contour_cavity, contour_between_slices, contour_filled,
        contour_slices_left_out.
    :raises BadInput: contour_shell, contour_volume.
    :raises MissingDependency: shapely_missing.
    """
    grid = VoxelGrid.of_image(image)
    polygons, lost, warnings = _in_slices(contours, grid)
    planes, usual = _planes(polygons, exclusive_or)
    mask, more = _filled(planes, usual, grid)
    if mask.any():
        warnings += _combined(planes, grid)
        _refuse_other_volume(planes, usual, lost, grid, warnings)
    filled = sitk.GetImageFromArray(mask.astype(np.uint8))
    filled.CopyInformation(image)
    return filled, warnings + more


def _in_slices(contours, grid: VoxelGrid):
    """Polygons as (height in slices, points (n, 2) in mm of the slice); those that cannot be filled; warnings."""
    polygons, lost, seen, found = [], [], set(), defaultdict(int)
    for points in contours:
        index = grid.index(points)
        height, flat = float(index[:, 2].mean()), index[:, :2] * grid.spacing[:2]
        same = index.round(4).tobytes()
        if same in seen:
            found["repeated"] += 1
            continue
        seen.add(same)
        tilted, outside = np.ptp(index[:, 2]) > TILT, not -0.5 <= height < grid.size[2] - 0.5
        found["tilted"] += bool(tilted)
        found["outside"] += bool(outside and not tilted)
        if tilted or outside:
            lost.append(flat)
        else:
            polygons.append((height, flat))
    warnings = []
    if count := found["repeated"]:
        warnings.append(warning("contour_repeated", f"{count} contours are there twice; the copies were left out."))
    if count := found["tilted"]:
        text = f"{count} contours do not lie in the plane of a slice and were left out."
        warnings.append(warning("contour_tilted", text))
    if count := found["outside"]:
        text = f"{count} contours lie above or below the image and were left out."
        warnings.append(warning("contour_outside_image", text))
    return polygons, lost, warnings


def _planes(polygons: list[tuple[float, np.ndarray]], exclusive_or: bool) -> tuple[list[Plane], float]:
    """The planes, the lowest first, and their usual distance in slices. Where all lie on slices, but for rounding, they
    are slices.
    """
    heights = np.array([height for height, _ in polygons])
    slices = np.rint(heights)
    if np.all(np.abs(heights - slices) <= OFF_SLICE):
        heights = slices
    nearest = min(OFF_SLICE, ONE_PLANE * _usual(np.unique(heights)))
    together: dict[float, list[np.ndarray]] = {}
    for number in np.argsort(heights, kind="stable"):
        last = max(together, default=-np.inf)
        place = last if heights[number] - last <= nearest else float(heights[number])
        together.setdefault(place, []).append(polygons[number][1])
    usual = _usual(np.array(list(together)))
    reach = zip(*_reach(np.array(list(together)), usual), strict=True)
    regions = (enclosed(flat, exclusive_or) for flat in together.values())
    return [Plane(*one, *ends) for *one, ends in zip(together, regions, reach, strict=True)], usual


def _usual(heights: np.ndarray) -> float:
    """The usual distance between planes, in slices; of two distances that alternate the larger one. Of two planes the
    distance is usual where it can be a rule; of one plane it is a slice.
    """
    steps = np.diff(heights)
    steps = steps[steps > ROUNDING]
    rule = steps.size > 1 or (steps.size and steps[0] <= SPARSEST)
    return float(np.percentile(steps, 75)) if rule else 1.0


def _regular(steps, usual: float):
    return steps <= max(1.0, REGULAR * usual) + ROUNDING


def _reach(heights: np.ndarray, usual: float) -> tuple[np.ndarray, np.ndarray]:
    """``below`` and ``above`` of each plane: half of the way to its neighbor, at an end as on the other side."""
    half = np.diff(heights) / 2
    half[~_regular(2 * half, usual)] = np.nan
    below, above = np.append(np.nan, half)[: heights.size], np.append(half, np.nan)[: heights.size]
    below, above = np.where(np.isnan(below), above, below), np.where(np.isnan(above), below, above)
    return np.nan_to_num(below, nan=usual / 2), np.nan_to_num(above, nan=usual / 2)


def _filled(planes: list[Plane], usual: float, grid: VoxelGrid) -> tuple[np.ndarray, list[dict]]:
    """Mask (slices, rows, columns), and warnings that tell what was filled."""
    size, spacing = (int(grid.size[1]), int(grid.size[0])), grid.spacing[:2]
    mask = np.zeros((int(grid.size[2]), *size), bool)
    heights = np.array([plane.height for plane in planes])
    between = empty = 0
    for number in range(len(mask)):
        above = int(np.searchsorted(heights, number - ROUNDING))
        pair = planes[max(above - 1, 0) : above + 1]
        # shifted by rounding: of two ends that lie half a step beside a slice one gets it
        near = [one for one in pair if -one.below <= number + ROUNDING - one.height < one.above]
        if pair and abs(pair[-1].height - number) <= ROUNDING:
            mask[number] = pixels(pair[-1].region.shape, spacing, size)
            continue
        if len(pair) == 2 and _regular(step := pair[1].height - pair[0].height, usual):
            shapes = [one.region.shape for one in pair]
            mask[number] = pixels_between(*shapes, (number - pair[0].height) / step, spacing, size)
        elif near:
            mask[number] = pixels(near[0].region.shape, spacing, size)
        else:
            empty += len(pair) == 2
        between += int(mask[number].sum())
    return mask, _told(planes, usual, mask, between, empty, grid)


def _told(planes: list[Plane], usual: float, mask: np.ndarray, between: int, empty: int, grid: VoxelGrid) -> list[dict]:
    """What was done between the planes, with its volume.

    :param between: voxels of slices without a plane.
    :param empty: slices between planes that got nothing.
    """
    warnings, voxel_ml = [], float(np.prod(grid.spacing)) / 1000
    polygons_ml = _ml((one.region.area for one in planes), planes, grid)
    volumes = f"mask {mask.sum() * voxel_ml:.1f} ml, polygons {polygons_ml:.1f} ml"
    if between and usual > SPARSE:
        apart, step = usual * grid.spacing[2], grid.spacing[2]
        text = f"The contours lie {apart:.2f} mm apart, the slices {step:.2f} mm; {between * voxel_ml:.1f} ml were "
        warnings.append(warning("contour_filled", f"{text}filled between them ({volumes})."))
    if off := sum(abs(one.height - round(one.height)) > OFF_SLICE for one in planes):
        text = f"{off} planes of contours lie between slices; the slices were interpolated from them ({volumes})."
        warnings.append(warning("contour_between_slices", text))
    if empty:
        text = f"{empty} slices between the first and the last contour have none and stay empty ({volumes})."
        warnings.append(warning("contour_slices_left_out", text))
    return warnings


def _combined(planes: list[Plane], grid: VoxelGrid) -> list[dict]:
    """What became of contours of one plane that cross or lie inside each other.

    :raises BadInput: contour_shell.
    """
    regions = [one.region for one in planes]
    drawn, shared, cavities, shells = (
        _ml((getattr(one, name) for one in regions), planes, grid) for name in ("area", "shared", "cavities", "shells")
    )
    if _large(shells, drawn + cavities):
        text = f"Contours inside others would cut {shells:.1f} ml out of {drawn + cavities:.1f} ml and leave a shell."
        raise BadInput("contour_shell", text, "Is the tumor outlined twice? Keep one outline, and export it again.")
    warnings = []
    if shared > NOTEWORTHY * drawn:
        text = f"Contours of one plane cross: they were joined, and the {shared:.1f} ml that they share count once."
        warnings.append(warning("contour_crossing", text))
    if cavities > NOTEWORTHY * drawn:
        text = f"Contours inside others were taken for cavities: {cavities:.1f} ml were cut out, {drawn:.1f} ml remain."
        warnings.append(warning("contour_cavity", text))
    return warnings


def _refuse_other_volume(planes: list[Plane], usual: float, lost: list[np.ndarray], grid: VoxelGrid, warnings) -> None:
    """Raise contour_volume where the voxels of the drawn planes have not the volume of the polygons.

    :param lost: contours that could not be filled, mm.
    """
    size, pixel = (int(grid.size[1]), int(grid.size[0])), grid.spacing[0] * grid.spacing[1]
    filled = _ml((pixels(one.region.shape, grid.spacing[:2], size).sum() * pixel for one in planes), planes, grid)
    drawn = _ml((one.region.area for one in planes), planes, grid)
    drawn += sum(enclosed([one]).shape.area for one in lost) * usual * grid.spacing[2] / 1000
    if _large(abs(drawn - filled), drawn):
        reasons = " ".join(one["text"] for one in warnings)
        text = f"The contours have {drawn:.1f} ml, the mask of them {filled:.1f} ml. {reasons}".strip()
        raise BadInput("contour_volume", text, "Check that the structure set belongs to these images.")


def _ml(areas, planes: list[Plane], grid: VoxelGrid) -> float:
    """Volume of areas in mm², one a plane."""
    slabs = sum(area * (one.below + one.above) for area, one in zip(areas, planes, strict=True))
    return float(slabs * grid.spacing[2] / 1000)


def _large(part_ml: float, whole_ml: float) -> bool:
    return part_ml > LARGE_ML and part_ml > LARGE_SHARE * whole_ml
