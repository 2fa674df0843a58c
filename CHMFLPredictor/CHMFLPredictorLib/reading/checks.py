"""What an image must be before a prediction may use it: its geometry, its values, how PET and CT lie to each other."""

import math
import os

import numpy as np
import SimpleITK as sitk

from ..errors import BadInput
from .geometry import SAME_AXES, VoxelGrid, middle_lps, squared
from .integrity import values_not_finite

SPACING_MM = (0.1, 20.0)
EXTENT_MM = 3000.0
SAMPLE_VOXELS = 200_000
HIGHEST_SUV_P99, LOWEST_BQML_P99 = 60.0, 300.0
OVERLAP_NEEDED, OVERLAP_EXPECTED = 0.5, 0.9
RESAMPLE_HINT = "Resample it to a regular grid (3D Slicer: Resample Scalar/Vector/DWI Volume), then try again."


def warning(code: str, text: str) -> dict:
    """A warning as every result carries it."""
    return {"code": code, "text": text}


def settle_axes(image: sitk.Image) -> None:
    """Set what is zero but for rounding in an image's directions to zero, and put axes that are off right angles by
    rounding at right angles around the image's middle, in place.

    ITK cannot invert directions that hold numbers like 1e-320, and resamples to nothing then.
    """
    direction, middle = np.array(image.GetDirection()).reshape(3, 3), middle_lps(image)
    skewed = np.abs(direction.T @ direction - np.eye(3)).max() > SAME_AXES
    settled = squared(direction) if skewed else np.where(np.abs(direction) < 1e-12, 0.0, direction)
    if not np.array_equal(settled, direction):
        image.SetDirection(settled.ravel().tolist())
    if skewed:
        image.SetOrigin((np.array(image.GetOrigin()) + middle - middle_lps(image)).tolist())


def check_geometry(image: sitk.Image, name: str) -> list[dict]:
    """Refuse a grid that is no volume: one slice, spacing of zero or out of range, axes not at right angles.

    :param name: how messages call the image, for example ``"PET 'a/b.nii.gz'"``.
    :return: warnings (thin_volume).
    :raises BadInput: one_slice, bad_spacing, bad_position, sheared.
    """
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    voxels, steps = " x ".join(map(str, size)), " x ".join(f"{step:.4g}" for step in spacing)
    if size.min() < 2:
        raise BadInput(
            "one_slice",
            f"The {name} has {voxels} voxels: a single slice.",
            "Choose the whole volume or its DICOM folder.",
        )
    if not np.all(np.isfinite(spacing)) or spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        low, high = SPACING_MM
        hint = f"{low:g} to {high:g} mm are usual. Correct it in the file (3D Slicer: Volumes > Volume Information)."
        raise BadInput("bad_spacing", f"The {name} has a voxel spacing of {steps} mm.", hint)
    extent = size * spacing
    if extent.max() > EXTENT_MM:
        text = f"The {name} is {' x '.join(f'{mm:.0f}' for mm in extent)} mm large ({voxels} voxels of {steps} mm)."
        raise BadInput("bad_spacing", text, "No patient is that large: correct the spacing in the file.")
    if not np.all(np.isfinite(image.GetOrigin())):
        raise BadInput(
            "bad_position", f"The position of the {name} is {image.GetOrigin()}.", "Export the volume again."
        )
    direction = np.array(image.GetDirection()).reshape(3, 3)
    off = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if not off < 2e-3:  # 0.1 degrees
        degrees = math.degrees(math.asin(min(1.0, off)))
        raise BadInput("sheared", f"The axes of the {name} are {degrees:.2f} degrees off right angles.", RESAMPLE_HINT)
    if extent.min() < 30:
        return [warning("thin_volume", f"The {_role(name)} is only {extent.min():.0f} mm thick.")]
    return []


def check_values(image: sitk.Image, name: str) -> tuple[float, float]:
    """Refuse values that are no image: none, NaN or infinite, all the same.

    :return: lowest and highest value.
    :raises BadInput: not_finite, empty_volume, constant_volume.
    """
    values = sitk.GetArrayViewFromImage(image)
    if values.size == 0:
        raise BadInput("empty_volume", f"The {name} has no voxels.", "Choose another volume.")
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise values_not_finite(name, int(np.count_nonzero(~np.isfinite(values))))
    if low == high:
        code = "empty_volume" if low == 0 else "constant_volume"
        raise BadInput(code, f"Every voxel of the {name} is {low:g}.", "Choose the volume with the image itself.")
    return low, high


