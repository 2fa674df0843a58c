"""What a job sets in its process: device, seeds, threads, and where its log goes."""

from __future__ import annotations

import logging
import platform
import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput


def choose_device(wanted: str, slot: int = 0) -> str:
    """The device of a job; "auto" takes a GPU where there is one, the worker's number chooses among several.

    :raises BadInput: gpu_absent.
    """
    if wanted == "cpu":
        return "cpu"
    try:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except ImportError:  # methods without a network run without torch
        count = 0
    if wanted == "auto":
        return f"cuda:{slot % count}" if count else "cpu"
    if not count:
        raise BadInput("gpu_absent", f"There is no GPU for --device {wanted}.", "Leave out --device, or give cpu.")
    return wanted


def seed_everything(seed: int) -> None:
    """For code that asks the process's own generators; methods draw from their settings' seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  other libraries use it
    try:
        import torch
    except ImportError:
        return
    torch.manual_seed(seed)


@contextmanager
def limited_threads(threads: int):
    """Let torch, BLAS and OpenMP use so many threads, whatever the worker was started with."""
    try:
        import torch

        torch.set_num_threads(threads)
    except ImportError:
        pass
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(threads):
        yield


class _Quiet(logging.FileHandler):
    """A log that cannot be written, as on a full disk, must not end the job."""

    def handleError(self, record) -> None:  # noqa: N802  logging's name
        """Drop the line."""


@contextmanager
def log_into(path: Path):
    """What the library logs goes into the job's log.txt as well, after what an earlier attempt wrote."""
    logger = logging.getLogger("CHMFLTrainingLib")
    handler, level = _Quiet(path, encoding="utf-8"), logger.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def processor() -> str:
    """The processor by its name, on which the last bits of sums depend."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def software() -> dict[str, str]:
    """Versions of the packages that numbers may depend on."""
    from importlib import metadata

    found = {}
    for name in ("numpy", "scipy", "torch", "scikit-learn", "mirp", "monai", "SimpleITK"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
