"""Many patients: one row each in a CSV, one folder of results each, and one CSV with all results.

The CSV of results is rewritten after every patient, whole or not at all, so a stopped batch continues where it was: a
patient whose folder holds a result of the same inputs, model and options is not computed again. A row that cannot be
predicted is reported and skipped.
"""

import csv
import io
import json
import logging
import os
import re
from pathlib import Path

from ..errors import BadInput, Canceled, ChmflError, MissingDependency, MissingModel
from ..events import Progress
from ..failures import as_known
from ..tables import TableError, as_number, read_table
from ..tumor.measurements import MEASUREMENTS
from .inputs import Inputs, describe_inputs
from .output_folder import OutputFolder
from .prediction import Predictor

RESULTS_FILE = "results.csv"
REQUIRED, OPTIONAL = ("patient_id", "pet", "ct"), ("segmentation", "center")
COLUMNS = (
    "patient_id", "status", "risk", "risk_low", "risk_high", "label", "threshold", "baseline_risk", *MEASUREMENTS,
    "center_r_mm", "center_a_mm", "center_s_mm", "found_by", "warnings", "error_code", "error_message", "error_hint",
    "model", "model_sha256", "seconds", "folder",
)  # fmt: skip
# codes of what would fail in every row
STOPS_ALL = ("output_full", "output_unwritable", "device_unknown", "gpu_absent", "gpu_unsupported")
_log = logging.getLogger(__name__)


class Row:
    """One patient of the CSV.

    :param values: column to text.
    :param line: number of the line in the CSV, for messages.
    :param base: folder that relative paths start from.
    """

    def __init__(self, values: dict, line: int, base: Path):
        self._beyond = values.get(None)
        self._values = {name: text.strip() for name, text in values.items() if name is not None}
        self.patient_id = self._values.get("patient_id") or f"line {line}"
        self._line, self._base = line, base

    @property
    def folder(self) -> str:
        """Name of the patient's folder: the ID where every file system takes it, otherwise something near it."""
        safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", self.patient_id).strip(" .")[:100]
        reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?|results\.csv", safe)
        return f"_{safe}" if reserved or not safe else safe

    def inputs(self) -> Inputs:
        """Return what to predict from.

        :raises BadInput: the row is incomplete or its center is not three numbers.
        """
        for column in REQUIRED:
            if not self._values.get(column):
                raise BadInput("row_incomplete", f"Line {self._line} has no {column}.", "Fill it in.")
        if self._beyond:
            text = f"Line {self._line} has more cells than there are columns: {', '.join(self._beyond)}."
            raise BadInput("row_too_long", text, "Put a value that holds the separator into quotes.")
        center, segmentation = self._values.get("center"), self._values.get("segmentation")
        return Inputs(
            self._path("pet"),
            self._path("ct"),
            self._center(center) if center else None,
            self._path("segmentation") if segmentation else None,
        )

    def _path(self, column: str) -> str:
        return str(self._base / Path(self._values[column]).expanduser())

    def _center(self, text: str) -> tuple[float, float, float]:
        parts = [part.strip(",") for part in text.replace(";", " ").split()]
        numbers = [as_number(part) for part in (parts if len(parts) == 3 else re.split(r"[,;\s]+", text.strip()))]
        if len(numbers) != 3 or None in numbers:
            message = f"The center {text!r} in line {self._line} is not three numbers."
            raise BadInput("center_not_finite", message, 'Write it as "R A S" in mm, with decimal points.')
        return tuple(numbers)


