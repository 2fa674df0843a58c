"""The regular grid that the slices of a DICOM series lie on, or why there is none."""

import math
import os
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput

EXPORT_HINT = "Export the whole series again from the archive."
SAME_POSITION_MM = 0.01


@dataclass(frozen=True)
class SliceGrid:
    """Order of the slices (indices, by position along the normal) and the grid: LPS, mm; shape is (rows, columns)."""

    order: list[int]
    shape: tuple[int, int]
    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    direction: tuple[float, ...]


def slice_grid(series) -> SliceGrid:
    """Sort the slices of a series by position along their normal and check that they make a grid.

    :param series: :class:`.dicom.Series`.
    :raises BadInput: dicom_no_position, dicom_mixed_geometry, one_slice, sheared, dicom_duplicate_slices,
        dicom_missing_slices, dicom_irregular_slices, bad_spacing.
    """
    name = series.describe()
    shape, pixel_mm, cosines = _common_geometry(series, name)
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column)
    positions = np.array([_numbers(one, "ImagePositionPatient", 3, name) for one in series.slices])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    if len(order) < 2:
        raise BadInput("one_slice", f"Series {name} has a single slice.", "Choose the folder with the whole series.")
    names = [os.path.basename(series.slices[index].path) for index in order]
    _check_steps(series, np.diff(along[order]), names, along[order], name)
    _check_tilt(positions[order], normal, min(pixel_mm), name)
    step = float(along[order[-1]] - along[order[0]]) / (len(order) - 1)
    direction = np.stack([row, column, normal], axis=1)
    return SliceGrid(
        [int(index) for index in order],
        shape,
        tuple(float(value) for value in positions[order[0]]),
        (pixel_mm[1], pixel_mm[0], step),  # PixelSpacing is (between rows, between columns)
        tuple(float(value) for value in direction.ravel()),
    )


def _common_geometry(series, name: str) -> tuple[tuple[int, int], tuple[float, float], np.ndarray]:
    """Shape, pixel spacing and direction cosines that all slices share."""
    first = series.slices[0]
    shape = (int(first.header.Rows), int(first.header.Columns))
    pixel_mm = _numbers(first, "PixelSpacing", 2, name)
    cosines = _numbers(first, "ImageOrientationPatient", 6, name)
    for one in series.slices[1:]:
        same = (
            (one.header.get("Rows"), one.header.get("Columns")) == shape
            and np.allclose(_numbers(one, "PixelSpacing", 2, name), pixel_mm, rtol=1e-4)
            and np.allclose(_numbers(one, "ImageOrientationPatient", 6, name), cosines, atol=1e-3)
        )
        if not same:
            files = f"'{os.path.basename(first.path)}' and '{os.path.basename(one.path)}'"
            text = f"Series {name} mixes slices of different size, spacing or orientation: {files}."
            raise BadInput(
                "dicom_mixed_geometry", text, "Choose a series of one volume; leave scout pictures and screenshots out."
            )
    if not np.all(pixel_mm > 0):
        raise BadInput(
            "bad_spacing", f"The Pixel Spacing (0028,0030) of series {name} is {pixel_mm.tolist()} mm.", EXPORT_HINT
        )
    row, column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(lengths[0] - 1) > 1e-2 or abs(lengths[1] - 1) > 1e-2 or abs(row @ column) > 2e-3:
        text = (
            f"Rows and columns of series {name} are not at right angles (0020,0037): {np.round(cosines, 4).tolist()}."
        )
        raise BadInput("sheared", text, "Resample it to a regular grid in 3D Slicer, then try again.")
    row = row / lengths[0]
    column = column - row * (row @ column)  # exactly orthonormal, as rounded cosines are not
    return shape, (float(pixel_mm[0]), float(pixel_mm[1])), np.concatenate([row, column / np.linalg.norm(column)])


def _numbers(one, keyword: str, count: int, name: str) -> np.ndarray:
    tags = {
        "ImagePositionPatient": "Image Position (0020,0032)",
        "ImageOrientationPatient": "Image Orientation (0020,0037)",
        "PixelSpacing": "Pixel Spacing (0028,0030)",
    }
    try:
        values = np.array([float(value) for value in one.header.get(keyword)])
        if values.size == count and np.all(np.isfinite(values)):
            return values
    except (TypeError, ValueError):
        pass
    text = f"The {tags[keyword]} of '{os.path.basename(one.path)}' in series {name} is missing or damaged."
    raise BadInput("dicom_no_position", text, EXPORT_HINT)


def _check_steps(series, steps: np.ndarray, names: list[str], along: np.ndarray, name: str) -> None:
    if np.any(same := steps < SAME_POSITION_MM):
        first = int(np.argmax(same))
        places = int(np.sum(~same)) + 1
        text = (
            f"Series {name} has {int(same.sum())} duplicate slices: {len(names)} files at {places} positions, "
            f"for example '{names[first]}' and '{names[first + 1]}', both at {along[first]:.2f} mm."
        )
        hint = "Remove the copies."
        if len(names) % places == 0 and len(names) // places > 1:
            hint += f" If the series is gated, dynamic or 4D ({len(names) // places} volumes), choose one of them."
        raise BadInput("dicom_duplicate_slices", text, hint)
    usual = float(np.median(steps))
    gaps = np.flatnonzero(steps > 1.5 * usual)
    if gaps.size:
        missing = int(sum(round(steps[gap] / usual) - 1 for gap in gaps))
        where = "; ".join(
            f"between '{names[gap]}' and '{names[gap + 1]}' ({along[gap]:.2f} to {along[gap + 1]:.2f} mm)"
            for gap in gaps[:3]
        )
        count = f"about {missing} of {len(names) + missing} slices"
        text = f"Series {name} misses {count}: {where}; the step is {usual:.3g} mm elsewhere."
        raise BadInput("dicom_missing_slices", text, EXPORT_HINT)
    if (worst := float(np.abs(steps - usual).max())) > 0.05 * usual:
        text = f"The slices of series {name} are unevenly spaced: steps from {steps.min():.4g} to {steps.max():.4g} mm."
        hint = f"A volume needs one step (here up to {worst:.3g} mm off). Resample it, or export another series."
        raise BadInput("dicom_irregular_slices", text, hint)


def _check_tilt(positions: np.ndarray, normal: np.ndarray, pixel_mm: float, name: str) -> None:
    """Slices that move sideways: gantry tilt, which a right-angled grid cannot hold."""
    offset = positions - positions[0]
    sideways = offset - np.outer(offset @ normal, normal)
    worst = float(np.linalg.norm(sideways, axis=1).max())
    if worst > max(0.1, 0.1 * pixel_mm):
        last = np.linalg.norm(sideways[-1])
        degrees = math.degrees(math.atan2(last, float(offset[-1] @ normal)))
        tilt = f"by up to {worst:.2f} mm (gantry tilt of {degrees:.1f} degrees)"
        text = f"The slices of series {name} are shifted against each other {tilt}."
        raise BadInput(
            "sheared",
            text,
            "Load it in 3D Slicer with the acquisition geometry regularized, and save it as NRRD or NIfTI.",
        )
