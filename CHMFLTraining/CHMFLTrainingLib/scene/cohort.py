"""The patients that are loaded in the scene as a cohort: who they are, and their images as files with a table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer
from CHMFLPredictorLib.errors import BadInput, ChmflError
from CHMFLPredictorLib.scene import suv
from CHMFLPredictorLib.scene.inputs import Pair, pairs, refusal
from CHMFLPredictorLib.scene.kinds import plain_words, words_of
from CHMFLPredictorLib.scene.nodes import write_segment, write_volume
from CHMFLPredictorLib.scene.pairs import pair_warnings
from CHMFLPredictorLib.scene.results import ROLE as RESULT_ROLE

from ..cohort.cohort import Patient
from ..cohort.cohort import write_cohort as write_table
from ..cohort.rtstruct import Roi, choose_roi
from .plots import ROLE
from .show import remove_patient, show_patient

__all__ = ["ScenePatient", "patients_of_scene", "remove_patient", "show_patient", "write_cohort"]
HINT = "Mend them in the scene, or leave these patients out."


@dataclass(frozen=True)
class ScenePatient:
    """A patient of the scene.

    :ivar name: of the patient in the subject hierarchy, or what the names of its volumes share; no two are equal.
    :ivar segmentation, segment_id: the tumor's; None and "" where there is none or it cannot be told.
    :ivar problem: why the patient cannot go into a cohort; empty where it can.
    """

    name: str
    pet: object
    ct: object
    segmentation: object = None
    segment_id: str = ""
    problem: str = ""


def patients_of_scene(scene) -> list[ScenePatient]:
    """Every pair of a PET and a CT in the scene with the segmentation of its tumor.

    Pairs are those of :func:`.pairs.pairs`. A segmentation belongs to the pair that it was drawn on, else to the
    one in its study, patient or folder of the subject hierarchy, else to the one that its name names; a single one to
    the only pair. What this extension predicted or shows itself is no patient and no truth.
    """
    found = [pair for pair in pairs(scene) if not (pair.pet.GetAttribute(ROLE) or pair.ct.GetAttribute(ROLE))]
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    segmentations = [node for node in nodes if _may_be_truth(node)]
    return [_patient(pair, found, segmentations) for pair in found]


def write_cohort(
    folder,
    patients: list[ScenePatient],
    labels: dict[str, int | Patient | None],
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write the patients' PET (SUV), CT and tumor mask (on the CT's grid) in world space, and ``cohort.csv``.

    :param labels: patient's name to 1 (event), 0 (none), None (unknown), or to a :class:`..cohort.cohort.Patient` of
        :func:`..cohort.cohort.read_outcomes`, whose label, time, event and clinical columns are taken.
    :param on_progress: called with number (from 1), count and name before each patient; what it raises stops the
        writing, before ``cohort.csv`` is there.
    :return: path of cohort.csv.
    :raises BadInput: cohort_scene_empty, cohort_scene (who cannot be written and why; nothing is written then),
        output_unwritable, and those of the predictor's writing with the patient's name.
    """
    if not patients:
        text = "The scene holds no pair of a PET and a CT."
        raise BadInput("cohort_scene_empty", text, "Load the PET, the CT and the tumor's segmentation of each patient.")
    problems = [f"{patient.name}: {patient.problem}" for patient in patients if patient.problem]
    if problems:
        text = f"{len(problems)} of {len(patients)} patients of the scene cannot be written: {' '.join(problems)}"
        raise BadInput("cohort_scene", text, HINT)
    folder, rows = Path(folder), []
    try:
        for number, (patient, name) in enumerate(zip(patients, _folder_names(patients), strict=True), 1):
            if on_progress is not None:
                on_progress(number, len(patients), patient.name)
            files = _write_patient(patient, folder / name)
            rows.append(_row(patient.name, files, labels.get(patient.name)))
        write_table(folder / "cohort.csv", rows)
    except (OSError, RuntimeError) as error:  # SimpleITK says RuntimeError when a disk is full
        text = f"The cohort cannot be written to '{folder}': {error}."
        raise BadInput("output_unwritable", text, "Choose another folder, or free space on the disk.") from error
    return folder / "cohort.csv"


# Inside --------------------------------------------------------------------------------------------------------------


def _may_be_truth(node) -> bool:
    ours = node.GetAttribute(RESULT_ROLE) or node.GetAttribute(ROLE)
    return not ours and not node.GetHideFromEditors() and node.GetSegmentation().GetNumberOfSegments() > 0


def _patient(pair: Pair, everyone: list[Pair], segmentations: list) -> ScenePatient:
    problem = refusal(pair.pet, pair.ct)
    if problem is not None:
        return ScenePatient(pair.name, pair.pet, pair.ct, problem=str(problem))
    mine = [node for node in segmentations if _owner(node, everyone) is pair]
    if not mine and len(everyone) == len(segmentations) == 1:
        mine = segmentations
    told, reasons = [], []
    for node in mine:
        try:
            told.append((node, _tumor_segment(node)))
        except BadInput as error:
            reasons.append(error.message)
    if len(told) == 1:
        return ScenePatient(pair.name, pair.pet, pair.ct, *told[0])
    if told:
        names = ", ".join(f"'{node.GetName()}'" for node, _ in told)
        reasons = [f"{len(told)} segmentations could hold the tumor: {names}."]
    reasons = reasons or ["No segmentation of the tumor belongs to it."]
    return ScenePatient(pair.name, pair.pet, pair.ct, problem=" ".join(reasons))


