"""What is missing is asked for once, in words, and installed by the right hands; nothing is really installed here."""

import importlib.metadata
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest
import slicer
import slicer_standin
from CHMFLPredictorLib.errors import MissingDependency
from CHMFLPredictorLib.panel import needed_packages
from CHMFLPredictorLib.panel import packages as dependencies
from CHMFLTrainingLib.panel import packages as for_training
from slicer_standin.packaging import pip
from slicer_standin.pytorch_utils import TorchState

COMPLETE = {
    "torch": "2.7.1+cu126", "numpy": "2.4.6", "scipy": "1.17.1", "SimpleITK": "2.5.0", "Pillow": "12.2.0",
    "pydicom": "3.0.2", "openvino": "2026.1.0", "scikit-learn": "1.7.0", "safetensors": "0.6.2", "dask": "2026.1.0",
    "distributed": "2026.1.0", "psutil": "7.0.0", "matplotlib": "3.10.0", "monai": "1.5.1", "mirp": "2.5.0",
    "shapely": "2.1.2",
}  # fmt: skip


class Computer:
    """A Slicer with packages, an NVIDIA GPU or none, and a user who answers."""

    def __init__(self):
        self.packages = dict(COMPLETE)
        self.pytorch: TorchState | None = None
        self.gpu = False
        self.answer = True
        self.questions = []
        self.resolved = []

    def lacks(self, *packages, pytorch_extension=True, **torch):
        for package in packages:
            del self.packages[package]
        if pytorch_extension:
            new = SimpleNamespace(__version__="2.7.1")
            self.pytorch = TorchState(installed="torch" in self.packages, brings=new, **torch)
            slicer_standin.set_pytorch(self.pytorch)

    def version(self, package):
        if package == "torch" and self.pytorch is not None and self.pytorch.installed:
            return self.packages.get("torch", "2.7.1")
        if package not in self.packages:
            raise importlib.metadata.PackageNotFoundError(package)
        return self.packages[package]

    def find_spec(self, name):
        try:
            self.version({"PIL": "Pillow", "sklearn": "scikit-learn"}.get(name, name))
        except importlib.metadata.PackageNotFoundError:
            return None
        return ModuleSpec(name, None)

    def pip_installs(self, arguments):
        assert arguments[-2] == "-c"  # always, with what pip may not replace
        del arguments[-2:]
        for requirement in arguments[1:]:
            self.packages[requirement.partition(">=")[0]] = "9999.0"

    def confirm(self, text):
        self.questions.append(text)
        return self.answer

    def ensure(self, device="auto"):
        """What was installed: the arguments of pip, and of the PyTorch extension."""
        with pip.recorded(effect=self.pip_installs) as runs:
            dependencies.ensure(self.confirm, device)
        return [run[1:-2] for run in runs], self.pytorch.installs if self.pytorch else []

    def refuses(self, device="auto", purpose=dependencies.PREDICTION):
        """The error, where nothing but an error may come."""
        with pip.recorded(effect=self.pip_installs) as runs, pytest.raises(MissingDependency) as caught:
            dependencies.ensure(self.confirm, device, purpose)
        assert runs == []
        assert caught.value.message and caught.value.hint and caught.value.exit_code == 5
        return caught.value


@pytest.fixture
def computer(monkeypatch, dialogs):
    """The stand-in outside testing mode, on a computer of our choice."""
    made = Computer()
    monkeypatch.setattr(importlib.metadata, "version", made.version)
    monkeypatch.setattr(needed_packages, "find_spec", made.find_spec)
    monkeypatch.setattr(dependencies, "has_nvidia_driver", lambda: made.gpu)
    monkeypatch.setattr(dependencies, "free_gb", lambda: 100.0)
    monkeypatch.setattr(
        dependencies, "check_resolvable", lambda requirements, again: made.resolved.append(requirements)
    )
    return made


def test_nothing_missing_nothing_asked(computer):
    assert dependencies.missing() == []
    assert computer.ensure() == ([], [])
    assert computer.questions == []


