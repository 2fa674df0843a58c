"""Save the numbers of one prediction for other programs: JSON as it is, or CSV in the columns of a batch."""

import csv
import io
import json
from pathlib import Path

from ..errors import BadInput
from ..files import write_bytes
from .batch import COLUMNS, result_cells


def export_result(result: dict, path, name: str = "") -> Path:
    """Write a result; the file appears whole or not at all.

    :param result: the content of ``result.json``.
    :param path: ends in .json or .csv.
    :param name: of the patient, for the CSV's first column.
    :raises BadInput: ``export_format`` for another ending, ``output_unwritable``.
    """
    path = Path(path)
    if path.suffix.lower() not in (".json", ".csv"):
        raise BadInput("export_format", f"'{path.name}' ends in neither .json nor .csv.", "Choose one of the two.")
    text = json.dumps(result, indent=2) + "\n" if path.suffix.lower() == ".json" else _csv(result, name)
    try:
        write_bytes(path, text.encode(), make_folder=False)
    except OSError as error:
        message = f"'{path}' cannot be written: {error.strerror or error}."
        raise BadInput("output_unwritable", message, "Choose another folder.") from error
    return path


def _csv(result: dict, name: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow({"patient_id": name, **result_cells(result, Path())})
    return text.getvalue()
