"""What a report needs of a comparison's folder, read once: predictions, statistics, histories, segmentations."""

from __future__ import annotations

import functools
import logging
import operator
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import ChmflError

from ..run.explanations import RELEVANCE_FILE, SEGMENTATIONS_FILE, box_of
from ..run.run import Comparison, Job
from ..statistics.metrics import OutOfFold, compare, out_of_fold, summarize
from ..statistics.segmentation import SEGMENTATION_METRICS, VoxelCounts, voxel_counts
from ..statistics.survival import survival_metrics
from .tables import Row

REFERENCES = ("CHMFL", "Volume + SUVmax")  # the paper's method, and the two numbers that it must beat
_LOG = logging.getLogger(__name__)


@dataclass
class MethodResult:
    """One method of a run.

    :ivar found, summary: None before a fold is finished.
    :ivar states: state to number of jobs, see :meth:`..run.results.RunFolder.state`.
    :ivar errors: (job, what :meth:`..run.results.RunFolder.error` gives) of each failed job.
    :ivar histories: fold's name to the rows of history.csv, first repeat.
    :ivar overlaps: patient to the voxels by found and true, first repeat.
    :ivar survival: of :func:`..statistics.survival.survival_metrics`, first repeat, where the cohort has times;
        else empty.
    """

    name: str
    group: str
    method: type
    found: OutOfFold | None = None
    summary: dict | None = None
    states: dict[str, int] = field(default_factory=dict)
    errors: list[tuple[str, dict]] = field(default_factory=list)
    histories: dict[str, list[dict]] = field(default_factory=dict)
    overlaps: dict[str, VoxelCounts] = field(default_factory=dict)
    survival: dict = field(default_factory=dict)
    against: dict[str, dict] = field(default_factory=dict)
    problem: str = ""

    @property
    def segmentation(self) -> dict:
        """Mean of each segmentation metric over patients, their number, and the metrics ``pooled`` over all voxels;
        empty where there is none.
        """
        if not self.overlaps:
            return {}
        each = [counts.metrics() for counts in self.overlaps.values()]
        table = np.array([[one[name] for name in SEGMENTATION_METRICS] for one in each])
        means = [float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else None for column in table.T]
        pooled = functools.reduce(operator.add, self.overlaps.values()).metrics()
        return {**dict(zip(SEGMENTATION_METRICS, means, strict=True)), "patients": len(each), "pooled": pooled}

    def row(self) -> Row:
        """The method as the tables take it."""
        paper_segmentation = getattr(self.method, "PAPER_SEGMENTATION", None)
        figures = (self.method.PAPER, paper_segmentation)
        return Row(self.name, self.group, self.summary, *figures, self.against, self.segmentation, self.survival)


@dataclass
class RunData:
    """A run and its methods in the order of the paper's tables."""

    run: Comparison
    methods: list[MethodResult]
    references: list[str]

    @property
    def finished(self) -> list[MethodResult]:
        """Methods with predictions."""
        return [method for method in self.methods if method.found is not None]

    def named(self, name: str) -> MethodResult | None:
        """A method with predictions by its row's name."""
        return next((method for method in self.finished if method.name == name), None)


def read_run(folder: Path, references: tuple[str, ...] = REFERENCES) -> RunData:
    """Read a run, finished or not.

    :param references: methods that all are compared with, where the run has them; else its first one.
    :raises BadInput: what :class:`..run.run.Comparison` raises. What is wrong with one method stands in its
        ``problem`` and the others are read.
    """
    from ..methods import base as interface

    run = Comparison(folder)
    methods = [_read_method(run, name) for name in run.plan.methods]
    methods.sort(key=lambda one: (interface.GROUPS.index(one.group), one.method.ROW, one.name))
    data = RunData(run, methods, [])
    data.references = [name for name in references if data.named(name)] or [one.name for one in data.finished[:1]]
    horizons = _horizons(run)
    for method in data.finished:
        method.survival = _survival(run, method.found, horizons)
        for name in data.references:
            method.against[name] = compare(method.found, data.named(name).found)
    return data


def _horizons(run: Comparison) -> list[float]:
    """Times for the AUC at a time, the same for every method: quartiles of the times at which events were seen."""
    patients = [run.patients[name] for name in run.folds[0]]
    times = [patient.time for patient in patients if patient.time is not None and patient.event]
    return sorted(set(map(float, np.quantile(times, (0.25, 0.5, 0.75), method="inverted_cdf")))) if times else []


