"""Starts the stand-in for Slicer before any test of the panel is imported, and keeps the tests apart."""

import os
import signal
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
THREADS = "1"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, THREADS)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not burn the core that another one needs
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell in the background; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _folder in ("CHMFLPredictor", "CHMFLTraining", "Testing", "Testing/library"):
    _path = str(REPOSITORY / _folder)
    if _path not in sys.path:
        sys.path.append(_path)

# A worker of pytest-xdist inherits what the stand-in did to its parent's PATH: it begins with the one before.
os.environ["PATH"] = os.environ.setdefault("CHMFL_PATH_BEFORE_STANDIN", os.environ["PATH"])

import slicer_standin  # noqa: E402

slicer_standin.start()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run every test inside the application's event loop, where all code of a module runs in Slicer."""
    names = pyfuncitem._fixtureinfo.argnames
    slicer_standin.run(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    return True


@pytest.fixture(autouse=True)
def clean_slicer():
    """Give every test an empty scene and first settings; no exception may have gone to the console, unseen.

    A test that provokes one takes it with ``slicer_standin.take_errors()``.
    """
    slicer_standin.reset()
    yield slicer_standin
    slicer_standin._application.processEvents()
    errors, unanswered = slicer_standin.take_errors(), list(slicer_standin.dialogs.unanswered)
    slicer_standin.reset()
    assert not errors, "slots, observers or module classes raised:\n" + "\n".join(errors)
    assert not unanswered, f"dialogs that the test did not answer: {unanswered}"


@pytest.fixture
def dialogs():
    """The stand-in outside testing mode, where dialogs open: ``dialogs.expect("Yes", "/some/path")``."""
    slicer_standin.set_testing(False)
    return slicer_standin.dialogs


@pytest.fixture
def write_module(tmp_path):
    """Write a scripted module's source to a file of its name and load it; unloaded after the test."""
    loaded = []

    def write(name: str, source: str):
        path = tmp_path / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        sys.modules.pop(name, None)
        loaded.append(name)
        return slicer_standin.add_module(path)

    yield write
    for name in loaded:
        slicer_standin.remove_module(name)
        sys.modules.pop(name, None)
    sys.path[:] = [folder for folder in sys.path if folder != str(tmp_path)]
