"""Where exceptions end that Slicer prints and survives, so that a test can ask whether there were any."""

import sys
import traceback

# one text a failure, newest last: exceptions of module classes, and of slots and VTK observers (see watch)
module_errors: list[str] = []


def report(error: BaseException, where: str) -> None:
    """Print an exception as PythonQt::handleError does, and keep it."""
    text = "".join(traceback.format_exception(error))
    module_errors.append(f"{where}\n{text}")
    sys.stderr.write(f"{where}\n{text}")


def watch() -> None:
    """Keep what goes to sys.excepthook: PySide and VTK print there what a Python slot or observer raises."""
    printed = sys.excepthook

    def hook(kind, error, trace) -> None:
        module_errors.append("".join(traceback.format_exception(kind, error, trace)))
        printed(kind, error, trace)

    sys.excepthook = hook