def read_rows(path) -> list[Row]:
    """Read the CSV of a batch as spreadsheets write it, see :func:`..tables.read_table`.

    :raises BadInput: the file cannot be read, lacks a column, or has no row.
    """
    path = Path(path)
    try:
        table = read_table(path, (*REQUIRED, *OPTIONAL))
    except (OSError, TableError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Give a CSV file in UTF-8." if isinstance(error, OSError) else error.hint
        raise BadInput("batch_unreadable", f"The batch {path} cannot be read: {reason}.", hint) from error
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        known = ", ".join((*REQUIRED, *OPTIONAL))
        has = ", ".join(table.columns) or "none"
        message = f"The batch {path} has no column {' and '.join(missing)}; it has {has}."
        hint = f"Name the columns in the first line, separated by comma, semicolon or tab: {known}."
        raise BadInput("batch_columns", message, hint)
    rows = [Row(values, line, path.absolute().parent) for line, values in table.rows]
    if not rows:
        raise BadInput("batch_empty", f"The batch {path} has no patient.", "Add a line for each patient.")
    return rows


def predict_batch(csv_path, output, predictor: Predictor, *, risk_only: bool, progress: Progress, canceled) -> dict:
    """Predict every row.

    :param csv_path: the CSV of the batch.
    :param output: folder for the patients' folders and ``results.csv``.
    :param progress: gets each event with the row's ``patient_id``.
    :param canceled: called often; returning True stops the batch after undoing the patient at hand.
    :return: ``{"done", "failed", "skipped"}``: number of patients; skipped are those finished by an earlier run.
    :raises Canceled: the batch was stopped; what is finished stays.
    """
    rows, output = read_rows(csv_path), Path(output)
    counts = {"done": 0, "failed": 0, "skipped": 0}
    with OutputFolder(output, canceled) as shared:  # keeps a second batch out of this folder
        table, waiting = ResultsTable(shared), []
        for number, row in enumerate(rows):
            result = _finished(output / row.folder, row, predictor, risk_only)
            if result is None or _is_repeated(row, rows[:number]):
                waiting.append((number, row))
            else:
                table.cells[number] = {"patient_id": row.patient_id, **result_cells(result, output / row.folder)}
        counts["skipped"] = len(rows) - len(waiting)
        table.write()
        for number, row in waiting:
            progress.restart(patient_id=row.patient_id, patient=number + 1, patients=len(rows))
            try:
                if _is_repeated(row, rows[:number]):
                    message = f"The patient ID {row.patient_id!r} comes twice."
                    raise BadInput("patient_twice", message, "Give each patient an ID of its own.")
                folder = output / row.folder
                _refuse_own_folder(row.inputs(), folder)
                result = predictor.predict(
                    row.inputs(), folder, risk_only=risk_only, progress=progress, canceled=canceled
                )
                cells = result_cells(result, folder)
                counts["done"] += 1
            except BaseException as error:
                cells = error_cells(_of_this_row(error))
                counts["failed"] += 1
                text = f"{row.patient_id}: {cells['error_message']} {cells['error_hint']}"
                progress.say({"event": "warning", "code": cells["error_code"], "text": text})
            table.cells[number] = {"patient_id": row.patient_id, **cells}
            table.write()
        progress.fields = {}
    return counts


def _of_this_row(error: BaseException) -> ChmflError:
    """Return what to report of a row; raise what would fail in every other row as well."""
    known = as_known(error)
    if known is None:
        _log.error("defect", exc_info=error)
        return ChmflError("defect", f"{type(error).__name__}: {error}", "Report it with the log (-v).")
    if isinstance(known, Canceled | MissingModel | MissingDependency) or known.code in STOPS_ALL:
        raise known from error
    return known


def _is_repeated(row: Row, earlier: list[Row]) -> bool:
    """Whether an earlier row has the same folder, on file systems that do not tell a from A as well."""
    return row.folder.casefold() in (other.folder.casefold() for other in earlier)


def _refuse_own_folder(inputs: Inputs, folder: Path) -> None:
    """A patient's results must not replace files of the patient's own, such as a segmentation.nii.gz."""
    for path in filter(None, (inputs.pet, inputs.ct, inputs.segmentation)):
        place = Path(path) if Path(path).is_dir() else Path(path).parent
        if place.resolve() == folder.resolve():
            text = f"The results would go among the inputs in '{folder}'."
            raise BadInput("output_holds_inputs", text, "Choose another output folder than that of the images.")


def _finished(folder: Path, row: Row, predictor: Predictor, risk_only: bool) -> dict | None:
    """Return the result of an earlier run with the same inputs, model and options, if there is one."""
    try:
        inputs = row.inputs()
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        same_model = result["model"]["sha256"] == predictor.bundle.card["weights_sha256"]
        if same_model and result["inputs"] == describe_inputs(inputs) and (result["tumor"] is None) == risk_only:
            result_cells(result, folder)
            return result
    except (OSError, ValueError, KeyError, TypeError, BadInput):
        pass
    return None


class ResultsTable:
    """``results.csv``: one row a patient in the order of the batch, rewritten atomically."""

    def __init__(self, output: OutputFolder):
        self._output = output
        self.cells: dict[int, dict] = {}

    def write(self) -> None:
        """Rewrite the file.

        :raises BadInput: it cannot be written.
        """
        self._output.publish(RESULTS_FILE, results_csv(self.cells[number] for number in sorted(self.cells)))


def results_csv(rows) -> bytes:
    """Return the content of ``results.csv`` for rows of cells, see ``COLUMNS``."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def result_cells(result: dict, folder: Path) -> dict:
    """Return a result as cells of the table."""
    tumor = result["tumor"] or {}
    center = dict(zip(("center_r_mm", "center_a_mm", "center_s_mm"), result["box"]["center_ras_mm"], strict=True))
    return {
        "status": "done",
        **{name: result[name] for name in ("risk", "label", "threshold", "baseline_risk")},
        "risk_low": result["risk_interval"][0],
        "risk_high": result["risk_interval"][1],
        **{name: round(value, 3) for name, value in tumor.items() if name in COLUMNS and value is not None},
        **center,
        "found_by": result["box"]["found_by"],
        "warnings": " ".join(dict.fromkeys(one["code"] for one in result["warnings"])),
        "model": f"{result['model']['name']} {result['model']['version']}",
        "model_sha256": result["model"]["sha256"],
        "seconds": result["timings_s"]["total"],
        "folder": folder.name,
    }


def error_cells(error: ChmflError) -> dict:
    """Return a failure as cells of the table."""
    return {"status": "failed", "error_code": error.code, "error_message": error.message, "error_hint": error.hint}


def batch_sentence(counts: dict, output) -> str:
    """Say how a batch went, for people."""
    words = [f"{counts['done']} predicted"]
    words += [f"{counts['skipped']} finished before"] if counts["skipped"] else []
    words += [f"{counts['failed']} failed (see error_message in the table)"] if counts["failed"] else []
    words += [f"{counts['left_out']} left out"] if counts.get("left_out") else []
    return f"{', '.join(words)}. Table: {os.path.join(os.path.abspath(output), RESULTS_FILE)}"
