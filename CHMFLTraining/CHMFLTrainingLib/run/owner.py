"""Who works on a run: one program at a time. ``RUN/owner.json`` holds its token; jobs that carry another one stop.

The lock of the output folder keeps a second program on this computer out. The token reaches further: a job on another
computer, whose program was killed or stopped, sees that the run has another owner or none, and ends at its next epoch.
A thread touches the file every few seconds, so that ``status`` can tell a run that goes on from one that was killed.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_json
from CHMFLPredictorLib.predict.output_folder import OutputFolder

OWNER_FILE = "owner.json"
SILENT_S = 30.0  # a program that was not heard of for so long is gone
_TOUCH_S = 5.0


class RunOwner:
    """Holds a run: ``with RunOwner(folder) as owner``; ``owner.token`` goes with every job.

    :raises BadInput: run_in_use, output_full, output_unwritable.
    """

    def __init__(self, folder: Path):
        self.folder, self.token = Path(folder), uuid.uuid4().hex
        self._lock, self._left = OutputFolder(folder), threading.Event()

    def __enter__(self) -> RunOwner:
        try:
            self._lock.__enter__()
        except BadInput as error:
            if error.code != "output_in_use":
                raise
            text = f"Another program works on the run {self.folder}."
            raise BadInput("run_in_use", text, "Wait for it or stop it; `status` shows where it is.") from error
        try:
            self._write(self.token)
        except BaseException:
            self._lock.discard()
            raise
        threading.Thread(target=self._touch, name="run owner", daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._left.set()
        try:
            self._write(None)
        except OSError:
            pass  # on a full disk; the file grows old instead
        finally:
            self._lock.discard()

    def _touch(self) -> None:
        while not self._left.wait(_TOUCH_S):
            try:
                os.utime(self.folder / OWNER_FILE)
            except OSError:
                pass  # the next time

    def _write(self, token: str | None) -> None:
        about = {"token": token, "pid": os.getpid(), "host": socket.gethostname()}
        write_json(self.folder / OWNER_FILE, about)


def token_of(folder: Path) -> str | None:
    """The token of the program that works on a run; None: nobody does. What cannot be read for now changes nothing for
    those who ask again.
    """
    for _ in range(3):  # a network folder may lose a file for a moment while it is replaced
        try:
            return json.loads((Path(folder) / OWNER_FILE).read_text(encoding="utf-8"))["token"]
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.05)
    return None


def is_alive(folder: Path) -> bool:
    """Whether a program works on the run."""
    path = Path(folder) / OWNER_FILE
    try:
        return token_of(folder) is not None and time.time() - path.stat().st_mtime < SILENT_S
    except OSError:
        return False
