"""The jobs of a comparison on Dask: a local cluster of processes, or any scheduler by its address.

A worker runs one job at a time. One that dies (killed, out of memory, its node switched off) is replaced where the
cluster can do so, and its job begins again elsewhere from the method's checkpoints; a job that brought down one worker
more than ``DEATHS_ALLOWED`` is given up and recorded. Workers see the run's folder and the patients' files under the
same paths as this program, and have both libraries on their PYTHONPATH.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from CHMFLPredictorLib.errors import ChmflError
from CHMFLPredictorLib.network.devices import gpu_count

from . import dask_cluster
from .dask_cluster import (
    Workers,
    connection_lost,
    dask_settings,
    local_workers,
    memory_gb,
    remote_workers,
    warn_of_threads,
)
from .jobs import failure, prepare_patient, record_failure, run_job
from .run import Comparison, Job

if TYPE_CHECKING:
    from .owner import RunOwner

# of one job, about: what the number of jobs at once is bounded by
MEMORY_GB = {"paper": 8, "paper_k3": 8, "compact": 2, "smoke": 1}
PATIENTS_A_WORKER = 8  # starting a process takes about as long as preparing so many
PREPARING_SHARE = 0.1  # of the fraction that is said; how a bar moves, no measurement
_WAIT_S = 1.0
_LOG = logging.getLogger(__name__)


def default_jobs(preset: str, device: str) -> int:
    """How many jobs this computer runs at once: one a GPU; without a GPU, as cores and memory allow."""
    from .job_process import choose_device

    if choose_device(device).startswith("cuda"):
        import torch

        return gpu_count(torch) if device == "auto" else 1
    return max(1, min(os.cpu_count() or 1, int(memory_gb() / MEMORY_GB.get(preset, 2))))


def run_jobs(
    run: Comparison,
    jobs: list[Job],
    owner: RunOwner,
    at_once: int | None,
    scheduler: str | None,
    on_event: Callable[[dict], None],
) -> list[dict]:
    """Fill the cache, then run the jobs; returns their outcomes (:func:`.jobs.run_job`).

    :param at_once: jobs at the same time; None: as many as the scheduler's workers take.
    :param scheduler: address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``; None starts a local cluster.
    :param on_event: gets the child protocol's ``progress`` (stages "prepare" and "train") and ``warning``.
    :raises BadInput: scheduler_unreachable. ChmflError: scheduler_lost. MissingDependency: dask_missing.
    """
    if not jobs:
        return []
    with dask_settings():
        if scheduler is not None:
            with remote_workers(scheduler) as workers:
                warn_of_threads(workers.client, on_event)
                _prepare(workers, run, jobs, on_event)
                return _train(workers, run, jobs, owner, at_once, on_event)
        # resampling and radiomics use all cores, also where a GPU is the one slot of the jobs
        useful = min(os.cpu_count() or 1, int(memory_gb() / 2), len(run.patients) // PATIENTS_A_WORKER)
        preparing = max(at_once, useful)
        with local_workers(preparing, run.plan.threads) as workers:
            _prepare(workers, run, jobs, on_event)
            if preparing == at_once:
                return _train(workers, run, jobs, owner, at_once, on_event)
        with local_workers(at_once, run.plan.threads) as workers:
            return _train(workers, run, jobs, owner, at_once, on_event)


def _train(
    workers: Workers, run: Comparison, jobs: list[Job], owner: RunOwner, at_once: int | None, on_event
) -> list[dict]:
    """Keep ``at_once`` jobs with the scheduler until all are done."""
    waiting, running, outcomes = list(jobs), {}, []
    try:
        while waiting or running:
            while waiting and (at_once is None or len(running) < at_once):
                job = waiting.pop(0)
                running[_submit(workers.client, run, job, owner.token, len(jobs) - len(waiting))] = job
            for future in _done(workers, list(running)):
                job = running.pop(future)
                outcome = _outcome(future, run, job)
                future.release()  # else a worker's death would have it computed again
                outcomes.append(outcome)
                on_event(job_event(outcome, len(outcomes), len(jobs)))
    finally:
        _cancel(workers.client, list(running))
    return outcomes


def _submit(client, run: Comparison, job: Job, token: str, number: int):
    key = f"{run.folder.name}-{job.method}-{job.repeat}-{job.fold}-{token}"
    return client.submit(
        _job_on_worker, str(run.folder.resolve()), *vars(job).values(), token, key=key, pure=False, priority=-number
    )


def _job_on_worker(folder: str, method: str, repeat: int, fold: int, token: str) -> dict:
    """A job, on the GPU that the worker's number stands for."""
    from distributed import get_worker

    name = str(get_worker().name)
    return run_job(folder, method, repeat, fold, token, int(name) if name.isdigit() else 0)


