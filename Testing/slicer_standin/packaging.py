"""slicer.packaging without pip: what is installed is looked up really, what would be installed is only recorded.

Follows Slicer's Base/Python/slicer/packaging.py (in Slicer since 5.12.0) and slicer.util's pip_install, which leads
here. Each run of pip ends in ``pip.run``: inside ``with pip.recorded(...)`` it is written down, elsewhere it is
refused, so no test installs anything. Not covered: the progress dialog itself (a failure's error box comes as in
Slicer), skip_packages and load_pyproject_dependencies.
"""

import contextlib
import importlib.metadata
import logging
import shlex
import subprocess
import threading
import types

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .i18n import tr as _


class PipRuns:
    """The one place where pip would run: ``python -m pip`` with a list of arguments."""

    def __init__(self):
        self._recording = None

    @contextlib.contextmanager
    def recorded(self, returncode=0, log=(), effect=None):
        """Record runs instead of making them.

        :param returncode: pip's answer; anything but 0 is a failure.
        :param log: lines that pip prints.
        :param effect: function of the arguments that does what an installation would, e.g. puts a package on sys.path.
        :return: the list of runs, each the list of pip's arguments, filled as they come.
        """
        before, runs = self._recording, []
        self._recording = (runs, returncode, tuple(log), effect)
        try:
            yield runs
        finally:
            self._recording = before

    def run(self, arguments, log_callback=None) -> int:
        """One run; returns its exit code.

        :raises RuntimeError: nobody records, so this would change the environment of the tests.
        """
        if self._recording is None:
            raise RuntimeError(f"pip {shlex.join(arguments)}: the tests install nothing; record it with pip.recorded()")
        runs, returncode, log, effect = self._recording
        runs.append(list(arguments))
        for line in log:
            (log_callback or print)(line)
        if effect is not None and returncode == 0:
            effect(list(arguments))
        return returncode

    def check(self, arguments, log_callback=None) -> None:
        """One run that raises CalledProcessError as slicer.util.logProcessOutput does."""
        returncode = self.run(arguments, log_callback)
        if returncode != 0:
            raise subprocess.CalledProcessError(returncode, ["PythonSlicer", "-m", "pip", *arguments])


pip = PipRuns()
_in_progress = False


def load_requirements(path):
    """Requirements of a file, a line each; comments, blank lines and lines of options are passed over.

    :raises packaging.requirements.InvalidRequirement: a line is no requirement; a comment behind one makes it none.
    """
    with open(path) as lines:
        stripped = [line.strip() for line in lines]
    return [Requirement(line) for line in stripped if line and not line.startswith(("#", "-"))]


def _to_requirements(reqs):
    if isinstance(reqs, str):
        try:
            return [Requirement(reqs)]
        except InvalidRequirement:
            return [Requirement(part) for part in reqs.split()]
    if isinstance(reqs, Requirement):
        return [reqs]
    if isinstance(reqs, list):
        return [Requirement(one) if isinstance(one, str) else one for one in reqs]
    raise TypeError(f"Expected str, Requirement, or list, got {type(reqs).__name__}")


def pip_check(req, _seen=None) -> bool:
    """Whether requirements are satisfied by the metadata of what is installed; extras and markers are respected."""
    seen = set() if _seen is None else _seen
    return all(_is_satisfied(one, seen) for one in _to_requirements(req))


def _is_satisfied(requirement, seen) -> bool:
    key = (requirement.name.lower(), frozenset(requirement.extras))
    if (requirement.marker is not None and not requirement.marker.evaluate()) or key in seen:
        return True
    seen.add(key)
    try:
        installed = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if installed not in requirement.specifier:
        return False
    return all(_is_satisfied(needed, seen) for needed in _needed_by_extras(requirement))


def _needed_by_extras(requirement):
    declared = importlib.metadata.requires(requirement.name) or [] if requirement.extras else []
    for needed in map(Requirement, declared):
        marker, needed.marker = needed.marker, None
        if marker is not None and any(marker.evaluate({"extra": extra}) for extra in requirement.extras):
            yield needed


