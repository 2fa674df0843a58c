"""The state of the panel's one run, prediction or batch, and nothing but its state: no widget, no scene, no process."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..child.process import Ended, Ending


class Phase(StrEnum):
    """Where a run is. ``IDLE`` is before the first one; a run that has ended stays ``ENDED`` until the next starts."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELING = "canceling"
    ENDED = "ended"


class Kind(StrEnum):
    """What runs."""

    PREDICTION = "prediction"
    BATCH = "batch"


# what may follow what; everything else is a mistake of the caller
_NEXT = {
    Phase.IDLE: {Phase.RUNNING},
    Phase.RUNNING: {Phase.CANCELING, Phase.ENDED},
    Phase.CANCELING: {Phase.ENDED},
    Phase.ENDED: {Phase.RUNNING},
}


@dataclass
class RunState:
    """Fed with a run's events and its ending; a panel shows what it finds here.

    :ivar fraction: of the run, 0 to 1, never falling within one patient.
    :ivar stage: what it does now, a key of ``events.STAGES``; empty before the first.
    :ivar risk: the ``risk`` event, as soon as it came.
    :ivar warnings: the ``warning`` events.
    :ivar patient: of a batch: number of the patient at hand (from 1), and how many there are.
    :ivar ended: how the run ended.
    """

    phase: Phase = Phase.IDLE
    kind: Kind = Kind.PREDICTION
    fraction: float = 0.0
    stage: str = ""
    risk: dict | None = None
    warnings: list[dict] = field(default_factory=list)
    patient: tuple[int, int] = (0, 0)
    ended: Ended | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self.phase in (Phase.RUNNING, Phase.CANCELING)

    @property
    def ending(self) -> Ending | None:
        """How the last run ended."""
        return self.ended.ending if self.ended is not None else None

    def forget(self) -> None:
        """Nothing ran yet, as in a new scene."""
        self.__init__()

    def start(self, kind: Kind) -> None:
        """A run begins; what was known of the last one is forgotten."""
        self._move(Phase.RUNNING)
        self.kind, self.fraction, self.stage, self.risk, self.ended = kind, 0.0, "", None, None
        self.warnings, self.patient = [], (0, 0)

    def take(self, event: dict) -> None:
        """Take in one event of the child protocol. Events that come after a cancel change nothing."""
        if self.phase is not Phase.RUNNING:
            return
        if event.get("patients"):
            number = (int(event["patient"]), int(event["patients"]))
            if number != self.patient:
                self.patient, self.fraction, self.risk = number, 0.0, None
        if event["event"] == "progress":
            self.fraction, self.stage = max(self.fraction, float(event["fraction"])), event["stage"]
        elif event["event"] == "risk":
            self.risk = event
        elif event["event"] == "warning":
            self.warnings.append(event)

    @property
    def overall(self) -> float:
        """The fraction of everything, all patients of a batch together, 0 to 1."""
        number, count = self.patient
        return (max(number - 1, 0) + self.fraction) / count if count else self.fraction

    def cancel(self) -> None:
        """The user does not want it any more. A second click changes nothing."""
        if self.phase is Phase.RUNNING:
            self._move(Phase.CANCELING)

    def end(self, ended: Ended) -> None:
        """The run is over."""
        self._move(Phase.ENDED)
        self.ended = ended
        if ended.ending is Ending.DONE:
            self.fraction = 1.0

    def _move(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise RuntimeError(f"A run that is {self.phase} cannot become {phase}.")
        self.phase = phase
