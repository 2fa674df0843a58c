"""The modules that stand beside slicer in the stand-in: i18n, packaging, sitkUtils, PyTorchUtils."""

import subprocess
import sys
import types

import numpy as np
import pytest
from own_modules import OWN, PACKAGES, use_module

pytestmark = pytest.mark.standin

# slicer.i18n


@pytest.fixture(params=PACKAGES)
def i18n(request, monkeypatch):
    return use_module(request, monkeypatch, "slicer.i18n")


def call_from_file(path, text):
    """Call slicer.i18n.tr as code in a given file does."""
    scope = {}
    exec(compile("from slicer.i18n import tr as _\nsay = lambda text: _(text)", str(path), "exec"), scope)
    return scope["say"](text)


@pytest.fixture
def translator(monkeypatch, i18n):
    """A dictionary {(context, text): translation} that slicer.i18n's way to the application goes through."""
    import slicer

    known = {}

    class Application:
        def translate(self, context, text):
            return known.get((context, text), text)

    monkeypatch.setattr(slicer, "app", Application())
    return known


def test_a_text_is_translated_in_the_context_of_its_file(translator, tmp_path):
    panel = tmp_path / "Panel.py"
    panel.write_text("")
    translator["Panel", "Predict"] = "Vorhersagen"
    assert call_from_file(panel, "Predict") == "Vorhersagen"
    assert call_from_file(tmp_path / "Other.py", "Predict") == "Predict"


def test_in_a_package_the_context_has_the_packages_name(translator, tmp_path):
    for name in ("__init__.py", "panel_run.py"):
        (tmp_path / name).write_text("")
    translator[f"{tmp_path.name}.panel_run", "Cancel"] = "Abbrechen"
    assert call_from_file(tmp_path / "panel_run.py", "Cancel") == "Abbrechen"


def test_a_translation_that_lost_a_placeholder_is_dropped(translator, tmp_path, caplog):
    panel = tmp_path / "Panel.py"
    panel.write_text("")
    translator["Panel", "{count} files"] = "{zahl} Dateien"
    assert call_from_file(panel, "{count} files") == "{count} files"
    assert "zahl" in caplog.text


def test_without_a_translation_the_text_comes_back(i18n):
    assert i18n.tr("Predict {x}") == "Predict {x}"
    assert i18n.translate("qSlicerAbstractCoreModule", "Utilities") == "Utilities"
    with pytest.raises(TypeError):
        i18n.tr("text", "context")


# slicer.packaging


@pytest.fixture
def pip():
    from slicer_standin.packaging import pip

    return pip


@pytest.fixture(params=PACKAGES)
def packaging(request, monkeypatch, pip):
    """slicer.packaging; Slicer's own runs pip by slicer.util.executePythonModule, which leads to ``pip`` here."""
    import qt
    import slicer.util

    def execute(module, arguments, blocking=True, logCallback=None, completedCallback=None):
        assert module == "pip"
        if blocking:
            pip.check(arguments, logCallback)
        else:
            qt.QTimer.singleShot(0, lambda: completedCallback(pip.run(arguments, logCallback)))

    if request.param == OWN:
        monkeypatch.setattr(slicer.util, "executePythonModule", execute)
    return use_module(request, monkeypatch, "slicer.packaging")


def test_requirements_of_a_file(packaging, tmp_path):
    path = tmp_path / "requirements-chmfl.txt"
    path.write_text("# words\n\n-r other.txt\nnumpy>=1.20\npydicom>=2; sys_platform == 'nowhere'\n")
    assert [str(one).split(">")[0] for one in packaging.load_requirements(path)] == ["numpy", "pydicom"]
    path.write_text("numpy>=1.20  # why\n")
    with pytest.raises(ValueError, match="numpy"):
        packaging.load_requirements(path)


def test_pip_check_looks_at_what_is_installed(packaging):
    assert packaging.pip_check("numpy>=1.20 pytest")
    assert not packaging.pip_check("numpy>=999")
    assert not packaging.pip_check(["numpy", "no-such-package-here"])
    assert packaging.pip_check("no-such-package-here; sys_platform == 'nowhere'")
    with pytest.raises(TypeError):
        packaging.pip_check(("numpy",))


def test_in_testing_mode_nothing_is_installed_and_nothing_is_said(packaging, pip):
    with pip.recorded() as runs:
        assert packaging.pip_ensure("no-such-package-here") is None
    assert runs == []


def test_pip_ensure_installs_only_what_is_missing(packaging, pip):
    with pip.recorded() as runs:
        packaging.pip_ensure(["numpy", "no-such-package-here>=1"], skip_in_testing=False, prompt_install=False)
    assert runs == [["install", "no-such-package-here>=1"]]


def test_in_testing_mode_the_prompt_is_declined(packaging, pip):
    """confirmOkCancelDisplay answers False in testing mode, against its documentation (habit 8)."""
    with pip.recorded() as runs, pytest.raises(RuntimeError, match="declined"):
        packaging.pip_ensure("no-such-package-here", skip_in_testing=False)
    assert runs == []


