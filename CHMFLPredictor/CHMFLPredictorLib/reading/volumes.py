"""PET, CT and mask from files or DICOM folders into SimpleITK images that a prediction may trust.

Everything in SimpleITK's LPS geometry, mm. PET comes out in body-weight SUV (g/ml), CT in HU. Refusals are BadInput.
"""

import os
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ..errors import BadInput, OutOfMemory
from . import checks, dicom
from .checks import check_overlap, looks_like_ct, looks_like_pet, sampled, warning
from .filled import AIR_HU, without_filled_border
from .geometry import VoxelGrid
from .image_files import read_file, require_file, told_by, write_image
from .masks import check_mask, tumor_label
from .study import choose_study
from .suv import suv_factors

__all__ = [
    "AIR_HU",
    "Volume",
    "check_mask",
    "check_pair",
    "read_ct",
    "read_mask",
    "read_pair",
    "read_pet",
    "read_volume",
    "write_image",
]

LOWEST_HU = -1024.0  # that a scanner writes; what lies below is padding outside its circle
HEADER_FIELDS = ("chmfl_modality", "chmfl_units")  # what the Slicer scene knew of a volume that it wrote
SWAP_HINT = "Check that PET and CT were not swapped or chosen twice."


@dataclass
class Volume:
    """A 3D image and what is known about it.

    :ivar image: 3D, float32 (a mask: uint8, 0 and 1; a CT of a pair: int16 where it is stored so), SimpleITK's LPS
        geometry, mm.
    :ivar modality: "PT", "CT", "SEG" or None if the file does not tell.
    :ivar units: "SUV" (body weight), "HU", "BQML" or None if the file does not tell.
    :ivar source: the path it was read from.
    :ivar warnings: ``{"code", "text"}`` each.
    :ivar dicom: series_uid, description, patient_id, frame_of_reference_uid of a DICOM series; empty for files.
    :ivar no_data: where a CT's border was filled with a constant, uint8 (0 and 1) on the same grid; None: nowhere.
    """

    image: sitk.Image
    modality: str | None = None
    units: str | None = None
    source: str = ""
    warnings: list[dict] = field(default_factory=list)
    dicom: dict = field(default_factory=dict)
    no_data: sitk.Image | None = None


def read_volume(path) -> Volume:
    """Read a volume whatever it is, without judging its values beyond NaN, emptiness and geometry.

    :param path: a file that SimpleITK reads, one DICOM file (its series is read), or a DICOM folder with one series.
    :raises BadInput: see :func:`.image_files.read_file`, :mod:`.dicom`, :mod:`.checks`.
    """
    volume, _ = _read(path, "volume")
    return volume


def read_pet(path, series: dicom.Series | None = None) -> Volume:
    """Read a PET as body-weight SUV.

    :param series: of a folder's DICOM series, the one that was chosen already.

    DICOM is converted by :func:`.suv.suv_factors`, slice by slice. A file without units is judged by its values, and a
    warning (pet_units_assumed) says what was assumed.

    :raises BadInput: besides those of :func:`read_volume`: pet_is_ct, label_map_as_pet, pet_in_bqml, pet_units_unknown,
        and those of :mod:`.suv`.
    """
    volume, (low, high) = _read(path, "PET", series)
    name, sample = f"PET '{path}'", sampled(volume.image)
    if looks_like_ct(low, sample):
        raise BadInput("pet_is_ct", f"The {name} looks like a CT: its values go down to {low:.0f}.", SWAP_HINT)
    if volume.units != "SUV":
        checks.refuse_label_map(volume.image, name, "PET")
        volume.warnings += checks.judge_pet_units(low, high, sample, name)
        volume.modality, volume.units = "PT", "SUV"
    else:
        volume.warnings += checks.check_suv(high, sample)
    return volume


def read_ct(path, series: dicom.Series | None = None, as_stored: bool = False) -> Volume:
    """Read a CT in Hounsfield units; values below -1024 HU (padding outside the scanner's circle) become -1024, and a
    border that was filled with another constant becomes air (``no_data``, and the warning ct_border_filled).

    :param series: of a folder's DICOM series, the one that was chosen already.
    :param as_stored: leave 16-bit whole numbers what they are: half the memory of a whole body.
    :raises BadInput: besides those of :func:`read_volume`: ct_is_pet, ct_not_hu, label_map_as_ct.
    """
    volume, (low, _) = _read(path, "CT", series, as_stored)
    name, sample = f"CT '{path}'", sampled(volume.image)
    if volume.modality is None:
        checks.refuse_label_map(volume.image, name, "CT")
        if looks_like_pet(low, sample):
            p99 = float(np.percentile(sample, 99))
            text = f"The {name} looks like a PET: its lowest value is {low:.3g}, its 99th percentile {p99:.3g}."
            raise BadInput("ct_is_pet", text, SWAP_HINT)
    volume.warnings += checks.check_hounsfield(low, sample, name)
    if low < LOWEST_HU:
        volume.image = sitk.Maximum(volume.image, LOWEST_HU)
    volume.image, volume.no_data, filled = without_filled_border(volume.image, low)
    volume.warnings += filled
    volume.modality, volume.units = "CT", "HU"
    return volume


