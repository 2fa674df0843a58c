"""Finds the patients in a folder and writes them down as the CSV of a batch. Opens no image, only DICOM headers.

A patient is a subfolder with a PET and a CT, told apart by whole words of the file names (``STS_001_PET.nii.gz``,
``ct.nrrd``) or by the modality in DICOM headers. A mask of the tumor may lie beside them. The files may lie deeper, in
folders by examination (autoPET: ``PETCT_1/2003-PET-CT/SUV.nii.gz``) or by modality (BIDS: ``sub-01/pet/``): the
smallest folder that holds a PET and a CT is an examination, and a patient with several has a row for each. What is
incomplete or leaves a choice is left out with a reason; it is never guessed.
"""

import csv
import io
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInput, Canceled, MissingDependency
from ..files import write_bytes
from ..reading.dicom import MOST_FILES, is_dicom_file, is_passed_over
from .batch import OPTIONAL, REQUIRED, RESULTS_FILE
from .output_folder import RESULT_FILES

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
PET_WORDS = {"suv": 0, "pet": 1, "pt": 1, "fdg": 1}  # the lower number wins: SUV.nii.gz over PET.nii.gz
CT_WORDS = {"ct": 0}
MASK_WORDS = {"gtv": 0, "tumor": 1, "tumour": 1, "mask": 2, "segmentation": 2, "seg": 2}
NAMES_HINT = (
    "Each patient needs a folder of its own with, in it or below, a PET and a CT: files (.nii, .nii.gz, .nrrd, .mha) "
    "with the word PET, PT, SUV or FDG and the word CT in their names, such as PET.nii.gz and STS_001_CT.nrrd, or "
    "their DICOM series. Whatever is named otherwise goes into a patients.csv with the columns patient_id, pet, ct."
)
_DEEPEST = 5  # folders below a patient's
_STUDY = re.compile(r"\b(?:pet|pt) ct\b|\bct (?:pet|pt)\b")  # names the examination, not one of its images


def find_patients(folder, on_left_out=None, canceled=lambda: False) -> list[dict]:
    """Find the patients in a folder: those in each subfolder, or the only one in the folder itself.

    :param folder: its hidden subfolders and the results of an earlier batch are passed over.
    :param on_left_out: called with the name and the reason of each subfolder that is no complete patient.
    :param canceled: called often; returning True stops the search.
    :return: one dict an examination, in the order of their names, with absolute paths: ``patient_id`` (the subfolder's
        name, of a patient with several followed by that of the examination), ``pet``, ``ct`` and ``segmentation`` where
        there is a mask; a path is a file, or a folder of DICOM files.
    :raises BadInput: ``batch_folder_missing``, ``batch_folder_unreadable``, ``batch_folder_empty``.
    :raises MissingDependency: ``pydicom_missing``, when there are DICOM files and no pydicom.
    :raises Canceled: the search was stopped.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    if not folder.is_dir():
        raise BadInput("batch_folder_missing", f"There is no folder '{folder}'.", "Choose the folder of the patients.")
    patients, left_out = [], []
    try:
        itself = _look_into(folder, canceled, deepest=0)
        if itself.complete:
            return [itself.row()]
        for subfolder in _subfolders(folder):
            for found in _examinations(subfolder, canceled):
                (patients if found.complete else left_out).append(found)
        if not patients and (whole := _one_patient(folder, left_out)):
            return [whole.row()]
    except OSError as error:
        text = f"The folder '{error.filename or folder}' cannot be read: {error.strerror or error}."
        raise BadInput("batch_folder_unreadable", text, "Check the folder's permissions.") from error
    if not patients:
        raise _nothing_found(folder, itself, left_out)
    for found in left_out:
        if on_left_out is not None:
            on_left_out(found.name, found.reason())
    return [found.row() for found in patients]


def as_csv(source, folder, on_left_out=None, canceled=lambda: False) -> Path:
    """The CSV of a batch: the one that is given, or one written into ``folder`` for the patients of a folder.

    :param source: a CSV, or a folder of patients, see :func:`find_patients`, also for what may be raised.
    :param folder: takes the CSV of a folder of patients.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return path
    return write_csv(find_patients(path, on_left_out, canceled), Path(folder) / "patients.csv")


