"""The cohort: one row a patient, in a CSV that people can read and edit, and spreadsheets save in any country's way.

Columns: ``patient_id``, ``pet``, ``ct``, ``mask`` (paths, absolute or relative to the CSV; one of PET and CT may be
empty or its column absent), ``label`` (1 event, 0 none, empty unknown); optional ``time`` (days to the event or to the
last visit) and ``event`` (1 the event was seen at that time, 0 the patient was followed so long without it).
Any further column is kept as a clinical variable.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import version_of, write_csv, write_json
from CHMFLPredictorLib.tables import Table, TableError, as_number, read_table

STS = {
    "cohort": "Soft-tissue-Sarcoma (TCIA), FDG-PET-CT",
    "citation": "Vallieres M, Freeman CR, Skamene SR, El Naqa I. A radiomics model from joint FDG-PET and MRI texture "
    "features for the prediction of lung metastases in soft-tissue sarcomas of the extremities. Phys Med Biol "
    "2015;60:5471. doi:10.7937/K9/TCIA.2015.7GO2GSKS",
    "license": "CC BY 3.0",
}
COLUMNS = ("patient_id", "pet", "ct", "mask", "label")
SURVIVAL_COLUMNS = ("time", "event")
IMAGES = ("pet", "ct")


@dataclass(frozen=True)
class Patient:
    """One patient: files, outcome and clinical variables (text, as in the CSV).

    :param pet: None where the cohort has no PET of this patient; ``ct`` likewise, never both.
    :param label: 1 event, 0 none, None unknown.
    :param time: days to the event or to the last visit, None unknown.
    :param event: 1 the event was seen at ``time``, 0 censored, None unknown.
    """

    patient_id: str
    pet: Path | None
    ct: Path | None
    mask: Path | None
    label: int | None
    clinical: dict = field(default_factory=dict)
    time: float | None = None
    event: int | None = None


def read_cohort(path: Path) -> list[Patient]:
    """Read and check a cohort CSV. BadInput names every row that cannot be used.

    :raises BadInput: cohort_unreadable, cohort_columns, cohort_empty, cohort_rows.
    """
    findings, patients = [], []
    for line, patient, problems in read_rows(path):
        findings += [f"line {line} ({patient.patient_id or 'no patient_id'}): {text}" for _, text in problems]
        patients.append(patient)
    names = [patient.patient_id for patient in patients]
    findings += [
        f"patient {name} stands in {names.count(name)} rows" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    if findings:
        raise BadInput(
            "cohort_rows",
            f"The cohort {path} has rows that cannot be used: " + "; ".join(findings) + ".",
            "Mend or remove them.",
        )
    return patients


def read_rows(path: Path) -> list[tuple[int, Patient, list[tuple[str, str]]]]:
    """Every row with its line number and its problems (code, text); a row with problems does not stop the others.

    :raises BadInput: cohort_unreadable, cohort_columns, cohort_empty.
    """
    path = Path(path)
    table = _table(path, "cohort")
    columns = table.columns
    if not {"patient_id", "mask", "label"} <= set(columns) or not set(IMAGES) & set(columns):
        missing = [column for column in COLUMNS if column not in columns]
        raise BadInput(
            "cohort_columns",
            f"The cohort {path} lacks the columns {', '.join(missing)}; its first line has {_listed(columns)}.",
            f"Needed are {', '.join(COLUMNS)}, separated by comma, semicolon or tab; either pet or ct may be left out.",
        )
    if not table.rows:
        raise BadInput("cohort_empty", f"The cohort {path} has no patient.", "Add a line for each patient.")
    return [(line, *_patient(row, path.parent)) for line, row in table.rows]


def separator_of(path: Path) -> str:
    """What separates the columns of a cohort CSV, in a word.

    :raises BadInput: cohort_unreadable.
    """
    separator = _table(Path(path), "cohort").separator
    return {",": "comma", ";": "semicolon", "\t": "tab"}.get(separator, repr(separator))


def read_outcomes(path: Path) -> dict[str, Patient]:
    """Outcomes without files, by patient_id: a CSV with patient_id, label and optionally time, event, clinical columns.

    :raises BadInput: outcomes_unreadable, outcomes_rows.
    """
    table = _table(Path(path), "outcomes")
    missing = [column for column in ("patient_id", "label") if column not in table.columns]
    if missing or not table.rows:
        lack = (
            f"no column {' and '.join(missing)}; its first line has {_listed(table.columns)}" if missing else "no row"
        )
        text = f"The table of outcomes {path} has {lack}."
        raise BadInput("outcomes_unreadable", text, "Give a CSV with patient_id, label and optionally time and event.")
    found, problems = {}, []
    for line, row in table.rows:
        patient, wrong = _patient(row | dict.fromkeys((*IMAGES, "mask"), ""), Path())
        wrong = [text for code, text in wrong if code not in ("image_missing", "mask_missing")]
        if patient.patient_id in found:
            wrong.append(f"patient {patient.patient_id} stands in two rows")
        problems += [f"line {line} ({patient.patient_id or 'no patient_id'}): {text}" for text in wrong]
        found[patient.patient_id] = patient
    if problems:
        text = f"The table of outcomes {path} has rows that cannot be used: {'; '.join(problems)}."
        raise BadInput("outcomes_rows", text, "Mend or remove them.")
    return found


def _table(path: Path, what: str) -> Table:
    try:
        return _parsed(path.absolute(), version_of(path))
    except (OSError, TableError) as error:
        article = f"The {what}" if what == "cohort" else f"The table of {what}"
        hint = "Give a CSV file in UTF-8." if isinstance(error, OSError) else error.hint
        raise BadInput(f"{what}_unreadable", f"{article} {path} cannot be read: {error}.", hint) from error


@lru_cache(maxsize=8)
def _parsed(path: Path, _: tuple) -> Table:
    """A table is parsed once a process until it changes: each job of a run opens the cohort."""
    return read_table(path, (*COLUMNS, *SURVIVAL_COLUMNS))


def _listed(columns: list[str]) -> str:
    return ", ".join(columns) or "nothing"


def _patient(row: dict, folder: Path) -> tuple[Patient, list[tuple[str, str]]]:
    raw = {key: value for key, value in row.items() if key is not None}
    beyond, row = row.get(None), {key: value.strip() for key, value in raw.items()}
    files = {name: folder / row[name] if row.get(name) else None for name in (*IMAGES, "mask")}
    problems = [
        ("file_missing", f"{name} {file} does not exist") for name, file in files.items() if file and not file.exists()
    ]
    if not files["pet"] and not files["ct"]:
        problems.append(("image_missing", "neither pet nor ct is given"))
    if not files["mask"]:
        problems.append(("mask_missing", "mask is not given"))
    if beyond:
        problems.append(
            ("row_too_long", f"{', '.join(beyond)} stands beyond the last column: quote values with separators")
        )
    if not row["patient_id"]:
        problems.append(("patient_id_empty", "patient_id is empty"))
    label, wrong = _binary(row, "label")
    (time, event), unfit = _survival(row)
    clinical = {key: value for key, value in raw.items() if key not in (*COLUMNS, *SURVIVAL_COLUMNS)}
    patient = Patient(row["patient_id"], **files, label=label, clinical=clinical, time=time, event=event)
    return patient, problems + wrong + unfit


def _binary(row: dict, name: str) -> tuple[int | None, list[tuple[str, str]]]:
    text = row.get(name, "")
    if not text:
        return None, []
    if (value := as_number(text)) in (0, 1):
        return int(value), []
    return None, [(f"{name}_not_binary", f"{name} is {text!r}, not 0, 1 or empty")]


def _survival(row: dict) -> tuple[tuple[float | None, int | None], list[tuple[str, str]]]:
    """Time and event; both or neither."""
    event, problems = _binary(row, "event")
    time, text = None, row.get("time", "")
    if text:
        time = as_number(text)
        if time is None or not (math.isfinite(time) and time > 0):
            time, problems = None, [*problems, ("time_not_positive", f"time is {text!r}, not a number of days above 0")]
    if not problems and (time is None) != (event is None):
        problems.append(("time_without_event", "time and event must both be given or both be empty"))
    return ((time, event) if not problems else (None, None)), problems


def about_cohort(path: Path) -> dict:
    """Name, citation and license of a cohort, from the JSON file beside its CSV (``cohort.about.json``), for the cards
    of models that are trained on it. Without the file the name is the CSV's.
    """
    file = Path(path).with_suffix(".about.json")
    unknown = {"cohort": Path(path).stem, "citation": "not given", "license": "not given"}
    return unknown | (json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def write_cohort(path: Path, patients: list[Patient], about: dict | None = None) -> None:
    """Write the cohort with absolute paths, atomically, and what :func:`about_cohort` reads beside it."""
    if about:
        write_json(Path(path).with_suffix(".about.json"), about)
    clinical = list(dict.fromkeys(key for patient in patients for key in patient.clinical))
    followed = SURVIVAL_COLUMNS if any(patient.time is not None for patient in patients) else ()
    rows = []
    for patient in patients:
        files = ["" if file is None else str(Path(file).resolve()) for file in (patient.pet, patient.ct, patient.mask)]
        outcome = [
            "" if value is None else value for value in (patient.label, *(getattr(patient, f) for f in followed))
        ]
        rows.append([patient.patient_id, *files, *outcome, *(patient.clinical.get(key, "") for key in clinical)])
    write_csv(path, [*COLUMNS, *followed, *clinical], rows)


def sts_cohort(folder: Path) -> list[Patient]:
    """The public soft-tissue-sarcoma cohort from its folder (``clinical.csv`` and
    ``images/STS_nnn/{PET,CT,GTV}.nii.gz``).

    Time and event are those of distant metastases: days to them, or to the last visit of a patient without. The three
    patients with a local or regional recurrence have no label, time or event: what came later is not told.
    """
    folder = Path(folder)
    table = folder / "clinical.csv"
    if not table.exists():
        raise BadInput(
            "cohort_unreadable",
            f"There is no clinical.csv in {folder}.",
            "Give the folder that holds clinical.csv and images/.",
        )
    with open(table, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    patients = []
    for row in rows:
        name, dm = row.pop("patient_id"), row.pop("dm")
        images = [folder / "images" / name / f"{kind}.nii.gz" for kind in ("PET", "CT", "GTV")]
        label = int(dm) if dm else None
        days = row["days_to_outcome"] if label else row["days_to_follow_up"]
        time = float(days) if dm and days else None
        patients.append(Patient(name, *images, label, row, time, None if time is None else label))
    return patients