def read_pair(pet_path, ct_path) -> tuple[Volume, Volume, list[dict]]:
    """Read a PET and a CT and check them together. One DICOM folder given for both is a study, see :mod:`.study`.

    :return: PET in SUV, CT in HU, and all warnings.
    :raises BadInput: those of :func:`read_pet`, :func:`read_ct` and :func:`check_pair`; swapped_pet_ct and same_volume
        are told apart from an image that is wrong alone.
    """
    pet_path, ct_path = (dicom.folder_of_index(os.path.expanduser(str(path))) for path in (pet_path, ct_path))
    if checks.same_path(pet_path, ct_path) and os.path.isdir(pet_path):
        pet_series, ct_series = choose_study(pet_path)
        pet, ct = read_pet(pet_path, pet_series), read_ct(ct_path, ct_series)
        return pet, ct, pet.warnings + ct.warnings + check_pair(pet, ct)
    if checks.same_path(pet_path, ct_path) and os.path.isfile(pet_path):
        raise BadInput("same_volume", f"PET and CT are the same file '{pet_path}'.", "Choose the other one of the two.")
    try:
        pet = read_pet(pet_path)
    except BadInput as error:
        if error.code == "pet_is_ct":
            _explain_wrong_modality(error, pet_path, ct_path)
        raise
    try:
        ct = read_ct(ct_path, as_stored=True)
    except BadInput as error:
        if error.code == "ct_is_pet" and same_values(pet_path, ct_path):
            raise _same_volume(pet_path, ct_path) from error
        raise
    return pet, ct, pet.warnings + ct.warnings + check_pair(pet, ct)


def check_pair(pet: Volume, ct: Volume) -> list[dict]:
    """Check that a PET and a CT belong together: not one volume twice, not swapped, overlapping.

    :return: warnings (partial_overlap, frames_of_reference_differ, patients_differ).
    :raises BadInput: swapped_pet_ct, same_volume, no_overlap, partial_overlap.
    """
    if (pet.modality, ct.modality) == ("CT", "PT"):
        raise BadInput(
            "swapped_pet_ct", "PET and CT are swapped.", f"Give '{ct.source}' as PET and '{pet.source}' as CT."
        )
    if pet.image is ct.image or checks.same_content(pet.image, ct.image):
        raise _same_volume(pet.source, ct.source)
    pet_low, ct_low = (float(sitk.GetArrayViewFromImage(volume.image).min()) for volume in (pet, ct))
    if looks_like_ct(pet_low, sampled(pet.image)):
        raise BadInput("swapped_pet_ct", f"The PET looks like a CT: its values go down to {pet_low:.0f}.", SWAP_HINT)
    if looks_like_pet(ct_low, sampled(ct.image)):
        raise BadInput("swapped_pet_ct", f"The CT looks like a PET: its lowest value is {ct_low:.3g}.", SWAP_HINT)
    warnings = check_overlap(VoxelGrid.of_image(pet.image), VoxelGrid.of_image(ct.image))
    for key, code, what in (
        ("patient_id", "patients_differ", "patients"),
        ("frame_of_reference_uid", "frames_of_reference_differ", "frames of reference"),
    ):
        if pet.dicom.get(key) and ct.dicom.get(key) and pet.dicom[key] != ct.dicom[key]:
            text = f"By their DICOM headers, PET and CT come from different {what}. Check that they belong together."
            warnings.append(warning(code, text))
    return warnings


