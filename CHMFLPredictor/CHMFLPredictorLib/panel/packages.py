"""Installs the Python packages that CHMFL needs, when the user asks for what needs them and agrees; never before.

In a panel, when the button is clicked and before the run starts::

    try:
        ensure(lambda text: slicer.util.confirmOkCancelDisplay(text, "CHMFL"), device="auto")
    except MissingDependency as error:
        show(error.message, error.hint)

PyTorch comes through Slicer's extension "PyTorch", which knows the build that suits the GPU; the rest through Slicer's
own installer. Everything that is missing is asked for in one question.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import MissingDependency
from ..network.devices import has_nvidia_driver
from .constraints import check_resolvable, constraints_file
from .needed_packages import NEED_TORCH, Need, free_gb, has_torch, missing, names, question, size_gb

__all__ = ["PREDICTION", "Need", "Purpose", "ensure", "has_torch", "missing"]

PART_OF_SLICER = frozenset({"numpy", "scipy", "SimpleITK"})  # Slicer is compiled against its own; never replaced here
DECLINED_SETTING = "CHMFL/OpenVINODeclined"
_EXTENSION_QUESTION = """\
CHMFL needs Slicer's extension PyTorch, which installs the software that runs the neural network.

The extension is small, its download takes less than a minute. Restart Slicer afterwards and click {button} again: \
CHMFL then asks before it installs PyTorch itself.

Install the extension now?"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Purpose:
    """What the packages are for.

    :param verb: in the words of the messages. :param button: what the user clicks.
    :param missing: gives the packages that it lacks.
    """

    verb: str
    button: str
    missing: Callable[[], list[Need]]

    @property
    def again(self) -> str:
        """The last step of every hint."""
        return f"then click {self.button} again"

    @property
    def by_hand(self) -> str:
        """How the user installs the extension PyTorch."""
        return f"Open the Extensions Manager, install the extension PyTorch and restart Slicer, {self.again}."


PREDICTION = Purpose("predict", "Predict DM", missing)


def ensure(confirm, device: str = "auto", purpose: Purpose = PREDICTION) -> None:
    """Make sure that a prediction can run here; install what is missing if the user agrees. For the main thread.

    OpenVINO, which is optional, is offered where the CPU is going to compute: where there is no NVIDIA GPU, or
    ``device`` is "cpu". Neither a no nor a failure to install it stops the prediction; after a no to it alone it is not
    offered again.

    :param confirm: called with a question of several lines, at most once; returns whether the user agrees.
    :param device: "auto", "cpu", "cuda" or "cuda:n": what the prediction will use.
    :param purpose: another one than a prediction.
    :raises MissingDependency: it cannot run; ``code`` says why and ``hint`` what to do next.
    """
    needs = purpose.missing()
    if not needs:
        return
    required = [need for need in needs if not need.optional]
    if _testing():
        if required:
            raise _not_installed(required)
        return
    _refuse_what_is_not_ours_to_replace(required, purpose)
    if any(need.package == "torch" for need in required) and not _has_pytorch_utils():
        raise _extension_problem(confirm, purpose)
    gpu = has_nvidia_driver()
    optional = [need for need in needs if need.optional and _speeds_up(device, gpu)]
    if not required + optional:
        return
    _check_disk(size_gb(required, gpu)[1], purpose)
    if confirm(question(required + optional, gpu)):
        _install(required, optional, purpose)
    elif required:
        raise MissingDependency(
            "install_refused",
            f"CHMFL cannot {purpose.verb} without {names(required)}.",
            f"Nothing was installed. Click {purpose.button} to be asked again.",
        )
    else:
        _user_settings().setValue(DECLINED_SETTING, "true")


def declined() -> bool:
    """Whether the user said no to what is optional, so that it is not offered any more."""
    return str(_user_settings().value(DECLINED_SETTING, "")).lower() == "true"


def offer_again() -> None:
    """Forget that no: the next prediction asks again."""
    _user_settings().remove(DECLINED_SETTING)


def _speeds_up(device: str, gpu: bool) -> bool:
    """Whether to offer what only speeds up a CPU."""
    on_cpu = device == "cpu" or (device == "auto" and not gpu)
    return on_cpu and not declined()


def _refuse_what_is_not_ours_to_replace(required: list[Need], purpose: Purpose) -> None:
    for need in required:
        if need.package in PART_OF_SLICER:
            has = f"has {need.package} {need.installed}" if need.installed else f"lacks {need.package}"
            raise MissingDependency(
                "slicer_too_old",
                f"This 3D Slicer {has}; {need.minimum} or newer is needed.",
                "Install 3D Slicer 5.10 or newer. If this one is new enough, its installation is damaged: install it "
                "again.",
            )
        if need.package == "torch" and need.installed:
            raise MissingDependency(
                "torch_too_old",
                f"PyTorch {need.installed} is installed; {need.minimum} or newer is needed.",
                "Open the module PyTorch Utils, uninstall PyTorch and restart Slicer, "
                f"{purpose.again}: CHMFL then installs a newer one.",
            )


