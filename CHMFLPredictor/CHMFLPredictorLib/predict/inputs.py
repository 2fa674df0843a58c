"""What goes into a prediction and what had a part in it, as the result tells it."""

import platform
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import BadInput
from ..events import ROLES


@dataclass(frozen=True)
class Inputs:
    """What to predict from.

    :param pet: path of the PET, a file or a DICOM folder.
    :param ct: path of the CT, likewise.
    :param center: a point in the tumor, RAS mm, or None.
    :param segmentation: path of a mask that places the box, or None.
    :param names: by role ("pet", "ct", "segmentation"), what the user knows an image by whose file means nothing to
        anybody, such as a node of a scene handed over in a temporary file. Results and messages name it instead.
    """

    pet: str
    ct: str
    center: tuple[float, float, float] | None = None
    segmentation: str | None = None
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.center is not None and self.segmentation is not None:
            raise BadInput("two_places", "Both a center and a segmentation were given.", "Give one of them or neither.")
        if self.center is not None and not np.isfinite(self.center).all():
            raise BadInput(
                "center_not_finite", f"The center {self.center} is not a point.", "Give three numbers R A S in mm."
            )

    def in_words(self, text: str) -> str:
        """Put names into a message in place of the paths that they stand for."""
        for role, name in self.names.items():
            text = text.replace(getattr(self, role) or name, name)
        return text


def describe_inputs(inputs: Inputs) -> dict:
    """Return what the result says about its inputs: paths, sizes and dates, so that a batch can tell whether they
    changed; of an image with a name only that.
    """
    described = {}
    for role in ROLES:
        if role in inputs.names:
            described[role] = {"name": inputs.names[role]}
        elif getattr(inputs, role) is not None:
            described[role] = _describe_file(Path(getattr(inputs, role)).expanduser().absolute())
    if inputs.center is not None:
        described["center"] = list(inputs.center)
    return described


def _describe_file(path: Path) -> dict:
    if not path.exists():
        return {"path": str(path)}
    stat = path.stat()
    modified = datetime.fromtimestamp(stat.st_mtime).astimezone().isoformat(timespec="milliseconds")
    return {"path": str(path), "size_bytes": stat.st_size, "modified": modified}


def software() -> dict[str, str]:
    """Return the versions of everything that had a part in the numbers."""
    versions = {"chmfl": __version__, "python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in ("numpy", "scipy", "SimpleITK", "torch", "openvino", "pydicom"):
        if name in sys.modules:
            module = sys.modules[name]
            versions[name] = str(
                module.Version_VersionString() if name == "SimpleITK" else getattr(module, "__version__", "?")
            )
    return versions


def environment_text() -> str:
    """One line for a report of a problem: what runs where."""
    return ", ".join(f"{name} {version}" for name, version in software().items())
