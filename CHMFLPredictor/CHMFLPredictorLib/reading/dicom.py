"""DICOM series: found in folders, told apart by SeriesInstanceUID, and put together slice by slice.

A series becomes a volume only if its slices lie on one regular, right-angled grid: gaps, duplicates, mixed orientations
and gantry tilt are refused with the names of the files. Geometry is DICOM's LPS in mm; rescaling is each slice's own.
"""

import os
import warnings as python_warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ..errors import BadInput, MissingDependency
from .dicom_grid import slice_grid

MOST_FILES = 20_000
SUFFIXES = (".dcm", ".dicom", ".ima")
INDEX = "DICOMDIR"
NOT_SLICES = (INDEX, "LICENSE", "VERSION")
# Value representations of an element that a file without preamble may begin with
FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH")
ONE_SERIES_HINT = (
    "Give one DICOM file of the wanted series instead of the folder, or move the series into a folder of its own."
)


@dataclass
class Slice:
    """One DICOM file: its path and its header without the pixels (a pydicom Dataset)."""

    path: str
    header: object


@dataclass
class Series:
    """The files that share a SeriesInstanceUID."""

    uid: str
    modality: str
    description: str
    slices: list[Slice] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)  # why this one and not another: warnings

    def describe(self) -> str:
        """How messages call the series."""
        count = f"{len(self.slices)} file" + "s" * (len(self.slices) != 1)
        return f"'{self.description or 'no description'}' ({self.modality}, {count}, SeriesInstanceUID {self.uid})"

    @property
    def attenuation_corrected(self) -> bool | None:
        """What Corrected Image (0028,0051) says of a PET; None where it is absent."""
        said = self.slices[0].header.get("CorrectedImage")
        return "ATTN" in said if said else None

    def headers(self) -> list:
        """The headers, in the slices' present order (by position after ``load_series``)."""
        return [one.header for one in self.slices]

    def identity(self) -> dict:
        """What tells whether two series belong together; kept in memory only."""
        header = self.slices[0].header
        return {
            "series_uid": self.uid,
            "description": self.description,
            "patient_id": str(header.get("PatientID", "") or ""),
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "") or ""),
        }


def is_dicom_file(path: str) -> bool:
    """Whether a file is DICOM, by its magic word, its suffix, or a beginning like that of files without either."""
    return _is_marked(path) or _begins_as_dicom(path)


def is_passed_over(name: str) -> bool:
    """Whether a file's name is that of no image: hidden, or what lies beside images on a disc, in any case."""
    return name.startswith(".") or name.upper() in NOT_SLICES


def folder_of_index(path: str) -> str:
    """The folder of a DICOMDIR that is given in place of it; every other path as it is."""
    is_index = os.path.basename(path).upper() == INDEX and os.path.isfile(path)
    return os.path.dirname(os.path.abspath(path)) if is_index else path


def find_series(folder: str, recursive: bool = True) -> list[Series]:
    """All series in a folder, in order of their UID.

    :raises BadInput: dicom_none if there is no DICOM file, dicom_too_many_files, unreadable, empty_file.
    :raises MissingDependency: pydicom is not installed.
    """
    found: dict[str, Series] = {}
    files = _files(folder, recursive)
    with _quiet_pydicom() as pydicom:
        for path in files:
            header = _header(pydicom, path)
            if header is None:
                continue
            uid = str(header.get("SeriesInstanceUID", "") or "none")
            if uid not in found:
                description = str(header.get("SeriesDescription", "") or "").strip()
                found[uid] = Series(uid, str(header.get("Modality", "") or "?"), description)
            found[uid].slices.append(Slice(path, header))
    if not found:
        others = ", ".join(sorted({os.path.basename(path) for path in files})[:5]) or "no files"
        text = f"The folder '{folder}' holds no DICOM file (it has {others})."
        raise BadInput("dicom_none", text, "Choose the folder with the DICOM slices, or the image file itself.")
    return [found[uid] for uid in sorted(found)]


def choose_series(series: list[Series], folder: str, role: str) -> Series:
    """The only image series of a folder that fits; of several PETs the only one that is corrected for attenuation.

    :param role: "PET" or "CT" take the only series of that modality; anything else takes the only image series.
    :raises BadInput: dicom_no_image_series, dicom_no_pet_series, dicom_no_ct_series, dicom_many_series.
    """
    images = [one for one in series if is_volume(one)]
    listing = "; ".join(one.describe() for one in series[:10])
    if not images:
        text = f"The folder '{folder}' holds no DICOM images, only {listing}."
        raise BadInput("dicom_no_image_series", text, "Choose the folder with the image slices.")
    modality = {"PET": "PT", "CT": "CT"}.get(role)
    fitting = [one for one in images if modality is None or one.modality == modality]
    if not fitting:
        if len(images) == 1:
            return images[0]  # the caller says that it is the other one
        raise no_series(series, folder, role)
    whole = corrected(volumes_of(fitting))
    if len(whole) > 1:
        listing = "; ".join(one.describe() for one in whole[:10])
        text = f"The folder '{folder}' holds {len(whole)} {'' if modality is None else role + ' '}series: {listing}."
        raise BadInput("dicom_many_series", text, ONE_SERIES_HINT)
    return whole[0]