def _outcome(future, run: Comparison, job: Job) -> dict:
    """What a job answered; where no answer came, because its workers died or cannot import the library, that."""
    from distributed import KilledWorker

    if future.status == "cancelled":
        raise connection_lost()
    error = future.exception() if future.status == "error" else None
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        text = f"{dask_cluster.DEATHS_ALLOWED + 1} workers died while they ran {job}."
        hint = "Most likely the memory was not enough: run fewer jobs at once (--jobs), or take a smaller preset."
        error = ChmflError("worker_killed", text, hint)
    outcome = {**vars(job), "state": "failed", **failure(error, run.folder), "seconds": 0.0}
    record_failure(run.folder, job, outcome)
    return outcome


def _prepare(workers: Workers, run: Comparison, jobs: list[Job], on_event) -> None:
    """Fill the cache, a task a patient. What fails here is told now and will fail the jobs that need it."""
    methods = list(dict.fromkeys(job.method for job in jobs))
    names = sorted({name for job in jobs for name in run.folds[job.repeat]})
    folder = str(run.folder.resolve())
    submit = workers.client.submit
    left = {submit(prepare_patient, folder, name, methods, pure=False): name for name in names}
    count = 0
    try:
        while left:
            for future in _done(workers, list(left)):
                name, count = left.pop(future), count + 1
                if future.status == "error":
                    _LOG.warning("patient %s could not be prepared: %r", name, future.exception())
                    continue
                problems = future.result()
                future.release()
                for problem in _told_once(problems):
                    text = f"{problem['patient_id']}, {problem['method']}: {problem['message']}"
                    on_event({"event": "warning", "code": problem["code"], "text": text})
                on_event(_prepared_event(count, len(names)))
    finally:
        _cancel(workers.client, list(left))


def _prepared_event(done: int, of: int) -> dict:
    text, fraction = f"prepared {done} of {of} patients", round(PREPARING_SHARE * done / of, 4)
    return {"event": "progress", "stage": "prepare", "fraction": fraction, "text": text, "done": done, "of": of}


def job_event(outcome: dict, done: int, of: int) -> dict:
    """How a job ended: the protocol's ``progress``, with the job, its state and, where it failed, why."""
    told = {name: value for name, value in outcome.items() if name != "traceback"}
    job = Job(outcome["method"], outcome["repeat"], outcome["fold"])
    why = f": {outcome['message']} ({outcome['code']}) {outcome['hint']}".rstrip() if outcome.get("code") else ""
    text = f"{done}/{of} {job} {outcome['state']}, {outcome['seconds']:.1f} s{why}"
    fraction = round(PREPARING_SHARE + (1 - PREPARING_SHARE) * done / of, 4)
    said = {"event": "progress", "stage": "train", "fraction": fraction, "text": text, "done": done, "of": of}
    return {**told, **said}


def _told_once(problems: list[dict]) -> list[dict]:
    """A damaged file stops every method that needs it with the same words: say them once, with the methods."""
    by_message: dict[str, dict] = {}
    for problem in problems:
        first = by_message.setdefault(problem["message"], {**problem, "method": []})
        first["method"].append(problem["method"])
    return [{**problem, "method": ", ".join(problem["method"])} for problem in by_message.values()]


def _done(workers: Workers, futures: list) -> list:
    """Wait a moment for some to finish."""
    from distributed import wait

    workers.look_after()
    try:
        return list(wait(futures, timeout=_WAIT_S, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return []
    except OSError as error:
        raise connection_lost() from error


def _cancel(client, futures: list) -> None:
    """Jobs that have not begun are taken back; those that have see the run's token change (``job_progress.py``)."""
    if futures and client.status == "running":
        try:
            client.cancel(futures)
        except (OSError, TimeoutError):
            pass


def run_here(run: Comparison, jobs: list[Job], owner: RunOwner, on_event: Callable[[dict], None]) -> list[dict]:
    """The jobs one after the other in this process, without Dask (``--jobs 0``): for finding a defect."""
    outcomes = []
    for job in jobs:
        outcomes.append(run_job(str(run.folder), *vars(job).values(), owner.token))
        on_event(job_event(outcomes[-1], len(outcomes), len(jobs)))
    return outcomes
