"""A comparison as a program of its own that outlives the one that started it: started apart, found again by its files,
stopped, and judged when it has ended.

The program writes what it says to ``RUN/child.log``; nobody listens to a pipe that would break with Slicer. A run is
asked to stop by taking its token out of ``RUN/owner.json`` (``owner.py``: every job sees that on any platform) and
by SIGTERM where there is one; what does not heed that is ended after a while. Finished folds stay, the others go on
from their checkpoints.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from CHMFLPredictorLib.child import process
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_json
from CHMFLPredictorLib.predict.output_folder import output_error

from .. import MODULE_FOLDER
from . import owner as run_owner
from .log import ATTEMPT, LOG_FILE, last_error, log_tail

NICE = 10  # a training that goes on for hours leaves the computer usable
GRACE_S = 30.0  # a job stops at its next epoch


@dataclass(frozen=True)
class RunEnding:
    """How a run ended.

    :ivar kind: "finished", "stopped" (somebody asked for it) or "failed".
    :ivar code: of a failed one; ``run_killed`` where it left without a word.
    """

    kind: str
    code: str = ""
    message: str = ""
    hint: str = ""


def environment() -> dict[str, str]:
    """The environment of a child that finds both libraries, from sources or installed into one folder."""
    found = process.child_environment()
    own = str(MODULE_FOLDER)
    if own not in found["PYTHONPATH"].split(os.pathsep):
        found["PYTHONPATH"] = os.pathsep.join([own, found["PYTHONPATH"]])
    found["PYTHONSAFEPATH"] = "1"  # Slicer's working folder may hold a statistics.py of anybody's
    return found


def launch(command: list[str], _: dict[str, str] | None = None) -> subprocess.Popen:
    """A ``process.ChildProcess``'s launcher whose child finds both libraries."""
    return process.launch(command, environment())


def start(folder: Path, arguments: list[str]) -> DetachedRun:
    """Start ``python -m CHMFLTrainingLib ARGUMENTS`` in a session of its own.

    :param folder: of the run; made if absent.
    :raises BadInput: output_unwritable, output_full, child_not_started.
    """
    folder = Path(folder)
    command = [process.python_executable(), "-u", "-m", "CHMFLTrainingLib", *map(str, arguments)]
    if os.name == "nt":  # without a window, for itself and the workers that it starts
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        apart = {"start_new_session": True}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOG_FILE, "ab") as log:
            log.write(f"{ATTEMPT}{subprocess.list2cmdline(command)}\n".encode())
            log.flush()
            asked = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT, "close_fds": True}
            child = _spawn(command, asked | apart)
    except OSError as error:
        raise output_error(folder, error) from error
    return DetachedRun(folder, child)


def _spawn(command: list[str], options: dict) -> subprocess.Popen:
    try:
        child = subprocess.Popen(command, env=environment(), **options)
        process.raise_priority(child.pid, NICE)
        return child
    except (OSError, ValueError) as error:
        text = f"The training could not be started: '{command[0]}' ({error})."
        hint = "Check that the installation is complete and that no security program blocks Python."
        raise BadInput("child_not_started", text, hint) from error