def test_looking_imports_nothing():
    code = (
        "import sys; from CHMFLPredictorLib.panel import packages; packages.missing(); packages.has_torch()\n"
        "print({'torch', 'openvino', 'PIL', 'pydicom', 'SimpleITK', 'slicer'} & set(sys.modules))"
    )
    folder = str(needed_packages.REQUIREMENTS_FILE.parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_one_question_for_everything(computer):
    computer.lacks("torch", "pydicom", "openvino")
    assert [need.package for need in dependencies.missing()] == ["torch", "pydicom", "openvino"]
    assert not dependencies.has_torch()
    runs, torch = computer.ensure()
    (question,) = computer.questions
    for words in ("PyTorch", "pydicom", "OpenVINO (optional)", "GB", "minutes", "patient data stay", "Install it now?"):
        assert words in question
    assert runs == [["pydicom>=2.4"], ["openvino>=2025.0"]]  # what is needed first, what is optional last
    assert torch == [["install", "torch>=2.6", "torchvision"]]
    assert dependencies.missing() == []


def test_pip_never_gets_torch(computer):
    computer.lacks("torch")
    assert computer.ensure() == ([], [["install", "torch>=2.6", "torchvision"]])


def test_no_is_respected(computer):
    computer.lacks("torch", "openvino")
    computer.answer = False
    error = computer.refuses()
    assert error.code == "install_refused" and "PyTorch" in error.message and "openvino" not in error.message
    assert computer.pytorch.installs == []
    computer.answer = True  # asked again at the next click
    computer.ensure()
    assert len(computer.questions) == 2 and "OpenVINO" in computer.questions[1]


@pytest.mark.parametrize(
    ("device", "gpu", "offered"),
    [("auto", False, True), ("auto", True, False), ("cpu", True, True), ("cuda:1", False, False)],
)
def test_openvino_is_offered_where_the_cpu_computes(computer, device, gpu, offered):
    computer.lacks("openvino")
    computer.gpu = gpu
    assert computer.ensure(device)[0] == ([["openvino>=2025.0"]] if offered else [])
    assert len(computer.questions) == offered


def test_openvino_alone_is_offered_once(computer):
    computer.lacks("openvino")
    computer.answer = False
    assert computer.ensure() == ([], [])
    assert computer.ensure() == ([], [])
    assert len(computer.questions) == 1


def test_a_gpu_makes_it_larger(computer):
    computer.lacks("torch")
    computer.answer = False
    computer.refuses()
    computer.gpu = True
    computer.refuses()
    without, with_gpu = computer.questions
    assert "0.4 GB" in without and "4.0 GB" in with_gpu and "30 minutes" in with_gpu


def test_too_little_disk(computer, monkeypatch):
    computer.lacks("torch")
    monkeypatch.setattr(dependencies, "free_gb", lambda: 0.7)
    error = computer.refuses()
    assert error.code == "disk_space" and "0.7 GB" in error.message and sys.prefix in error.hint
    assert computer.questions == []


def test_failing_installation_of_torch(computer):
    computer.lacks("torch", "openvino", install_fails=True)
    error = computer.refuses()  # the optional package was not even tried
    assert error.code == "install_failed" and "PyTorch" in error.message and "exit status 1" in error.message


def test_the_extension_does_not_install(computer, monkeypatch):
    computer.lacks("torch")
    monkeypatch.setattr(sys.modules["PyTorchUtils"].PyTorchUtilsLogic, "installTorch", lambda self, **options: None)
    assert computer.refuses().code == "install_failed"


def test_failing_installation_of_a_package(computer, dialogs):
    computer.lacks("torch", "pydicom")
    dialogs.expect("Ok")  # Slicer's own box with pip's words
    with pip.recorded(returncode=1), pytest.raises(MissingDependency) as caught:
        dependencies.ensure(computer.confirm)
    assert caught.value.code == "install_failed" and "pydicom" in caught.value.message
    assert computer.pytorch.installs == []  # nothing large was loaded in vain


def test_failing_optional_package_does_not_stop_the_prediction(computer, dialogs):
    computer.lacks("torch", "openvino")
    dialogs.expect("Ok")
    with pip.recorded(returncode=1) as runs:
        dependencies.ensure(computer.confirm)
    assert len(runs) == 1 and dependencies.has_torch()


def test_installed_but_not_found(computer):
    computer.lacks("pydicom")
    with pip.recorded(), pytest.raises(MissingDependency) as caught:
        dependencies.ensure(computer.confirm)
    assert caught.value.code == "restart_needed" and "pydicom" in caught.value.message


def test_older_slicer_without_its_packaging(computer, monkeypatch):
    computer.lacks("pydicom")
    given = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(
        slicer.util, "pip_install", lambda names: (given.append(names[:-2]), computer.pip_installs(["", *names]))
    )
    dependencies.ensure(computer.confirm)
    assert given == [["pydicom>=2.4"]]


def test_without_the_extension_its_installation_is_offered(computer):
    computer.lacks("torch", pytorch_extension=False)
    slicer_standin.extensions.on_server.add("PyTorch")
    error = computer.refuses()
    assert error.code == "restart_needed" and "restart Slicer" in error.hint and "Save your scene" in error.hint
    assert slicer_standin.extensions.requests == [("PyTorch", False)]  # no restart: the scene would be lost
    assert slicer.app.extensionsManagerModel().interactive is True
    (question,) = computer.questions
    assert "extension PyTorch" in question and "Restart Slicer" in question


@pytest.mark.parametrize(("answer", "words"), [(False, "Extensions Manager"), (True, "internet")])
def test_without_the_extension(computer, answer, words):
    computer.lacks("torch", pytorch_extension=False)
    computer.answer = answer
    error = computer.refuses()
    assert error.code == "pytorch_extension_missing" and words in error.hint
    assert slicer_standin.extensions.requests == ([("PyTorch", False)] if answer else [])


def test_extension_installed_and_slicer_not_restarted(computer):
    computer.lacks("torch", pytorch_extension=False)
    slicer_standin.extensions.installed.add("PyTorch")
    assert computer.refuses().code == "restart_needed"
    assert computer.questions == []


def test_slicer_without_extensions(computer, monkeypatch):
    computer.lacks("torch", pytorch_extension=False)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(testingEnabled=lambda: False))
    assert computer.refuses().code == "pytorch_extension_missing"


