"""The rooms that everything stands on keep to their types, strictly (Testing/mypy.ini lists them)."""

import subprocess
import sys

import pytest
from conftest import REPOSITORY


@pytest.mark.slow
def test_types_of_the_ground_floor_are_kept(tmp_path):
    command = [sys.executable, "-m", "mypy", "--config-file", "Testing/mypy.ini", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
