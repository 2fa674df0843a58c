"""Hand-crafted features of a tumor in PET and CT after the Image Biomarker Standardisation Initiative (IBSI).

Computed by mirp (Zwanenburg A, Löck S. MIRP: A Python package for standardised radiomics. JOSS 2024;9:6413,
doi:10.21105/joss.06413). Definitions and reference values: Zwanenburg A et al. The Image Biomarker Standardization
Initiative. Radiology 2020;295:328, doi:10.1148/radiol.2020191145. The processing of the CT is the IBSI's configuration
C: trilinear interpolation to 2 mm, -1000 to 400 HU, bins of 25 HU, matrices merged in 3D.
The PET is interpolated alike, its bins are 0.5 SUV wide from 0.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput, MissingDependency

from ..cohort.cases import Case
from .autocorrelation import exact_in_mirp

VERSION = 1  # of everything here that the numbers depend on
MODALITIES = ("pet", "ct")


@dataclass(frozen=True)
class RadiomicsSettings:
    """Image processing and choice of features.

    :param spacing_mm: side of the cubes that images and mask are resampled to.
    :param pet_bin_suv: bin width of the PET for histogram and texture, from 0 SUV.
    :param ct_bin_hu: bin width of the CT, from the lower end of ``ct_range_hu``.
    :param ct_range_hu: voxels outside are left out of the CT's intensity and texture features.
    :param families: mirp's names of the feature families; ("all",) for all.
    """

    spacing_mm: float = 2.0
    pet_bin_suv: float = 0.5
    ct_bin_hu: float = 25.0
    ct_range_hu: tuple[float, float] = (-1000.0, 400.0)
    families: tuple[str, ...] = ("all",)

    def name(self, modality: str) -> str:
        """Names this computation in a patient's cache."""
        bins = (self.pet_bin_suv,) if modality == "pet" else (self.ct_bin_hu, *self.ct_range_hu)
        return f"radiomics {modality} {VERSION} {self.spacing_mm} {bins} {' '.join(self.families)}"


RADIOMICS_PRESETS = {
    "paper": RadiomicsSettings(),
    "paper_k3": RadiomicsSettings(),
    "compact": RadiomicsSettings(),
    "smoke": RadiomicsSettings(spacing_mm=4.0),
}


def case_features(
    case: Case, settings: RadiomicsSettings | str = "compact", modalities: tuple[str, ...] = MODALITIES
) -> dict[str, float]:
    """A patient's features, computed once and then read from the patient's cache.

    :param settings: or the name of a preset.
    :param modalities: "pet", "ct" or both.
    :returns: finite or NaN, by name: "pet_stat_mean" (SUV), "ct_cm_contrast_d1_3d_v_mrg", ...; and, of the mask with
        the PET, "measured_volume_ml" and the other :data:`CHMFLPredictorLib.tumor.measurements.MEASUREMENTS`.
    :raises BadInput: those of reading, mask_outside_image, mask_too_small; MissingDependency: mirp_missing.
    """
    settings = RADIOMICS_PRESETS[settings] if isinstance(settings, str) else settings
    values = measured(case) if "pet" in modalities else {}
    for modality in modalities:
        part = case.features(settings.name(modality), lambda case, which=modality: _of_case(case, which, settings))
        values |= {f"{modality}_{name}": value for name, value in part.items()}
    return values


def measured(case: Case) -> dict[str, float]:
    """Volume, uptake and diameter of the tumor by the mask (:func:`CHMFLPredictorLib.tumor.measurements.measure`), by
    name "measured_volume_ml" and so on; NaN for what cannot be measured. Cached.
    """
    return case.features("measurements 1", _measured)


def feature_table(cases: list[Case], settings: RadiomicsSettings | str = "compact", modalities=MODALITIES):
    """Features of several patients: names and an array (patients, features); NaN where a patient lacks a feature."""
    rows = [case_features(case, settings, modalities) for case in cases]
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, math.nan) for name in names] for row in rows], dtype=np.float64)