def _owner(segmentation, everyone: list[Pair]) -> Pair | None:
    """The pair that a segmentation belongs to; None where two have an equal claim or nobody has one."""
    claims = [(_claim(segmentation, pair), pair) for pair in everyone]
    best = max((claim for claim, _ in claims), default=())
    owners = [pair for claim, pair in claims if claim == best]
    return owners[0] if any(best) and len(owners) == 1 else None


def _claim(segmentation, pair: Pair) -> tuple:
    """How strongly a segmentation speaks of a pair: the more, the larger; all zero: not at all."""
    volumes = (pair.pet, pair.ct)
    drawn_on = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) in volumes
    ours, theirs = _homes(segmentation), [_homes(node) for node in volumes]
    if not drawn_on and ours[1] and any(home[1] and home[1] != ours[1] for home in theirs):
        return (0,)  # of another patient
    shared = tuple(int(bool(item) and any(home[at] == item for home in theirs)) for at, item in enumerate(ours))
    words, named = (_words(segmentation.GetName()), _words(f"{pair.pet.GetName()} {pair.ct.GetName()} {pair.name}"))
    numbers = [{word for word in one if word.isdigit()} for one in (words, named)]
    apart = all(numbers) and not numbers[0] & numbers[1]
    return (int(drawn_on), *shared, 0 if apart else len(words & named))


def _homes(node) -> tuple[int, int, int]:
    """The subject hierarchy's study, patient and folder that hold a node; 0 for none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return 0, 0, 0
    constants, parent = slicer.vtkMRMLSubjectHierarchyConstants, hierarchy.GetItemParent(item)
    levels = constants.GetDICOMLevelStudy(), constants.GetDICOMLevelPatient()
    study, patient = (hierarchy.GetItemAncestorAtLevel(item, level) for level in levels)
    return study, patient, 0 if parent == hierarchy.GetSceneItemID() else parent


def _words(name: str) -> set[str]:
    return plain_words(name or "")


def _tumor_segment(segmentation) -> str:
    """The tumor's segment: the only one, or the only one named like GTV.

    :raises BadInput: roi_unknown, roi_ambiguous.
    """
    segments = segmentation.GetSegmentation()
    by_name = {}
    for identifier in segments.GetSegmentIDs():
        by_name.setdefault(segments.GetSegment(identifier).GetName(), identifier)
    rois = [Roi(name, words_of(name), [], 0, "") for name in by_name]
    try:
        return by_name[choose_roi(rois).name]
    except BadInput as error:
        text = error.message.replace("ROI", "segment")
        raise BadInput(error.code, f"'{segmentation.GetName()}': {text}", "Name the tumor's segment GTV.") from error


def _write_patient(patient: ScenePatient, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    pet, ct = patient.pet, patient.ct
    try:
        conversion = suv.conversion(pet)
        said = pair_warnings(pet, ct) + (conversion.warnings if conversion else [])
        return {
            "pet": _whole(folder / "PET.nrrd", lambda path: write_volume(pet, path, "PT", conversion, said)),
            "ct": _whole(folder / "CT.nrrd", lambda path: write_volume(ct, path, "CT")),
            "mask": _whole(folder / "GTV.nrrd", lambda path: _write_mask(patient, path)),
        }
    except ChmflError as error:
        if patient.name not in error.message:
            error.message = f"Patient {patient.name}: {error.message}"
        raise


def _write_mask(patient: ScenePatient, path: Path) -> None:
    """Write the tumor's segment, and take away the display node that Slicer's export of segments leaves each time."""
    scene, kind = patient.ct.GetScene(), "vtkMRMLLabelMapVolumeDisplayNode"
    before = {node.GetID() for node in slicer.util.getNodesByClass(kind, scene)}
    try:
        write_segment(patient.segmentation, patient.segment_id, patient.ct, path)
    finally:
        for node in slicer.util.getNodesByClass(kind, scene):
            if node.GetID() not in before:
                scene.RemoveNode(node)


def _whole(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file that appears complete or not at all."""
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _row(name: str, files: dict[str, Path], outcome: int | Patient | None) -> Patient:
    if isinstance(outcome, Patient):
        about = {key: getattr(outcome, key) for key in ("label", "clinical", "time", "event")}
    else:
        about = {"label": outcome}
    return Patient(name, files["pet"], files["ct"], files["mask"], **about)


def _folder_names(patients: list[ScenePatient]) -> list[str]:
    """A folder's name for each patient that every file system takes, no two alike."""
    names: list[str] = []
    for patient in patients:
        plain = name = re.sub(r"[^A-Za-z0-9.-]+", "_", patient.name).strip("_.") or "patient"
        count = 1
        while name.lower() in (other.lower() for other in names):
            count += 1
            name = f"{plain}_{count}"
        names.append(name)
    return names