def write_csv(rows, path) -> Path:
    """Write patients as the CSV of a batch, in UTF-8.

    :param rows: dicts with the columns of :mod:`.batch`; missing ones stay empty.
    :param path: where to write; an older file is replaced, whole or not at all.
    :raises BadInput: ``output_unwritable``.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*REQUIRED, *OPTIONAL), restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    try:
        return write_bytes(path, text.getvalue().encode("utf-8"), make_folder=False)
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "a path in it is not Unicode"
        raise BadInput(
            "output_unwritable", f"'{path}' cannot be written: {reason}.", "Choose another folder, or rename the path."
        ) from error


# Inside --------------------------------------------------------------------------------------------------------------


@dataclass
class _Found:
    """What a folder holds of a patient: candidates by role ("pet", "ct", "segmentation"), and whose it is by DICOM."""

    folder: Path
    name: str = ""
    candidates: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    dicom: bool = False
    patient_ids: set[str] = field(default_factory=set)
    searched_all: bool = True

    def __post_init__(self):
        self.name = self.name or self.folder.name or "patient"

    @property
    def complete(self) -> bool:
        return not self.reason()

    def reason(self) -> str:
        """Why this is no complete patient; empty if it is one."""
        missing = [role.upper() for role in ("pet", "ct") if not self.candidates[role]]
        if missing:
            more = "" if self.searched_all else f" (only its first {MOST_FILES} files were looked at)"
            return f"It has no {' and no '.join(missing)}{more}."
        if len(self.patient_ids) > 1:
            return f"Its DICOM files belong to {len(self.patient_ids)} patients."
        for role, name in (("pet", "PET"), ("ct", "CT"), ("segmentation", "mask of the tumor")):
            files = self.candidates[role]
            if len(files) > 1 and not (self.dicom and role != "segmentation"):
                names = ", ".join(sorted(path.name for path in files)[:5])
                return f"It has {len(files)} files that could be the {name}: {names}."
        try:
            str(self.folder).encode("utf-8")
        except UnicodeEncodeError:
            return "Its name is not Unicode."
        return ""

    def row(self) -> dict:
        """The patient as a row of the batch."""
        row = {"patient_id": self.name}
        several = any(len(self.candidates[role]) > 1 for role in ("pet", "ct"))
        for role in ("pet", "ct"):  # several DICOM folders: the prediction chooses among the series, or names them
            row[role] = str(self.folder if several else self.candidates[role][0])
        if self.candidates["segmentation"]:
            row["segmentation"] = str(self.candidates["segmentation"][0])
        return row


def _look_into(folder: Path, canceled, deepest: int = _DEEPEST) -> _Found:
    """What a folder holds: its own image files by their names, or else the DICOM files in it and below."""
    found = _own_files(folder)
    if not found.candidates["pet"] and not found.candidates["ct"]:
        _look_for_dicom(found, canceled, deepest)
    return found


def _examinations(folder: Path, canceled) -> list[_Found]:
    """A patient's examinations: image files by their names, at whatever depth, or else the DICOM files; one that is
    incomplete where there is none.
    """
    by_names = _by_names(folder, canceled)
    if not any(found.complete for found in by_names):
        by_headers = _look_into(folder, canceled)
        by_names = [by_headers] if by_headers.dicom or not by_names else by_names
    for found in by_names if len(by_names) > 1 else ():
        found.name = "_".join((folder.name, *found.folder.relative_to(folder).parts))
    by_names[0].name = by_names[0].name if len(by_names) > 1 else folder.name
    return by_names


def _by_names(folder: Path, canceled, depth: int = 0) -> list[_Found]:
    """The smallest folders that hold a PET and a CT and whatever lies beside them, if there are such below this one; or
    all that is in and below this one together, if that is anything.
    """
    if canceled():
        raise Canceled()
    found, below = _own_files(folder), []
    if depth > _DEEPEST or (found.candidates["pet"] and found.candidates["ct"]):
        return [found]
    for subfolder in _subfolders(folder):
        below += _by_names(subfolder, canceled, depth + 1)
    whole = [part for part in below if part.complete]
    if whole and not found.candidates["pet"] and not found.candidates["ct"]:
        if len(below) == 1 and not whole[0].candidates["segmentation"]:
            whole[0].candidates["segmentation"] = found.candidates["segmentation"]
        return below
    for part in below:
        for role, paths in part.candidates.items():
            found.candidates[role] += paths
    return [found] if any(found.candidates.values()) else []


def _own_files(folder: Path) -> _Found:
    """A folder's own image files by their names."""
    found, files = _Found(folder), _image_files(folder)
    for role, words in (("pet", PET_WORDS), ("ct", CT_WORDS), ("segmentation", MASK_WORDS)):
        found.candidates[role] = _best([path for path in files if _role(path) == role], words)
    return found


def _image_files(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]
    ours = set(RESULT_FILES) if (folder / "result.json").is_file() else set()  # a segmentation of ours is no input
    return [path for path in files if path.name.lower().endswith(IMAGE_SUFFIXES) and path.name not in ours]


