"""Files that outlive a run: what was computed and could not be brought in, and what a crash left behind."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

TEMPORARY_PREFIX, KEPT_PREFIX = "chmfl-", "CHMFL-kept-"
AGE_S = 24 * 3600.0


def temporary_folder() -> tempfile.TemporaryDirectory:
    """A run's folder, which goes with the run; after a crash :func:`sweep` takes it."""
    return tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, ignore_cleanup_errors=True)


def keep(folder: Path) -> Path | None:
    """Move a folder out of a run's temporary one; return where it is now, None if there is none or no room."""
    target = Path(tempfile.mkdtemp(prefix=KEPT_PREFIX))
    try:
        return Path(shutil.move(folder, target))
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        return None


def sweep() -> None:
    """Remove the folders of runs that a crash left in the temporary folder: ours, and untouched for a day.

    They hold patients' volumes.
    """
    until = time.time() - AGE_S
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):  # another one's, or gone by now
            state = folder.lstat()
            mine = not hasattr(os, "getuid") or state.st_uid == os.getuid()
            if folder.is_dir() and not folder.is_symlink() and mine and _touched(folder) < until:
                shutil.rmtree(folder, ignore_errors=True)


def _touched(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
