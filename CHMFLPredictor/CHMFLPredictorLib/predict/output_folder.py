"""The output folder: everything appears in it at once at the end of a run, or nothing does.

A run writes into a hidden folder inside the output folder and moves the files out at the end; ``result.json`` is moved
last. A lock file keeps a second run out. The operating system drops the lock when its process dies, however that
happens, so a lock is never stale; what a killed process left behind is swept up by the next run.
"""

import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

from ..errors import BadInput, Canceled, ChmflError

RESULT_FILES = ("segmentation.nii.gz", "relevance.nii.gz", "report.html", "result.json")  # in the order they are moved
LOCK_FILE = ".chmfl.lock"
_HIDDEN = ".chmfl-"
_LOCK_BYTE = 1 << 20  # Windows locks bytes for reading too: lock one that lies behind the text
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_open_folders: set = set()


class OutputFolder:
    """An output folder in the hands of one run. Use it with ``with``; leaving without :meth:`commit` undoes everything.

    :param folder: where the results go; made if absent, and removed again when the run fails.
    :param canceled: asked once more before anything is made, for a run that is stopped while it begins.
    :raises BadInput: ``output_unwritable``, ``output_full`` or ``output_in_use``.
    """

    def __init__(self, folder, canceled=lambda: False):
        self.folder = Path(os.path.abspath(folder))
        self._canceled = canceled
        self._lock, self._made, self._temporary = None, [], None
        self._guard, self._closed = threading.Lock(), False

    def __enter__(self) -> "OutputFolder":
        with self._guard:
            _open_folders.add(self)  # before the question: whoever cancels from now on finds this run
            try:
                if self._canceled():
                    raise Canceled()
                self._made = _make_folder(self.folder)
                self._lock = _lock(self.folder / LOCK_FILE)
                _sweep(self.folder)
                self._temporary = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=self.folder))
            except OSError as error:
                self._close()
                raise output_error(self.folder, error) from error
            except ChmflError:
                self._close()
                raise
        return self

    def __exit__(self, *_) -> None:
        self.discard()

    def path(self, name: str) -> Path:
        """Return where to write a file of that name for now."""
        with self._guard:
            if self._closed:
                raise Canceled()
            return self._temporary / name

    def commit(self, obsolete=RESULT_FILES) -> dict[str, Path]:
        """Move everything written to its place, on disk for good, and let go of the folder.

        :param obsolete: names of files of an earlier run that go away if this run did not write them.
        :return: name to path of the files that are there now.
        """
        with self._guard:
            if self._closed:
                raise Canceled()
            try:
                moved = _move_all(self._temporary, self.folder, obsolete)
            except OSError as error:
                raise output_error(self.folder, error) from error
            self._made = []
            self._close()
            return moved

    def publish(self, name: str, content: bytes) -> None:
        """Put one file in its place now, whole or not at all, and keep the folder."""
        path = self.path(name)
        try:
            with open(path, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(path, self.folder / name)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def discard(self) -> None:
        """Remove what was written and let go of the folder. Safe from any thread, at any time, more than once."""
        with self._guard:
            if not self._closed:
                self._close()

    def _close(self) -> None:
        self._closed = True
        _open_folders.discard(self)
        for _ in range(50):  # another thread may still be writing a file into it
            if self._temporary is None or not self._temporary.exists():
                break
            shutil.rmtree(self._temporary, ignore_errors=True)
            time.sleep(0.01)
        if self._lock is not None:
            _unlock(self.folder / LOCK_FILE, self._lock)
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                break  # somebody put something into it meanwhile


def refuse_to_replace(inputs, folder) -> None:
    """Refuse an output folder in which a result would take the place of an input, such as a segmentation.nii.gz.

    :param inputs: paths; None among them is nothing.
    :raises BadInput: ``output_holds_inputs``.
    """
    results = {(Path(folder).expanduser().resolve() / name) for name in RESULT_FILES}
    for path in inputs:
        if path is not None and Path(path).expanduser().resolve() in results:
            message = f"The results would replace the input '{path}'."
            raise BadInput("output_holds_inputs", message, "Choose another output folder than that of the images.")


def refuse_other_patient(described: dict, folder) -> None:
    """Refuse a folder that holds the result of another PET and another CT; one image in common is a repeated run.

    :param described: "pet" and "ct" as in ``inputs`` of result.json.
    :raises BadInput: ``output_of_another``.
    """
    path = Path(folder).expanduser() / "result.json"
    try:
        former = json.loads(path.read_text(encoding="utf-8"))["inputs"]
        images = [[_image(one[role]) for role in ("pet", "ct")] for one in (former, described)]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no result, or none that says what it is of
    if all(before != now for before, now in zip(*images, strict=True)):
        message = f"The output folder {path.parent} holds the result of another PET and CT: {' and '.join(images[0])}."
        raise BadInput("output_of_another", message, "Choose a folder of its own for each patient.")


def _image(described: dict) -> str:
    return described.get("name") or described["path"]


def discard_all() -> None:
    """Undo every run of this process that is under way. For the moment before the process ends."""
    for output in list(_open_folders):
        output.discard()


def output_error(folder: Path, error: OSError) -> BadInput:
    """Return the error for a folder that cannot be written to, from what the operating system said."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        message = f"The disk of the output folder {folder} is full ({reason})."
        return BadInput(
            "output_full", message, "Free some space, about 50 MB for each patient, or choose another folder."
        )
    if error.errno == errno.ENAMETOOLONG or (os.name == "nt" and len(str(folder)) > 240):
        return BadInput(
            "output_unwritable", f"The path of the output folder is too long: {folder}", "Choose a shorter one."
        )
    message = f"The output folder {folder} cannot be written to ({reason})."
    return BadInput("output_unwritable", message, "Choose a folder that you may write to.")


def _make_folder(folder: Path) -> list[Path]:
    """Make the folder and its parents; return those that were not there before, outermost first."""
    missing = []
    for candidate in (folder, *folder.parents):
        if os.path.lexists(candidate):
            break
        missing.insert(0, candidate)
    made = []
    try:
        for candidate in missing:
            candidate.mkdir(exist_ok=True)
            made.append(candidate)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
    except OSError:
        for candidate in reversed(made):
            candidate.rmdir()
        raise
    return made


def _move_all(source: Path, folder: Path, obsolete) -> dict[str, Path]:
    """Move the files of ``source`` into ``folder``, result.json last; on failure put everything back as it was."""
    names = sorted(
        (p.name for p in source.iterdir()), key=lambda n: (RESULT_FILES.index(n) if n in RESULT_FILES else -1, n)
    )
    for name in names:
        with open(source / name, "rb+") as stream:
            os.fsync(stream.fileno())
    replaced = source / "replaced"
    replaced.mkdir()
    undo = []
    try:
        for name in [
            *reversed(obsolete),
            *(n for n in names if n not in obsolete),
        ]:  # result.json goes first, comes last
            if (folder / name).exists():
                os.replace(folder / name, replaced / name)
                undo.append((replaced / name, folder / name))
        for name in names:
            os.replace(source / name, folder / name)
            undo.append((folder / name, source / name))
    except OSError:
        for now, before in reversed(undo):
            os.replace(now, before)
        raise
    return {name: folder / name for name in names}


def _sweep(folder: Path) -> None:
    for leftover in folder.glob(f"{_HIDDEN}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)


def _lock(path: Path) -> int:
    """Take the lock and return its open file. Try again when its former owner removed the file in between."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _try_lock(descriptor):
                owner = _owner(descriptor)
                message = f"Another prediction is writing to {path.parent}{owner}."
                raise BadInput("output_in_use", message, "Wait until it has finished, or choose another output folder.")
            if _still_there(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _LOCK_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # some network folders know no locks; working without one beats not working
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _owner(descriptor: int) -> str:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 1000))
        return f" (process {owner['pid']} on {owner['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.name == "nt" or os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(path: Path, descriptor: int) -> None:
    """Remove the lock file while it is still locked, so that nobody can hold a lock on a file that has no name."""
    if os.name == "nt":  # an open file cannot be removed there
        os.close(descriptor)
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # on Windows the next run has it already
    if os.name != "nt":
        os.close(descriptor)


def writing_error(folder: Path, error: ChmflError) -> ChmflError:
    """Say of a failed write that the disk is full, where it is."""
    cause = error.__cause__
    if error.code != "output_unwritable":
        return error
    if isinstance(cause, OSError) and cause.errno is not None:
        return output_error(folder, cause)
    try:
        full = shutil.disk_usage(folder).free < 1 << 20
    except OSError:
        full = False
    return output_error(folder, OSError(errno.ENOSPC, "no space left on device")) if full else error