def sampled(image: sitk.Image) -> np.ndarray:
    """About 200 000 voxel values, evenly taken: enough to tell what an image is."""
    values = sitk.GetArrayViewFromImage(image).ravel()
    step = max(1, values.size // SAMPLE_VOXELS)
    return values[:: step + 1 - step % 2].copy()  # odd, so that columns do not alias


def refuse_label_map(image: sitk.Image, name: str, role: str) -> None:
    """Raise label_map_as_pet or label_map_as_ct where the image holds few whole numbers only."""
    if (labels := few_labels(image)) is None:
        return
    listing = ", ".join(f"{label:g}" for label in labels[:8]) + (", ..." if len(labels) > 8 else "")
    raise BadInput(
        f"label_map_as_{role.lower()}",
        f"The {name} looks like a label map or segmentation: its only values are {listing}.",
        f"Choose the {role} itself. A tumor mask goes to --segmentation.",
    )


def few_labels(image: sitk.Image, most: int = 32) -> np.ndarray | None:
    """The distinct values if they are few, whole and not negative, else None."""
    sample = sampled(image)
    if np.any(sample != np.rint(sample)) or np.unique(sample).size > most:
        return None
    labels = np.unique(sitk.GetArrayViewFromImage(image))
    return labels if labels.size <= most and labels[0] >= 0 and np.all(labels == np.rint(labels)) else None


def looks_like_ct(low: float, sample: np.ndarray) -> bool:
    """Air and fat: strongly negative values that no PET has."""
    return low <= -300 and float(np.mean(sample < -200)) > 0.005


def looks_like_pet(low: float, sample: np.ndarray) -> bool:
    """No air, and values as low as SUV. (Values from 0 to thousands may be Bq/ml or a CT without its offset.)"""
    return low > -50 and float(np.percentile(sample, 99)) <= HIGHEST_SUV_P99


def judge_pet_units(low: float, high: float, sample: np.ndarray, name: str) -> list[dict]:
    """Whether a PET without units holds SUV, by its values.

    :return: the warning that says what was assumed.
    :raises BadInput: pet_in_bqml, pet_units_unknown.
    """
    p99 = float(np.percentile(sample, 99))
    values = f"values {low:.4g} to {high:.4g}, 99th percentile {p99:.4g}"
    suv_hint = "Give the PET as DICOM folder (dose, weight and times are read from it) or converted to body-weight SUV."
    if p99 >= LOWEST_BQML_P99:
        text = (
            f"The {name} is not in SUV: it looks like Bq/ml ({values}), and no dose and weight are there to convert it."
        )
        raise BadInput("pet_in_bqml", text, suv_hint)
    whole = bool(np.all(sample == np.rint(sample)))
    if p99 > HIGHEST_SUV_P99 or (whole and high > 30):
        kind = ", whole numbers only" if whole else ""
        raise BadInput("pet_units_unknown", f"The units of the {name} cannot be told ({values}{kind}).", suv_hint)
    text = f"The {_role(name)} names no units; its {values} were taken for body-weight SUV."
    return [warning("pet_units_assumed", text)]


def check_suv(high: float, sample: np.ndarray) -> list[dict]:
    """Whether SUV that was computed from DICOM is what a patient can have.

    :return: warnings (suv_unusual).
    """
    p99 = float(np.percentile(sample, 99))
    if high >= 0.5 and p99 <= HIGHEST_SUV_P99:
        return []
    text = (
        f"The SUV of the PET is unusual (highest {high:.3g}, 99th percentile {p99:.3g}): check dose, weight and times."
    )
    return [warning("suv_unusual", text)]


def check_hounsfield(low: float, sample: np.ndarray, name: str) -> list[dict]:
    """Whether values can be Hounsfield units.

    :return: warnings (ct_without_air).
    :raises BadInput: ct_not_hu where an offset was forgotten or the image is something else.
    """
    if low > -50:
        hint = "If it is a CT, apply its rescale slope and intercept (usually subtract 1024), or give its DICOM folder."
        values = f"its lowest value is {low:.4g}, its 99th percentile {np.percentile(sample, 99):.4g}"
        raise BadInput("ct_not_hu", f"The {name} is not in Hounsfield units: {values}.", hint)
    if low > -300:
        text = f"The lowest value of the {_role(name)} is {low:.0f} HU: it has no air or was cut to a window."
        return [warning("ct_without_air", text)]
    return []


def _role(name: str) -> str:
    """The name without its path: a warning reaches the report, where the path says nothing."""
    return name.split(" '")[0]


# PET and CT together ----------------------------------------------------------------------------------------------


def same_path(first: str, second: str) -> bool:
    """Whether two paths lead to the same file or folder."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.abspath(first) == os.path.abspath(second)


def same_content(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two images have the same grid and the same values."""
    if first.GetSize() != second.GetSize() or not np.allclose(first.GetOrigin(), second.GetOrigin(), atol=1e-3):
        return False
    return np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))


def check_overlap(pet: VoxelGrid, ct: VoxelGrid) -> list[dict]:
    """Refuse a PET and a CT that lie apart or share too little; the grids are of the same coordinates.

    :return: warnings (partial_overlap).
    :raises BadInput: no_overlap, partial_overlap.
    """
    pet_share, ct_share = pet.share_in(ct), ct.share_in(pet)
    share = max(pet_share, ct_share)
    hint = "Choose PET and CT of one examination, in one frame of reference (registered to each other)."
    if share == 0:
        apart = np.linalg.norm(pet.middle - ct.middle)
        raise BadInput(
            "no_overlap", f"The PET and the CT do not overlap: their centers are {apart:.0f} mm apart.", hint
        )
    shares = f"{pet_share:.0%} of the PET lies in the CT, {ct_share:.0%} of the CT in the PET"
    text = f"The PET and the CT overlap only partly: {shares}."
    if share < OVERLAP_NEEDED:
        raise BadInput("partial_overlap", text, hint)
    return [warning("partial_overlap", text)] if share < OVERLAP_EXPECTED else []
