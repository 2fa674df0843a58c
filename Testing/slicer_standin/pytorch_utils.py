"""PyTorchUtils, the module of the PyTorch extension, with a torch that a test can take away and give.

Follows PyTorchUtils/PyTorchUtils.py of the extension (fepegar/SlicerPyTorch): signatures, what is asked, what is
returned. ``installTorch`` asks nothing in testing mode and installs even there; a refusal is None; a failure raises
what the child process' failure raises. Only tests use TorchState and build; the module has the extension's names.
"""

import importlib.util
import logging
import subprocess
import types


class TorchState:
    """Whether torch is there, and how an installation ends.

    ``installed``: torch can be used. ``install_fails``: installing raises CalledProcessError.
    ``user_refuses``: the answer to the question before installing, instead of the dialog; None shows the dialog. The
    question comes only with ``askConfirmation`` and outside testing mode.
    ``installs``: list of the arguments that light-the-torch was given. ``brings``: the module that is "torch" once it
    is installed; None is the one of this Python.
    """

    def __init__(self, installed=True, user_refuses=None, install_fails=False, brings=None):
        self.installed = installed
        self.user_refuses = user_refuses
        self.install_fails = install_fails
        self.brings = brings
        self.installs = []

    def torch(self):
        """The torch module.

        :raises ModuleNotFoundError: it is not installed.
        """
        if not self.installed:
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        if self.brings is not None:
            return self.brings
        import torch

        return torch


def build(state: TorchState | None = None, logic_base=object) -> types.ModuleType:
    """Make a module that stands in for PyTorchUtils.

    :param state: what torch does; by default it is installed.
    :param logic_base: Slicer's ScriptedLoadableModuleLogic, where there is one.
    """
    state = state or TorchState()

    class PyTorchUtilsLogic(logic_base):
        __doc__ = "Install and look up torch, as the extension's logic does."

        def __init__(self):
            self._torch = None

        @property
        def torch(self):
            if self._torch is None:
                self._torch = self.importTorch()
            return self._torch

        @property
        def torchVersionInformation(self):
            return f"installed version {state.torch().__version__}" if state.installed else "not installed"

        @property
        def torchvisionVersionInformation(self):
            if not self.torchvisionInstalled():
                return "not installed"
            import torchvision

            return f"installed version {torchvision.__version__}"

        @property
        def nvidiaDriverVersionInformation(self):
            """Without light-the-torch nothing is known."""
            return ""

        @staticmethod
        def torchInstalled():
            """As in the extension this loads torch."""
            try:
                state.torch()
            except ModuleNotFoundError:
                return False
            return True

        @staticmethod
        def torchvisionInstalled():
            return state.installed and importlib.util.find_spec("torchvision") is not None

        def importTorch(self):
            torch = state.torch() if state.installed else self.installTorch()
            if torch is None:
                logging.warning("PyTorch was not installed")
            return torch

        def installTorch(
            self,
            askConfirmation=False,
            forceComputationBackend=None,
            torchVersionRequirement=None,
            torchvisionVersionRequirement=None,
        ):
            """Return torch, or None if the user refused.

            :raises subprocess.CalledProcessError: the installation failed.
            """
            arguments = _arguments(forceComputationBackend, torchVersionRequirement, torchvisionVersionRequirement)
            if askConfirmation and not _agrees(state, arguments):
                logging.info("Installation of PyTorch aborted by user")
                return None
            state.installs.append(arguments)
            if state.install_fails:
                raise subprocess.CalledProcessError(1, ["PythonSlicer", "-m", "light_the_torch", *arguments])
            state.installed = True
            return state.torch()

        def uninstallTorch(self, askConfirmation=False, forceComputationBackend=None):
            state.installed = False
            self._torch = None

        @staticmethod
        def getCompatibleComputationBackends(forceComputationBackend=None, torchVersionRequirement=None):
            return [forceComputationBackend or "cpu"]

        def getDevice(self):
            """A torch.device, or the text 'cpu'."""
            return self.torch.device("cuda") if self.torch.cuda.is_available() else "cpu"

        @property
        def cuda(self):
            return self.getDevice() != "cpu"

    module = types.ModuleType("PyTorchUtils", __doc__)
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    return module


def _arguments(backend, torch_version, torchvision_version) -> list:
    arguments = ["install", f"torch{torch_version or ''}", f"torchvision{torchvision_version or ''}"]
    return arguments if backend is None else [*arguments, f"--pytorch-computation-backend={backend}"]


def _agrees(state: TorchState, arguments) -> bool:
    """The extension reads ``commandOptions().testingEnabled`` and asks nothing in testing mode."""
    import slicer.util

    if slicer.app.commandOptions().testingEnabled:
        return True
    if state.user_refuses is not None:
        return not state.user_refuses
    return slicer.util.confirmOkCancelDisplay(
        f"PyTorch will be downloaded and installed using light-the-torch (ltt {' '.join(arguments)}).",
    )