def read_mask(path, label: int | None = None) -> Volume:
    """Read a tumor mask.

    :param path: a file that SimpleITK reads, with 0 outside and one other value inside.
    :param label: the value that is the tumor, where the file holds several.
    :return: Volume with a uint8 image of 0 and 1, modality "SEG".
    :raises BadInput: mask_is_dicom, mask_not_binary, mask_many_labels, mask_empty, mask_full, and those of any file.
    """
    path = os.path.expanduser(str(path))
    if os.path.isdir(path) or dicom.is_dicom_file(path):
        hint = "Load it into 3D Slicer and export the tumor as a label map (NIfTI or NRRD)."
        raise BadInput("mask_is_dicom", f"The mask '{path}' is DICOM or a folder, not an image file.", hint)
    image = read_file(path, "mask", keep=(sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16))
    warnings = told_by(image) + checks.check_geometry(image, f"mask '{path}'")
    checks.settle_axes(image)
    values = sitk.GetArrayViewFromImage(image)
    tumor = tumor_label(values, label, float(np.prod(image.GetSpacing())) / 1000, path)
    binary = sitk.GetImageFromArray((values == tumor).astype(np.uint8))
    binary.CopyInformation(image)
    return Volume(binary, "SEG", None, path, warnings)


# Inside ----------------------------------------------------------------------------------------------


def _read(
    path, role: str, series: dicom.Series | None = None, as_stored: bool = False
) -> tuple[Volume, tuple[float, float]]:
    path = dicom.folder_of_index(os.path.expanduser(str(path)))
    try:
        volume = _load(path, role, as_stored) if series is None else _from_series(series, path, role)
        volume.warnings += checks.check_geometry(volume.image, f"{role} '{path}'")
        checks.settle_axes(volume.image)
        return volume, checks.check_values(volume.image, f"{role} '{path}'")
    except MemoryError as error:
        text = f"The {role} '{path}' does not fit into this computer's memory."
        raise OutOfMemory(
            "out_of_memory", text, "Close other programs, or crop the volume around the tumor."
        ) from error


def _load(path: str, role: str, as_stored: bool = False) -> Volume:
    if os.path.isdir(path):
        return _from_series(dicom.choose_series(dicom.find_series(path), path, role), path, role)
    require_file(path, role)
    if dicom.is_dicom_file(path):
        return _from_series(dicom.series_of_file(path, role), path, role)
    image = read_file(path, role, keep=(sitk.sitkInt16,) if as_stored else ())
    known = {key: image.GetMetaData(key) for key in HEADER_FIELDS if image.HasMetaDataKey(key)}
    modality, units = (known.get(key) for key in HEADER_FIELDS)
    if modality not in ("PT", "CT"):
        modality = None
    return Volume(image, modality, units if units in ("SUV", "HU") else None, path, told_by(image))


def _from_series(series: dicom.Series, path: str, role: str) -> Volume:
    wanted = {"PET": "PT", "CT": "CT"}.get(role)
    if wanted and series.modality != wanted:
        code = {("PET", "CT"): "pet_is_ct", ("CT", "PT"): "ct_is_pet"}.get((role, series.modality), "wrong_modality")
        raise BadInput(code, f"The {role} '{path}' is a {series.modality} series: {series.describe()}.", SWAP_HINT)
    conversions = []

    def factors_of(headers: list) -> np.ndarray:
        conversions.append(suv_factors(headers, f"PET series {series.describe()}"))
        return conversions[0].factors

    image, warnings = dicom.load_series(series, factors_of if role == "PET" else None)
    for conversion in conversions:
        warnings += conversion.told(float(sitk.GetArrayViewFromImage(image).max()))
    units = {"CT": "HU", "PT": str(series.headers()[0].get("Units", "")) or None}.get(series.modality)
    told = [*series.notes, *warnings]
    return Volume(image, series.modality, "SUV" if role == "PET" else units, path, told, series.identity())


def _explain_wrong_modality(error: BadInput, pet_path: str, ct_path: str) -> None:
    """Tell swapped from the same volume twice, where the "PET" turned out to be a CT."""
    if same_values(pet_path, ct_path):
        raise _same_volume(pet_path, ct_path) from error
    try:
        read_ct(ct_path)
    except BadInput as other:
        if other.code == "ct_is_pet":
            text = f"PET and CT are swapped: '{pet_path}' is a CT and '{ct_path}' is a PET."
            raise BadInput("swapped_pet_ct", text, "Give them the other way round.") from error


def same_values(first: str, second: str) -> bool:
    """Whether two paths lead to the same volume, under whatever names and formats."""
    if checks.same_path(first, second):
        return True
    try:
        return checks.same_content(read_volume(first).image, read_volume(second).image)
    except BadInput:
        return False


def _same_volume(first: str, second: str) -> BadInput:
    return BadInput(
        "same_volume", f"PET '{first}' and CT '{second}' are the same volume.", "Choose the other one of the two."
    )
