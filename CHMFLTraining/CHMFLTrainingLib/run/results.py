"""The one reader of a run's folder: what each job has left there, and by that where the job stands. ``status``, the
panel, the watcher, the report, ``predict`` and ``compare`` itself all ask it, so a job that is finished for one of them
is so for all.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from CHMFLPredictorLib.files import version_of

from ..methods import registry


@dataclass(frozen=True)
class Job:
    """The smallest piece of work: one method on one fold of one repeat."""

    method: str
    repeat: int
    fold: int

    def __str__(self) -> str:
        return f"{self.method}, repeat {self.repeat}, fold {self.fold}"


class RunFolder:
    """What lies in a run's folder. A file is read again only where it has changed.

    :param folder: of the run.
    :param kept: what another reader of the same folder has read so far, its :attr:`kept`.
    """

    def __init__(self, folder: Path, kept: dict | None = None):
        self.folder = Path(folder)
        self.kept: dict[Path, tuple] = {} if kept is None else kept  # file: its version, and what was made of it

    def held_out(self, job: Job) -> Collection[str]:
        """The patients that the job predicts."""
        raise NotImplementedError

    def job_folder(self, job: Job) -> Path:
        """Where a job's files lie."""
        return self.folder / registry.slug(job.method) / f"repeat_{job.repeat}" / f"fold_{job.fold}"

    def state(self, job: Job, token: str | None = None) -> str:
        """One of "running", "finished", "damaged" (predictions.csv or the model cannot be used), "failed", "waiting".

        :param token: of the program that works on the run; None: nobody does, so that no job is running.
        """
        if self.progress(job, token) is not None:
            return "running"
        folder = self.job_folder(job)
        if (folder / "predictions.csv").exists():
            return "finished" if self.predictions(job) is not None else "damaged"
        return "failed" if (folder / "error.json").exists() else "waiting"

    def predictions(self, job: Job) -> list[dict] | None:
        """A finished job's rows, text as in the file; None where they are absent or damaged."""
        folder = self.job_folder(job)
        rows = self.content(folder / "predictions.csv", _predictions)
        if rows is None or not (folder / "model" / "method.json").exists():
            return None
        return rows if sorted(row["patient_id"] for row in rows) == sorted(self.held_out(job)) else None

    def history(self, job: Job) -> list[dict] | None:
        """Rows of history.csv, text as in the file; empty where there is none, None where it is damaged."""
        path = self.job_folder(job) / "history.csv"
        return self.content(path, table) if path.exists() else []

    def progress(self, job: Job, token: str | None) -> dict | None:
        """What a job under way tells; None: it is not. A killed one's file has the token of a program that is gone."""
        found = self._json(job, "progress.json") if token is not None else None
        return found if found is not None and found.get("token") == token else None

    def seconds(self, job: Job) -> float | None:
        """How long a finished job took; None where it is not told."""
        try:
            return float((self._json(job, "job.json") or {})["seconds"])
        except (KeyError, TypeError, ValueError):
            return None

    def error(self, job: Job) -> dict | None:
        """Why a job failed: code, message, hint, exit_code; None if it did not."""
        path = self.job_folder(job) / "error.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {"code": "defect", "message": "", "hint": "", "exit_code": 1} | found
        except (OSError, ValueError, TypeError) as error:
            return {"code": "run_damaged", "message": f"{path} cannot be read: {error}.", "hint": "", "exit_code": 2}

    def content(self, path: Path, parse: Callable[[bytes], object]):
        """What ``parse`` makes of a file's bytes; None where it raises or there is no file to read."""
        try:
            version = version_of(path)
            if self.kept.get(path, (None,))[0] != version:
                self.kept[path] = version, _parsed(parse, path.read_bytes())
        except OSError:  # not written yet, removed, or replaced at this moment
            self.kept.pop(path, None)
        return self.kept.get(path, (None, None))[1]

    def _json(self, job: Job, name: str) -> dict | None:
        found = self.content(self.job_folder(job) / name, json.loads)
        return found if isinstance(found, dict) else None


def table(data: bytes) -> list[dict]:
    """Rows of a CSV; a last line that is not complete is left out.

    :raises ValueError: it is no text. csv.Error: it is no CSV.
    """
    text = data.decode("utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))


def _predictions(data: bytes) -> list[dict]:
    """Rows whose numbers are numbers, of a file that is whole."""
    rows = table(data)
    sound = all(math.isfinite(float(row[name])) for row in rows for name in ("risk", "threshold"))
    if not (sound and data.endswith(b"\n") and all(row["patient_id"] for row in rows)):
        raise ValueError("not all of it is there")
    return rows


def _parsed(parse: Callable[[bytes], object], data: bytes):
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError, csv.Error):
        return None
