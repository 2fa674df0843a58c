"""Whether an image file is whole and sane, where ITK would not tell.

ITK fills the missing end of a truncated NIfTI with zeros, takes a NIfTI spacing of 0 for 1 mm and NaN for 0, silently
prefers one of two NIfTI geometries when the other is sheared, and goes on after a damaged compressed MetaImage or NRRD.
Here each is an error.
"""

import math
import os
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from ..errors import BadInput

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".hdr.gz")
EXPORT_HINT = "Export the volume again, for example as NRRD or NIfTI from 3D Slicer (File > Save)."
COPY_HINT = "Copy, download or export the file again."
CHUNK = 1 << 20
NRRD_HEADER = rb"NRRD.*?\r?\n\r?\n"
GZIP = b"\x1f\x8b"
COMPRESSED_HEADERS = {  # what says that the voxels are compressed, and the whole header up to them
    "MetaImage": (rb"^CompressedData\s*=\s*True", rb".*?ElementDataFile\s*=\s*LOCAL\s*?\n"),
    "NRRD": (rb"^encoding:\s*gz", NRRD_HEADER),
}
FIRST_BYTES = {  # of files that are known by them
    "NRRD": rb"NRRD\d{4}",
    "MetaImage": rb"\s*(ObjectType|Comment|NDims)\s*=",
    "ZIP": rb"PK\x03\x04",
}
NIFTI_FLOATS = {16: "f4", 64: "f8"}
NIFTI_LAYOUT = {  # by the header's length, which is its first field: byte position and form of each field
    348: {
        "dim": (40, "8h"),
        "intent_code": (68, "h"),
        "datatype": (70, "h"),
        "bitpix": (72, "h"),
        "pixdim": (76, "8f"),
        "vox_offset": (108, "f"),
        "scaling": (112, "2f"),
        "xyzt_units": (123, "B"),
        "qform_code": (252, "h"),
        "quaternion": (256, "6f"),
        "sform_code": (254, "h"),
        "sform": (280, "12f"),
        "magic": (344, "4s"),
    },
    540: {
        "magic": (4, "8s"),
        "datatype": (12, "h"),
        "bitpix": (14, "h"),
        "dim": (16, "8q"),
        "pixdim": (104, "8d"),
        "vox_offset": (168, "q"),
        "scaling": (176, "2d"),
        "qform_code": (344, "i"),
        "quaternion": (352, "6d"),
        "sform_code": (348, "i"),
        "sform": (400, "12d"),
        "xyzt_units": (500, "i"),
        "intent_code": (504, "i"),
    },
}


def suffix_of(path) -> str:
    """Lower-case suffix of an image file name; the two-part ones (``.nii.gz``) whole."""
    name = os.path.basename(str(path)).lower()
    for suffix in (".nii.gz", ".img.gz", ".hdr.gz", ".seg.nrrd"):
        if name.endswith(suffix):
            return suffix
    return os.path.splitext(name)[1]


def format_of(path) -> str:
    """What a file's first bytes say, whatever its name: NRRD, MetaImage or ZIP, or nothing ("")."""
    raw = _first_bytes(path, 540)
    return next((name for name, first in FIRST_BYTES.items() if re.match(first, raw)), "")


def is_packed(path) -> bool:
    """Whether a file is gzip, whatever its name."""
    with open(path, "rb") as file:
        return file.read(2) == GZIP


def check_intact(path: str, role: str) -> None:
    """Refuse a NIfTI, NRRD or MetaImage file that is truncated, damaged, sheared or has no spacing; ITK checks other
    formats. What a file is its content tells, not its name.

    :param role: what the file is to the user, for messages.
    :raises BadInput: truncated_file, damaged_file, bad_spacing, sheared, packed_file.
    """
    if header := nifti_header(path):
        _check_nifti(header, path, role)
        return
    form = format_of(path)
    if form == "ZIP" or (form and is_packed(path)):
        what = "a ZIP archive" if form == "ZIP" else f"a {form} file inside gzip"
        raise BadInput("packed_file", f"The {role} '{path}' is {what}.", "Unpack it and give the image inside.")
    if form in COMPRESSED_HEADERS:
        _check_compressed_data(path, role, form)


def _check_nifti(header: dict, path: str, role: str) -> None:
    if any(not math.isfinite(step) or step == 0 for step in header["spacing"]):
        steps = " x ".join(f"{step:g}" for step in header["spacing"])
        raise BadInput("bad_spacing", f"The {role} '{path}' has a voxel spacing of {steps} mm.", EXPORT_HINT)
    _check_sform(header, path, role)
    needed = header["offset"] + math.prod(header["size"]) * header["bits"] // 8
    have, not_finite = _scan(header["data"], role, header)
    if have < needed:
        text = f"The {role} '{header['data']}' is truncated: {have} of {needed} bytes are there."
        raise BadInput("truncated_file", text, COPY_HINT)
    if not_finite:
        raise values_not_finite(f"{role} '{path}'", not_finite)


def values_not_finite(name: str, count: int) -> BadInput:
    """The refusal of an image with values that are no numbers."""
    return BadInput(
        "not_finite",
        f"The {name} has {count} voxels that are not a number (NaN) or infinite.",
        "Replace them (for example by 0 SUV or -1000 HU outside the field of view) and try again.",
    )


