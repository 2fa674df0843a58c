"""Writing a file whole or not at all: a killed program leaves the old file or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes(path, data: bytes) -> Path:
    """Write to a hidden temporary file in the same folder, flush it to the disk, rename it.

    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
