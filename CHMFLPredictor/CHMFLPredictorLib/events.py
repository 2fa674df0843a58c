"""What a run says while it works: events, each a dictionary that :mod:`.protocol` writes down.

In this order:

- ``{"event": "progress", "stage", "fraction", "text"}``: fraction of the whole run, 0 to 1, never falling; stage is
  one of :data:`STAGES`.
- ``{"event": "warning", "code", "text"}``: as soon as it is known.
- ``{"event": "risk", "risk", "risk_interval", "members", "baseline_risk", "threshold", "label", "elapsed_s"}``: before
  the segmentation starts.
- ``{"event": "result", "output", "files", "result"}``: last one of a run that ended well; ``result`` is the content of
  ``result.json``.
- ``{"event": "error", "code", "message", "hint", "exit_code"}``: last one of a run that did not.

A batch adds ``"patient_id"``, ``"patient"`` (its number, from 1) and ``"patients"`` (how many) to each of these.
Fractions begin at 0 for each patient. Its last one is ``{"event": "result", "output", "files", "done", "failed",
"skipped"}``.
"""

import threading
import time
from typing import Any

from .errors import ChmflError

# stage: (text for people, share of a run's time with a network of ordinary size on a CPU)
STAGES = {
    "read": ("Reading PET and CT", 0.15),
    "locate": ("Looking for the tumor", 0.05),
    "preprocess": ("Preparing the box", 0.05),
    "model": ("Loading the model", 0.10),
    "risk": ("Predicting the risk", 0.10),
    "segmentation": ("Segmenting the tumor", 0.30),
    "relevance": ("Computing the relevance map", 0.10),
    "write": ("Writing the results", 0.15),
}
Event = dict[str, Any]
ROLES = ("pet", "ct", "segmentation")  # the images of a prediction


class Progress:
    """Follows one run and says how far it is. A base class that says nothing (``--progress none``)."""

    machine_reads = False

    def __init__(self) -> None:
        self._fraction = 0.0
        self.started = time.perf_counter()
        self.fields: Event = {}  # added to every event; a batch puts patient_id here
        self._lock = threading.Lock()

    def stage(self, name: str, within: float = 0.0) -> None:
        """Say that a stage runs and which part of it (0 to 1) is done."""
        names = list(STAGES)
        before = sum(STAGES[other][1] for other in names[: names.index(name)])
        self._fraction = max(self._fraction, before + STAGES[name][1] * min(max(within, 0.0), 1.0))
        self.say({"event": "progress", "stage": name, "fraction": round(self._fraction, 4), "text": STAGES[name][0]})

    def restart(self, **fields: Any) -> None:
        """Begin again at 0, for the next patient of a batch; ``fields`` go into each of its events."""
        self._fraction, self.fields = 0.0, fields

    def say(self, event: Event) -> None:
        """Send one event."""

    def check(self) -> None:
        """Raise :class:`Canceled` when the one who listens is gone."""


def risk_sentence(numbers: dict[str, Any]) -> str:
    """The risk in one line for people, from a ``risk`` event or a result."""
    low, high = numbers["risk_interval"]
    return (
        f"Risk of distant metastases {numbers['risk']:.2f} (interval {low:.2f} to {high:.2f}), {numbers['label']} "
        f"(threshold {numbers['threshold']:.2f}); simple baseline {numbers['baseline_risk']:.2f}"
    )


def error_event(error: ChmflError) -> Event:
    """The ``error`` line of an expected failure."""
    return {
        "event": "error",
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
