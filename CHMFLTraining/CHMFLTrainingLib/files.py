"""Files of a run. Every write is atomic (temporary file, fsync, rename), so a killed run leaves the old file or the
new one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from CHMFLPredictorLib import atomic


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; makes the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, data)


def write_json(path: Path, value) -> None:
    """JSON for people: indented, UTF-8."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_csv(path: Path, columns: list[str], rows: Iterable[list]) -> None:
    """A CSV file with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: Path) -> list[dict]:
    """All rows of a CSV file as dictionaries of text."""
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
