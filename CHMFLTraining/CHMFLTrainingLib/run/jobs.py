"""One job of a comparison: train a method on a fold's training patients, predict the others. Runs wherever it is
called: in a Dask worker or in this process.

It never raises for what goes wrong in the job: the reason goes into ``error.json`` and into the answer, and the other
jobs go on. All that it needs lies in the run's folder; a job that was killed goes on from the method's checkpoints.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from CHMFLPredictorLib.errors import BadInput, Canceled, ChmflError, OutOfMemory
from CHMFLPredictorLib.failures import as_known
from CHMFLPredictorLib.files import write_csv, write_json

from .explanations import SEGMENTATIONS_FILE, box_of, write_arrays, write_explanations
from .job_process import choose_device, limited_threads, log_into, processor, seed_everything, software
from .job_progress import JobProgress
from .run import COLUMNS, Comparison, Job

if TYPE_CHECKING:
    from ..cohort.cases import Case
    from ..methods.base import Method

LEAST_FREE_BYTES = 64 << 20  # a job's model and checkpoints; below it every job would only fail later
_FULL = (errno.ENOSPC, errno.EDQUOT)
# seeds of numpy, random and torch belong to the process: one job at a time in each, also in workers with many threads
_ONE_JOB = threading.Lock()
_LOG = logging.getLogger(__name__)


def run_job(folder: str, method: str, repeat: int, fold: int, token: str | None = None, slot: int = 0) -> dict:
    """Run one job, or go on with it.

    :param folder: the run's.
    :param token: of the program that asked for it; the job stops when the run has another (``owner.py``).
    :param slot: number of the worker, which chooses among several GPUs.
    :returns: ``{"method", "repeat", "fold", "state": "finished" | "failed" | "canceled", "seconds"}``, for a failed
        one with ``code``, ``message``, ``hint``, ``exit_code``, ``traceback``.
    """
    job, started = Job(method, repeat, fold), time.monotonic()
    with _ONE_JOB:
        try:
            outcome = {"state": _run(Comparison(Path(folder)), job, token, slot)}
        except Canceled:
            outcome = {"state": "canceled"}
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = {"state": "failed", **failure(error, Path(folder))}
            record_failure(Path(folder), job, outcome)
    return vars(job) | outcome | {"seconds": round(time.monotonic() - started, 2)}


def failure(error: BaseException, folder: Path) -> dict:
    """An error as the run records it; what is not known to be the user's or the computer's is a defect."""
    full = next((one for one in _causes(error) if isinstance(one, OSError) and one.errno in _FULL), None)
    if full is not None:
        known = _disk_full(folder, str(full))
    else:
        known = as_known(error) if isinstance(error, Exception) else None
    if isinstance(known, OutOfMemory):
        hint = "Run fewer jobs at once (--jobs), or take a smaller preset."
        known = OutOfMemory(known.code, known.message, hint)
    if known is None:
        text = f"{type(error).__name__}: {error}"
        known = ChmflError("defect", text, "Report it with the job's log.txt and error.json.")
    about = {"code": known.code, "message": known.message, "hint": known.hint, "exit_code": known.exit_code}
    return about | {"traceback": "".join(traceback.format_exception(error))}


def record_failure(folder: Path, job: Job, outcome: dict) -> None:
    """Write a job's error.json; where even that is impossible, as on a full disk, the log must do."""
    try:
        path = Comparison(folder).job_folder(job) / "error.json"
        write_json(path, {name: outcome[name] for name in ("code", "message", "hint", "exit_code", "traceback")})
    except (OSError, ChmflError) as error:
        _LOG.error("the failure of %s cannot be recorded: %s", job, error)


def prepare_patient(folder: str, patient_id: str, methods: list[str]) -> list[dict]:
    """Fill the run's cache with what methods need of a patient, so that the jobs find it there.

    :returns: for each method that could not, ``{"patient_id", "method", "code", "message", "hint"}``. The jobs will
        meet the same and fail by it; here it is known early.
    """
    run, problems = Comparison(Path(folder)), []
    case = run.cases([patient_id])[0]
    with _ONE_JOB:
        for name in methods:
            try:
                settings = run.settings(Job(name, 0, 0), "cpu")
                with limited_threads(settings.threads):
                    method = run.method_class(name)(settings)
                    method.check_inputs([case])
                    method.prepare(case)
            except Exception as error:
                found = failure(error, run.folder)
                problems.append({"patient_id": patient_id, "method": name, **found})
    return problems