def _words(path: Path) -> str:
    """The words of a file name in lower case; words end at case, digits and punctuation: petSUV_01 is "pet suv"."""
    stem = re.sub(r"(?i)\.(nii\.gz|nii|nrrd|mha)$", "", path.name)
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", stem)).lower()


def _role(path: Path) -> str:
    """What a file is by its name, pet, ct or segmentation; empty for a name that says nothing or two things."""
    words = set(_words(path).split())
    if words & set(MASK_WORDS):
        return "segmentation"
    if words & set(PET_WORDS) and words & set(CT_WORDS):  # PET-CT_01_CT.nii.gz is a CT
        words = set(_STUDY.sub(" ", _words(path), count=1).split())
    pet, ct = bool(words & set(PET_WORDS)), bool(words & set(CT_WORDS))
    return {(True, False): "pet", (False, True): "ct"}.get((pet, ct), "")


def _best(files: list[Path], words: dict[str, int]) -> list[Path]:
    """Those with the best word; a mask on the PET's grid only where there is none on the CT's."""

    def rank(path: Path) -> tuple:
        own = set(_words(path).split())
        on_pet = words is MASK_WORDS and bool(own & set(PET_WORDS)) and not own & set(CT_WORDS)
        return on_pet, min(number for word, number in words.items() if word in own)

    best = min(map(rank, files), default=None)
    return [path for path in files if rank(path) == best]


def _subfolders(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".") and not (path / RESULTS_FILE).is_file()
    ]


def _look_for_dicom(found: _Found, canceled, deepest: int) -> None:
    """Note each folder that holds slices of a PET or a CT."""
    looked_at, folders = 0, {"pet": set(), "ct": set()}
    for base, below, names in os.walk(found.folder):
        depth = len(Path(base).relative_to(found.folder).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < deepest else []
        for name in sorted(names):
            path = Path(base, name)
            if canceled():
                raise Canceled()
            looked_at += 1
            if is_passed_over(name) or not path.is_file() or not is_dicom_file(str(path)):
                continue
            modality, patient_id = _modality(path)
            if role := {"PT": "pet", "CT": "ct"}.get(modality):
                folders[role].add(Path(base))
                found.patient_ids.add(patient_id)
        if looked_at > MOST_FILES:
            found.searched_all = False
            break
    found.dicom = bool(folders["pet"] or folders["ct"])
    for role, places in folders.items():
        found.candidates[role] = sorted(places)


def _modality(path: Path) -> tuple[str, str]:
    """Modality and patient ID of a DICOM file; empty where it cannot be read, which the prediction itself reports."""
    try:
        import pydicom
    except ImportError as error:
        hint = "Install it: python -m pip install pydicom. Or convert the series to NIfTI or NRRD."
        raise MissingDependency("pydicom_missing", "Reading DICOM needs the Python package pydicom.", hint) from error
    try:
        tags = ["Modality", "PatientID"]
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        return str(header.get("Modality", "") or ""), str(header.get("PatientID", "") or "")
    except Exception:  # pydicom raises many kinds on damaged files
        return "", ""


def _one_patient(folder: Path, parts: list[_Found]) -> _Found | None:
    """The only patient of a folder whose subfolders are series or modalities (PT/, CT/), if they are that."""
    parts = [part for part in parts if part.dicom or _role(part.folder) in ("pet", "ct")]
    whole = _Found(folder, dicom=any(part.dicom for part in parts))
    for part in parts:
        whole.patient_ids |= part.patient_ids
        for role in ("pet", "ct"):
            whole.candidates[role] += part.candidates[role]
    masks = [path for path in _image_files(folder) if _role(path) == "segmentation"]
    whole.candidates["segmentation"] = _best(masks, MASK_WORDS)
    return whole if whole.complete else None


def _nothing_found(folder: Path, itself: _Found, left_out: list[_Found]) -> BadInput:
    """The error of a folder without a complete patient, with what it does hold."""
    images = any(itself.candidates[role] for role in ("pet", "ct"))
    text = f"The folder '{folder}' holds no patient with a PET and a CT."
    if images or not left_out:
        text += f" {itself.reason()}"
    if left_out:
        reasons = "; ".join(f"'{found.name}': {found.reason().rstrip('.')}" for found in left_out[:5])
        more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        text += f" Looked into {len(left_out)} subfolder{'s' * (len(left_out) != 1)}: {reasons}{more}."
    return BadInput("batch_folder_empty", text, NAMES_HINT)
