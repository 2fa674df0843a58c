"""A cohort from DICOM: a folder with the PET, CT and RTSTRUCT series of each patient becomes cohort.csv with masks.

Images stay where they are; only the masks are written. A patient that is incomplete or leaves a choice becomes a
finding and the others go on.
"""

from __future__ import annotations

import os
import re
import warnings as python_warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading import dicom, volumes
from CHMFLPredictorLib.reading.dicom import Series

from .cohort import Patient, read_outcomes, write_cohort
from .findings import ERROR, NOTE, WARNING, Finding, sorted_findings, write_findings
from .rtstruct import read_structure_sets, tumor_mask

ROLES = {"ct": ("CT", "CT"), "pet": ("PET", "PT")}  # our column: the reader's word, DICOM's modality


@dataclass
class Group:
    """The series of one patient."""

    name: str
    folder: str
    series: list[Series] = field(default_factory=list)


@dataclass
class DicomCohort:
    """What was made of a folder: the patients in ``cohort``, and all findings (``findings.csv`` beside it)."""

    patients: list[Patient]
    findings: list[Finding]
    cohort: Path


def cohort_from_dicom(
    folder: Path,
    output: Path,
    roi: str | None = None,
    outcomes: Path | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> DicomCohort:
    """Write ``cohort.csv``, ``findings.csv`` and ``masks/`` for all patients in a folder.

    :param folder: one subfolder a patient, with any folders below; or one patient; or files of many patients mixed,
        told apart by their PatientID.
    :param output: folder to write to; is made.
    :param roi: name of the tumor's ROI in all patients; None: the only one, else the one named like GTV_Mass.
    :param outcomes: CSV with patient_id, label and optionally time, event and clinical columns.
    :param on_progress: gets patients done, all, and the next one's name; may raise to stop.
    :raises BadInput: dicom_folder_missing, cohort_dicom_empty where no patient came out, outcomes_unreadable.
    """
    folder, output = Path(folder), Path(output)
    if not folder.is_dir():
        raise BadInput("dicom_folder_missing", f"There is no folder '{folder}'.", "Give the folder of the patients.")
    known = read_outcomes(outcomes) if outcomes else {}
    groups, findings = find_groups(folder)
    (output / "masks").mkdir(parents=True, exist_ok=True)
    patients = []
    for number, group in enumerate(groups):
        if on_progress:
            on_progress(number, len(groups), group.name)
        patient, found = _patient(group, output / "masks", roi)
        findings += found
        if patient is not None:
            patients.append(patient)
    patients, more = _with_outcomes(patients, known, bool(outcomes))
    findings = sorted_findings(findings + more)
    write_findings(output / "findings.csv", findings)
    if not patients:
        reasons = "; ".join(
            f"{one.patient_id or 'folder'}: {one.text}" for one in findings[:5] if one.severity == ERROR
        )
        text = f"No patient of '{folder}' can be used. {reasons}".strip()
        raise BadInput("cohort_dicom_empty", text, "Each needs a PET or CT series and an RTSTRUCT with the tumor.")
    write_cohort(output / "cohort.csv", patients)
    return DicomCohort(patients, findings, output / "cohort.csv")


def find_groups(folder: Path) -> tuple[list[Group], list[Finding]]:
    """The patients in a folder. A subfolder with one PatientID is a patient under the subfolder's name; several
    PatientIDs in it are told apart; one PatientID in several subfolders, none of which is complete, is one patient
    under the PatientID, or under the folder's own name where it is the only one.
    """
    parts, findings = [], []
    for place, recursive in _places(folder):
        try:
            series = dicom.find_series(str(place), recursive)
        except BadInput as error:
            if error.code != "dicom_none":
                findings.append(Finding.of_error(error, place.name if recursive else ""))
            elif recursive:
                findings.append(Finding(WARNING, place.name, error.code, error.message, "It was passed over."))
            continue
        parts += _by_patient(place, series)
    by_id = defaultdict(list)
    for patient_id, group in parts:
        by_id[patient_id].append(group)
    groups = []
    for patient_id, same in by_id.items():
        if len(same) > 1 and patient_id and not any(_complete(group) for group in same):
            name = _file_name(folder.resolve().name if len(by_id) == 1 else patient_id)
            merged = Group(name, str(folder), [one for group in same for one in group.series])
            groups.append(_joined(merged))
            continue
        if len(same) > 1 and patient_id:
            names = ", ".join(group.name for group in same)
            text = f"The folders {names} hold the same PatientID."
            hint = "If they are one patient, keep one: a patient in two folds spoils the comparison."
            findings += [Finding(WARNING, group.name, "patient_in_two_folders", text, hint) for group in same]
        groups += same
    return _distinct(sorted(groups, key=lambda group: group.name)), findings


def _distinct(groups: list[Group]) -> list[Group]:
    """Equal names (PatientIDs that differ in signs that no file name has) get a number, so that no mask is lost."""
    taken: set[str] = set()
    for group in groups:
        name, number = group.name, 1
        while group.name.lower() in taken:
            number += 1
            group.name = f"{name}_{number}"
        taken.add(group.name.lower())
    return groups


def _places(folder: Path) -> list[tuple[Path, bool]]:
    """The files of the folder itself, then its subfolders with all below."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    own = [(folder, False)] if any(path.is_file() and dicom.is_dicom_file(str(path)) for path in inside) else []
    return own + [(path, True) for path in inside if path.is_dir()]


def _by_patient(place: Path, series: list[Series]) -> list[tuple[str, Group]]:
    found = defaultdict(list)
    for one in series:
        found[one.identity()["patient_id"]].append(one)
    if len(found) == 1:
        return [(patient_id, Group(_file_name(place.name), str(place), own)) for patient_id, own in found.items()]
    return [(patient_id, Group(_file_name(patient_id), str(place), own)) for patient_id, own in found.items()]


def _joined(group: Group) -> Group:
    """A series that lies in two folders is one."""
    by_uid: dict[str, Series] = {}
    for one in group.series:
        if one.uid in by_uid:
            by_uid[one.uid].slices += one.slices
        else:
            by_uid[one.uid] = one
    return Group(group.name, group.folder, list(by_uid.values()))


def _complete(group: Group) -> bool:
    modalities = {one.modality for one in group.series}
    return "RTSTRUCT" in modalities and bool(modalities & {"PT", "CT"})


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "no_name"


# One patient ---------------------------------------------------------------------------------------------------


def _patient(group: Group, masks: Path, roi: str | None) -> tuple[Patient | None, list[Finding]]:
    findings: list[Finding] = []
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # pydicom's about decimals that are a digit too long
            sets = read_structure_sets(group.series)
            chosen = _image_series(group, sets, findings)
            paths = {column: _path_of(series) for column, series in chosen.items()}
            images = [(series, _read(column, paths[column])) for column, series in chosen.items()]
            mask, found, warnings = tumor_mask(sets, images, roi)
        findings += [Finding(WARNING, group.name, one["code"], one["text"]) for one in warnings]
        path = masks / f"{group.name}.nii.gz"
        volumes.write_image(mask, path)
    except BadInput as error:
        return None, [*findings, Finding.of_error(error, group.name)]
    volume_ml = float(sitk.GetArrayViewFromImage(mask).sum()) * _voxel_ml(mask)
    text = f"The mask is the ROI '{found.name}', {volume_ml:.1f} ml."
    findings.append(Finding(NOTE, group.name, "roi_used", text))
    return Patient(group.name, paths.get("pet"), paths.get("ct"), path, None), findings


def _image_series(group: Group, sets, findings: list[Finding]) -> dict[str, Series]:
    """The CT and the PET; of several CTs the one that was drawn on. A modality that is absent becomes a warning."""
    found = {}
    for column, (role, modality) in ROLES.items():
        series = [one for one in group.series if one.modality == modality]
        drawn_on = [one for one in series if any(one.uid in structure_set.series_uids for structure_set in sets)]
        if len(drawn_on) == 1:
            found[column] = drawn_on[0]
        elif series:
            found[column] = dicom.choose_series(series, group.folder, role)
        else:
            text = f"There is no {role} series."
            findings.append(Finding(WARNING, group.name, f"{column}_absent", text, "Methods that need it will refuse."))
    if not found:
        modalities = ", ".join(sorted({one.modality for one in group.series}))
        raise BadInput("image_missing", f"There is neither a PET nor a CT series, only {modalities}.", "Add one.")
    return found


def _read(column: str, path: Path) -> sitk.Image:
    """The image as training will read it, so that a PET without dose or weight is found now."""
    return (volumes.read_pet if column == "pet" else volumes.read_ct)(path).image


def _path_of(series: Series) -> Path:
    """What the readers take for this series: its folder where it is alone there, else one of its files."""
    folders = {os.path.dirname(os.path.abspath(one.path)) for one in series.slices}
    if len(folders) > 1:
        text = f"The files of the series {series.describe()} lie in {len(folders)} folders."
        raise BadInput("dicom_series_scattered", text, "Move them into one folder.")
    folder = folders.pop()
    alone = len(dicom.find_series(folder)) == 1
    return Path(folder if alone else os.path.abspath(min(one.path for one in series.slices)))


def _voxel_ml(image: sitk.Image) -> float:
    a, b, c = image.GetSpacing()
    return a * b * c / 1000


def _with_outcomes(patients: list[Patient], known: dict[str, Patient], given: bool):
    """The patients with label, time, event and clinical columns, and findings about those that do not match."""
    findings, complete = [], []
    for patient in patients:
        outcome = known.get(patient.patient_id)
        if outcome is None:
            text = "The table of outcomes has no such patient_id." if given else "DICOM tells no outcome."
            hint = "Fill in its label in cohort.csv; without one it trains nothing."
            findings.append(Finding(WARNING if given else NOTE, patient.patient_id, "label_unknown", text, hint))
            complete.append(patient)
            continue
        complete.append(replace(outcome, pet=patient.pet, ct=patient.ct, mask=patient.mask))
    names = {patient.patient_id for patient in patients}
    findings += [
        Finding(WARNING, name, "outcome_without_images", "It has an outcome but no usable images in the folder.")
        for name in known
        if name not in names
    ]
    return complete, findings