def no_series(series: list[Series], folder: str, role: str) -> BadInput:
    """The refusal of a folder without a PET or without a CT."""
    listing = "; ".join(one.describe() for one in series[:10])
    text = f"The folder '{folder}' holds no {role} series. Found: {listing}."
    return BadInput(f"dicom_no_{role.lower()}_series", text, f"Choose the folder with the {role}.")


def is_volume(series: Series) -> bool:
    """Whether a series holds slices in space: no structure sets, reports or scout pictures."""
    return any(
        "Rows" in one.header
        and ("ImagePositionPatient" in one.header or int(one.header.get("NumberOfFrames", 1) or 1) > 1)
        and "LOCALIZER" not in (one.header.get("ImageType") or [])
        for one in series.slices
    )


def volumes_of(series: list[Series]) -> list[Series]:
    """Those of image series with more than one slice (a scout picture lies beside a volume), or all."""
    return [one for one in series if is_volume(one) and len(one.slices) > 1] or series


def corrected(series: list[Series]) -> list[Series]:
    """Of several PETs those that are corrected for attenuation, if the headers tell; the only one notes why."""
    if len(series) < 2 or {one.modality for one in series} != {"PT"}:
        return series
    kept = [one for one in series if one.attenuation_corrected]
    if len(kept) == 1:
        others = "; ".join(one.describe() for one in series if one is not kept[0])
        text = f"The PET {kept[0].describe()} was taken: it alone is corrected for attenuation. Left alone: {others}."
        kept[0].notes.append({"code": "pet_corrected_chosen", "text": text})
    return kept or series


def series_of_file(path: str, role: str) -> Series:
    """The series that one DICOM file belongs to, from the folder it lies in."""
    with _quiet_pydicom() as pydicom:
        header = _header(pydicom, path)
    if header is None:
        raise BadInput("unreadable", f"The {role} '{path}' is not a DICOM file.", "Choose a DICOM image or its folder.")
    uid = str(header.get("SeriesInstanceUID", "") or "none")
    series = next(one for one in find_series(os.path.dirname(os.path.abspath(path)), False) if one.uid == uid)
    if not is_volume(series):
        text = f"The {role} '{path}' is no image slice but belongs to {series.describe()}."
        raise BadInput("dicom_no_image_series", text, "Choose a file of the image series, or its folder.")
    return series


def load_series(series: Series, slice_factors=None) -> tuple[sitk.Image, list[dict]]:
    """Put a series together; its slices are sorted by position along the way.

    :param slice_factors: called with the sorted headers, gives a factor for each slice (SUV), or None.
    :return: 3D float32 image (LPS, mm; rescaled, times the factor), and warnings (dicom_fewer_slices).
    :raises BadInput: those of :func:`.dicom_grid.slice_grid`; dicom_multiframe, color_volume, truncated_file,
        dicom_unreadable_pixels.
    """
    _refuse_multiframe(series)
    grid = slice_grid(series)
    series.slices = [series.slices[index] for index in grid.order]
    factors = np.ones(len(series.slices)) if slice_factors is None else slice_factors(series.headers())
    rows, columns = grid.shape
    volume = np.empty((len(series.slices), rows, columns), np.float32)
    with _quiet_pydicom() as pydicom:
        for index, one in enumerate(series.slices):
            _read_pixels(pydicom, one, volume[index], float(factors[index]))
    image = sitk.GetImageFromArray(volume)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image, _missing_ends(series)


# Inside ----------------------------------------------------------------------------------------------


@contextmanager
def _quiet_pydicom():
    """Lend pydicom with its complaints about harmless values (a decimal of 18 characters) turned off."""
    try:
        import pydicom
    except ImportError as error:
        hint = "Install it: python -m pip install pydicom. Or convert the series to NIfTI or NRRD."
        raise MissingDependency("pydicom_missing", "Reading DICOM needs the Python package pydicom.", hint) from error
    settings = pydicom.config.settings
    before = settings.reading_validation_mode
    settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            yield pydicom
    finally:
        settings.reading_validation_mode = before


def _files(folder: str, recursive: bool) -> list[str]:
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        found += [os.path.join(base, name) for name in sorted(names) if not is_passed_over(name)]
        if len(found) > MOST_FILES:
            text = f"The folder '{folder}' holds more than {MOST_FILES} files."
            raise BadInput("dicom_too_many_files", text, "Choose the folder of one examination or one series.")
    return found


def _first_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(132)
    except OSError:
        return b""


def _is_marked(path: str) -> bool:
    """Whether a file says that it is DICOM, by its suffix or by the magic word behind its preamble."""
    return os.path.splitext(path)[1].lower() in SUFFIXES or _first_bytes(path)[128:] == b"DICM"