def isPipInstallInProgress() -> bool:
    return _in_progress


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Install what is missing, after asking. In testing mode nothing is installed unless ``skip_in_testing`` is False.

    :raises RuntimeError: the user declined.
    :raises subprocess.CalledProcessError: pip failed.
    """
    missing = [one for one in _to_requirements(requirements) if not pip_check(one)]
    names = [str(one) for one in missing]
    if not missing:
        return None
    if not _has_application():
        return pip_install(names, constraints=constraints, skip_packages=skip_packages)
    import slicer.util

    if skip_in_testing and slicer.app.testingEnabled():
        logging.info(f"Testing mode is enabled: skipping pip_ensure for [{', '.join(names)}]")
        return None
    if prompt_install and not _user_agrees(names, requester):
        raise RuntimeError("User declined package installation")
    before = _versions() if prompt_restart else {}
    skipped = pip_install(names, constraints, None, skip_packages, True, show_progress, requester)
    if prompt_restart:
        _offer_restart(before, requester)
    return skipped


def _user_agrees(names, requester) -> bool:
    import slicer.util

    title = _("Install Python Packages")
    if requester:
        title = _("{requester} - Install Python Packages").format(requester=requester)
    count = _("1 Python package needs to be installed.")
    if len(names) > 1:
        count = _("{count} Python packages need to be installed.").format(count=len(names))
    text = count + "\n\n" + _("This will modify Slicer's Python environment. Continue?")
    listed = "\n".join(f"- {name}" for name in names)
    return slicer.util.confirmOkCancelDisplay(text, title, detailedText=listed)


def _versions() -> dict:
    importlib.invalidate_caches()
    return {canonicalize_name(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()}


def _offer_restart(before: dict, requester) -> None:
    """Ask for a restart if a package changed whose modules are loaded; in testing mode only log it."""
    import sys

    import slicer.util

    after = _versions()
    loaded = {
        canonicalize_name(distribution)
        for module, distributions in importlib.metadata.packages_distributions().items()
        for distribution in distributions
        if module in sys.modules
    }
    updated = sorted(name for name in loaded & set(after) if before.get(name) != after[name])
    if not updated:
        return
    details = "\n".join(f"- {name}: {before.get(name, '(reinstalled)')} -> {after[name]}" for name in updated)
    logging.info(f"Updated packages already imported (restart recommended): {details}")
    if slicer.app.testingEnabled():
        return
    title = _("Restart Recommended")
    if requester:
        title = _("{requester} - Restart Recommended").format(requester=requester)
    text = _("Updated packages were already loaded in memory. Would you like to restart now?")
    if slicer.util.confirmYesNoDisplay(text, title, detailedText=details):
        slicer.util.restart()


def _has_application() -> bool:
    import slicer

    return getattr(slicer, "app", None) is not None


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    logCallback=None,
    completedCallback=None,
):
    """Run ``pip install``. In testing mode and off the main thread it blocks without any window.

    :raises subprocess.CalledProcessError: pip failed, if blocking.
    :raises RuntimeError: not blocking off the main thread, or while another such installation runs.
    :raises ValueError: the requirements are neither text nor list.
    """
    if skip_packages is not None:
        raise NotImplementedError("The stand-in has no skip_packages, which Slicer discourages.")
    steps = [] if no_deps_requirements is None else [_install_arguments(no_deps_requirements, constraints, True)]
    steps.append(_install_arguments(requirements, constraints, False))
    if not _has_application():
        return _install_now(steps)
    import slicer

    if threading.current_thread() is not threading.main_thread():
        logging.warning("pip_install was called from a non-main thread; disabling progress UI.")
        if not blocking:
            raise RuntimeError("pip_install(blocking=False) is only supported on the main thread")
        return _install_now(steps)
    if slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping progress UI for pip_install")
        return _install_now(steps)
    if not blocking:
        return _install_later(steps, logCallback, completedCallback)
    return _install_shown(steps, requester) if show_progress else _install_now(steps)


def _install_arguments(requirements, constraints, no_deps: bool) -> list:
    arguments = ["install", *_as_arguments(requirements, "pip_install")]
    arguments += ["--no-deps"] * no_deps
    return arguments if constraints is None else [*arguments, "-c", str(constraints)]


def _as_arguments(requirements, function: str) -> list:
    if type(requirements) is str:
        return shlex.split(requirements)
    if type(requirements) is list:
        return requirements
    raise ValueError(f"{function} requirement input must be string or list")


def _install_now(steps) -> None:
    for arguments in steps:
        pip.check(arguments)


def _install_shown(steps, requester) -> None:
    """With Slicer's progress window; a failure is shown before it is raised."""
    import slicer.util

    log = []
    for arguments in steps:
        returncode = pip.run(arguments, log.append)
        if returncode != 0:
            title = _("Installation Failed")
            if requester:
                title = _("{requester} - Installation Failed").format(requester=requester)
            slicer.util.errorDisplay(_("Package installation failed."), windowTitle=title, detailedText="\n".join(log))
            raise subprocess.CalledProcessError(returncode, "pip install")


def _install_later(steps, logCallback, completedCallback) -> None:
    """From the event loop, after this call has returned."""
    global _in_progress
    if _in_progress:
        raise RuntimeError("A non-blocking pip_install is already in progress.")
    _in_progress = True
    import qt

    def install():
        global _in_progress
        returncode = 0
        try:
            for arguments in steps:
                returncode = returncode or pip.run(arguments, logCallback)
        finally:
            _in_progress = False
        if completedCallback:
            completedCallback(returncode)

    qt.QTimer.singleShot(0, install)


def pip_uninstall(requirements, blocking=True, logCallback=None, completedCallback=None):
    """Run ``pip uninstall --yes``.

    :raises subprocess.CalledProcessError: pip failed, if blocking.
    :raises ValueError: the requirements are neither text nor list.
    """
    arguments = ["uninstall", *_as_arguments(requirements, "pip_uninstall"), "--yes"]
    if blocking or not _has_application():
        pip.check(arguments, logCallback)
    else:
        _install_later([arguments], logCallback, completedCallback)


def build() -> types.ModuleType:
    """Make the module that stands in for slicer.packaging."""
    module = types.ModuleType("slicer.packaging", __doc__)
    public = (load_requirements, pip_check, pip_ensure, pip_install, pip_uninstall, isPipInstallInProgress)
    for function in public:
        setattr(module, function.__name__, function)
    return module
