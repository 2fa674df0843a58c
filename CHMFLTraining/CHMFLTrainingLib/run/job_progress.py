"""What a running job tells: ``history.csv`` (a row an epoch, for the learning curves) and ``progress.json`` (where it
is now, for ``status`` and the panel). It also stops a job that nobody waits for any more.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path

from CHMFLPredictorLib.errors import Canceled
from CHMFLPredictorLib.files import read_csv, write_csv, write_json

from . import owner

EVERY_S = 1.0  # how often a job says where it is, and asks whether it shall go on
_LOG = logging.getLogger(__name__)


class JobProgress:
    """Given to :meth:`..methods.base.Method.fit` as ``on_progress``.

    :param folder: the job's.
    :param run_folder: the run's.
    :param token: of the program that wants the job; None: nobody can stop it this way.
    """

    def __init__(self, folder: Path, run_folder: Path, token: str | None):
        self._folder, self._run_folder, self._token = Path(folder), Path(run_folder), token
        self._rows = _earlier_rows(self._folder / "history.csv")
        self._unwritten = False
        self._told = self._asked = -float("inf")
        self._started = time.time()

    def __call__(self, row: dict) -> None:
        """Take in ``{"epoch", "epochs", "loss", ...}``.

        :raises Canceled: the run was stopped or is in other hands.
        """
        epoch = row.get("epoch")
        if epoch is not None:
            same = bool(self._rows) and self._rows[-1]["epoch"] == int(epoch)
            # a resumed job repeats what came after its last checkpoint
            self._rows = [one for one in self._rows if one["epoch"] < int(epoch)]
            self._rows.append({"epoch": int(epoch), **{k: v for k, v in row.items() if k not in ("epoch", "epochs")}})
            self._unwritten = True
            if not same or time.monotonic() - self._told > EVERY_S:
                self.flush()
        if time.monotonic() - self._told > EVERY_S:
            self._tell(row)
        self.check()

    def check(self) -> None:
        """Raise Canceled if the run was stopped or another program has taken it over."""
        if self._token is not None and time.monotonic() - self._asked > EVERY_S:
            self._asked = time.monotonic()
            if owner.token_of(self._run_folder) != self._token:
                raise Canceled()

    def flush(self) -> None:
        """Write history.csv."""
        if self._unwritten:
            columns = list(dict.fromkeys(name for row in self._rows for name in row))
            rows = [[row.get(name, "") for name in columns] for row in self._rows]
            write_csv(self._folder / "history.csv", columns, rows)
            self._unwritten = False

    def begin(self) -> None:
        """The job starts.

        :raises Canceled: nobody wants it any more.
        """
        self.check()
        self._tell({})

    def end(self) -> None:
        """The job is over, however it ended: what it did lies in history.csv."""
        try:
            self.flush()
        finally:
            (self._folder / "progress.json").unlink(missing_ok=True)

    def _tell(self, row: dict) -> None:
        self._told = time.monotonic()
        plain = {name: value for name, value in row.items() if isinstance(value, int | float | str)}
        where = {"host": socket.gethostname(), "pid": os.getpid(), "started": self._started, "time": time.time()}
        write_json(self._folder / "progress.json", {**plain, **where, "token": self._token})


def _earlier_rows(path: Path) -> list[dict]:
    """The epochs of an earlier attempt. A damaged history costs its curve, not the job."""
    if not path.exists():
        return []
    try:
        return [{**row, "epoch": int(float(row["epoch"]))} for row in read_csv(path)]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        _LOG.warning("the history %s cannot be read (%r) and is begun anew", path, error)
        return []
