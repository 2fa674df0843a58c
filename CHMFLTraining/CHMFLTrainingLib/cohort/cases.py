"""One patient for all methods: files, outcome, clinical variables; arrays and features on demand, cached on disk."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from CHMFLPredictorLib.errors import ChmflError
from CHMFLPredictorLib.files import write_bytes

from .cohort import Patient

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.preprocessing import Preprocessing

    from .crops import Crop

FEATURES_VERSION = 1
_LOG = logging.getLogger(__name__)


class Paths(NamedTuple):
    """A patient's image files; None for one that the cohort does not have."""

    pet: Path | None
    ct: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Case:
    """One patient, cheap to make and to send to another process.

    :param label: 1 event, 0 none, None unknown.
    :param clinical: further columns of the cohort, text as in the CSV.
    :param time: days to the event or to the last visit, None unknown.
    :param event: 1 the event was seen at ``time``, 0 censored, None unknown.
    :param cache: folder of the run's cache; an entry's name holds the identity of all that it was made from.
    """

    patient_id: str
    label: int | None
    clinical: dict = field(compare=False)
    time: float | None
    event: int | None
    paths: Paths
    cache: Path

    def relabeled(self, label: int | None, time: float | None = None, event: int | None = None) -> Case:
        """The same patient with another outcome (for the permuted-label control)."""
        return replace(self, label=label, time=time, event=event)

    def crop(self, preprocessing: Preprocessing) -> Crop:
        """The box around the tumor with its margin, through the run's cache (:func:`.crops.load_crop`)."""
        from .crops import load_crop

        patient = Patient(self.patient_id, *self.paths, label=self.label, clinical=self.clinical)
        return self._named(lambda: load_crop(patient, preprocessing, self.cache))

    def features(self, name: str, compute: Callable[[Case], np.ndarray | dict]) -> np.ndarray | dict:
        """Numbers computed from this patient's files, once: ``compute(case)`` is called when the cache has none.

        :param name: what they are, with every setting that they depend on and a version: it is the cache's key together
            with the files' identity.
        :param compute: returns an array, or a dict of numbers and arrays; must not use the outcome.
        :returns: the same type, bit for bit what was computed.
        """
        words = (self.patient_id, name, self._key(name))
        path = Path(self.cache) / "features" / ("-".join(re.sub(r"[^\w.]+", "_", word)[:60] for word in words) + ".npz")
        if path.exists():
            try:
                return _unpacked(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                _LOG.warning("the cached features %s cannot be read (%s) and are computed again", path, error)
        write_bytes(path, _packed(self._named(lambda: compute(self))))
        return _unpacked(path)

    def _key(self, name: str) -> str:
        content = [FEATURES_VERSION, name, *(file and _identity(file) for file in self.paths)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def _named(self, read: Callable):
        """What ``read`` returns; its refusal, with the patient's name where it lacks it."""
        try:
            return read()
        except ChmflError as error:
            if self.patient_id not in error.message:
                error.message = f"Patient {self.patient_id}: {error.message}"
            raise


def cases_of(patients: list[Patient], cache: Path) -> list[Case]:
    """The cohort's patients as cases; no file is opened."""
    return [
        Case(
            patient.patient_id,
            patient.label,
            patient.clinical,
            getattr(patient, "time", None),
            getattr(patient, "event", None),
            Paths(*(file and Path(file) for file in (patient.pet, patient.ct, patient.mask))),
            Path(cache),
        )
        for patient in patients
    ]


def _identity(file: Path) -> list:
    """Changes when the file changes: place, size and time; of a DICOM folder, those of all its files."""
    if file.is_dir():
        return [str(file), sorted(_identity(one) for one in file.iterdir() if one.is_file())]
    about = file.stat()
    return [str(file.resolve()), about.st_size, about.st_mtime_ns]


def _packed(values: np.ndarray | dict) -> bytes:
    """Plain numbers of a dict go into one array: hundreds of entries of a zip file would be slow."""
    arrays = {"": values} if isinstance(values, np.ndarray) else {}
    if isinstance(values, dict):
        arrays = {f"/{name}": value for name, value in values.items() if isinstance(value, np.ndarray)}
        numbers = {name: float(value) for name, value in values.items() if not isinstance(value, np.ndarray)}
        order = np.array(json.dumps([list(values), list(numbers)]))
        arrays |= {"order": order, "numbers": np.array(list(numbers.values()), dtype=np.float64)}
    elif not arrays:
        raise TypeError(f"features must be an array or a dict, not {type(values).__name__}")
    buffer = io.BytesIO()
    np.savez(buffer, **{f"values{name}": array for name, array in arrays.items()})
    return buffer.getvalue()


def _unpacked(path: Path) -> np.ndarray | dict:
    with np.load(path, allow_pickle=False) as arrays:
        if "values" in arrays.files:
            return arrays["values"]
        order, names = json.loads(str(arrays["valuesorder"]))
        numbers = dict(zip(names, arrays["valuesnumbers"].tolist(), strict=True))
        return {name: numbers[name] if name in numbers else arrays[f"values/{name}"] for name in order}
