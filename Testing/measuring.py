"""What both benchmarks measure with: the computer, and the memory of a process."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def log(text: str) -> None:
    """Say how far it is, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def computer(threads: int) -> dict:
    """What ran it, and how busy it was."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    cpu = {name: capabilities.get(name) for name in ("cpu_name", "avx2", "avx512_f", "avx512_bf16", "amx_bf16")}
    return {
        "system": platform.platform(),
        "cpu": cpu,
        "torch": torch.__version__,
        "threads": threads,
        "load_before": load,
    }


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    except OSError:
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
