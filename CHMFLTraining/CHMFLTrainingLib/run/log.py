"""What a run's program says in ``RUN/child.log``: its events in words, and the error with which it ended."""

from __future__ import annotations

import os
from pathlib import Path

from CHMFLPredictorLib.protocol import parse_event

LOG_FILE = "child.log"
ATTEMPT = "> "  # begins the line of a new attempt
_TAIL_BYTES = 128 * 1024


def last_error(folder: Path) -> tuple[str, str, str] | None:
    """Code, message and hint of the error with which the last attempt ended; None if it named none."""
    events = filter(None, map(parse_event, _last_attempt(folder)))
    errors = [event for event in events if event["event"] == "error"]
    return tuple(str(errors[-1].get(key, "")) for key in ("code", "message", "hint")) if errors else None


def log_tail(folder: Path) -> str:
    """The end of the log for people."""
    lines = []
    for line in _tail(folder):
        event = parse_event(line)
        text = line if event is None else in_words(event)
        if text is not None:
            lines.append(text)
    return "\n".join(lines)


def prepared(folder: Path) -> tuple[int, int] | None:
    """How many patients the last attempt has prepared, and of how many; None before the first."""
    for line in reversed(_last_attempt(folder)):
        event = parse_event(line)
        if event is not None and event.get("stage") == "prepare":
            return event["done"], event["of"]
    return None


def in_words(event: dict) -> str | None:
    """An event as a line of the log; None for what only programs read."""
    kind = event["event"]
    if kind == "progress":
        return event.get("text")
    if kind in ("warning", "error"):
        said = event.get("text") or f"{event.get('message', '')} {event.get('hint', '')}".strip()
        return f"{kind.capitalize()} ({event.get('code', '')}): {said}"
    return None


def _tail(folder: Path) -> list[str]:
    try:
        with open(Path(folder) / LOG_FILE, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            size = stream.tell()
            stream.seek(max(0, size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[1:] if size > _TAIL_BYTES else lines  # the first one is cut


def _last_attempt(folder: Path) -> list[str]:
    lines = _tail(folder)
    starts = [number for number, line in enumerate(lines) if line.startswith(ATTEMPT)]
    return lines[starts[-1] :] if starts else lines
