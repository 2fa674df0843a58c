"""How events travel: one JSON object a line for a parent process and back, or a bar and a few lines for a person.

JSON lines (``--progress json``) are ASCII, on standard output; :mod:`.events` lists them.
"""

import json
import os
import select
import sys
import time
from typing import TextIO

from .errors import Canceled
from .events import Event, Progress, risk_sentence

_BAR_WIDTH = 30


class JsonProgress(Progress):
    """One JSON object a line to a stream. A closed stream means that the parent is gone: :class:`Canceled`."""

    machine_reads = True

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream
        self._last: Event | None = None
        self._last_said = 0.0
        self._can_poll = _can_poll(stream)

    def say(self, event: Event) -> None:
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

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream
        self._terminal = bool(getattr(stream, "isatty", lambda: False)())
        self._stage: str | None = None

    def say(self, event: Event) -> None:
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


def make_progress(kind: str, stdout: TextIO | None = None, stderr: TextIO | None = None) -> Progress:
    """The progress for ``json``, ``bar`` or ``none``."""
    if kind == "json":
        return JsonProgress(stdout or sys.stdout)
    return BarProgress(stderr or sys.stderr) if kind == "bar" else Progress()


def parse_event(line: str) -> Event | None:
    """The event that a line of standard output holds, or None if it is some library's chatter."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _can_poll(stream: TextIO) -> bool:
    """Whether the system can tell that the reader of this stream went away."""
    try:
        return hasattr(select, "poll") and stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False


def _reader_is_gone(stream: TextIO) -> bool:
    poll = select.poll()  # a new one each time: two threads may ask, and one poll object serves only one
    try:
        poll.register(stream.fileno(), select.POLLERR)
        return any(state & (select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
    except (OSError, ValueError):
        return True
