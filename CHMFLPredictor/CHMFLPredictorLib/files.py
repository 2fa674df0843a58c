"""Writing a file whole or not at all (temporary file, flush to the disk, rename): a killed program leaves the old file
or the new one. And what tables and JSON look like here.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

AnyPath = str | os.PathLike[str]


def write_bytes(path: AnyPath, data: bytes, make_folder: bool = True) -> Path:
    """Write to a hidden temporary file in the same folder, flush it to the disk, rename it.

    :param make_folder: False where a person chose the folder: one that is gone is not made again.
    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    if make_folder:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return write_with(path, lambda stream: stream.write(data))


def write_with(path: AnyPath, write: Callable[[BinaryIO], object]) -> Path:
    """The same for a file that ``write`` writes piece by piece into an open one, in a folder that exists: what is large
    is not held twice.
    """
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


def write_json(path: AnyPath, value: Any) -> Path:
    """JSON for people: indented, UTF-8."""
    return write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_csv(path: AnyPath, columns: list[str], rows: Iterable[Iterable[Any]]) -> Path:
    """A CSV file with a header line."""
    return write_bytes(path, csv_bytes(columns, rows))


def csv_bytes(columns: list[str], rows: Iterable[Iterable[Any]]) -> bytes:
    """The content of a CSV file with a header line, UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def version_of(path: AnyPath) -> tuple[int, int, int]:
    """Size, time and number of a file: others where it was written again.

    :raises OSError: there is no such file.
    """
    about = Path(path).stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def read_csv(path: AnyPath) -> list[dict[str, str]]:
    """All rows of a CSV file as dictionaries of text."""
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
