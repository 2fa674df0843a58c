"""Runs the command line as a child process that a panel can watch and stop without freezing.

A panel calls :meth:`ChildProcess.poll` from a timer, a script calls :meth:`ChildProcess.wait`; both get the child's
events in the caller's own thread. However the child ends, the answer is one :class:`Ended` with one of five endings.
"""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from .. import MODULE_FOLDER
from ..protocol import parse_event

LOG_LIMIT = 256 * 1024  # characters kept; the oldest go first
_GRACE_S = 3.0  # between asking the child to stop and killing it
_DRAIN_S = 2.0  # wait for the last lines after the child's death, should a pipe have been left open by a stranger
_POLL_S = 0.05
LOWEST_NICE, ENOUGH_FOR_NORMAL = 19, 20  # nice; of RLIMIT_NICE, which counts from the other end
_EXIT_CANCELED, _EXIT_OUT_OF_MEMORY = 3, 4


class Ending(StrEnum):
    """The five ways in which a run ends."""

    DONE = "done"
    FAILED_TO_START = "failed_to_start"
    ERROR = "error"
    CANCELED = "canceled"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass
class Ended:
    """How a run ended.

    :ivar ending: one of the five endings.
    :ivar code: short name of the error in snake_case, empty when done.
    :ivar message: what went wrong, for people, empty when done.
    :ivar hint: what to do next.
    :ivar result: the child's ``result`` event when done, otherwise None.
    :ivar exit_code: of the child; negative is the signal that killed it (POSIX); None if it never started.
    """

    ending: Ending
    code: str = ""
    message: str = ""
    hint: str = ""
    result: dict | None = None
    exit_code: int | None = None


@dataclass
class Log:
    """The child's words for people, cut to the last ``limit`` characters."""

    limit: int = LOG_LIMIT
    cut: bool = False
    _lines: list[str] = field(default_factory=list)
    _size: int = 0

    def add(self, line: str) -> None:
        """Append one line."""
        line = line[-self.limit :]
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self.limit and len(self._lines) > 1:
            self._size -= len(self._lines.pop(0)) + 1
            self.cut = True

    def __str__(self) -> str:
        return "\n".join((["[older lines removed]"] if self.cut else []) + self._lines)

    def tail(self, count: int = 3) -> str:
        """The last lines that are not empty."""
        return "\n".join([line for line in self._lines if line.strip()][-count:])


def python_executable() -> str:
    """The Python that can run the child: Slicer's own inside Slicer, otherwise the running one."""
    return shutil.which("PythonSlicer") or sys.executable


def child_environment() -> dict[str, str]:
    """A copy of this process's environment in which the child finds this package and speaks UTF-8, unbuffered."""
    package_parent = str(MODULE_FOLDER)
    environment = dict(os.environ)
    known = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    environment["PYTHONPATH"] = os.pathsep.join([package_parent, *known])
    environment.update(PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", PYTHONUTF8="1")
    return environment


def raise_priority(pid: int, nice: int = 0) -> None:
    """Give a child a priority of its own where this process has the lowest, which is Slicer's on Linux, and may."""
    if low_priority():
        with suppress(OSError):  # not allowed: the panel says so
            os.setpriority(os.PRIO_PROCESS, pid, nice)


def low_priority() -> bool:
    """Whether this process stands behind all others (nice 19). Another niceness is somebody's choice."""
    return hasattr(os, "getpriority") and os.getpriority(os.PRIO_PROCESS, 0) >= LOWEST_NICE


def low_priority_stays() -> bool:
    """Whether a child keeps it, because raising it is not allowed here."""
    if not low_priority() or os.geteuid() == 0:
        return False
    try:
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_NICE)[0]
    except (ImportError, AttributeError):  # macOS has no such limit: root alone may
        return True
    return 0 <= allowed < ENOUGH_FOR_NORMAL


def launch(command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    """Start the child as head of its own process group, its output piped, without a console window on Windows."""
    apart = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {"start_new_session": True}
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        **apart,
    )
    raise_priority(child.pid)
    return child


