"""Installs the Python packages that training needs, when the user clicks Start and agrees to it; never before.

As the predictor's file of the same name does it, with ``Resources/requirements-training.txt`` added. PyTorch comes
through Slicer's extension "PyTorch". All that is missing is asked for in one question.
"""

import importlib.util
import logging
import sys
from importlib import metadata
from pathlib import Path

from CHMFLPredictorLib import needed_packages
from CHMFLPredictorLib.devices import has_nvidia_driver
from CHMFLPredictorLib.errors import MissingDependency
from CHMFLPredictorLib.needed_packages import Need

REQUIREMENTS_FILE = Path(__file__).resolve().parents[1] / "Resources" / "requirements-training.txt"
PART_OF_SLICER = frozenset({"numpy", "scipy", "SimpleITK"})  # Slicer is compiled against its own; never replaced here
_AGAIN = "then click Start again"
_log = logging.getLogger(__package__)


def missing() -> list[Need]:
    """Return what is not installed or too old. Looks at files only: imports nothing."""
    importlib.invalidate_caches()
    found = [need for need in needed_packages.missing() if not need.optional]
    for package, minimum in read_requirements():
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed = None
        if installed is None or needed_packages.older(installed, minimum):
            found.append(Need(package, minimum, installed or ""))
    return list({need.package: need for need in found}.values())


def read_requirements() -> list[tuple[str, str]]:
    """Return name and oldest version of each package in the requirements file, in its order."""
    lines = (line.strip() for line in REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines())
    return [tuple(line.split(">=")) for line in lines if line and not line.startswith("#")]


def ensure(confirm) -> None:
    """Make sure that training can run here; install what is missing if the user agrees. For the main thread.

    :param confirm: called with a question of several lines, at most once; returns whether the user agrees.
    :raises MissingDependency: it cannot run; ``code`` says why and ``hint`` what to do next.
    """
    import slicer

    needs = missing()
    if not needs:
        return
    listed = needed_packages.names(needs)
    if slicer.app.testingEnabled():
        hint = "Slicer runs in testing mode, in which nothing is installed: start it without --testing."
        raise MissingDependency("dependency_missing", f"Not installed: {listed}.", hint)
    _refuse(needs)
    gpu = has_nvidia_driver()
    _check_disk(needed_packages.size_gb(needs, gpu)[1])
    if not confirm(needed_packages.question(needs, gpu)):
        hint = "Nothing was installed. Click Start to be asked again."
        raise MissingDependency("install_refused", f"CHMFL cannot train without {listed}.", hint)
    torch = [need for need in needs if need.package == "torch"]
    others = [need for need in needs if need.package != "torch"]
    if others:
        _attempt(_pip, others)  # first: if they fail, nothing large was loaded in vain
    if torch:
        _attempt(_install_torch, torch)
    if still := missing():
        text = f"{needed_packages.names(still)} was installed, but this running Slicer does not find it."
        raise MissingDependency("restart_needed", text, f"Save your scene and restart Slicer, {_AGAIN}.")


def _refuse(needs: list[Need]) -> None:
    """What is not ours to install or replace."""
    for need in needs:
        if need.package in PART_OF_SLICER:
            has = f"has {need.package} {need.installed}" if need.installed else f"lacks {need.package}"
            text = f"This 3D Slicer {has}; {need.minimum} or newer is needed."
            raise MissingDependency("slicer_too_old", text, "Install 3D Slicer 5.10 or newer.")
        if need.package == "torch" and need.installed:
            text = f"PyTorch {need.installed} is installed; {need.minimum} or newer is needed."
            hint = f"Open the module PyTorch Utils, uninstall PyTorch and restart Slicer, {_AGAIN}."
            raise MissingDependency("torch_too_old", text, hint)
    if any(need.package == "torch" for need in needs) and importlib.util.find_spec("PyTorchUtils") is None:
        text = "Slicer's extension PyTorch is not installed. It installs what trains the neural networks."
        hint = f"Open the Extensions Manager, install the extension PyTorch and restart Slicer, {_AGAIN}."
        raise MissingDependency("pytorch_extension_missing", text, hint)


def _check_disk(needed_gb: float) -> None:
    free_gb = needed_packages.free_gb()
    if free_gb < needed_gb:
        text = f"What CHMFL has to install takes about {needed_gb:.1f} GB; {free_gb:.1f} GB are free on Slicer's disk."
        raise MissingDependency("disk_space", text, f"Free space on the disk that holds '{sys.prefix}', {_AGAIN}.")


def _attempt(install, needs: list[Need]) -> None:
    try:
        install(needs)
    except MissingDependency:
        raise
    except Exception as error:  # pip, its network, the disk: each in its own words
        listed = needed_packages.names(needs)
        _log.exception("Installing %s failed", listed)
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        hint = f"Check the internet connection (a proxy?) and the free disk space, {_AGAIN}. The Python console shows "
        text = f"{listed} could not be installed: {reason.rstrip('.')}."
        raise MissingDependency("install_failed", text, hint + "the installer's own words.") from error


def _install_torch(needs: list[Need]) -> None:
    from PyTorchUtils import PyTorchUtilsLogic

    # the user has agreed already; None is the extension's word for an installation that did not happen
    version = f">={needs[0].minimum}"
    if PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
        text = "Slicer's extension PyTorch did not install PyTorch."
        raise MissingDependency("install_failed", text, f"Install it in the module PyTorch Utils, {_AGAIN}.")


def _pip(needs: list[Need]) -> None:
    import slicer

    requirements = [need.requirement for need in needs]
    try:
        import slicer.packaging
    except ImportError:  # before Slicer 5.12
        slicer.util.pip_install(requirements)
    else:
        slicer.packaging.pip_ensure(requirements, prompt_install=False, requester="CHMFL")