def extract(image: sitk.Image, mask: sitk.Image, modality: str = "generic", **options) -> dict[str, float]:
    """Features of one image in one mask by mirp, with mirp's own options.

    :param image: SUV, HU or any other values.
    :param mask: 0 and 1, on any grid of the same space; it is brought to the interpolated image's voxels.
    :param modality: "pet", "ct" or "generic".
    :param options: of :func:`mirp.extract_features`, e.g. ``new_spacing=2.0``.
    :returns: value by mirp's name; NaN for what is not defined.
    :raises BadInput: mask_outside_image, mask_too_small.
    """
    mirp = _mirp()
    _refuse_apart(image, mask, modality)
    with tempfile.TemporaryDirectory(prefix="chmfl_radiomics_") as folder, _quiet(), exact_in_mirp():
        paths = [str(Path(folder) / name) for name in ("image.nii", "mask.nii")]
        # float32 keeps every HU and SUV; mirp reads LPS positions from NIfTI as SimpleITK writes them
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), paths[0])
        sitk.WriteImage(sitk.Cast(mask, sitk.sitkUInt8), paths[1])
        chosen = {} if modality == "generic" else {"image_modality": modality}
        tables = mirp.extract_features(image=paths[0], mask=paths[1], **chosen, **options)
    row = tables[0].iloc[0]
    first = list(row.index).index("image_mask_adapt_size") + 1  # what stands before describes the file
    values = {name: math.nan if value is None else float(value) for name, value in row.iloc[first:].items()}
    if not any(math.isfinite(value) for value in values.values()):
        text = f"The mask has no voxel left after interpolation of the {modality.upper()}."
        raise BadInput("mask_too_small", text, "Check the mask; a tumor of a few voxels has no texture.")
    return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}


def _refuse_apart(image: sitk.Image, mask: sitk.Image, modality: str) -> None:
    """BadInput where no voxel of the tumor lies in the image."""
    ones = sitk.Cast(image * 0, sitk.sitkUInt8) + 1
    inside = sitk.Resample(ones, mask, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    if not ((sitk.GetArrayViewFromImage(inside) > 0) & (sitk.GetArrayViewFromImage(mask) > 0)).any():
        text = f"The mask holds no voxel of the {modality.upper()} image."
        raise BadInput("mask_outside_image", text, "Check that mask and image belong together.")


def options_for(modality: str, settings: RadiomicsSettings) -> dict:
    """Mirp's options for one modality."""
    options = {
        "new_spacing": settings.spacing_mm,
        "spline_order": 1,
        "anti_aliasing": False,
        "base_feature_families": list(settings.families),
        "base_discretisation_method": "fixed_bin_size",
        "base_discretisation_bin_width": settings.pet_bin_suv if modality == "pet" else settings.ct_bin_hu,
    }
    if modality == "ct":
        options["resegmentation_intensity_range"] = [float(limit) for limit in settings.ct_range_hu]
    return options


def _of_case(case: Case, modality: str, settings: RadiomicsSettings) -> dict[str, float]:
    from CHMFLPredictorLib.reading import volumes

    read = volumes.read_pet if modality == "pet" else volumes.read_ct
    image, mask = read(getattr(case.paths, modality)).image, volumes.read_mask(case.paths.mask).image
    return extract(image, mask, modality, **options_for(modality, settings))


def _measured(case: Case) -> dict[str, float]:
    from CHMFLPredictorLib.reading import volumes
    from CHMFLPredictorLib.tumor import measurements

    values = measurements.measure(volumes.read_mask(case.paths.mask).image, volumes.read_pet(case.paths.pet).image)
    return {f"measured_{name}": math.nan if value is None else value for name, value in values.items()}


def _mirp():
    try:
        import mirp
    except ImportError as error:
        hint = "Install it: pip install mirp."
        raise MissingDependency("mirp_missing", "Radiomic features need the Python package mirp.", hint) from error
    return mirp


@contextlib.contextmanager
def _quiet():
    """Without mirp's lines on stdout, where a run's progress goes: its logging.basicConfig does nothing when the root
    has a handler. Its warnings tell of grids that differ, which PET and mask do by nature.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    before = root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
