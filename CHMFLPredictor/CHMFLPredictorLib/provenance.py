"""What goes into a prediction and what had a part in it, as the result tells it."""

import platform
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from . import __version__
from .errors import BadInput


@dataclass(frozen=True)
class Inputs:
    """What to predict from.

    :param pet: path of the PET, a file or a DICOM folder.
    :param ct: path of the CT, likewise.
    :param center: a point in the tumor, RAS mm, or None.
    :param segmentation: path of a mask that places the box, or None.
    """

    pet: str
    ct: str
    center: tuple[float, float, float] | None = None
    segmentation: str | None = None

    def __post_init__(self):
        if self.center is not None and self.segmentation is not None:
            raise BadInput("two_places", "Both a center and a segmentation were given.", "Give one of them or neither.")
        if self.center is not None and not np.isfinite(self.center).all():
            raise BadInput(
                "center_not_finite", f"The center {self.center} is not a point.", "Give three numbers R A S in mm."
            )


def describe_inputs(inputs: Inputs) -> dict:
    """Return what the result says about its inputs: paths, sizes and dates, so that a batch can tell whether they
    changed.
    """
    described = {key: value for key, value in asdict(inputs).items() if value is not None}
    for key in ("pet", "ct", "segmentation"):
        if key in described:
            path = Path(described[key]).expanduser().absolute()
            described[key] = {"path": str(path)}
            if path.exists():
                stat = path.stat()
                modified = datetime.fromtimestamp(stat.st_mtime).astimezone().isoformat(timespec="milliseconds")
                described[key] |= {"size_bytes": stat.st_size, "modified": modified}
    if "center" in described:
        described["center"] = list(described["center"])
    return described


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