def _begins_as_dicom(path: str) -> bool:
    """Whether a file begins with the elements of a file meta or data set, without preamble, as old archives write."""
    raw = _first_bytes(path)
    group, element, length = raw[:2], raw[2:4], int.from_bytes(raw[4:8], "little")
    if len(raw) < 132 or group not in (b"\2\0", b"\x08\0", b"\0\x08"):
        return False
    low = int.from_bytes(element, "big" if group == b"\0\x08" else "little") <= 0x60
    return low and (raw[4:6] in FIRST_VRS or (length <= 128 and length % 2 == 0))


def _header(pydicom, path: str):
    """The header of a DICOM file, or None for a file that is something else."""
    marked = _is_marked(path)
    if not marked and not _begins_as_dicom(path):
        return None
    if os.path.getsize(path) == 0:
        raise BadInput("empty_file", f"The DICOM file '{path}' has zero bytes.", "Copy or export the series again.")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if "DirectoryRecordSequence" in header:
            return None  # the index of a disc, whatever its name
        if "Modality" not in header and "SOPClassUID" not in header:
            raise ValueError("it has no DICOM header")
    except Exception as error:  # pydicom raises many kinds on damaged files
        if not marked:
            return None
        text = f"The DICOM file '{path}' cannot be read: {error}."
        raise BadInput(
            "unreadable", text, "Copy or export the series again; leaving the file out would lose a slice."
        ) from error
    return header


def _refuse_multiframe(series: Series) -> None:
    for one in series.slices:
        if int(one.header.get("NumberOfFrames", 1) or 1) > 1:
            text = (
                f"'{one.path}' of series {series.describe()} is multi-frame (enhanced) DICOM, which is not supported."
            )
            raise BadInput(
                "dicom_multiframe",
                text,
                "Convert it to NRRD or NIfTI in 3D Slicer (a PET: as SUV), or export single slices.",
            )
        if int(one.header.get("SamplesPerPixel", 1) or 1) > 1:
            text = f"'{one.path}' of series {series.describe()} is a color picture."
            raise BadInput("color_volume", text, "Choose the original series, not screenshots or fused pictures.")


def _read_pixels(pydicom, one: Slice, target: np.ndarray, factor: float) -> None:
    """Fill ``target`` (rows, columns; float32) with the rescaled values of a slice, times ``factor``."""
    try:
        dataset = pydicom.dcmread(one.path, force=True)
        if "PixelData" not in dataset:
            raise ValueError("it has no pixels")
        slope, intercept = rescale(one.header)
        if _transfer_syntax(pydicom, dataset).is_compressed:  # ITK decodes every JPEG; it applies the slope itself
            decoded = sitk.ReadImage(one.path, sitk.sitkFloat32)  # named: its array view does not keep it alive
            stored, slope, intercept = sitk.GetArrayViewFromImage(decoded)[0], 1.0, 0.0
        else:
            stored = _stored(dataset)
        np.multiply(stored, np.float32(slope * factor), out=target, casting="unsafe")
    except BadInput:
        raise
    except Exception as error:  # whatever a damaged file provokes
        text = f"The pixels of the DICOM file '{one.path}' cannot be read: {str(error).strip()[-200:]}."
        raise BadInput("dicom_unreadable_pixels", text, "Copy or export the series again.") from error
    if intercept:
        target += np.float32(intercept * factor)


def _transfer_syntax(pydicom, dataset):
    """How a data set is written: by its file meta, which old archives leave out, or else as pydicom could read it."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax:
        return syntax
    if dataset["PixelData"].is_undefined_length:
        raise ValueError("they are compressed, and the file does not say how (0002,0010)")
    implicit, little = dataset.original_encoding
    uids = pydicom.uid
    explicit = uids.ExplicitVRLittleEndian if little else uids.ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian if implicit else explicit
    return dataset.file_meta.TransferSyntaxUID


def _stored(dataset) -> np.ndarray:
    if dataset.get("BitsAllocated") != 16:
        return dataset.pixel_array
    needed, have = 2 * dataset.Rows * dataset.Columns, len(dataset.PixelData)
    if have < needed:
        text = f"The DICOM file '{dataset.filename}' is truncated: {have} of {needed} bytes of pixels are there."
        raise BadInput("truncated_file", text, "Copy or export the series again.")
    return dataset.pixel_array


def rescale(header) -> tuple[float, float]:
    """Rescale slope and intercept of a slice; 1 and 0 where the header has none."""
    values = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        value = header.get(keyword)
        values.append(default if value is None or value == "" else float(value))
    return values[0], values[1]


def _missing_ends(series: Series) -> list[dict]:
    """Slices cut off at an end leave no gap; the header of a PET tells how many there were."""
    stated = series.slices[0].header.get("NumberOfSlices")
    if not stated or int(stated) <= len(series.slices):
        return []
    text = (
        f"Series {series.describe()} once had {int(stated)} slices: it was cropped, or slices at its ends are missing."
    )
    return [{"code": "dicom_fewer_slices", "text": text}]
