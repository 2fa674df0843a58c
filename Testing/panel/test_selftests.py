"""Slicer's self-tests (``CHMFL*SelfTest.py``) on the stand-in: the files that run in Slicer, one test a method."""

import importlib
import sys
import unittest
from pathlib import Path

import pytest
import slicer_standin

TESTING = Path(__file__).resolve().parents[1]
MODULE_FILES = [TESTING.parent / name / f"{name}.py" for name in ("CHMFLPredictor", "CHMFLTraining")]
# 10 s and more each, by --durations
SLOW = {"BadCohort", "Canceled", "ClickedPatient", "LeakSelfTest", "RunEndings", "SceneBatchSelfTest", "WholeRun"}
NAMES = sorted(path.stem for path in TESTING.glob("CHMFL*SelfTest.py"))

if str(TESTING) not in sys.path:
    sys.path.append(str(TESTING))
for _file in MODULE_FILES:
    slicer_standin.add_module(_file)
for _name in NAMES:
    _module = importlib.import_module(_name)
    for _case in vars(_module).values():
        if isinstance(_case, type) and issubclass(_case, unittest.TestCase) and _case.__module__ == _name:
            assert _case.__name__ not in globals(), f"{_name}: another self-test has a class {_case.__name__}"
            # where pytest finds it
            globals()[_case.__name__] = pytest.mark.slow(_case) if _case.__name__ in SLOW else _case
del _case  # or pytest finds the last one twice


@pytest.fixture(autouse=True)
def modules():
    """The modules are loaded and without complaint."""
    for file in MODULE_FILES:
        assert slicer_standin.add_module(file) is not None, slicer_standin.module_errors


def test_slicer_would_find_them_by_name():
    for name in NAMES:
        assert unittest.TestLoader().loadTestsFromName(name).countTestCases() > 0