@pytest.mark.parametrize(
    ("package", "version", "code"),
    [("torch", "2.2.2", "torch_too_old"), ("SimpleITK", "2.1", "slicer_too_old"), ("numpy", None, "slicer_too_old")],
)
def test_what_is_not_ours_to_replace(computer, package, version, code):
    computer.lacks()
    if version is None:
        del computer.packages[package]
    else:
        computer.packages[package] = version
    error = computer.refuses()
    assert error.code == code and package.replace("torch", "PyTorch") in error.message
    assert computer.questions == []


def test_in_testing_mode_nothing_is_asked_or_installed(computer):
    slicer_standin.set_testing(True)
    computer.lacks("openvino")
    assert computer.ensure() == ([], [])
    computer.lacks("torch")
    error = computer.refuses()
    assert error.code == "dependency_missing" and "PyTorch" in error.message
    assert computer.questions == [] and computer.pytorch.installs == []


# Training -----------------------------------------------------------------------------------------------------------


def test_training_asks_for_its_own_packages_too(computer):
    computer.lacks("torch", "pydicom", "openvino", "mirp", "monai")
    with pip.recorded(effect=computer.pip_installs) as runs:
        for_training.ensure(computer.confirm)
    (question,) = computer.questions
    assert "mirp" in question and "MONAI" in question and "PyTorch" in question and "OpenVINO" not in question
    # MONAI last: it depends on PyTorch, and pip would choose one
    assert [run[1:-2] for run in runs] == [["pydicom>=2.4", "mirp>=2.5"], ["monai>=1.5"]]
    assert computer.pytorch.installs == [["install", "torch>=2.6", "torchvision"]]
    assert for_training.missing() == []


def test_training_speaks_of_its_own_button(computer):
    computer.lacks("mirp")
    computer.answer = False
    error = computer.refuses(purpose=for_training.TRAINING)
    assert error.code == "install_refused" and "cannot train without mirp" in error.message and "Start" in error.hint


def test_contours_need_their_own_package_alone(computer):
    computer.lacks("torch", "mirp", "shapely")
    with pip.recorded(effect=computer.pip_installs) as runs:
        for_training.ensure(computer.confirm, for_training.STRUCTURE_SETS)
    assert [run[1] for run in runs] == ["shapely>=2.1"] and "structure sets" in computer.questions[0]
    computer.lacks("shapely")
    computer.answer = False
    error = computer.refuses(purpose=for_training.STRUCTURE_SETS)
    assert error.code == "install_refused" and "cannot read structure sets without shapely" in error.message


def test_training_without_the_extension(computer):
    computer.lacks("torch", pytorch_extension=False)
    slicer_standin.extensions.on_server.add("PyTorch")
    error = computer.refuses(purpose=for_training.TRAINING)
    assert error.code == "restart_needed" and "click Start again" in error.hint
    assert "click Start again" in computer.questions[-1]


def test_a_prediction_needs_nothing_of_training(computer):
    computer.lacks("mirp", "monai", "dask")
    assert computer.ensure() == ([], []) and computer.questions == []


def test_requirements_of_training_are_read_as_slicer_reads_them():
    ours = needed_packages.read_requirements(for_training.REQUIREMENTS_FILE)
    theirs = slicer.packaging.load_requirements(for_training.REQUIREMENTS_FILE)
    assert [f"{name}>={minimum}" for name, minimum in ours] == [str(one) for one in theirs]
    assert {name for name, _ in ours} <= needed_packages._PURPOSES.keys() and "torch" not in dict(ours)


@pytest.mark.parametrize(
    ("version", "minimum", "is_older"),
    [
        ("2.5.1", "2.6", True), ("2.6.0", "2.6", False), ("2.6", "2.6.0", False), ("2.10.0+cpu", "2.6", False),
        ("2.6.0.dev20250101", "2.6", False), ("2024.6.0", "2025.0", True), ("", "2.6", False),
        ("unknown", "2.6", False), ("10", "10.1", True),
    ],
)  # fmt: skip
def test_versions(version, minimum, is_older):
    assert needed_packages.older(version, minimum) == is_older


def test_requirements_file_is_read_as_slicer_reads_it():
    ours = needed_packages.read_requirements()
    theirs = slicer.packaging.load_requirements(needed_packages.REQUIREMENTS_FILE)
    assert [f"{name}>={minimum}" for name, minimum in ours] == [str(one) for one in theirs]
    names = {name for name, _ in ours}
    assert "torch" not in names and names >= needed_packages.OPTIONAL | dependencies.PART_OF_SLICER


def test_this_computer_really_has_what_the_tests_need():
    assert dependencies.has_torch()
    assert not [need for need in dependencies.missing() if not need.optional]
