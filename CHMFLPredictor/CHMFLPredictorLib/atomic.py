"""Writing a file whole or not at all: a killed program leaves the old file or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_bytes(path, data: bytes) -> Path:
    """Write to a hidden temporary file in the same folder, flush it to the disk, rename it.

    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    return write_with(path, lambda stream: stream.write(data))


def write_with(path, write: Callable[[BinaryIO], object]) -> Path:
    """The same for a file that ``write`` writes piece by piece into an open one: what is large is not held twice."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
