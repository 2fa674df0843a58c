"""Folds: which patients test which model. Read from a CSV (``repeat``, ``patient_id``, ``fold``) or drawn with equal
shares of both outcomes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.tables import TableError, as_number, read_table

from .cohort import Patient

FOLD_COLUMNS = ("repeat", "patient_id", "fold")


def read_folds(path: Path, repeat: int, patients: list[Patient]) -> dict[str, int]:
    """Fold of each patient in one repeat. BadInput where the file is no table of folds, or a patient is unknown, stands
    twice, or has no label.
    """
    rows = [row for row in _rows(path) if row[0] == repeat]
    if not rows:
        raise BadInput("folds_repeat", f"{path} has no repeat {repeat}.", "Choose one of its repeats.")
    folds = {patient_id: fold for _, patient_id, fold in rows}
    known = {patient.patient_id: patient.label for patient in patients}
    unusable = sorted(name for name in folds if known.get(name) is None)
    if unusable or len(folds) != len(rows):
        what = f"patients without files or label: {', '.join(unusable)}" if unusable else "a patient in two folds"
        raise BadInput(
            "folds_patients", f"The folds {path} do not fit the cohort: {what}.", "Use the folds made for this cohort."
        )
    _refuse_shared_images(path, folds, patients)
    return folds


def _refuse_shared_images(path: Path, folds: dict[str, int], patients: list[Patient]) -> None:
    """One person under two names in two folds would be trained on and tested on."""
    first: dict[Path, str] = {}
    for patient in patients:
        image = patient.pet or patient.ct
        if patient.patient_id not in folds or image is None:
            continue
        other = first.setdefault(Path(image).resolve(), patient.patient_id)
        if folds[other] != folds[patient.patient_id]:
            text = f"The folds {path} part {other} and {patient.patient_id}, who have the same image {image}."
            raise BadInput("folds_shared", text, "Put both into one fold, or leave one out.")


def _rows(path: Path) -> list[tuple[int, str, int]]:
    try:
        table = read_table(path, FOLD_COLUMNS)
        if missing := [column for column in FOLD_COLUMNS if column not in table.columns]:
            raise TableError(f"it lacks the columns {', '.join(missing)}")
        return [
            (_whole(row, "repeat", line), row["patient_id"].strip(), _whole(row, "fold", line))
            for line, row in table.rows
        ]
    except (OSError, TableError) as error:
        text = f"The folds {path} cannot be read: {error}."
        hint = f"Give a CSV file with the columns {', '.join(FOLD_COLUMNS)}."
        raise BadInput("folds_unreadable", text, hint) from error


def _whole(row: dict, column: str, line: int) -> int:
    value = as_number(row[column])
    if value is None or not value.is_integer():
        raise TableError(f"{column} in line {line} is {row[column]!r}, not a whole number")
    return int(value)


def draw_folds(patients: list[Patient], count: int, seed: int) -> dict[str, int]:
    """Random folds of equal size, each with the cohort's share of events (the paper: 6 folds of 8)."""
    random, folds = np.random.default_rng(seed), {}
    offset = 0
    for label in (1, 0):
        names = [patient.patient_id for patient in patients if patient.label == label]
        for position, name in enumerate(random.permutation(names)):
            folds[str(name)] = (position + offset) % count
        offset += len(names)
    return folds


def inner_folds(labels, count: int, seed) -> np.ndarray:
    """A fold for each training patient (n,), with equal shares of both outcomes.

    :param labels: 0 or 1 (n,). :param seed: as :func:`numpy.random.default_rng` takes it.
    """
    labels = np.asarray(labels)
    random, folds = np.random.default_rng(seed), np.zeros(len(labels), int)
    for label in (0, 1):
        members = random.permutation(np.flatnonzero(labels == label))
        folds[members] = np.arange(len(members)) % count
    return folds
