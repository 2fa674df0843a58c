"""Writing an image that is 0 outside a part of a large grid, without ever holding the grid.

A relevance map on the grid of a whole-body CT is a gigabyte of which the model's box fills a hundredth. The file is an
ordinary NIfTI of one gzip stream: the zeros are the same compressed block again and again.
"""

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from ..files import write_with

HEADER_BYTES, SLICES_AT = 352, 46  # of NIfTI-1, with its four bytes of extension flags; where dim[3] stands
ZEROS = bytes(1 << 20)
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def write_part(part: sitk.Image, first_index, size, path) -> Path:
    """Write ``part`` at its place in a grid as .nii.gz, whole or not at all; the rest of the grid is 0.

    :param part: an image on the grid's voxels.
    :param first_index: the grid's index (i, j, k) of the part's first voxel.
    :param size: voxels of the grid along i, j, k.
    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    return write_with(path, lambda stream: _write(stream, part, first_index, size))


def _write(stream: BinaryIO, part: sitk.Image, first_index, size) -> None:
    values = sitk.GetArrayViewFromImage(part)
    i, j, k = (int(n) for n in first_index)
    slice_bytes = values.itemsize * size[0] * size[1]
    packed = _GzipStream(stream)
    packed.write(_header(part, first_index, size))
    packed.zeros(k * slice_bytes)
    for one in values:
        whole = np.zeros((size[1], size[0]), values.dtype)
        whole[j : j + one.shape[0], i : i + one.shape[1]] = one
        packed.write(whole.tobytes())
    packed.zeros((size[2] - k - len(values)) * slice_bytes)
    packed.close()


def _header(part: sitk.Image, first_index, size) -> bytes:
    """The header that ITK writes for two slices of the grid, with the grid's own number of slices."""
    slices = sitk.Image([int(size[0]), int(size[1]), 2], part.GetPixelID())
    slices.SetSpacing(part.GetSpacing())
    slices.SetDirection(part.GetDirection())
    slices.SetOrigin(part.TransformIndexToPhysicalPoint([-int(n) for n in first_index]))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "header.nii")
        sitk.WriteImage(slices, path)
        header = bytearray(Path(path).read_bytes()[:HEADER_BYTES])
    struct.pack_into("<h", header, SLICES_AT, int(size[2]))
    return bytes(header)


class _GzipStream:
    """One gzip member into which long runs of zeros go without being compressed again."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._crc, self._length = stream, 0, 0
        self._packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        block = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        self._zeros = block.compress(ZEROS) + block.flush(zlib.Z_FULL_FLUSH)
        stream.write(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._crc, self._length = zlib.crc32(data, self._crc), self._length + len(data)
        self._stream.write(self._packer.compress(data))

    def zeros(self, count: int) -> None:
        self._stream.write(self._packer.flush(zlib.Z_FULL_FLUSH))  # what follows refers to nothing before
        for _ in range(count // len(ZEROS)):
            self._crc, self._length = zlib.crc32(ZEROS, self._crc), self._length + len(ZEROS)
            self._stream.write(self._zeros)
        self.write(ZEROS[: count % len(ZEROS)])

    def close(self) -> None:
        self._stream.write(self._packer.flush() + struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))
