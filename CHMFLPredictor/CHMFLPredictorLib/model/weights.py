"""Weights on disk: a safetensors file, read with numpy alone and without running anything from it.

The format is 8 bytes with the length of a JSON header, the header, then the raw values
(github.com/huggingface/safetensors). Reading it takes a few lines, so that prediction needs no package that Slicer
lacks but torch; writing, for training, uses the package.
"""

import json
from pathlib import Path

import numpy as np

from ..errors import MissingModel

ORIGIN = "Get the model again from where it came from, or reinstall the extension."


def altered(message: str) -> MissingModel:
    """The error for a bundle that is not what was saved."""
    return MissingModel("model_altered", message, ORIGIN)


class Tensors:
    """The tensors of a safetensors file, read one by one.

    :param path: the file.
    :raises MissingModel: ``model_truncated`` or ``model_altered``.
    """

    _DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}

    def __init__(self, path: Path):
        self._path, size = path, path.stat().st_size
        with open(path, "rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            self._offset = 8 + length
            if len(start) < 8 or (size < self._offset and length < 10**8):
                raise _truncated(path, size, max(8, self._offset))
            header = stream.read(length) if self._offset <= size else b""
        try:
            self.entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
            needed = self._offset + max((entry["data_offsets"][1] for entry in self.entries.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise altered(f"The header of {path} is not that of a safetensors file.") from error
        if size < needed:
            raise _truncated(path, size, needed)

    def take(self, name: str, shape: tuple) -> np.ndarray:
        """Read one tensor as it is stored and take it off the list."""
        if name not in self.entries:
            raise altered(f"The tensor {name} is missing from {self._path}.")
        entry = self.entries.pop(name)
        if tuple(entry["shape"]) != shape:
            raise altered(f"The tensor {name} has the shape {tuple(entry['shape'])}, the card's network needs {shape}.")
        try:
            dtype, (begin, end) = np.dtype(self._DTYPES[entry["dtype"]]), entry["data_offsets"]
            array = np.fromfile(
                self._path, dtype, (end - begin) // dtype.itemsize, offset=self._offset + begin
            ).reshape(shape)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise altered(f"The tensor {name} in {self._path} cannot be read: {error}.") from error
        if not np.isfinite(array).all():
            raise altered(f"The tensor {name} holds values that are not finite.")
        return array


def _truncated(path: Path, size: int, needed: int) -> MissingModel:
    message = f"{path} is truncated: it has {size} bytes, at least {needed} are expected."
    return MissingModel("model_truncated", message, f"The copy or download did not finish. {ORIGIN}")


def stored_array(key: str, value, half: bool) -> np.ndarray:
    """The array to store for a torch tensor or array: float16 for matrices and kernels where ``half`` and they fit,
    else as it is.

    :raises ValueError: a value is not finite.
    """
    array = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"the weights {key} are not finite")
    fits = array.dtype.kind == "f" and array.ndim > 1 and np.abs(array).max(initial=0.0) < 6.0e4
    return array.astype(np.float16) if half and fits else array
