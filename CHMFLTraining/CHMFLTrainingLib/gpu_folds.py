"""How many jobs share a GPU: small networks leave most of it idle while they wait for the next kernel's launch."""

from __future__ import annotations

import os

# A smoke or compact step is a hundred kernels of microseconds each. `Testing/benchmark.py train --at-once` measures
# what several at once bring on the GPU at hand.
AT_ONCE = {"smoke": 4, "compact": 3}
JOB_GB = {"smoke": 1.5, "compact": 3.0}  # with the CUDA context of the process


def jobs_at_once(preset: str, gpus: list[float], cores: int | None = None) -> int:
    """Jobs at once on this computer's GPUs, as many on each: the worker's number modulo their count chooses the GPU.

    :param gpus: memory of each in GB.
    :param cores: of the processor; each job keeps one busy. None for this computer's.
    """
    cores = os.cpu_count() or 1 if cores is None else cores
    wanted = AT_ONCE.get(preset, 1)
    fit = min((int(memory / JOB_GB.get(preset, memory)) for memory in gpus), default=0)
    return max(1, min(wanted, fit, cores // max(1, len(gpus)))) * len(gpus)


def gpu_memory_gb() -> list[float]:
    """Memory of each of this computer's GPUs."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(number).total_memory / 1e9 for number in range(count)]
