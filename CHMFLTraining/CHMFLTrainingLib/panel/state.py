"""The state of the panel's training, and nothing but its state: no widget, no scene, no process."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..run.process import RunEnding


class Phase(StrEnum):
    """Where the panel is: with a cohort before any run, or with a run."""

    NOTHING = "nothing"
    CHECKING = "checking"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"


_RESTING = {Phase.NOTHING, Phase.READY, Phase.PAUSED, Phase.FINISHED, Phase.FAILED}
# what may follow what; everything else is a mistake of the caller
_NEXT = {
    Phase.CHECKING: _RESTING,
    Phase.RUNNING: {Phase.STOPPING, Phase.PAUSED, Phase.FINISHED, Phase.FAILED},
    Phase.STOPPING: {Phase.PAUSED, Phase.FINISHED, Phase.FAILED},
    **{phase: {Phase.CHECKING, Phase.RUNNING} for phase in _RESTING},
}


@dataclass
class TrainingState:
    """Fed with what the watcher says of a run and how its program ended; a panel shows what it finds here.

    :ivar folder: of the run that is shown; empty before one is chosen.
    :ivar status: of the run (:func:`..run.status.status`, with ``grid``), None before the first.
    :ivar ending: how the program ended, if one ran and has ended.
    :ivar problem: code, message and hint of what keeps the run from being read; empty strings: nothing.
    :ivar stop: whether the run was stopped for good, so that a report of what is finished follows; False: paused.
    """

    phase: Phase = Phase.NOTHING
    folder: str = ""
    status: dict | None = None
    ending: RunEnding | None = None
    problem: tuple[str, str, str] = ("", "", "")
    stop: bool = False
    rows: list[dict] = field(default_factory=list)
    _before: Phase = Phase.NOTHING  # the check

    @property
    def busy(self) -> bool:
        """Whether a program works on the run."""
        return self.phase in (Phase.RUNNING, Phase.STOPPING)

    @property
    def jobs(self) -> tuple[int, int]:
        """Jobs finished, and all."""
        return (self.status["finished"], self.status["jobs"]) if self.status else (0, 0)

    @property
    def complete(self) -> bool:
        """Whether every job is finished."""
        done, jobs = self.jobs
        return bool(jobs) and done == jobs

    @property
    def fraction(self) -> float:
        """Of the run, 0 to 1; a job under way counts by its epochs."""
        done, jobs = self.jobs
        if not jobs:
            return 0.0
        under_way = sum(min(1.0, job["epoch"] / job["epochs"]) for job in self.status["now"] if job.get("epochs"))
        return min(1.0, (done + under_way) / jobs)

    @property
    def grid(self) -> list[list]:
        """Method, repeat, fold, state and detail of each job. Where no program works, none runs: a killed one's files
        say so for half a minute more.
        """
        rows = self.status["grid"] if self.status else []
        return rows if self.busy else [[*row[:3], "waiting", ""] if row[3] == "running" else row for row in rows]

    @property
    def failures(self) -> list[dict]:
        """Jobs that failed: method, repeat, fold, code, message, hint."""
        return self.status["errors"] if self.status else []

    def check(self) -> None:
        """A cohort is being checked."""
        before = self.phase
        self._move(Phase.CHECKING)
        self._before = before

    def checked(self, usable: bool) -> None:
        """The cohort is checked; a run that was shown is so again."""
        shown = self._before in (Phase.PAUSED, Phase.FINISHED, Phase.FAILED)
        self._move(self._before if shown else Phase.READY if usable else Phase.NOTHING)

    def open(self, folder: str) -> None:
        """Show another run; what was known of the last one is forgotten. Its program, if any, goes on."""
        self.phase, self.folder, self.status, self.ending = Phase.NOTHING, folder, None, None
        self.problem, self.stop, self.rows = ("", "", ""), False, []

    def run(self) -> None:
        """A program works on the run: started, or found at work."""
        self._move(Phase.RUNNING)
        self.ending, self.problem, self.stop = None, ("", "", ""), False

    def leave(self, stop: bool) -> None:
        """The user pauses or stops the run."""
        self._move(Phase.STOPPING)
        self.stop = stop

    def take(self, event: dict) -> None:
        """Take in an event of the watcher (``run.watch``)."""
        if event["event"] == "status":
            self.status = event
            if self.phase in _RESTING and self.ending is None:  # nobody works on it: what its files say
                self.phase = Phase.FINISHED if self.complete else Phase.PAUSED
        elif event["event"] == "results":
            self.rows = event["rows"]
        elif event["event"] == "problem":
            self.problem = (event["code"], event["message"], event["hint"])

    def end(self, ending: RunEnding) -> None:
        """The program has ended."""
        phases = {"finished": Phase.FINISHED, "stopped": Phase.PAUSED, "failed": Phase.FAILED}
        self._move(phases[ending.kind])
        self.ending = ending

    def _move(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise RuntimeError(f"{phase} cannot follow {self.phase}")
        self.phase = phase
