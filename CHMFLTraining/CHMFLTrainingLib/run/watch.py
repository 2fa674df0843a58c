"""Watches a run, for ``status RUN --watch``, and puts the metrics of several runs side by side.

A run of forty methods has hundreds of files, perhaps on a network disk; whoever draws windows must not wait for them
and has another process watch. Events come only where something changed:

- ``{"event": "status", ...}``: :func:`.status.status`, and ``grid``: a list of method, repeat, fold, state, detail;
- ``{"event": "curves", "method", "curves"}``: learning curves of a method;
- ``{"event": "results", "rows", "rocs"}``: metrics a method, and out-of-fold ROC;
- ``{"event": "problem", "code", "message", "hint"}``: the run cannot be read; empty strings once it can.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import ChmflError

from ..statistics.metrics import METRICS
from .live import Curve, LiveResults
from .run import Comparison
from .status import status_of

EVERY_S = 1.0
ALIVE_S = 10.0  # how often a line is written even so: a pipe whose reader is gone shows itself by it on Windows


class RunWatch:
    """Looks at a run again and again.

    :param folder: of the run; may still be empty.
    :param say: gets each event.
    """

    def __init__(self, folder: Path, say: Callable[[dict], None]):
        self.folder, self._say = Path(folder), say
        self._live = LiveResults(self.folder)
        self._said: dict[str, dict] = {}

    def look(self) -> None:
        """Read what is new and say it."""
        if not (self.folder / "config.json").exists():
            return
        try:
            run = Comparison(self.folder, self._live.kept)  # one reads for both
            found = status_of(run)
            found["grid"] = _states(run, found)
        except ChmflError as error:
            self._tell("problem", {"code": error.code, "message": error.message, "hint": error.hint})
            return
        if "problem" in self._said:
            self._tell("problem", {"code": "", "message": "", "hint": ""})
        self._tell("status", found)
        if self._live.refresh():
            for method in self._live.methods:
                curves = [_plain(curve) for curve in self._live.curves(method)]
                self._tell(f"curves of {method}", {"event": "curves", "method": method, "curves": curves})
            rocs = {name: [*map(list, roc[:2]), *roc[2:]] for name, roc in self._live.roc().items()}
            self._tell("results", {"rows": self._live.metrics(), "rocs": rocs})

    def _tell(self, what: str, content: dict) -> None:
        if self._said.get(what) != content:
            self._said[what] = content
            self._say({"event": what, **content})


def _states(run: Comparison, found: dict) -> list[list]:
    """State and detail of each job."""
    now = {(job["method"], job["repeat"], job["fold"]): job for job in found["now"]}
    errors = {(job["method"], job["repeat"], job["fold"]): job for job in found["errors"]}
    rows = []
    for job in run.jobs:
        key = (job.method, job.repeat, job.fold)
        if key in now:
            epoch = f"{now[key]['epoch']}/{now[key].get('epochs', '?')}" if "epoch" in now[key] else ""
            rows.append([*key, "running", epoch])
        elif key in errors:
            why = errors[key]
            rows.append([*key, "failed", f"{why['message']} ({why['code']}) {why['hint']}".strip()])
        else:
            rows.append([*key, run.state(job), ""])
    return rows


def curves_of(event: dict) -> list[Curve]:
    """The curves of a ``curves`` event."""
    return [
        Curve(
            one["fold"],
            one["repeat"],
            np.array(one["epochs"]),
            np.array(one["loss"]),
            None if one["validation_loss"] is None else np.array(one["validation_loss"], dtype=float),
        )
        for one in event["curves"]
    ]


def rocs_of(event: dict) -> dict[str, tuple]:
    """The ROC of a ``results`` event, as :meth:`.LiveResults.roc` gives them."""
    return {name: (np.array(fpr), np.array(tpr), *rest) for name, (fpr, tpr, *rest) in event["rocs"].items()}


def metrics_of(folders: list[Path]) -> list[dict]:
    """A row for each method of each run, with ``run`` (the folder's name): runs side by side.

    :raises BadInput: run_missing, run_damaged, run_other_kind.
    """
    rows = []
    for folder in map(Path, folders):
        Comparison(folder)
        live = LiveResults(folder)
        live.refresh()
        rows += [{"run": folder.name, **row} for row in live.metrics()]
    return rows


def metrics_as_text(rows: list[dict]) -> str:
    """Rows of :func:`metrics_of` for a terminal."""
    lines = [["run", "method", "patients", *METRICS]]
    for row in rows:
        numbers = ("" if row[name] is None else f"{row[name]:.3f}" for name in METRICS)
        lines.append([row["run"], row["method"], str(row["n"]), *numbers])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(f"{text:<{width}}" for text, width in line).rstrip() for line in padded)


def _plain(curve: Curve) -> dict:
    """A curve as JSON, which knows no NaN: None where the validation loss was not measured."""
    losses = None if curve.validation_loss is None else curve.validation_loss.tolist()
    return {
        "fold": curve.fold,
        "repeat": curve.repeat,
        "epochs": curve.epochs.tolist(),
        "loss": curve.loss.tolist(),
        "validation_loss": losses and [loss if math.isfinite(loss) else None for loss in losses],
    }


def watch(folder: Path, say: Callable[[dict], None], check: Callable[[], None]) -> None:
    """Watch a run until ``check`` or ``say`` raises because nobody listens any more.

    :param folder: of the run; may still be empty.
    """
    spoken = time.monotonic()

    def tell(event: dict) -> None:
        nonlocal spoken
        spoken = time.monotonic()
        say(event)

    watched = RunWatch(folder, tell)
    while True:
        watched.look()
        check()
        if time.monotonic() - spoken > ALIVE_S:
            tell({"event": "alive"})
        time.sleep(EVERY_S)
