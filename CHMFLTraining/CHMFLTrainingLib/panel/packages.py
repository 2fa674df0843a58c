"""Installs the Python packages that training needs, when the user clicks Start and agrees to it; never before. What
reads contours is asked for when a cohort of DICOM series is checked.

As before a prediction, in one question (:mod:`CHMFLPredictorLib.panel.packages`), with those of
``Resources/requirements-training.txt`` added.
"""

from CHMFLPredictorLib.panel import needed_packages, packages
from CHMFLPredictorLib.panel.needed_packages import Need

from .. import MODULE_FOLDER

REQUIREMENTS_FILE = MODULE_FOLDER / "Resources" / "requirements-training.txt"


def missing() -> list[Need]:
    """What is not installed or too old, each once. Looks at files only: imports nothing."""
    found = [need for need in needed_packages.missing() if not need.optional]
    found += needed_packages.lacking(needed_packages.read_requirements(REQUIREMENTS_FILE))
    return list({need.package: need for need in found}.values())


def missing_for_check() -> list[Need]:
    """What checking a cohort may lack: PyTorch, and what brings it along, is none of it."""
    return [need for need in missing() if need.package not in {"torch"} | needed_packages.NEED_TORCH]


def _missing_for_contours() -> list[Need]:
    return [need for need in missing() if need.package in ("pydicom", "shapely")]


TRAINING = packages.Purpose("train", "Start", missing)
CHECK = packages.Purpose("check the cohort", "Check cohort", missing_for_check)
STRUCTURE_SETS = packages.Purpose("read structure sets", "Check cohort", _missing_for_contours)


def ensure(confirm, purpose: packages.Purpose = TRAINING) -> None:
    """Make sure that training can run here; install what is missing if the user agrees. For the main thread.

    :param confirm: called with a question of several lines, at most once; returns whether the user agrees.
    :param purpose: another one than training.
    :raises MissingDependency: it cannot run; ``code`` says why and ``hint`` what to do next.
    """
    packages.ensure(confirm, purpose=purpose)
