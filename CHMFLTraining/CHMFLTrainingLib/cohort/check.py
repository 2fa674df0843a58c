"""Every row of a cohort is checked before anything trains: a table of findings, with how much each matters.

Each patient's images are read as training will read them; what would stop a fold halfway is found here.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.reading.checks import same_path
from CHMFLPredictorLib.reading.geometry import VoxelGrid
from CHMFLPredictorLib.reading.volumes import Volume
from CHMFLPredictorLib.tumor import location

from .cohort import Patient, read_rows, separator_of
from .findings import ERROR, NOTE, WARNING, Finding, sorted_findings

PAPER_BOX_MM = (112.0, 112.0, 144.0)
CUT_SHARE = 0.001  # less than this of the tumor outside the box is not worth a line
SMALLEST_ML = 1.0  # about ten voxels of a PET: nothing can be measured in it
PAPER_FOLDS = 6
FEW = 10  # of an outcome: below it a fold's figures are chance
RARE_SHARE = 0.2


@dataclass
class CheckedCohort:
    """The patients of a cohort and what was found.

    :ivar patients: every row that could be understood, used or not.
    :ivar findings: errors first.
    """

    patients: list[Patient]
    findings: list[Finding]

    @property
    def usable(self) -> list[Patient]:
        """The patients without an error of their own."""
        wrong = {finding.patient_id for finding in self.findings if finding.severity == ERROR}
        return [patient for patient in self.patients if patient.patient_id and patient.patient_id not in wrong]


@dataclass
class _Row:
    line: int
    patient: Patient

    def finding(self, severity: str, code: str, text: str, hint: str = "") -> Finding:
        return Finding(severity, self.patient.patient_id, code, text, hint, self.line)


def check_cohort(
    path: Path,
    box_mm: tuple[float, float, float] = PAPER_BOX_MM,
    folds: int = PAPER_FOLDS,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> CheckedCohort:
    """Check every row of a cohort CSV, and the cohort as a whole. Reads all images once.

    :param box_mm: the model's box (left-right, front-back, foot-head), see ``Preprocessing.size_mm``.
    :param folds: how many folds are planned.
    :param on_progress: gets patients done, all, and the next one's name; may raise to stop.
    :raises BadInput: cohort_unreadable, cohort_columns, cohort_empty. All else becomes a finding.
    """
    rows = read_rows(path)
    findings, contents = [], defaultdict(list)
    for number, (line, patient, problems) in enumerate(rows):
        if on_progress:
            on_progress(number, len(rows), patient.patient_id)
        row = _Row(line, patient)
        findings += [row.finding(ERROR, code, text + ".", "Mend the row.") for code, text in problems]
        broken = {text.split()[0] for code, text in problems if code == "file_missing"}
        findings += _check_files(row, broken, box_mm, contents)
    if (separator := separator_of(path)) != "comma":
        text = f"The table's separator is the {separator}; a comma in a number is taken for its decimal point."
        findings.append(Finding(NOTE, "", "separator", text))
    lines = [_Row(line, patient) for line, patient, _ in rows]
    findings += _duplicates(lines, contents)
    findings += check_outcomes([row.patient for row in lines], folds)
    return CheckedCohort([row.patient for row in lines], sorted_findings(findings))


# One patient -------------------------------------------------------------------------------------------------------


def _check_files(row: _Row, broken: set[str], box_mm, contents: dict) -> list[Finding]:
    """Readable, in the right units, overlapping, a mask in its place."""
    findings, found = [], {}
    patient = row.patient
    for name, read in (("pet", volumes.read_pet), ("ct", volumes.read_ct), ("mask", volumes.read_mask)):
        file = getattr(patient, name)
        if file is None or name in broken:
            continue
        try:
            found[name] = read(file)
        except BadInput as error:
            findings.append(Finding.of_error(error, patient.patient_id, row.line))
            continue
        findings += _warnings(row, found[name].warnings)
        contents[_digest(found[name].image)].append((row, name))
    findings += [
        row.finding(NOTE, f"{name}_absent", f"There is no {name.upper()}.", "Methods that need it will refuse.")
        for name in ("pet", "ct")
        if getattr(patient, name) is None and any((patient.pet, patient.ct))
    ]
    try:
        if "pet" in found and "ct" in found:
            findings += _warnings(row, volumes.check_pair(found["pet"], found["ct"]))
    except BadInput as error:
        findings.append(Finding.of_error(error, patient.patient_id, row.line))
    if "mask" in found:
        findings += _check_mask(row, found, box_mm)
    return findings


def _check_mask(row: _Row, found: dict[str, Volume], box_mm) -> list[Finding]:
    findings = []
    mask = found["mask"]
    try:
        if "ct" in found:
            findings += _warnings(row, volumes.check_mask(mask, found["ct"]))
    except BadInput as error:
        findings.append(Finding.of_error(error, row.patient.patient_id, row.line))
    points = _points_lps(mask.image)
    if "pet" in found:
        findings += _mask_in_pet(row, points, found["pet"].image)
    volume_ml = len(points) * float(np.prod(mask.image.GetSpacing())) / 1000
    if volume_ml < SMALLEST_ML:
        text = f"The tumor has {volume_ml:.2f} ml ({len(points)} voxels)."
        findings.append(row.finding(WARNING, "tumor_small", text, "Check the mask."))
    return findings + _larger_than_box(row, mask.image, points, box_mm)


def _mask_in_pet(row: _Row, points: np.ndarray, pet: sitk.Image) -> list[Finding]:
    share = VoxelGrid.of_image(pet).share(points)
    if share == 0:
        hint = "Choose the mask that was drawn on these images."
        return [row.finding(ERROR, "mask_outside_pet", "The mask lies outside the PET.", hint)]
    if share < 0.99:
        return [row.finding(WARNING, "mask_partly_outside_pet", f"Only {share:.0%} of the mask lies in the PET.")]
    return []


def _larger_than_box(row: _Row, mask: sitk.Image, points: np.ndarray, box_mm) -> list[Finding]:
    """How much of the tumor the box around its center cuts off."""
    r, a, s = location.from_mask(mask).center_ras
    outside = np.abs(points - (-r, -a, s)) > np.array(box_mm) / 2
    share = float(np.mean(outside.any(axis=1)))
    if share < CUT_SHARE:
        return []
    extent, box = (" x ".join(f"{mm:.0f}" for mm in size) for size in (np.ptp(points, axis=0), box_mm))
    text = f"The tumor ({extent} mm) does not fit into the box ({box} mm) around its center: {share:.1%} lies outside."
    return [row.finding(WARNING, "tumor_larger_than_box", text, "Take a preset with a larger box (larger voxels).")]


def _points_lps(mask: sitk.Image) -> np.ndarray:
    """Centers of the tumor's voxels, LPS mm (n, 3)."""
    index = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    return VoxelGrid.of_image(mask).points(index)