class DetachedRun:
    """A run under way, or one that has ended.

    :param folder: of the run.
    :param child: the program if this one started it; None attaches to whoever works on the run.
    :ivar asked: whether it was asked to stop.
    """

    def __init__(self, folder: Path, child: subprocess.Popen | None = None):
        self.folder, self.asked = Path(folder), False
        self._child, self._since = child, time.time()
        self._stop_at: float | None = None
        self._pid, self._here = None, True
        self._identify()

    @property
    def exit_code(self) -> int | None:
        """Of a program that this one started and that has ended."""
        return self._child.poll() if self._child is not None else None

    def alive(self) -> bool:
        """Whether the program is still there."""
        if self._child is not None:
            return self._child.poll() is None
        if self._pid is None:
            self._identify()
        if self._pid is None or not self._here:
            return is_at_work(self.folder)
        return is_running(self._pid, self.folder) and (self.asked or is_at_work(self.folder))

    def stop(self) -> None:
        """Ask it to stop; :meth:`poll` ends it if it does not."""
        self._identify()
        self.asked = True
        self._stop_at = time.monotonic()
        _take_token(self.folder)
        if self._here and os.name != "nt":
            _quietly(os.kill, self._pid or self._group(), signal.SIGTERM)

    def poll(self) -> bool:
        """Whether it is still there; ends what was asked to stop a while ago. Never blocks."""
        if not self.alive():
            return False
        if self._stop_at is not None and time.monotonic() - self._stop_at > GRACE_S:
            self.kill()
        return True

    def kill(self) -> None:
        """End it and its workers at once."""
        self._identify()
        if not self._here:
            return
        if os.name == "nt":
            command = ["taskkill", "/PID", str(self._pid or self._child.pid), "/T", "/F"]
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             creationflags=subprocess.CREATE_NO_WINDOW)  # fmt: skip
            return
        group = self._group()
        if group is not None and group != os.getpgrp():
            _quietly(os.killpg, group, signal.SIGKILL)
        elif self._pid is not None:
            _quietly(os.kill, self._pid, signal.SIGKILL)

    def ending(self, all_finished: bool) -> RunEnding:
        """How it ended, by its exit code, its last words and its files.

        :param all_finished: whether every job of the run is finished.
        """
        code = self.exit_code
        if code == 0 or (code is None and all_finished):
            return RunEnding("finished")
        if self.asked:
            return RunEnding("stopped")
        said = last_error(self.folder) if self._spoke() else None
        if code == 3 or (said is not None and said[0] == "canceled"):
            return RunEnding("stopped")
        if said is not None:
            return RunEnding("failed", *said)
        how = f" ({_signal_name(-code)})" if code is not None and code < 0 else ""
        text = f"The training was ended from outside{how}; most likely the memory was exhausted or it was killed."
        if code is not None and code > 0:
            text = f"The training ended unexpectedly (exit code {code}). {log_tail(self.folder)[-300:]}".strip()
        hint = "Click Resume: finished folds stay. If it happens again, run fewer jobs at once or a smaller preset."
        return RunEnding("failed", "run_killed", text, hint)

    def _spoke(self) -> bool:
        """Whether the log is this attempt's: a run started from a terminal has none, or an old one."""
        try:
            return self._child is not None or (self.folder / LOG_FILE).stat().st_mtime >= self._since
        except OSError:
            return False

    def _identify(self) -> None:
        """Who works on the run, from owner.json, once there is one. PythonSlicer's process is not Python's own."""
        owner = owner_of(self.folder)
        if owner is None or owner.get("token") is None or not isinstance(owner.get("pid"), int):
            return
        here = owner.get("host") == socket.gethostname()
        if self._child is not None and not (here and self._child.poll() is None):
            return
        self._pid, self._here = owner["pid"], here

    def _group(self) -> int | None:
        if self._child is not None:
            return self._child.pid
        try:
            return os.getpgid(self._pid) if self._pid is not None else None
        except OSError:
            return None


def owner_of(folder: Path) -> dict | None:
    """Content of owner.json: token, pid, host; None where there is none to read."""
    try:
        found = json.loads((Path(folder) / run_owner.OWNER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_at_work(folder: Path) -> bool:
    """Whether a program works on a run, as far as one look tells: ``owner.is_alive`` waits for network disks."""
    owner = owner_of(folder)
    if owner is None or owner.get("token") is None:
        return False
    here = owner.get("host") == socket.gethostname() and isinstance(owner.get("pid"), int)
    return _silent_s(folder) < run_owner.SILENT_S and (not here or is_running(owner["pid"], folder))


def is_running(pid: int, folder: Path) -> bool:
    """Whether a run's process, on this computer, has not ended. Where psutil is absent, since a panel looks at a run
    before anything is installed: whether it was heard of lately.
    """
    try:
        import psutil
    except ImportError:
        return _silent_s(folder) < run_owner.SILENT_S
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # a zombie waits for a panel that was reloaded
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # another user's


def _silent_s(folder: Path) -> float:
    """Seconds since the program was heard of, which touches owner.json as long as it lives."""
    try:
        return time.time() - (Path(folder) / run_owner.OWNER_FILE).stat().st_mtime
    except OSError:
        return float("inf")


def _take_token(folder: Path) -> None:
    """Nobody owns the run any more: its jobs, wherever they are, stop at their next epoch."""
    owner = owner_of(folder)
    if owner is not None:
        _quietly(write_json, Path(folder) / run_owner.OWNER_FILE, {**owner, "token": None})


def _quietly(function, *arguments) -> None:
    """Nobody left to signal, or a full disk: other ways to stop remain."""
    try:
        function(*arguments)
    except OSError:
        pass


def _signal_name(number: int) -> str:
    try:
        return f"signal {number}, {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
