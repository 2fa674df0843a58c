"""What an installation may never replace: Slicer's own packages and loaded ones, which pip gets as constraints.

A numpy that is half removed, because Windows holds its loaded files, is the end of that Slicer.
"""

import contextlib
import subprocess
import tempfile
from pathlib import Path

from ..child.process import child_environment, python_executable
from ..errors import MissingDependency
from .needed_packages import installed_version

KEPT = ("numpy", "scipy", "SimpleITK", "pydicom", "Pillow", "torch", "torchvision")
_TOLD = 300  # characters of pip's reason
_WORDS = (
    "conflict",
    "cannot install",
    "no matching distribution",
    "could not find a version",
    "constraint",
    "requires",
)


def pins() -> list[str]:
    """One ``name==version`` for each package of ``KEPT`` that is installed and says which version it is."""
    found = {package: installed_version(package) for package in KEPT}
    return [f"{package}=={version}" for package, version in found.items() if version]


@contextlib.contextmanager
def constraints_file():
    """Path of a constraints file for pip, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="chmfl-pip-") as folder:
        path = Path(folder, "constraints.txt")
        path.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
        yield path


def check_resolvable(requirements: list[str], again: str = "", options=()) -> None:
    """Let pip resolve packages under the constraints without installing anything.

    :param requirements: as pip takes them. :param again: the last words of the hint.
    :param options: more of pip's, such as where it looks.
    :raises MissingDependency: packages_conflict, with pip's reason.
    """
    if not requirements:
        return
    with constraints_file() as path:
        command = [python_executable(), "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*command, "-c", str(path), *options, *requirements],
            env=child_environment(), capture_output=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        if done.returncode == 0:
            return
        reason = _reason(done.stderr)
        kept = ", ".join(pins())
    if reason:
        raise MissingDependency(
            "packages_conflict",
            f"{', '.join(requirements)} cannot be installed beside this Slicer's own packages ({kept}): {reason}",
            f"Nothing was installed. Use a newer version of Slicer{f', {again}' if again else ''}.",
        )


def _reason(said: str) -> str:
    """Why pip found no solution; empty for what is none of it, as a network that is down: the installation says so."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "ResolutionImpossible" not in said and not any("No matching distribution" in line for line in lines):
        return ""
    if any(word in said for word in ("NewConnectionError", "ProxyError", "ConnectTimeout", "ReadTimeout")):
        return ""
    told = [line for line in lines if any(word in line.lower() for word in _WORDS)]
    return " ".join(told)[:_TOLD]
