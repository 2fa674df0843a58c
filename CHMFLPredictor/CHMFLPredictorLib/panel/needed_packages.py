"""What CHMFL needs besides Slicer, what of it is missing, and the words that ask for it. Changes nothing."""

import importlib
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from .. import MODULE_FOLDER

TORCH_MINIMUM = "2.6"
REQUIREMENTS_FILE = MODULE_FOLDER / "Resources" / "requirements-chmfl.txt"
OPTIONAL = frozenset({"openvino"})
NEED_TORCH = frozenset({"monai"})  # pip would bring a PyTorch of its own choice along, were it not there before
_IMPORT_NAMES = {"Pillow": "PIL", "scikit-learn": "sklearn"}
_PURPOSES = {
    "torch": "PyTorch {minimum} or newer: runs the neural network",
    "openvino": "OpenVINO (optional): makes the prediction faster on this computer's processor",
    "pydicom": "pydicom {minimum} or newer: reads DICOM files",
    "Pillow": "Pillow {minimum} or newer: draws the report's pictures",
    "scikit-learn": "scikit-learn {minimum} or newer: forests, regressions, ROC curves",
    "safetensors": "safetensors {minimum} or newer: keeps trained weights",
    "dask": "Dask {minimum} or newer: shares the work among processor cores or computers",
    "distributed": "Dask's scheduler (distributed) {minimum} or newer",
    "psutil": "psutil {minimum} or newer: tells whether a training still runs",
    "matplotlib": "Matplotlib {minimum} or newer: draws the figures",
    "monai": "MONAI {minimum} or newer: V-Net",
    "shapely": "shapely {minimum} or newer: tumor contours of DICOM structure sets",
    "mirp": "mirp {minimum} or newer: radiomic features after IBSI",
}
# (download, disk) in GB, as measured in 2026 and rounded up
_TORCH_FOR_CPU_GB, _TORCH_FOR_GPU_GB, _OTHERS_GB = (0.4, 1.5), (4.0, 8.0), (0.1, 0.4)


@dataclass(frozen=True)
class Need:
    """A package that is not there, or too old.

    :ivar package: its name for pip.
    :ivar minimum: the oldest version that will do.
    :ivar installed: the version that is there; empty if none is.
    :ivar optional: whether a prediction works without it.
    """

    package: str
    minimum: str
    installed: str = ""
    optional: bool = False

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}>={self.minimum}"

    @property
    def purpose(self) -> str:
        """What it is for, in words for people."""
        words = _PURPOSES.get(self.package, "{package} {minimum} or newer")
        return words.format(package=self.package, minimum=self.minimum)


def missing() -> list[Need]:
    """What a prediction lacks, optional packages last. Looks at files only: imports nothing."""
    found = lacking([("torch", TORCH_MINIMUM), *read_requirements()])
    return sorted(found, key=lambda need: need.optional)


def lacking(requirements: list[tuple[str, str]]) -> list[Need]:
    """Which of these packages, each with its oldest version, are not installed or too old. Imports nothing."""
    importlib.invalidate_caches()
    found = []
    for package, minimum in requirements:
        installed = installed_version(package)
        if installed is None or older(installed, minimum):
            found.append(Need(package, minimum, installed or "", package in OPTIONAL))
    return found


def has_torch() -> bool:
    """Whether PyTorch is installed, of whatever version. Imports nothing."""
    return installed_version("torch") is not None


def read_requirements(path: Path = REQUIREMENTS_FILE) -> list[tuple[str, str]]:
    """Return name and oldest version of each package in a requirements file, in its order."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [tuple(line.split(">=")) for line in lines if line and not line.startswith("#")]


def installed_version(package: str) -> str | None:
    """The version of an installed package, "" if it does not say, None if it is not there."""
    if not _is_there(_IMPORT_NAMES.get(package, package)):
        return None  # also what a broken or half-removed installation leaves
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def older(version: str, minimum: str) -> bool:
    """Whether a version is older than another; by the numbers of the release, so that 2.6.0.dev1 counts as 2.6.0."""
    numbers, wanted = (_release(text) for text in (version, minimum))
    return bool(numbers) and numbers + [0] * (len(wanted) - len(numbers)) < wanted


def names(needs: list[Need]) -> str:
    """The packages' names in one line."""
    return ", ".join("PyTorch" if need.package == "torch" else need.package for need in needs)


def question(needs: list[Need], gpu: bool) -> str:
    """The one question to the user: what would be installed, from where, how large it is and how long it takes.

    :param gpu: whether there is an NVIDIA GPU, for which PyTorch is ten times as large.
    """
    download_gb, disk_gb = size_gb(needs, gpu)
    packages = "\n".join(f"- {need.purpose}" for need in needs)
    return (
        f"CHMFL needs software that is not part of 3D Slicer:\n\n{packages}\n\n"
        f"It is downloaded from the internet (about {download_gb:.1f} GB) and installed into this Slicer (about "
        f"{disk_gb:.1f} GB of disk; {free_gb():.0f} GB are free). This is done once and takes "
        f"{'5 to 30' if download_gb > 1 else 'a few'} minutes, during which Slicer cannot be used. "
        "Images and patient data stay on this computer.\n\nInstall it now?"
    )


def size_gb(needs: list[Need], gpu: bool) -> tuple[float, float]:
    """About how large the packages are, GB: the download and on the disk."""
    torch = _TORCH_FOR_GPU_GB if gpu else _TORCH_FOR_CPU_GB
    sizes = [torch if need.package == "torch" else _OTHERS_GB for need in needs]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes)


def free_gb() -> float:
    """Free space, GB, on the disk that holds Slicer's Python packages."""
    return shutil.disk_usage(sys.prefix).free / 1e9


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # loaded already, in a way that left no trace of where from
        return True


def _release(version: str) -> list[int]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return [int(number) for number in found[0].split(".")] if found else []
