"""``slicer.util``: the wheel carries Slicer's own file, whose functions work once there is an application, ``qt`` and
``ctk``. What is done here is little: names go that Slicer does not have, and what cannot run here gets a substitute.
"""

import os
import stat
import sys
import types
from pathlib import Path


def hide_leaked_names() -> list[str]:
    """Take from ``slicer`` what the wheel's __init__ copied out of slicer.util: in Slicer it is not there (habit 13).

    Returns the names.
    """
    import slicer
    import slicer.slicer_core
    import slicer.util

    own = set(dir(slicer.slicer_core))
    leaked = [
        name
        for name, value in vars(slicer.util).items()
        if not name.startswith("_") and name not in own and vars(slicer).get(name) is value
    ]
    for name in leaked:
        delattr(slicer, name)
    return leaked


def install(ui_loader: types.ModuleType) -> None:
    """Complete ``slicer.util``: .ui files are loaded by the stand-in's loader."""
    import slicer.util

    for name in ("loadUI", "childWidgetVariables", "findChild", "findChildren"):
        setattr(slicer.util, name, getattr(ui_loader, name))


def provide_python(folder: Path) -> Path:
    """Put a ``PythonSlicer`` on the PATH, as the launcher does: this interpreter under that name."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        program = folder / "PythonSlicer.bat"
        program.write_text(f'@"{sys.executable}" %*\n', encoding="utf-8")
    else:
        program = folder / "PythonSlicer"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return program


def build_testing() -> types.ModuleType:
    """Make ``slicer.testing``, after Base/Python/slicer/testing.py."""
    module = types.ModuleType("slicer.testing", build_testing.__doc__)
    for function in (exitSuccess, exitFailure, runUnitTest):
        setattr(module, function.__name__, function)
    return module


def exitSuccess():
    """A run that raises nothing ends well."""


def exitFailure(message=""):
    raise Exception(message)


def runUnitTest(path, testname):
    import unittest

    sys.path.extend([path] if isinstance(path, str) else path)
    print(f"{'-' * 43}\npath: {path}\ntestname: {testname}\n{'-' * 43}")
    suite = unittest.TestLoader().loadTestsFromName(testname)
    if not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful():
        exitFailure()
