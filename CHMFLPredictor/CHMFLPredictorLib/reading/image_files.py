"""Reading and writing one image file with SimpleITK: a scalar 3D volume, or an error that says what the file is."""

import json
import os
import re
import secrets
from pathlib import Path

import SimpleITK as sitk

from ..errors import BadInput
from .integrity import EXPORT_HINT, check_intact, format_of
from .nifti import as_itk_reads

WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")  # each is one file, so that it can be written atomically
HEADER_WARNINGS = "chmfl_warnings"  # field of an image: warnings as JSON, of the reading or of who wrote the file
ITK_READERS = {"NRRD": "NrrdImageIO", "MetaImage": "MetaImageIO"}  # ITK would choose by the suffix


def require_file(path: str, role: str = "volume") -> None:
    """Raise BadInput unless ``path`` is a file with something in it that this user may read."""
    if not os.path.lexists(path):
        raise BadInput(
            "not_found", f"The {role} '{path}' does not exist.", "Check the path; put quotes around a path with spaces."
        )
    try:
        size = os.stat(path).st_size
        with open(path, "rb"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            "unreadable", f"The {role} '{path}' cannot be opened: {reason}.", "Check the file and its permissions."
        ) from error
    if size == 0:
        raise BadInput("empty_file", f"The {role} '{path}' has zero bytes.", "Copy or export the file again.")


def read_file(
    path: str, role: str = "volume", pixel_type: int = sitk.sitkFloat32, keep: tuple[int, ...] = ()
) -> sitk.Image:
    """Read one file as a scalar 3D image.

    :param path: any file that SimpleITK reads; DICOM is read by :mod:`.dicom` instead.
    :param role: what the file is to the user ("PET", "CT", "mask"), for messages.
    :param pixel_type: SimpleITK pixel type to convert to while reading.
    :param keep: pixel types of files that are not converted.
    :return: 3D image in SimpleITK's LPS geometry, spacing in mm; :func:`told_by` gives its warnings.
    :raises BadInput: not_found, unreadable, empty_file, truncated_file, damaged_file, packed_file, four_d,
        color_volume, one_slice, bad_spacing, sheared, temporary_unwritable.
    """
    require_file(path, role)
    check_intact(path, role)
    with as_itk_reads(path, role) as (readable, warnings):
        reader = sitk.ImageFileReader()
        reader.SetFileName(readable)
        if form := format_of(path):
            reader.SetImageIO(ITK_READERS[form])
        try:
            reader.ReadImageInformation()
            _require_scalar_3d(reader, path, role)
            reader.SetOutputPixelType(reader.GetPixelID() if reader.GetPixelID() in keep else pixel_type)
            image = reader.Execute()
        except RuntimeError as error:
            if "allocate memory" in str(error) or "bad_alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise _translated(error, path, role) from error
    image = image[:, :, :, 0] if image.GetDimension() == 4 else image
    if warnings:
        image.SetMetaData(HEADER_WARNINGS, json.dumps(warnings))
    return image


def told_by(image: sitk.Image) -> list[dict]:
    """The warnings that go with an image: of its reading, or of the Slicer scene that wrote the file, such as how it
    was converted to SUV.
    """
    try:
        told = json.loads(image.GetMetaData(HEADER_WARNINGS)) if image.HasMetaDataKey(HEADER_WARNINGS) else []
        return [{"code": str(one["code"]), "text": str(one["text"])} for one in told]
    except (ValueError, TypeError, KeyError):
        return []


def _require_scalar_3d(reader: sitk.ImageFileReader, path: str, role: str) -> None:
    components, size = reader.GetNumberOfComponents(), reader.GetSize()
    if components > 1 or reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise BadInput(
            "color_volume",
            f"The {role} '{path}' holds {max(components, 2)} numbers in each voxel: a color or vector image.",
            "Choose a volume with one number in each voxel.",
        )
    if len(size) > 4 or (len(size) == 4 and size[3] > 1):
        raise BadInput(
            "four_d",
            f"The {role} '{path}' is {len(size)}D with {' x '.join(map(str, size))} voxels.",
            "Extract the one 3D frame to use and give that file.",
        )
    if len(size) < 3:
        raise BadInput(
            "one_slice",
            f"The {role} '{path}' is a {len(size)}D picture, not a volume.",
            "Choose the whole volume or its DICOM folder.",
        )


def _translated(error: RuntimeError, path: str, role: str) -> BadInput:
    """Our error for one of ITK's."""
    text = str(error)
    if "orthonormal" in text or "Bad direction" in text:
        return BadInput(
            "sheared",
            f"The axes of the {role} '{path}' are not at right angles.",
            "Resample it to a regular grid (3D Slicer: Resample Scalar/Vector/DWI Volume), then try again.",
        )
    if "Zero-valued spacing" in text:
        return BadInput("bad_spacing", f"The {role} '{path}' has a voxel spacing of 0 mm.", EXPORT_HINT)
    if re.search(r"expected \d+ bytes but received|fread got only|data read error|cannot be read", text):
        return BadInput(
            "truncated_file",
            f"The {role} '{path}' ends before its last voxel or is damaged.",
            "Copy or export it again.",
        )
    reason = re.sub(r"\s+", " ", text.split("ITK ERROR:")[-1].split("sitk::ERROR:")[-1]).strip()[-300:]
    return BadInput("unreadable", f"The {role} '{path}' is not an image that can be read: {reason}", EXPORT_HINT)


# Writing --------------------------------------------------------------------------------------------------


def write_image(image: sitk.Image, path) -> None:
    """Write ``image`` atomically (hidden file beside it, flushed, renamed), compressed where the format can.

    :raises BadInput: output_format for a suffix other than .nii.gz, .nii, .nrrd, .mha; output_unwritable if the folder
        is missing, not writable or full. Nothing is left behind, and an older file stays as it was.
    """
    path = os.path.abspath(os.path.expanduser(str(path)))
    suffix = next((s for s in WRITABLE_SUFFIXES if path.lower().endswith(s)), None)
    if suffix is None:
        known = ", ".join(WRITABLE_SUFFIXES)
        raise BadInput("output_format", f"'{path}' has no suffix that can be written.", f"Use one of {known}.")
    temporary = os.path.join(os.path.dirname(path), f".chmfl-{os.getpid()}-{secrets.token_hex(4)}{suffix}")
    try:
        if not os.path.isdir(os.path.dirname(path)):
            raise OSError(2, "the folder does not exist")
        sitk.WriteImage(image, temporary, suffix != ".nii")
        _prove_written(image, temporary)
        _flush(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError, BadInput) as error:
        reason = getattr(error, "strerror", None) or re.sub(r"\s+", " ", str(error)).strip()[-300:]
        raise BadInput(
            "output_unwritable",
            f"'{path}' cannot be written: {reason}",
            "Check that the folder exists, that you may write to it, and that the disk has free space.",
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _prove_written(image: sitk.Image, path: str) -> None:
    """ITK does not always notice a full disk: the voxels must all have arrived."""
    check_intact(path, "output")
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    reader.ReadImageInformation()
    if reader.GetSize() != image.GetSize():
        raise OSError(28, f"{reader.GetSize()} voxels arrived instead of {image.GetSize()}")


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
