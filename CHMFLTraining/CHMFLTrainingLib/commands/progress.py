"""What every command says while it works: ``--progress json|bar|none``, as the Predictor's commands
(:mod:`CHMFLPredictorLib.protocol`).

The events are ``progress`` (stage, fraction, text; where things are counted, done and of), ``warning`` (code, text),
and last ``result`` or ``error`` (code, message, hint, exit_code). ``cohort check`` and ``cohort from-dicom`` say
``findings`` before the last line, ``status --watch`` what :mod:`..run.watch` tells.
"""

from __future__ import annotations

import logging

from CHMFLPredictorLib.commands.options import CommandParser
from CHMFLPredictorLib.protocol import Progress
from CHMFLPredictorLib.protocol import make_progress as predictors_progress

from ..run.log import in_words

_LOG = logging.getLogger(__name__)


class LineProgress(Progress):
    """A line of the log for each event: a run takes hours, and its log is read afterwards."""

    def say(self, event: dict) -> None:
        """Log a ``progress`` or ``warning``; the command itself prints its result, and the end its error."""
        if event["event"] in ("progress", "warning"):
            _LOG.log(logging.WARNING if event["event"] == "warning" else logging.INFO, "%s", in_words(event))


def make_progress(kind: str) -> Progress:
    """The progress for ``json``, ``bar`` or ``none``."""
    return LineProgress() if kind == "bar" else predictors_progress(kind)


def talking() -> CommandParser:
    """The parent of every command's parser: how it says what it does."""
    parser = CommandParser(add_help=False)
    kinds = "bar: lines for a person, on standard error (default); json: one event a line on standard output"
    parser.add_argument("--progress", choices=("json", "bar", "none"), default="bar", help=kinds)
    return parser


def counted(progress: Progress, stage: str):
    """A callback for what is done one by one: called with how many are done, how many there are, and which is next."""

    def say(done: int, of: int, name: str = "") -> None:
        text = f"{stage} {min(done + 1, of)} of {of}: {name}" if name else f"{stage} {done} of {of}"
        said = {"event": "progress", "stage": stage, "fraction": round(done / max(1, of), 4), "text": text}
        progress.say({**said, "name": name, "done": done, "of": of})

    return say
