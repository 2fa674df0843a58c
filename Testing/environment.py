"""The virtual environment of the project: made, checked and reused by ``run.py``. Standard library only."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
VENV = REPOSITORY / ".venv"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
OLDEST_PYTHON = (3, 11)
STAMP = "chmfl-stamp.txt"
TORCH_ON_CPU, TORCH_ON_GPU = "torch==2.13.0", "torch>=2.6"

# What VTK loads at run time to render offscreen (EGL with Mesa's software driver) and what the packages, Qt above all,
# link to, by Debian package.
# Of a tuple of libraries one is enough: a machine with NVIDIA's driver needs no Mesa.
SYSTEM_LIBRARIES = {
    "libstdc++6": ("libstdc++.so.6",),
    "zlib1g": ("libz.so.1",),
    "libegl1": ("libEGL.so.1",),
    "libgl1": ("libGL.so.1",),
    "libegl-mesa0": ("libEGL_mesa.so.0", "libEGL_nvidia.so.0"),
    "libzstd1": ("libzstd.so.1",),
    "libglib2.0-0": ("libgthread-2.0.so.0",),
    "libxkbcommon0": ("libxkbcommon.so.0",),
    "libfontconfig1": ("libfontconfig.so.1",),
    "libdbus-1-3": ("libdbus-1.so.3",),
}


class SetupError(Exception):
    """The machine lacks something that this script cannot install."""


def check_python(version=sys.version_info) -> None:
    """Refuse a Python that is too old."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        wanted, found = ".".join(map(str, OLDEST_PYTHON)), ".".join(map(str, version[:3]))
        raise SetupError(f"Python {wanted} or newer is needed, this is {found}. Run: apt-get install python3")


def missing_packages(loads=None, has_venv=None) -> list[str]:
    """Return the Debian packages that are missing on this machine."""
    loads = loads or _loads
    missing = []
    if not (_has_venv() if has_venv is None else has_venv):
        missing.append("python3-venv")
    if sys.platform == "linux":
        missing += [package for package, names in SYSTEM_LIBRARIES.items() if not any(map(loads, names))]
    return missing


def check_system(missing: list[str]) -> None:
    """Raise one error with the one line that cures all that is missing."""
    if missing:
        sudo = "" if os.name == "nt" or os.geteuid() == 0 else "sudo "
        line = f"{sudo}apt-get install -y --no-install-recommends {' '.join(missing)}"
        raise SetupError(f"This machine lacks {len(missing)} system package(s). Run:\n\n    {line}\n")


def venv_python(venv: Path = VENV) -> Path:
    """Return the interpreter of the virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def torch_requirement() -> str:
    """Return the torch that suits this machine."""
    return TORCH_ON_GPU if shutil.which("nvidia-smi") else TORCH_ON_CPU


def wanted_stamp() -> str:
    """Return a text that changes whenever the environment must be made anew."""
    requirements = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    return f"python {sys.version_info[0]}.{sys.version_info[1]}\n{torch_requirement()}\nrequirements {requirements}\n"


def why_not(venv: Path = VENV) -> str:
    """Return why the environment cannot be used as it is, or an empty text."""
    python, stamp = venv_python(venv), venv / STAMP
    if not venv.exists():
        return "there is none yet"
    if not stamp.is_file():
        return "its installation was not finished"
    if stamp.read_text(encoding="utf-8") != wanted_stamp():
        return "it was made for another Python or other requirements"
    try:
        subprocess.run([python, "-c", "import pip, numpy"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "its Python no longer works"
    return ""


def ensure(venv: Path = VENV, say=print) -> Path:
    """Make the virtual environment unless a good one is there, and return its Python."""
    reason = why_not(venv)
    if not reason:
        say(f"Using {venv}")
        return venv_python(venv)
    say(f"Making {venv} ({reason}); this takes some minutes and about 4.6 GB.")
    python = venv_python(venv)
    requirement = torch_requirement()
    steps = [
        ([sys.executable, "-m", "venv", "--clear", str(venv)], "an empty environment"),
        ([python, "-m", "pip", "install", "--quiet", requirement], requirement),
        ([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], f"the packages of {REQUIREMENTS.name}"),
    ]
    for command, what in steps:
        say(f"  installing {what} ...")
        code = subprocess.run([str(part) for part in command]).returncode
        if code != 0:
            raise SetupError(
                f"Installing {what} failed (exit code {code}); the lines above say why. Run the command again."
            )
    (venv / STAMP).write_text(wanted_stamp(), encoding="utf-8")
    return python


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _has_venv() -> bool:
    """Whether venv can make an environment with pip; Debian's python3 comes without it."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True