def _warnings(row: _Row, warnings: list[dict]) -> list[Finding]:
    """A reader's warnings; units assumed from values are usual in files, so they are a note."""
    return [
        row.finding(NOTE if one["code"] == "pet_units_assumed" else WARNING, one["code"], one["text"])
        for one in warnings
    ]


def _digest(image: sitk.Image) -> bytes:
    """The same for the same voxels, whatever the file's name and format."""
    values = np.ascontiguousarray(sitk.GetArrayViewFromImage(image))
    found = hashlib.blake2b(str(values.shape).encode(), digest_size=16)
    found.update(values)
    return found.digest()


# All patients ------------------------------------------------------------------------------------------------------


def _duplicates(rows: list[_Row], contents: dict) -> list[Finding]:
    """One patient in two rows, one file in two places, one image under two names."""
    findings, by_name = [], defaultdict(list)
    for row in rows:
        by_name[row.patient.patient_id.lower()].append(row)
    for same in by_name.values():
        lines = ", ".join(str(row.line) for row in same)
        text = f"The patient stands in lines {lines} (upper and lower case are not told apart)."
        hint = "Keep one row: a patient in two folds spoils the comparison."
        if len(same) > 1 and same[0].patient.patient_id:
            findings += [row.finding(ERROR, "patient_twice", text, hint) for row in same]
    for places in contents.values():
        for row, name in places:
            others = [(other, role) for other, role in places if other is not row or role != name]
            if others:
                findings += [_same_image(row, name, *others[0])]
    return findings


