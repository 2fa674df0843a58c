"""How long a comparison will take on this device, measured on a few steps of every row that trains a network."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .explanations import chosen
from .job_process import choose_device, limited_threads

if TYPE_CHECKING:
    from .run import Comparison, Job

_LOG = logging.getLogger(__name__)
_EPOCHS = 2  # the first one warms up and is not counted


@dataclass(frozen=True)
class Forecast:
    """What a row's waiting jobs will take.

    :ivar seconds: of one job; None for a row that trains no network (minutes at most, not measured).
    :ivar jobs: that are waiting.
    """

    method: str
    seconds: float | None
    jobs: int


def forecast(run: Comparison, waiting: list[Job]) -> list[Forecast]:
    """One :class:`Forecast` a row. Nothing of it is kept: the networks are thrown away."""
    found = []
    for name in dict.fromkeys(job.method for job in waiting):
        jobs = [job for job in waiting if job.method == name]
        found.append(Forecast(name, _seconds(run, jobs[0]), len(jobs)))
    return found


def in_words(found: list[Forecast], at_once: int) -> str:
    """The whole in one sentence, with the row that takes longest."""
    measured = [one for one in found if one.seconds is not None]
    total = sum(one.seconds * one.jobs for one in measured) / max(1, at_once)
    if not measured:
        return "No row trains a network: minutes."
    longest = max(measured, key=lambda one: one.seconds * one.jobs)
    text = f"About {span(total)} on this device, {at_once} job{'s' if at_once > 1 else ''} at once"
    text += f"; {longest.method} takes the longest, {span(longest.seconds)} a fold."
    others = ", ".join(one.method for one in found if one.seconds is None)
    return text + (f" Not counted, minutes at most: {others}." if others else "")


def span(seconds: float) -> str:
    """A time as people say it: "40 seconds", "12 minutes", "3.5 hours", "4.1 days"."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            count = seconds / size
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    return f"{max(2, round(seconds))} seconds"


def _seconds(run: Comparison, job: Job) -> float | None:
    """Of one job: the time of an epoch on a few patients, times the steps of all epochs. Reading the patients, the
    prediction of the fold and its pictures are not in it.
    """
    settings = run.settings(job, choose_device(run.plan.device))
    method = run.method_class(job.method)(settings)
    trains = method.recipe
    if trains is None:
        return None
    known, _ = run.parts(job)
    few = chosen(known, max(2, trains.batch_size))
    trial = run.method_class(job.method)(replace(settings, options={**settings.options, "epochs": _EPOCHS}))
    ends: list[float] = []
    with limited_threads(settings.threads), tempfile.TemporaryDirectory(prefix="chmfl-forecast-") as folder:
        trial.fit(few, Path(folder), lambda row: ends.append(time.monotonic()))
    if len(ends) < _EPOCHS:
        return None
    _LOG.info("%s: %.2f s for %d patients", job.method, ends[-1] - ends[-2], len(few))
    return (ends[-1] - ends[-2]) * len(known) / len(few) * trains.epochs
