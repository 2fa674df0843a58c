"""Recognizes in what libraries raise the failures that a user can do something about."""

import errno

from .errors import ChmflError, MissingDependency, OutOfMemory

_MEMORY_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "bad_alloc",
    "bad alloc",
    "failed to map segment",
    "can't start new thread",
    "unable to allocate",
    "could not create a memory object",
)
MEMORY_HINT = (
    "Close other programs, choose the CPU with --device cpu, or predict with --risk-only, which needs far less."
)


def as_known(error: BaseException) -> ChmflError | None:
    """Return the error to show for an exception, or None if it is a defect of this program.

    Memory may run out in any library; each has its own words for it: ``MemoryError`` (numpy), ``RuntimeError`` (torch,
    SimpleITK, OpenVINO), ``ImportError`` (the dynamic loader).
    """
    if isinstance(error, ChmflError):
        return error
    if isinstance(error, ModuleNotFoundError) and not str(error.name or "").startswith(__package__):
        return missing_package(error)
    text = str(error).lower()
    exhausted = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    speaks_of_it = isinstance(error, RuntimeError | ImportError | OSError) and any(
        word in text for word in _MEMORY_WORDS
    )
    if exhausted or speaks_of_it:
        where = " of the GPU" if "cuda" in text else ""
        return OutOfMemory("out_of_memory", f"The memory{where} is exhausted.", MEMORY_HINT)
    return None


def missing_package(error: ModuleNotFoundError) -> MissingDependency:
    """The error for a package that is not installed: which one and how to get it."""
    name = (error.name or str(error)).partition(".")[0]
    package = {"PIL": "Pillow", "sklearn": "scikit-learn"}.get(name, name)
    if package == "torch":
        hint = "In Slicer install the PyTorch extension and let it install PyTorch; elsewhere run: pip install torch"
    else:
        hint = f"Install it: pip install {package}"
    return MissingDependency("dependency_missing", f"The Python package {package} is not installed.", hint)