class ChildProcess:
    """One run of ``python -m MODULE ARGUMENTS`` that speaks the child protocol of ``protocol.py``.

    :param arguments: the command line behind the module's name; ``--progress json`` belongs in it.
    :param on_event: called with each event (a dict), from within :meth:`poll` or :meth:`wait`.
    :param launcher: starts the child, see :func:`launch`; tests put another one here.
    """

    def __init__(self, arguments, on_event=None, launcher=launch, module="CHMFLPredictorLib", log_limit=LOG_LIMIT):
        self.command = [python_executable(), "-u", "-m", module, *map(str, arguments)]
        self.ended: Ended | None = None
        self.log = Log(log_limit)
        self._on_event = on_event or (lambda event: None)
        self._launcher = launcher
        self._child: subprocess.Popen | None = None
        self._lines: queue.Queue = queue.Queue()
        self._open_pipes = 0
        self._last: dict[str, dict] = {}
        self._canceled_at: float | None = None
        self._ended_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether it has started and its ending is not known yet."""
        return self._child is not None and self.ended is None

    def start(self) -> None:
        """Start the child. A child that cannot start is an ending, not an exception."""
        if self._child is not None or self.ended is not None:
            raise RuntimeError("A ChildProcess runs once; make another one.")
        self.log.add("> " + subprocess.list2cmdline(self.command))
        try:
            self._child = self._launcher(self.command, child_environment())
        except (OSError, ValueError) as error:
            self.log.add(str(error))
            self.ended = Ended(
                Ending.FAILED_TO_START,
                "failed_to_start",
                f"The prediction could not be started: '{self.command[0]}' ({error}).",
                "Check that the installation is complete and that no security program blocks Python.",
            )
            return
        for name in ("stdout", "stderr"):
            self._open_pipes += 1
            threading.Thread(target=self._read, args=(name, getattr(self._child, name)), daemon=True).start()

    def cancel(self) -> None:
        """Ask the whole process tree to stop; :meth:`poll` kills what is still there after a few seconds."""
        if self.running and self._canceled_at is None:
            self._canceled_at = time.monotonic()
            self._end_tree(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole process tree at once, for a child that has nothing to undo."""
        if self.running:
            self._canceled_at = time.monotonic()
            self._end_tree(getattr(signal, "SIGKILL", signal.SIGTERM))

    def poll(self) -> Ended | None:
        """Hand out the events that came in, and the ending once the child has ended; never blocks."""
        if not self.running:
            return self.ended
        self._hand_out()
        overdue = self._canceled_at is not None and time.monotonic() - self._canceled_at > _GRACE_S
        if overdue and self._ended_at is None:
            self._end_tree(getattr(signal, "SIGKILL", signal.SIGTERM))
        exit_code = self._child.poll()
        if exit_code is None:
            return None
        if self._ended_at is None:
            self._ended_at = time.monotonic()
            self._end_tree(getattr(signal, "SIGKILL", signal.SIGTERM))  # workers that outlived their parent
        if self._open_pipes and time.monotonic() - self._ended_at < _DRAIN_S:
            return None
        self._hand_out()
        self.ended = self._judge(exit_code)
        return self.ended

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Block until the child has ended.

        :raises TimeoutError: it still runs after ``timeout_s``; it is left running.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while (ended := self.poll()) is None:
            if self._child is None:
                raise RuntimeError("Not started.")
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"Still running after {timeout_s} s.")
            time.sleep(_POLL_S)
        return ended

    # Inside ---------------------------------------------------------------------------------------------------------

    def _read(self, name: str, pipe) -> None:
        """Thread: pass on the lines of one pipe."""
        try:
            for line in pipe:
                self._lines.put((name, line.rstrip("\r\n")))
        except (OSError, ValueError):
            pass
        finally:
            self._lines.put((name, None))
            pipe.close()

    def _hand_out(self) -> None:
        while True:
            try:
                name, line = self._lines.get_nowait()
            except queue.Empty:
                return
            event = None
            if line is None:
                self._open_pipes -= 1
                continue
            if name == "stdout":
                event = parse_event(line)
            if event is None:
                self.log.add(line)
                continue
            self._last[event["event"]] = event
            if event["event"] == "error":
                self.log.add(f"{event.get('message', '')} {event.get('hint', '')}".strip())
            elif event["event"] == "warning":
                self.log.add(f"Warning: {event.get('text', '')}")
            if self._canceled_at is None:
                self._on_event(event)

    def _end_tree(self, number: int) -> None:
        """Send a signal to the child and to all that it started."""
        try:
            if os.name == "nt":
                if self._child.poll() is None:
                    command = ["taskkill", "/PID", str(self._child.pid), "/T", "/F"]
                    subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW)
            else:
                os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody left

    def _judge(self, exit_code: int) -> Ended:
        """The ending by what was asked for, what the child said last and how it ended."""
        said = self._last.get("error", {})
        words = (said.get("code", ""), said.get("message", ""), said.get("hint", ""))
        if self._canceled_at is not None or exit_code == _EXIT_CANCELED or words[0] == "canceled":
            return Ended(Ending.CANCELED, "canceled", "Canceled.", "Nothing was changed.", exit_code=exit_code)
        if exit_code == 0 and "result" in self._last:
            return Ended(Ending.DONE, result=self._last["result"], exit_code=0)
        if exit_code == _EXIT_OUT_OF_MEMORY or _killed_for_memory(exit_code):
            message = words[1] or "The system ended the prediction, most likely because the memory was exhausted."
            hint = words[2] or "Close other programs or images, choose the CPU, or use a model with a smaller network."
            return Ended(Ending.OUT_OF_MEMORY, words[0] or "out_of_memory", message, hint, exit_code=exit_code)
        if words[1]:
            return Ended(Ending.ERROR, *words, exit_code=exit_code)
        return Ended(Ending.ERROR, *self._unexplained(exit_code), exit_code=exit_code)

    def _unexplained(self, exit_code: int) -> tuple[str, str, str]:
        hint = "Copy the log and report it."
        if exit_code == 0:
            return "no_result", "The prediction ended without a result.", hint
        if exit_code < 0:
            return "killed", f"The prediction was ended from outside by {_signal_name(-exit_code)}.", "Run it again."
        return "defect", f"The prediction ended unexpectedly (exit code {exit_code}). {self.log.tail(1)}".strip(), hint


def _killed_for_memory(exit_code: int) -> bool:
    """Whether Linux's out-of-memory killer (SIGKILL) or Windows (STATUS_NO_MEMORY, COMMITMENT_LIMIT) ended it."""
    return exit_code == -9 or exit_code & 0xFFFFFFFF in (0xC0000017, 0xC000012D)


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