def _has_pytorch_utils() -> bool:
    try:
        import PyTorchUtils  # noqa: F401
    except ImportError:
        return False
    return True


def _extension_problem(confirm, purpose: Purpose) -> MissingDependency:
    """Offer to install the extension that installs PyTorch; return why CHMFL cannot run even so."""
    import slicer

    # Slicer may be built without extensions, and then there is no manager, or without its name
    manager = slicer.app.extensionsManagerModel() if hasattr(slicer.app, "extensionsManagerModel") else None
    if manager is None:
        return _extension_missing(purpose.by_hand)
    if not manager.isExtensionInstalled("PyTorch"):
        if not confirm(_EXTENSION_QUESTION.format(button=purpose.button)):
            return _extension_missing(purpose.by_hand)
        if not _install_extension(manager):
            return _extension_missing(f"Its installation failed; is the internet reachable? {purpose.by_hand}")
    return MissingDependency(
        "restart_needed",
        "The extension PyTorch is installed and works after a restart of Slicer.",
        f"Save your scene and restart Slicer, {purpose.again}.",
    )


def _install_extension(manager) -> bool:
    """Install the extension PyTorch without another question, and without a restart, which would lose the scene."""
    interactive = manager.interactive
    manager.interactive = False
    try:
        return bool(manager.installExtensionFromServer("PyTorch", False))
    finally:
        manager.interactive = interactive


def _extension_missing(hint: str) -> MissingDependency:
    message = "Slicer's extension PyTorch is not installed. It installs what runs the neural network."
    return MissingDependency("pytorch_extension_missing", message, hint)


def _install(required: list[Need], optional: list[Need], purpose: Purpose) -> None:
    """Install, small packages first: if they fail, nothing large was loaded in vain."""
    check_resolvable([need.requirement for need in required if need.package != "torch"], purpose.again)
    torch = [need for need in required if need.package == "torch"]
    after = [need for need in required if need.package in NEED_TORCH]
    first = [need for need in required if need not in torch + after]
    for install, needs in ((_pip, first), (_install_torch, torch), (_pip, after)):
        if needs:
            _attempt(install, needs, purpose)
    if optional:
        try:
            _attempt(_pip, optional, purpose)
        except MissingDependency as error:
            _log.warning("%s The prediction works without it.", error.message)
    still = [need for need in purpose.missing() if not need.optional]
    if still:
        raise MissingDependency(
            "restart_needed",
            f"{names(still)} was installed, but this running Slicer does not find it.",
            f"Save your scene and restart Slicer, {purpose.again}.",
        )


def _attempt(install, needs: list[Need], purpose: Purpose) -> None:
    try:
        install(needs, purpose)
    except MissingDependency:
        raise
    except Exception as error:  # pip, its network, the disk: each in its own words
        _log.exception("Installing %s failed", names(needs))
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise MissingDependency(
            "install_failed",
            f"{names(needs)} could not be installed: {reason.rstrip('.')}.",
            f"Check the internet connection (a proxy?) and the free disk space, {purpose.again}. The Python console "
            "shows the installer's own words.",
        ) from error


def _install_torch(needs: list[Need], purpose: Purpose) -> None:
    from PyTorchUtils import PyTorchUtilsLogic

    # the user has agreed already; None is the extension's word for an installation that did not happen
    version = f">={needs[0].minimum}"
    if PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
        raise MissingDependency(
            "install_failed",
            "Slicer's extension PyTorch did not install PyTorch.",
            f"Install it in the module PyTorch Utils, {purpose.again}.",
        )


def _pip(needs: list[Need], purpose: Purpose) -> None:
    """Install by Slicer's own installer, which shows progress and advises a restart where one is due (Slicer 5.12)."""
    import slicer

    requirements = [need.requirement for need in needs]
    with constraints_file() as path:
        try:
            import slicer.packaging
        except ImportError:
            slicer.util.pip_install([*requirements, "-c", str(path)])
        else:
            slicer.packaging.pip_ensure(requirements, str(path), prompt_install=False, requester="CHMFL")


def _not_installed(needs: list[Need]) -> MissingDependency:
    hint = "Slicer runs in testing mode, in which nothing is installed: start it without --testing."
    return MissingDependency("dependency_missing", f"Not installed: {names(needs)}.", hint)


def _check_disk(needed_gb: float, purpose: Purpose) -> None:
    if free_gb() < needed_gb:
        raise MissingDependency(
            "disk_space",
            f"What CHMFL has to install takes about {needed_gb:.1f} GB; {free_gb():.1f} GB are free on Slicer's disk.",
            f"Free space on the disk that holds '{sys.prefix}', {purpose.again}.",
        )


def _testing() -> bool:
    import slicer

    return bool(slicer.app.testingEnabled())


def _user_settings():
    import slicer

    return slicer.app.userSettings()
