"""The cohort: one row a patient, in a CSV that people can read and edit.

Columns: ``patient_id``, ``pet``, ``ct``, ``mask`` (paths, absolute or relative to the CSV), ``label`` (1 event, 0
none, empty unknown);
any further column is kept as a clinical variable.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput

from .files import write_csv, write_json

STS = {
    "cohort": "Soft-tissue-Sarcoma (TCIA), FDG-PET-CT",
    "citation": "Vallieres M, Freeman CR, Skamene SR, El Naqa I. A radiomics model from joint FDG-PET and MRI texture "
    "features for the prediction of lung metastases in soft-tissue sarcomas of the extremities. Phys Med Biol "
    "2015;60:5471. doi:10.7937/K9/TCIA.2015.7GO2GSKS",
    "license": "CC BY 3.0",
}
COLUMNS = ("patient_id", "pet", "ct", "mask", "label")


@dataclass(frozen=True)
class Patient:
    """One patient: files, outcome and clinical variables (text, as in the CSV)."""

    patient_id: str
    pet: Path
    ct: Path
    mask: Path
    label: int | None
    clinical: dict = field(default_factory=dict)


def read_cohort(path: Path) -> list[Patient]:
    """Read and check a cohort CSV. BadInput names every row that cannot be used."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            "cohort_unreadable", f"The cohort {path} cannot be read: {error}.", "Give a CSV file in UTF-8."
        ) from error
    missing = [column for column in COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise BadInput(
            "cohort_columns",
            f"The cohort {path} lacks the columns {', '.join(missing)}.",
            f"Needed are {', '.join(COLUMNS)}.",
        )
    findings, patients = [], []
    for number, row in enumerate(rows, start=2):
        patient, problems = _patient(row, path.parent)
        findings += [f"line {number} ({row['patient_id'] or 'no patient_id'}): {problem}" for problem in problems]
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


def _patient(row: dict, folder: Path) -> tuple[Patient, list[str]]:
    files = {name: (folder / (row[name] or "").strip()) for name in ("pet", "ct", "mask")}
    problems = [
        f"{name} {file} does not exist"
        for name, file in files.items()
        if not (row[name] or "").strip() or not file.exists()
    ]
    label = (row["label"] or "").strip()
    if label not in ("", "0", "1"):
        problems.append(f"label is {label!r}, not 0, 1 or empty")
    if not row["patient_id"]:
        problems.append("patient_id is empty")
    clinical = {key: value for key, value in row.items() if key not in COLUMNS}
    return Patient(
        row["patient_id"], **files, label=int(label) if label in ("0", "1") else None, clinical=clinical
    ), problems


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
    rows = []
    for patient in patients:
        files = [str(Path(file).resolve()) for file in (patient.pet, patient.ct, patient.mask)]
        label = "" if patient.label is None else patient.label
        rows.append([patient.patient_id, *files, label, *(patient.clinical.get(key, "") for key in clinical)])
    write_csv(path, [*COLUMNS, *clinical], rows)


def sts_cohort(folder: Path) -> list[Patient]:
    """The public soft-tissue-sarcoma cohort from its folder (``clinical.csv`` and
    ``images/STS_nnn/{PET,CT,GTV}.nii.gz``).
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
        images = folder / "images" / name
        patients.append(
            Patient(
                name, images / "PET.nii.gz", images / "CT.nii.gz", images / "GTV.nii.gz", int(dm) if dm else None, row
            )
        )
    return patients