def nifti_header(path: str) -> dict | None:
    """The fields of a NIfTI-1 or NIfTI-2 header that are checked; None for ANALYZE and everything else, which ITK
    judges better.
    """
    if suffix_of(path).startswith(".img"):
        other = re.sub(r"\.img(\.gz)?$", r".hdr\1", path, flags=re.IGNORECASE)
        path = other if os.path.exists(other) else path
    raw = _first_bytes(path, 540)
    for order in "<>":
        length = struct.unpack(order + "i", raw[:4])[0] if len(raw) >= 348 else 0
        if length in NIFTI_LAYOUT and len(raw) >= length:
            break
    else:
        return None
    layout = NIFTI_LAYOUT[length]
    fields = {name: struct.unpack_from(order + form, raw, place) for name, (place, form) in layout.items()}
    magic = fields["magic"][0]
    if magic[:2] not in (b"n+", b"ni"):
        return None
    axes, single_file = max(1, min(7, fields["dim"][0])), magic[:2] == b"n+"
    return {
        "path": path,
        "data": path if single_file else re.sub(r"\.hdr(\.gz)?$", r".img\1", path, flags=re.IGNORECASE),
        "single_file": single_file,
        "packed": is_packed(path),
        "version": 1 if length == 348 else 2,
        "order": order,
        "fields": fields,
        "size": [max(1, count) for count in fields["dim"][1 : axes + 1]],
        "spacing": fields["pixdim"][1 : min(axes, 3) + 1],
        "bits": fields["bitpix"][0],
        "float": np.dtype(order + NIFTI_FLOATS[kind]) if (kind := fields["datatype"][0]) in NIFTI_FLOATS else None,
        "offset": int(fields["vox_offset"][0]) if single_file else 0,
        "qform_code": fields["qform_code"][0],
        "sform": np.array(fields["sform"]).reshape(3, 4) if fields["sform_code"][0] > 0 else None,
    }


def _check_sform(header: dict, path: str, role: str) -> None:
    if header["sform"] is None:
        return
    columns = header["sform"][:, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
        return  # ITK falls back to the qform
    cosines = (columns / lengths).T @ (columns / lengths)
    skew = math.degrees(math.asin(min(1.0, float(np.abs(cosines - np.eye(3)).max()))))
    if skew > 0.1:
        raise BadInput(
            "sheared",
            f"The axes of the {role} '{path}' are {skew:.2f} degrees off right angles in the NIfTI sform.",
            "Resample it to a regular grid (3D Slicer: Resample Scalar/Vector/DWI Volume), then try again.",
        )


def _first_bytes(path: str, count: int) -> bytes:
    with open(path, "rb") as file:
        raw = file.read(4096)
    if raw[:2] == GZIP:
        try:
            return zlib.decompressobj(31).decompress(raw, count)
        except zlib.error:
            return b""
    return raw[:count]


def _scan(path: str, role: str, header: dict) -> tuple[int, int]:
    """Bytes in the file after decompression, and how many of its floats are not finite.

    Read to the end, since that alone proves that a compressed file is intact. ITK would turn NaN and infinity into 0,
    which is water in a CT.
    """
    size, not_finite, rest = 0, 0, b""
    try:
        for chunk in unpacked(path):
            if header["float"]:
                data = rest + chunk[max(0, header["offset"] - size) :]
                whole = len(data) - len(data) % header["float"].itemsize
                not_finite += int(np.count_nonzero(~np.isfinite(np.frombuffer(data[:whole], header["float"]))))
                rest = data[whole:]
            size += len(chunk)
    except zlib.error as error:
        raise BadInput("damaged_file", f"The {role} '{path}' is damaged: {error}.", COPY_HINT) from error
    except OSError as error:
        raise BadInput("unreadable", f"The {role} '{path}' cannot be opened: {error.strerror}.", EXPORT_HINT) from error
    return size, not_finite


def unpacked(path: str) -> Iterator[bytes]:
    """The bytes of a file in pieces, decompressed where it is gzip (of one member or several)."""
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        stream = zlib.decompressobj(31)
        while chunk := file.read(CHUNK):
            if not packed:
                yield chunk
            while packed and chunk:
                yield stream.decompress(chunk)
                chunk = stream.unused_data if stream.eof else b""
                if stream.eof:
                    chunk = chunk if chunk.startswith(GZIP) else b""  # padding may follow the last member
                    stream = zlib.decompressobj(31)


def _check_compressed_data(path: str, role: str, form: str) -> None:
    """The checksum of compressed voxels behind a text header, which ITK ignores (NRRD) or prints about (MetaImage)."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
        compressed, end = COMPRESSED_HEADERS[form]
        header = re.match(end, head, re.DOTALL)
        if not header or re.search(rb"^data ?file:", header[0], re.MULTILINE | re.IGNORECASE):
            return  # the voxels are in another file
        if not re.search(compressed, header[0], re.MULTILINE | re.IGNORECASE):
            return
        file.seek(header.end())
        stream = zlib.decompressobj(47)  # zlib or gzip
        try:
            while not stream.eof and (chunk := file.read(CHUNK)):
                stream.decompress(chunk)
        except zlib.error as error:
            raise BadInput("damaged_file", f"The {role} '{path}' is damaged: {error}.", COPY_HINT) from error
    if not stream.eof:
        raise BadInput("truncated_file", f"The {role} '{path}' is truncated.", COPY_HINT)