def _same_image(row: _Row, name: str, other: _Row, role: str) -> Finding:
    whose = "this patient's" if other is row else f"{other.patient.patient_id or f'line {other.line}'}'s"
    files = [str(getattr(one.patient, kind)) for one, kind in ((row, name), (other, role))]
    how = "the same file as" if same_path(*files) else "voxel for voxel the same as"
    severity = WARNING if (name, role) == ("mask", "mask") else ERROR  # a mask made by rule may repeat
    text = f"Its {name} is {how} {whose} {role}."
    return row.finding(severity, "image_twice", text, "Give each patient its own files; a patient stands in one row.")


def check_outcomes(patients: list[Patient], folds: int = PAPER_FOLDS) -> list[Finding]:
    """Whether the outcomes can train and test anything: both there, enough of each, and what follow-up tells."""
    labels = [patient.label for patient in patients if patient.label is not None]
    findings = []
    if unlabeled := [patient.patient_id for patient in patients if patient.label is None]:
        text = f"{len(unlabeled)} patients have no label: {', '.join(unlabeled[:10])}{', ...' * (len(unlabeled) > 10)}."
        findings.append(Finding(NOTE, "", "unlabeled", text, "They train and test nothing."))
    few, many = sorted((labels.count(0), labels.count(1)))
    listing = f"{labels.count(1)} patients with and {labels.count(0)} without the event"
    if few == 0:
        text = f"The cohort has {listing}: there is nothing to tell apart."
        findings.append(Finding(ERROR, "", "one_outcome", text, "Both outcomes are needed."))
    elif few < folds:
        text = f"The cohort has {listing}: not one of each for every one of {folds} folds."
        findings.append(Finding(ERROR, "", "too_few_for_folds", text, f"Draw at most {few} folds."))
    elif few < FEW:
        text = f"The cohort has {listing}: any figure will have a wide confidence interval."
        findings.append(Finding(WARNING, "", "few_events", text, "Do not compare methods on it."))
    if few and few < RARE_SHARE * (few + many):
        text = f"The cohort has {listing}: accuracy will flatter whoever says the common outcome."
        findings.append(Finding(WARNING, "", "labels_unbalanced", text, "Look at AUC, sensitivity and precision."))
    return findings + _check_follow_up(patients)


def check_needs(patients: list[Patient], methods: list) -> list[Finding]:
    """What methods need and patients lack: it would fail their jobs halfway.

    :param methods: classes of :class:`..methods.base.Method`.
    """
    findings = []
    for name in ("pet", "ct"):
        needing = [method.NAME for method in methods if name in method.NEEDS]
        if needing:
            text = f"There is no {name.upper()}, which is needed by {_some(needing)}."
            hint = "Add it, leave the patient out of the folds, or compare methods that need the other image alone."
            lacking = [patient for patient in patients if getattr(patient, name) is None]
            findings += [Finding(ERROR, patient.patient_id, f"{name}_needed", text, hint) for patient in lacking]
    return findings


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check_follow_up(patients: list[Patient]) -> list[Finding]:
    findings = []
    for patient in patients:
        if None not in (patient.label, patient.event) and patient.label != patient.event:
            text = f"Its label is {patient.label} and its event {patient.event}."
            hint = "Right if the label means 'by a certain time'; else one of them is wrong."
            findings.append(Finding(WARNING, patient.patient_id, "label_is_not_event", text, hint))
    followed = [patient for patient in patients if patient.time is not None and patient.event is not None]
    if followed and len(followed) < len(patients):
        text = f"{len(patients) - len(followed)} of {len(patients)} patients have no time and event."
        findings.append(Finding(NOTE, "", "time_unknown", text, "Survival methods leave them out."))
    last_event = max((patient.time for patient in followed if patient.event), default=None)
    early = [one for one in followed if one.event == 0 and one.label == 0 and last_event and one.time < last_event]
    if early:
        text = (
            f"{len(early)} patients without the event were followed for less than {last_event:g} days, when it was "
            "last seen in another: their label 0 means 'not yet'."
        )
        findings.append(Finding(NOTE, "", "labels_censored", text, "Survival methods take this into account."))
    return findings
