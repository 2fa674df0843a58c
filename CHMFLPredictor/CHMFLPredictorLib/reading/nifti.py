"""NIfTI as ITK reads it right: the very file that is given, in the place that its header means.

Of the files of one stem (``PET.nii.gz`` beside ``PET.nii``) ITK may take the voxels of another; it knows a NIfTI by
its suffix alone, knows no NIfTI-2, refuses a sform that is off right angles by rounding, and takes the qform where
the two differ. The field (nibabel, FSL, nnU-Net) takes the sform where its code is set, and so does this. Where ITK
would go astray it gets a temporary copy, decompressed, with a header that leaves it no choice.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import BadInput
from .geometry import SAME_AXES, squared
from .integrity import NIFTI_LAYOUT, NIFTI_SUFFIXES, nifti_header, suffix_of, unpacked

SAME_PLACE_MM = 0.1  # two places of one volume nearer than this are the same but for rounding
CODES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "template"}


@contextlib.contextmanager
def as_itk_reads(path: str, role: str) -> Iterator[tuple[str, list[dict]]]:
    """Lend a path under which ITK reads a file right: its own, or that of a temporary copy; and warnings
    (nifti_two_positions, nifti_two_spacings).

    :param path: any file; all but NIfTI are lent as they are.
    :param role: what the file is to the user, for messages.
    :raises BadInput: temporary_unwritable.
    """
    header = nifti_header(path)
    if header is None:
        yield path, []
        return
    place, warnings = _meant_place(header, role)
    if place is None and _taken_by_name(path, header):
        yield path, warnings
        return
    with tempfile.TemporaryDirectory(prefix="chmfl-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "image.nii")
        try:
            with open(copy, "wb") as file:
                file.writelines(_single_file(header, place))
        except OSError as error:
            text = f"The {role} '{path}' cannot be unpacked into '{folder}': {error.strerror or error}."
            raise BadInput("temporary_unwritable", text, "Free space on the disk of temporary files.") from error
        yield str(copy), warnings


# Inside ----------------------------------------------------------------------------------------------


def _meant_place(header: dict, role: str) -> tuple[np.ndarray | None, list[dict]]:
    """The sform (3, 4) at right angles, if ITK would not take it as it is, and what to say about the other place."""
    sform = header["sform"]
    if sform is None or len(header["spacing"]) < 3:
        return None, []
    steps = np.linalg.norm(sform[:, :3], axis=0)
    if not np.all(np.isfinite(sform)) or np.any(steps == 0):
        return None, []  # ITK falls back to the qform
    axes = squared(sform[:, :3] / steps)
    middle = (np.array(header["size"][:3]) - 1) / 2
    place = np.column_stack([axes * steps, sform @ [*middle, 1] - axes * steps @ middle])
    pixdim = np.abs(header["spacing"])
    other = _qform(header) if header["qform_code"] > 0 else np.column_stack([axes * pixdim, place[:, 3]])
    corners = np.c_[np.array(list(np.ndindex(2, 2, 2))) * 2 * middle, np.ones(8)]
    apart = float(np.linalg.norm(corners @ (place - other).T, axis=1).max())
    if apart > SAME_PLACE_MM:
        return place, [_two_places(header, role, steps, pixdim, apart)]
    skewed = np.abs(sform[:, :3] / steps - axes).max() > SAME_AXES
    return (place if skewed or not np.isfinite(apart) else None), []


def _two_places(header: dict, role: str, steps: np.ndarray, pixdim: np.ndarray, apart: float) -> dict:
    if header["qform_code"] > 0:
        codes = [CODES.get(*header["fields"][key] * 2) for key in ("sform_code", "qform_code")]
        text = (
            f"The {role} names two positions, up to {apart:.1f} mm apart: the NIfTI sform ({codes[0]}) was taken, "
            f"the qform ({codes[1]}) was not."
        )
        return {"code": "nifti_two_positions", "text": text}
    taken, left = (" x ".join(f"{step:.4g}" for step in sizes) for sizes in (steps, pixdim))
    text = f"The {role} names two voxel sizes: {taken} mm of the NIfTI sform was taken, {left} mm of pixdim was not."
    return {"code": "nifti_two_spacings", "text": text}


def _qform(header: dict) -> np.ndarray:
    """The place by the quaternion, (3, 4); https://nifti.nimh.nih.gov/nifti-1, method 2."""
    b, c, d, *offset = header["fields"]["quaternion"]
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    steps = np.abs(header["spacing"]) * (1, 1, -1 if header["fields"]["pixdim"][0] < 0 else 1)
    return np.column_stack([turn * steps, offset])


def _taken_by_name(path: str, header: dict) -> bool:
    """Whether ITK takes this file and no other one by its name."""
    folder, name = os.path.split(os.path.abspath(path))
    suffix = name[len(name) - len(suffix_of(path)) :]
    single, packed = header["single_file"], header["packed"]
    fits = suffix.lower() in ((".nii.gz", *(() if packed else (".nii",))) if single else NIFTI_SUFFIXES)
    if header["version"] == 2 or not fits or suffix not in (suffix.lower(), suffix.upper()):
        return False
    stem, own = name[: len(name) - len(suffix)].casefold(), {path, header["path"], header["data"]}
    try:
        names = os.listdir(folder)
    except OSError:  # files may be read in a folder that may not be listed
        return True
    others = set(names) - {os.path.basename(one) for one in own}
    return not any(one.casefold() in {stem + other for other in NIFTI_SUFFIXES} for one in others)


def _single_file(header: dict, place: np.ndarray | None) -> Iterator[bytes]:
    """The bytes of a decompressed NIfTI-1 in one file with the same voxels, at ``place`` where one is given."""
    raw, fields = bytearray(352), {**header["fields"], "vox_offset": [352], "magic": [b"n+1\0"]}
    if place is not None:
        pixdim = fields["pixdim"]
        fields |= {"qform_code": [0], "sform": place.ravel()}
        fields["pixdim"] = [pixdim[0], *np.linalg.norm(place[:, :3], axis=0), *pixdim[4:]]
    struct.pack_into(header["order"] + "i", raw, 0, 348)
    for name, (position, form) in NIFTI_LAYOUT[348].items():
        struct.pack_into(header["order"] + form, raw, position, *fields[name])
    yield bytes(raw)
    skip = header["offset"]
    for chunk in unpacked(header["data"]):
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))