def test_a_failing_pip_raises(packaging, pip):
    with pip.recorded(returncode=1) as runs:
        with pytest.raises(subprocess.CalledProcessError):
            packaging.pip_install("a 'b c'", constraints="c.txt")
        with pytest.raises(subprocess.CalledProcessError):
            packaging.pip_ensure("no-such-package-here", skip_in_testing=False, prompt_install=False)
    assert runs == [["install", "a", "b c", "-c", "c.txt"], ["install", "no-such-package-here"]]


def test_outside_testing_mode_a_failure_is_shown_before_it_is_raised(packaging, pip, monkeypatch):
    import slicer.util
    import slicer_standin

    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **more: shown.append(more["detailedText"]))
    slicer_standin.set_testing(False)
    with pip.recorded(returncode=2, log=["no network"]), pytest.raises(subprocess.CalledProcessError):
        packaging.pip_install("x")
    assert shown == ["no network"]
    slicer_standin.dialogs.clear()  # Slicer's own shows a progress window, which nobody is to answer


def test_pip_in_the_background_calls_back_from_the_event_loop(packaging, pip):
    import slicer
    import slicer_standin

    slicer_standin.set_testing(False)
    ended, lines = [], []
    with pip.recorded(log=["Collecting x"]) as runs:
        packaging.pip_install("x", blocking=False, logCallback=lines.append, completedCallback=ended.append)
        assert packaging.isPipInstallInProgress()
        assert (runs, ended) == ([], [])
        with pytest.raises(RuntimeError, match="already in progress"):
            packaging.pip_install("y", blocking=False)
        for _round in range(20):
            slicer.app.processEvents()
    assert (runs, ended, lines) == ([["install", "x"]], [0], ["Collecting x"])
    assert not packaging.isPipInstallInProgress()


def test_nothing_is_ever_installed_unless_a_test_records_it():
    import slicer.packaging
    import slicer.util

    for install in (slicer.packaging.pip_install, slicer.util.pip_install, slicer.packaging.pip_uninstall):
        with pytest.raises(RuntimeError, match="tests install nothing"):
            install("no-such-package-here")


# sitkUtils


@pytest.fixture(params=PACKAGES)
def sitkUtils(request, monkeypatch):
    return use_module(request, monkeypatch, "sitkUtils")


def test_images_go_to_nodes_and_back_with_their_geometry(sitkUtils):
    import SimpleITK as sitk
    import slicer.util

    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    image.SetOrigin((1, 2, 3))
    image.SetSpacing((1, 2, 4))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    node = sitkUtils.PushVolumeToSlicer(image, name="pushed")
    assert (node.GetName(), node.GetOrigin(), node.GetSpacing()) == ("pushed", (-1, -2, 3), (1, 2, 4))
    assert node.GetDisplayNode() is not None
    back = sitkUtils.PullVolumeFromSlicer("pushed")
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    for geometry in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert np.allclose(getattr(back, geometry)(), getattr(image, geometry)())
    assert sitkUtils.PushVolumeToSlicer(back, targetNode=node) is node
    with pytest.raises(slicer.util.MRMLNodeNotFoundException):
        sitkUtils.PullVolumeFromSlicer("nobody")


# PyTorchUtils


@pytest.fixture
def torch_state(monkeypatch):
    """PyTorchUtils as an installed extension, with a torch to switch."""
    from slicer_standin import pytorch_utils

    state = pytorch_utils.TorchState(brings=types.SimpleNamespace(__version__="9.9"))
    monkeypatch.setitem(sys.modules, "PyTorchUtils", pytorch_utils.build(state))
    return state


def test_without_the_extension_there_is_no_such_module():
    with pytest.raises(ModuleNotFoundError):
        import PyTorchUtils  # noqa: F401


def test_torch_is_installed_when_it_is_missing(torch_state):
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    torch_state.installed = False
    assert not logic.torchInstalled()
    assert logic.torchVersionInformation == "not installed"
    torch = logic.installTorch(askConfirmation=False, torchVersionRequirement=">=2.1", forceComputationBackend="cpu")
    assert torch.__version__ == "9.9"
    assert torch_state.installs == [["install", "torch>=2.1", "torchvision", "--pytorch-computation-backend=cpu"]]
    assert logic.torchInstalled()


def test_in_testing_mode_torch_is_installed_without_asking(torch_state):
    import PyTorchUtils
    import slicer

    torch_state.installed, torch_state.user_refuses = False, True
    assert slicer.app.commandOptions().testingEnabled
    assert PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True) is torch_state.brings
    assert torch_state.installs == [["install", "torch", "torchvision"]]


def test_outside_testing_mode_a_refusal_is_none(torch_state, monkeypatch):
    import PyTorchUtils
    import slicer

    torch_state.installed, torch_state.user_refuses = False, True
    options = types.SimpleNamespace(testingEnabled=False)
    monkeypatch.setattr(slicer, "app", types.SimpleNamespace(commandOptions=lambda: options))
    assert PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True) is None
    assert torch_state.installs == []


def test_a_failed_installation_raises(torch_state):
    import PyTorchUtils

    torch_state.installed, torch_state.install_fails = False, True
    with pytest.raises(subprocess.CalledProcessError):
        PyTorchUtils.PyTorchUtilsLogic().installTorch()
    assert not PyTorchUtils.PyTorchUtilsLogic.torchInstalled()
    with pytest.raises(TypeError):
        PyTorchUtils.PyTorchUtilsLogic().installTorch(version=">=2")
