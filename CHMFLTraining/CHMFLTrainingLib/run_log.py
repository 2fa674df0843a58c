"""What a run's program says in ``RUN/child.log``: its events in words, and the error with which it ended."""

from __future__ import annotations

import os
import re
from pathlib import Path

from CHMFLPredictorLib.protocol import parse_event

LOG_FILE = "child.log"
ATTEMPT = "> "  # begins the line of a new attempt
_TAIL_BYTES = 128 * 1024
_ERROR = re.compile(r"Error \((\w+)\): (.*)")


def last_error(folder: Path) -> tuple[str, str, str] | None:
    """Code, message and hint of the error with which the last attempt ended; None if it named none."""
    found = None
    lines = _last_attempt(folder)
    for number, line in enumerate(lines):
        event = parse_event(line)
        if event is not None and event["event"] == "error":
            found = tuple(str(event.get(key, "")) for key in ("code", "message", "hint"))
        elif event is None and (said := _ERROR.match(line)):
            hint = lines[number + 1] if number + 1 < len(lines) and parse_event(lines[number + 1]) is None else ""
            found = (said[1], said[2], hint)
    return found


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
        if event is not None and event["event"] == "prepare":
            return event["done"], event["patients"]
    return None


def in_words(event: dict) -> str | None:
    """An event of ``compare`` as a line of the log."""
    kind = event["event"]
    if kind == "job":
        name = f"{event.get('method')}, repeat {event.get('repeat')}, fold {event.get('fold')}"
        why = f": {event.get('message', '')} ({event['code']}) {event.get('hint', '')}" if event.get("code") else ""
        return f"{event.get('done')}/{event.get('jobs')} {name} {event.get('state')}, {event.get('seconds')} s{why}"
    if kind == "prepare":
        return f"prepared {event.get('done')} of {event.get('patients')} patients"
    if kind in ("warning", "error"):
        said = event.get("text") or f"{event.get('message', '')} {event.get('hint', '')}".strip()
        return f"{kind.capitalize()} ({event.get('code', '')}): {said}"
    if kind == "report":
        return f"report: {event.get('path')}"
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
