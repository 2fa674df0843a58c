"""What a run says while it works: one JSON object a line for a parent process, or a bar and a few lines for a person.

JSON lines (``--progress json``), on standard output, ASCII, in this order:

- ``{"event": "progress", "stage", "fraction", "text"}``: fraction of the whole run, 0 to 1, never falling; stage is
  one of ``STAGES``.
- ``{"event": "warning", "code", "text"}``: as soon as it is known.
- ``{"event": "risk", "risk", "risk_interval", "members", "baseline_risk", "threshold", "label", "elapsed_s"}``: before
  the segmentation starts.
- ``{"event": "result", "output", "files", "result"}``: last line of a run that ended well; ``result`` is the content
  of ``result.json``.
- ``{"event": "error", "code", "message", "hint", "exit_code"}``: last line of a run that did not.

A batch adds ``"patient_id"``, ``"patient"`` (its number, from 1) and ``"patients"`` (how many) to each of these.
Fractions begin at 0 for each patient. Its last line is ``{"event": "result", "output", "files", "done", "failed",
"skipped"}``.
"""

import json
import os
import select
import sys
import threading
import time

from .errors import Canceled, ChmflError

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
ROLES = ("pet", "ct", "segmentation")  # the images of a prediction
_BAR_WIDTH = 30


class Progress:
    """Follows one run and says how far it is. A base class that says nothing (``--progress none``)."""

    machine_reads = False

    def __init__(self):
        self._fraction = 0.0
        self.started = time.perf_counter()
        self.fields: dict = {}  # added to every event; a batch puts patient_id here
        self._lock = threading.Lock()

    def stage(self, name: str, within: float = 0.0) -> None:
        """Say that a stage runs and which part of it (0 to 1) is done."""
        names = list(STAGES)
        before = sum(STAGES[other][1] for other in names[: names.index(name)])
        self._fraction = max(self._fraction, before + STAGES[name][1] * min(max(within, 0.0), 1.0))
        self.say({"event": "progress", "stage": name, "fraction": round(self._fraction, 4), "text": STAGES[name][0]})

    def restart(self, **fields) -> None:
        """Begin again at 0, for the next patient of a batch; ``fields`` go into each of its events."""
        self._fraction, self.fields = 0.0, fields

    def say(self, event: dict) -> None:
        """Send one event."""

    def check(self) -> None:
        """Raise :class:`Canceled` when the one who listens is gone."""


class JsonProgress(Progress):
    """One JSON object a line to a stream. A closed stream means that the parent is gone: :class:`Canceled`."""

    machine_reads = True

    def __init__(self, stream):
        super().__init__()
        self._stream = stream
        self._last, self._last_said = None, 0.0
        self._can_poll = _can_poll(stream)

    def say(self, event: dict) -> None:
        """Write one line."""
        line = json.dumps({**event, **self.fields}, ensure_ascii=True, allow_nan=False)
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed on this side
            raise Canceled("The program that started the prediction is gone.") from error
        if event["event"] == "progress":
            self._last = event
        self._last_said = time.monotonic()

    def check(self) -> None:
        """Raise :class:`Canceled` when nobody reads the stream any more."""
        if self._can_poll:
            if _reader_is_gone(self._stream):
                raise Canceled("The program that started the prediction is gone.")
        elif os.name == "nt" and self._last is not None and time.monotonic() - self._last_said > 2.0:
            self.say(self._last)  # Windows cannot ask a pipe whether somebody reads it, only write to it


class BarProgress(Progress):
    """A bar on a terminal; on anything else one line a stage."""

    def __init__(self, stream):
        super().__init__()
        self._stream = stream
        self._terminal = bool(getattr(stream, "isatty", lambda: False)())
        self._stage = None

    def say(self, event: dict) -> None:
        """Draw or print one event."""
        with self._lock:
            if event["event"] == "progress" and self._terminal:
                filled = round(_BAR_WIDTH * event["fraction"])
                bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
                self._write(f"\r[{bar}] {100 * event['fraction']:3.0f} %  {event['text']:<32}")
            elif event["event"] == "progress" and event["stage"] != self._stage:
                self._write(f"{event['text']} ...\n")
            elif event["event"] == "risk":
                self._line(risk_sentence(event))
            elif event["event"] == "warning":
                self._line(f"Warning: {event['text']}")
            elif event["event"] in ("result", "error") and self._terminal:
                self._write("\r" + " " * (_BAR_WIDTH + 42) + "\r")
            self._stage = event.get("stage", self._stage)

    def _line(self, text: str) -> None:
        self._write(f"\r{text:<{_BAR_WIDTH + 42}}\n" if self._terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._terminal = False  # nobody looks; the results still go to the folder


def make_progress(kind: str, stdout=None, stderr=None) -> Progress:
    """The progress for ``json``, ``bar`` or ``none``."""
    if kind == "json":
        return JsonProgress(stdout or sys.stdout)
    return BarProgress(stderr or sys.stderr) if kind == "bar" else Progress()


def risk_sentence(numbers: dict) -> str:
    """The risk in one line for people, from a ``risk`` event or a result."""
    low, high = numbers["risk_interval"]
    return (
        f"Risk of distant metastases {numbers['risk']:.2f} (interval {low:.2f} to {high:.2f}), {numbers['label']} "
        f"(threshold {numbers['threshold']:.2f}); simple baseline {numbers['baseline_risk']:.2f}"
    )


def error_event(error: ChmflError) -> dict:
    """The ``error`` line of an expected failure."""
    return {
        "event": "error",
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def _can_poll(stream) -> bool:
    """Whether the system can tell that the reader of this stream went away."""
    try:
        return hasattr(select, "poll") and stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False


def _reader_is_gone(stream) -> bool:
    poll = select.poll()  # a new one each time: two threads may ask, and one poll object serves only one
    try:
        poll.register(stream.fileno(), select.POLLERR)
        return any(state & (select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
    except (OSError, ValueError):
        return True
