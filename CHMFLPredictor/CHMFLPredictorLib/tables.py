"""Tables that a person wrote or a spreadsheet saved: CSV as it is written in any country."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = ",;\t"
BLANK = SEPARATORS + ' "\r\n'
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx, .ods and .xls begin
SAVE_HINT = "In a spreadsheet, save it as 'CSV UTF-8'."


class TableError(ValueError):
    """A file that is no table that can be read; says why.

    :ivar hint: what to do.
    """

    def __init__(self, reason: str, hint: str = SAVE_HINT):
        super().__init__(reason)
        self.hint = hint


@dataclass
class Table:
    """What a table holds.

    :ivar columns: names, in the order of the file; "" where a column has none.
    :ivar separator: of the columns.
    :ivar rows: line number in the file, and column to text ("" where a cell is missing); what stands beyond the last
        column is a list under None.
    """

    columns: list[str]
    rows: list[tuple[int, dict]]
    separator: str = SEPARATORS[0]


def read_table(path, known: Collection[str] = ()) -> Table:
    """Read a CSV whatever its separator (comma, semicolon, tab, or what a first line ``sep=`` says), in UTF-8 with or
    without byte order mark, or UTF-16 with one. Blank lines are passed over, and rows of empty cells.

    :param known: columns in snake_case; a name that differs from one in capitals, spaces or hyphens alone becomes it.
    :raises OSError: there is no such file.
    :raises TableError: it is no text, or no CSV; two columns have one name.
    """
    text = _text(Path(path).read_bytes())
    if not text.strip(BLANK):
        return Table([], [])
    separator, text, skipped = _separator(text, known)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    columns, rows = None, []
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if columns is None:
                columns = _columns(cells, known)
            else:
                rows.append((reader.line_num + skipped, _row(columns, cells)))
    except csv.Error as error:
        raise TableError(f"line {reader.line_num + skipped} is not CSV: {error}", "Correct the line.") from error
    return Table(columns or [], rows, separator)


def as_number(text: str) -> float | None:
    """A number with decimal point or comma; None for anything else, and for 1,234, which is two numbers by country."""
    text = text.strip()
    if re.fullmatch(r"[+-]?\d*,\d+", text) and not re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None


# Inside --------------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    if data.startswith(WORKBOOKS):
        raise TableError("it is a spreadsheet's own file, not CSV")
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableError(f"line {line} is not UTF-8 text but in a code page of one country") from error
    if "\0" in text:
        raise TableError("it is no text")
    return text


def _separator(text: str, known: Collection[str]) -> tuple[str, str, int]:
    """The separator, the text after the line that says so, and how many lines that were."""
    if said := re.match(r'"?sep=(.)"?[^\w\r\n]*(\r\n?|\n)', text, re.IGNORECASE):
        return said[1], text[said.end() :], 1
    header = next((line for line in text.splitlines() if line.strip(BLANK)), "")

    def fit(separator: str) -> tuple[int, int]:
        names = [_column(cell, known) for cell in next(csv.reader([header], delimiter=separator))]
        return len(set(names) & set(known)), len(names)

    return max(SEPARATORS, key=fit), text, 0


def _columns(cells: list[str], known: Collection[str]) -> list[str]:
    names = [_column(cell, known) for cell in cells]
    while not names[-1]:
        names.pop()
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise TableError(f"it has two columns {' and two '.join(twice)}", "Keep one of each.")
    return names


def _column(cell: str, known: Collection[str]) -> str:
    return {_letters(name): name for name in known}.get(_letters(cell), cell.strip())


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _row(columns: list[str], cells: list[str]) -> dict:
    cells = cells + [""] * (len(columns) - len(cells))
    row: dict = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    beyond = [cell.strip() for cell in cells[len(columns) :] if cell.strip()]
    return row | ({None: beyond} if beyond else {})