def _survival(run: Comparison, found: OutOfFold, horizons: list[float]) -> dict:
    """How the first repeat's risks order the times; empty where no event has a time."""
    patients = [run.patients[name] for name in found.patients]
    followed = [index for index, one in enumerate(patients) if one.time is not None and one.event is not None]
    if not horizons or not any(patients[index].event for index in followed):
        return {}
    time, event = ([getattr(patients[index], name) for index in followed] for name in ("time", "event"))
    return survival_metrics(time, event, found.risk[0][followed], found.fold[0][followed], horizons)


def _read_method(run: Comparison, name: str) -> MethodResult:
    method = run.method_class(name)
    result, rows = MethodResult(name, method.GROUP, method), []
    for job in [job for job in run.jobs if job.method == name]:
        state = run.state(job)
        result.states[state] = result.states.get(state, 0) + 1
        if state == "finished":
            rows += run.predictions(job)
        elif state == "failed":
            result.errors.append((str(job), run.error(job)))
        if job.repeat == 0:
            _read_history(run, job, result)
    if rows:
        try:
            result.found = out_of_fold(rows)
            result.summary = summarize(result.found)
        except ChmflError as error:
            result.found, result.problem = None, str(error)
    if result.found is not None and np.isfinite(result.found.dice).any():
        _read_overlaps(run, result)
    return result


def _read_history(run: Comparison, job: Job, result: MethodResult) -> None:
    rows = run.history(job)
    if rows is None:
        _LOG.warning("the history of %s in %s cannot be read", job, run.job_folder(job))
    elif rows and any(column.endswith("loss") for column in rows[0]):
        result.histories[f"fold {job.fold}"] = rows


def _read_overlaps(run: Comparison, result: MethodResult) -> None:
    """Segmentation metrics of the first repeat. The patients' files may be elsewhere by now: then the tables do
    without.
    """
    try:
        for case, found, truth, inside, _ in segmented(run, result.name):
            result.overlaps[case.patient_id] = voxel_counts(found, truth, inside)
    except (ChmflError, OSError) as error:
        result.overlaps, result.problem = {}, f"Segmentations could not be compared with the masks: {error}"


def segmented(run: Comparison, name: str, wanted: list[str] | None = None):
    """Yield (case, found, truth, inside, crop) of each patient of the first repeat that the method segmented; masks
    are (X, Y, Z) of the method's box.

    :param wanted: only these patients.
    """
    for case, found, truth, inside, crop in _boxed(run, name, SEGMENTATIONS_FILE, wanted):
        yield case, (found > 0) & inside, truth, inside, crop


def explained(run: Comparison, name: str, wanted: list[str]):
    """Yield (case, map, truth, crop) of those of the wanted patients whose relevance map the method left."""
    for case, found, truth, _, crop in _boxed(run, name, RELEVANCE_FILE, wanted):
        yield case, np.asarray(found, dtype=np.float32), truth, crop


def left_by(run: Comparison, name: str, file: str) -> dict[str, Job]:
    """Held-out patients of the first repeat of whom the method left an array, and the job that did."""
    found = {}
    for job in [job for job in run.jobs if job.method == name and job.repeat == 0 and run.state(job) == "finished"]:
        held_out = set(run.held_out(job))
        found |= {one: job for one in names_in(run.job_folder(job) / file) if one in held_out}
    return found


def _boxed(run: Comparison, name: str, file: str, wanted: list[str] | None):
    """Yield (case, array of the file, truth, inside, crop) where the patient has a mask and the array fits its box."""
    from ..cohort.crops import box_of_crop

    found = {one: job for one, job in left_by(run, name, file).items() if wanted is None or one in wanted}
    for job in dict.fromkeys(found.values()):
        arrays = read_arrays(run.job_folder(job) / file, [one for one in found if found[one] == job])
        preprocessing = box_of(run.method_class(name)(run.settings(job, "cpu")))
        for case in run.cases(sorted(arrays) if preprocessing is not None else []):
            if case.paths.mask is None:
                continue
            crop = case.crop(preprocessing)
            _, _, truth, inside = box_of_crop(crop)
            if arrays[case.patient_id].shape == truth.shape:
                yield case, arrays[case.patient_id], truth, inside, crop


def names_in(path: Path) -> list[str]:
    """Patients of an npz file; none where it is absent or damaged."""
    return list(_read_npz(path, lambda file: dict.fromkeys(file.files)))


def read_arrays(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an npz file by patient, all or those named; empty where it is absent or damaged (said in the log)."""
    return _read_npz(path, lambda file: {name: file[name] for name in file.files if names is None or name in names})


def _read_npz(path: Path, read: Callable) -> dict:
    try:
        with np.load(path, allow_pickle=False) as file:
            return read(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        _LOG.warning("%s cannot be read: %r", path, error)
        return {}
