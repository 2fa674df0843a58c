"""The public soft-tissue-sarcoma cohort, fetched to this computer: PET, CT and tumor mask of 51 patients (NIfTI).

The files are those that the Image Biomarker Standardisation Initiative published for its validation study, made from
The Cancer Imaging Archive's collection Soft-tissue-Sarcoma (doi:10.7937/K9/TCIA.2015.7GO2GSKS, CC BY 3.0): PET in
body-weight SUV, every image cropped 5 cm around the tumor. They hold no outcomes; those stand in the collection's
clinical table on the archive's own page.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput

from .cohort import STS, Patient, read_outcomes, write_cohort

ADDRESS = "https://raw.githubusercontent.com/theibsi/data_sets/master/ibsi_validation/nifti"
PATIENTS = tuple(f"STS_{number:03d}" for number in range(1, 52))
FILES = {"PET": "PET_image.nii.gz", "CT": "CT_image.nii.gz", "GTV": "CT_mask.nii.gz"}
SHA256 = {  # of two patients, to see that the address still serves the same files
    "STS_006/CT_image.nii.gz": "65f0e6945f500b7bc851afc39ad3494c38d1934580dfeeeaec8d7ec16f55b60c",
    "STS_006/PET_image.nii.gz": "2cb4b877d469637fc06854e20d2f85ef5d3035408c4e9d41a5edc73a055aa731",
    "STS_006/CT_mask.nii.gz": "440a60145bd0e9fea43b450192da463a708df81a9acb502ffca9c2b71702177c",
    "STS_015/CT_image.nii.gz": "e494c2246ff196d6c071ef96b479ce15e4ee8a58c482a5211e8bc1b4e42b0456",
    "STS_015/PET_image.nii.gz": "b048a838c89d7d4a9f8e0cddd5dad1838ddea8576e2b5c26a121288cea55bf18",
    "STS_015/CT_mask.nii.gz": "2a91814b39ea6536246cc5a3bb79518bb08d1ef30fd073d492fbc4044a198d0e",
}
SECONDS = 60  # without a byte from the server
_CHUNK = 1 << 20
_LOG = logging.getLogger(__name__)


def download(
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
    address: str = ADDRESS,
    patients: tuple[str, ...] = PATIENTS,
    sha256: dict[str, str] = SHA256,
) -> list[str]:
    """Fetch what is not there yet into ``folder/images/STS_nnn/{PET,CT,GTV}.nii.gz``; a second call fetches the rest.

    :param on_progress: called with the files done so far and all of them.
    :returns: patients whose three files are there.
    :raises BadInput: download_incomplete, with the files that could not be had. All others are kept.
    """
    wanted = [(name, kind) for name in patients for kind in FILES]
    problems = []
    for number, (name, kind) in enumerate(wanted, 1):
        path = Path(folder) / "images" / name / f"{kind}.nii.gz"
        if not path.exists():
            source = f"{name}/{FILES[kind]}"
            try:
                fetch(f"{address}/{source}", path, sha256.get(source))
            except (OSError, HTTPException, EOFError, zlib.error, ValueError) as error:
                _LOG.warning("%s could not be fetched: %s", source, error)
                problems.append(f"{source} ({error})")
        if on_progress:
            on_progress(number, len(wanted))
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        text = f"{len(problems)} of {len(wanted)} files could not be fetched: {'; '.join(problems[:5])}{more}."
        hint = "Run the command again: it fetches what is missing. A cohort can be made of the patients that are there."
        raise BadInput("download_incomplete", text, hint)
    return list(patients)


def fetch(address: str, path: Path, sha256: str | None = None) -> None:
    """One file, whole or not at all: it gets its name when all of it has come and can be unpacked.

    :raises OSError, HTTPException: the server or the disk; ValueError: what came is not the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer, open(temporary, "wb") as stream:
            shutil.copyfileobj(answer, stream, _CHUNK)
            promised = answer.headers.get("Content-Length")
        if promised is not None and temporary.stat().st_size != int(promised):
            raise ValueError(f"{temporary.stat().st_size} of {promised} bytes came")
        _check(temporary, sha256)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def patients_there(folder: Path, outcomes: Path | None = None) -> list[Patient]:
    """The cohort's rows of the patients whose three files are in the folder.

    :param outcomes: CSV with patient_id, label and optionally time, event, clinical columns; None: nobody has a label.
    :raises BadInput: cohort_unreadable where there is no patient; outcomes_unreadable, outcomes_rows.
    """
    known, patients = read_outcomes(outcomes) if outcomes else {}, []
    for name in PATIENTS:
        files = [Path(folder) / "images" / name / f"{kind}.nii.gz" for kind in FILES]
        if all(file.exists() for file in files):
            found = known.get(name)
            outcome = (found.label, found.clinical, found.time, found.event) if found else (None,)
            patients.append(Patient(name, *files, *outcome))
    if not patients:
        text = f"There is no patient with PET, CT and GTV in {Path(folder) / 'images'}."
        raise BadInput("cohort_unreadable", text, "Fetch them with `cohort download`.")
    return patients


def write_public_cohort(folder: Path, outcomes: Path | None = None) -> Path:
    """Write ``folder/cohort.csv`` of the patients that are there, see :func:`patients_there`."""
    path = Path(folder) / "cohort.csv"
    write_cohort(path, patients_there(folder, outcomes), STS)
    return path


def _check(file: Path, sha256: str | None) -> None:
    """Some mirrors send a note in place of a large file; a gzip file's own checksum tells."""
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"its SHA-256 is {digest}, not {sha256}")
    try:
        with gzip.open(file) as stream:
            while stream.read(_CHUNK):
                pass
    except gzip.BadGzipFile as error:
        raise ValueError("what came is not a gzip file") from error
