"""A child does not inherit the lowest priority, which is that of Slicer's main thread on Linux."""

import os
import subprocess
import sys

import pytest
from CHMFLPredictorLib.child import process

SCRIPT = """
import os, sys
from CHMFLPredictorLib.child import process
os.nice({nice})
child = process.launch([sys.executable, "-c", "input()"], dict(os.environ))
print(os.getpriority(os.PRIO_PROCESS, child.pid), process.low_priority_stays())
child.kill()
"""


def priority_below(nice):
    """The child's niceness under a parent of a niceness, and whether the panel would complain."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    code = SCRIPT.format(nice=nice - own)
    done = subprocess.run([sys.executable, "-c", code], env=process.child_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, stays = done.stdout.split()
    return int(found), stays == "True"


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="Windows has no niceness")
def test_a_child_of_the_lowest_priority_has_its_own_or_the_panel_says_so():
    assert priority_below(19) in [(0, False), (19, True)]


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="Windows has no niceness")
def test_a_niceness_that_somebody_chose_stays():
    assert priority_below(12) == (12, False)