def _run(run: Comparison, job: Job, token: str | None, slot: int) -> str:
    folder = run.job_folder(job)
    if run.state(job) == "finished":  # a worker that was lost may have finished it after all
        return "finished"
    folder.mkdir(parents=True, exist_ok=True)
    progress = JobProgress(folder, run.folder, token)
    progress.begin()
    for name in ("predictions.csv", "error.json"):
        (folder / name).unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise _disk_full(run.folder, f"{free / 1e6:.0f} MB are free")
    with log_into(folder / "log.txt"):
        try:
            _work(run, job, folder, progress, slot)
        except (Canceled, KeyboardInterrupt):
            _LOG.info("%s: stopped", job)
            raise
        except BaseException:
            _LOG.exception("%s: failed", job)
            raise
        finally:
            progress.end()
    return "finished"


def _work(run: Comparison, job: Job, folder: Path, progress: JobProgress, slot: int) -> None:
    settings = run.settings(job, choose_device(run.plan.device, slot))
    known, new = run.parts(job)
    _LOG.info("%s: %d training patients, %d others, seed %d", job, len(known), len(new), settings.seed)
    _LOG.info("device %s, %d threads, preset %s", settings.device, settings.threads, settings.preset)
    started = time.monotonic()
    with limited_threads(settings.threads):
        seed_everything(settings.seed)
        method = run.method_class(job.method)(settings)
        method.check_inputs(known + new)
        method.fit(known, folder, progress)
        progress.flush()
        risks = _risks(method, new)
        overlaps = _overlaps(method, new, folder)
        if job.repeat == 0:
            write_explanations(method, known, new, folder, progress.check)
    _save_model(method, folder)
    about = {"seed": settings.seed, "device": settings.device, "threads": settings.threads}
    about |= {"precision": settings.precision, "preset": settings.preset, "options": settings.options}
    about |= {"seconds": round(time.monotonic() - started, 2), "processor": processor(), "software": software()}
    write_json(folder / "job.json", about)
    rows = [
        [case.patient_id, job.repeat, job.fold, case.label, repr(risk), repr(float(method.threshold)), overlap]
        for case, risk, overlap in zip(new, risks, overlaps, strict=True)
    ]
    write_csv(folder / "predictions.csv", COLUMNS, rows)
    _LOG.info("%s: finished in %.1f s", job, about["seconds"])


def _risks(method: Method, cases: list[Case]) -> list[float]:
    risks = np.asarray(method.predict(cases), dtype=float)
    if risks.shape != (len(cases),) or not np.isfinite(risks).all() or risks.min() < 0 or risks.max() > 1:
        raise ValueError(f"{method.NAME} predicted {risks!r}, not {len(cases)} risks from 0 to 1")
    return [float(risk) for risk in risks]


def _overlaps(method: Method, cases: list[Case], folder: Path) -> list:
    """Dice of each case that the method segments and that has a mask, else "". The segmentations themselves go into
    ``segmentations.npz`` (patient to uint8, X Y Z of the method's box), for the report.
    """
    from ..cohort.crops import box_of_crop
    from ..statistics.segmentation import dice

    overlaps, masks = [], {}
    for case in cases:
        found, preprocessing = method.segment(case), box_of(method)
        if found is not None:
            masks[case.patient_id] = np.asarray(found, dtype=np.uint8)
        if found is None or case.paths.mask is None or preprocessing is None:
            overlaps.append("")
            continue
        _, _, truth, inside = box_of_crop(case.crop(preprocessing))
        overlaps.append(round(dice((np.asarray(found) > 0) & inside, truth), 4))
    if masks:
        write_arrays(folder / SEGMENTATIONS_FILE, masks)
    return overlaps


def _save_model(method: Method, folder: Path) -> None:
    """The fitted method, whole or not at all."""
    temporary = folder / f".model.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        method.save(temporary)
        shutil.rmtree(folder / "model", ignore_errors=True)
        os.replace(temporary, folder / "model")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _causes(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _disk_full(folder: Path, reason: str) -> BadInput:
    hint = "Free some space, then go on with --resume: finished jobs stay."
    return BadInput("output_full", f"The disk of the run {folder} is full ({reason}).", hint)
