"""Slicer's self-tests (``CHMFL*SelfTest.py``) on the stand-in: the files that run in Slicer, one test a method."""

import importlib
import sys
import unittest
from pathlib import Path

import pytest
import slicer_standin

TESTING = Path(__file__).resolve().parents[1]
MODULE_FILE = TESTING.parent / "CHMFLPredictor" / "CHMFLPredictor.py"
NAMES = sorted(path.stem for path in TESTING.glob("CHMFL*SelfTest.py"))

if str(TESTING) not in sys.path:
    sys.path.append(str(TESTING))
slicer_standin.add_module(MODULE_FILE)
for _name in NAMES:
    _module = importlib.import_module(_name)
    for _case in vars(_module).values():
        if isinstance(_case, type) and issubclass(_case, unittest.TestCase) and _case.__module__ == _name:
            globals()[_case.__name__] = _case  # where pytest finds it


@pytest.fixture(autouse=True)
def module():
    """The module is loaded and without complaint."""
    assert slicer_standin.add_module(MODULE_FILE) is not None, slicer_standin.module_errors


def test_slicer_would_find_them_by_name():
    for name in NAMES:
        assert unittest.TestLoader().loadTestsFromName(name).countTestCases() > 0
