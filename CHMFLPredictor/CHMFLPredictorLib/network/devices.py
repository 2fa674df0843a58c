"""What can compute on this computer: its CPU, and each GPU with the reason why it cannot be used, if there is one.

PyTorch is imported inside the functions: the command line loads this file where PyTorch is absent.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import BadInput

GPU_HINT = (
    "In Slicer open the module PyTorch Utils, uninstall PyTorch, restart Slicer and install it again with the "
    "computation backend that suits the GPU; elsewhere install the PyTorch that is built for it."
)
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_NVIDIA_SMI_LIMIT_S = 10.0


def describe(torch=None) -> list[dict]:
    """Return the devices that there are: GPUs first, the CPU last. May take some seconds, as it loads PyTorch.

    :return: a dict each: ``device`` ("cuda:0", "cpu"; what ``--device`` takes), ``name``, ``memory_gb`` (of the GPU, or
        of the computer; GiB; None if unknown), ``problem`` (why it cannot be used, empty if it can); the CPU also has
        ``threads``.
    :raises ModuleNotFoundError: PyTorch is not installed.
    """
    torch = torch or _torch()
    cpu = {"device": "cpu", "name": cpu_name(), "memory_gb": _memory_gb(), "problem": ""}
    gpus = [_gpu(torch, index) for index in range(gpu_count(torch))] or _unseen_gpus(torch)
    return [*gpus, cpu | {"threads": torch.get_num_threads()}]


def gpu_count(torch) -> int:
    """How many GPUs PyTorch sees, whether it can use them or not."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_problem(torch, index: int) -> str:
    """Why PyTorch cannot compute on a GPU that it sees; empty if it can.

    A build of PyTorch holds code for some GPUs only. On a newer one every computation fails with "no kernel image".
    """
    try:
        name, capability = torch.cuda.get_device_name(index), tuple(torch.cuda.get_device_capability(index))
        built_for = torch.cuda.get_arch_list()
    except Exception as error:  # a GPU that another program holds, a driver at odds with it: PyTorch's errors differ
        return f"PyTorch cannot open GPU {index}: {str(error).strip().partition(chr(10))[0]}"
    if _runs_on(built_for, capability):
        return ""
    return (
        f"{name} has CUDA capability {capability[0]}.{capability[1]}; PyTorch {torch.__version__} was built for "
        f"{', '.join(built_for)} and has no code for it."
    )


def choose(torch, wanted: str) -> tuple[str, str]:
    """Choose where to compute.

    :param wanted: "auto" (the first GPU that can be used, else the CPU), "cpu", "cuda" (the first GPU that can be
        used) or "cuda:n".
    :return: the device, "cpu" or "cuda:n", and why a GPU that is there was passed over (empty if none was).
    :raises BadInput: ``device_unknown``, ``gpu_absent``, or ``gpu_unsupported``: it is there, PyTorch has no code for
        it.
    """
    name, _, number = wanted.partition(":")
    if name not in ("auto", "cpu", "cuda") or (number and not (name == "cuda" and number.isdecimal())):
        raise BadInput("device_unknown", f"There is no device {wanted!r}.", "Choose auto, cpu, cuda or cuda:n.")
    if name == "cpu":
        return "cpu", ""
    count = gpu_count(torch)
    if name == "cuda" and int(number or 0) >= count:
        raise BadInput(
            "gpu_absent",
            f"The device {wanted} was asked for; the number of GPUs that PyTorch {torch.__version__} sees is {count}.",
            "Choose --device auto or cpu, or install a driver and a PyTorch with CUDA support.",
        )
    problems = []
    for index in [int(number)] if number else range(count):
        problem = gpu_problem(torch, index)
        if not problem:
            return f"cuda:{index}", " ".join(problems)
        problems.append(problem)
    if name == "cuda":
        raise BadInput("gpu_unsupported", problems[0], f"Choose the CPU: --device cpu. Or: {GPU_HINT}")
    return "cpu", " ".join(problems)


def report(torch=None) -> dict:
    """Everything that a panel shows about devices: ``devices`` (see :func:`describe`), ``auto`` (the device that "auto"
    means), ``torch`` (its version).
    """
    torch = torch or _torch()
    return {"devices": describe(torch), "auto": choose(torch, "auto")[0], "torch": torch.__version__}


def report_text(found: dict) -> str:
    """Return a :func:`report` in lines for people."""
    lines = [f"PyTorch {found['torch']}; * is what --device auto means"]
    for one in found["devices"]:
        memory = f", {one['memory_gb']:.0f} GB" if one["memory_gb"] else ""
        threads = f", {one['threads']} thread{'' if one['threads'] == 1 else 's'}" if "threads" in one else ""
        mark = "*" if one["device"] == found["auto"] and not one["problem"] else " "
        lines.append(f"{mark} {one['device']:<7} {one['name']}{memory}{threads}")
        if one["problem"]:
            lines.append(f"          cannot be used: {one['problem']}")
    if any(one["problem"] for one in found["devices"]):
        lines.append(GPU_HINT)
    return "\n".join(lines)


def cpu_name() -> str:
    """The processor's name as its maker writes it."""
    try:
        name = _cpu_name()
    except (OSError, subprocess.SubprocessError):
        name = ""
    import platform

    return re.sub(r"\s+", " ", re.sub(r"\((?:R|TM)\)", "", name)).strip() or platform.machine() or "CPU"


def _cpu_name() -> str:
    if sys.platform == "win32":
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else ""


def _memory_gb() -> float | None:
    """Memory of the computer, GiB."""
    try:
        if sys.platform == "win32":
            return _windows_memory() / 2**30
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        return None


def _windows_memory() -> int:
    import ctypes

    size = ctypes.c_ulonglong()
    if not ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(size)):
        raise OSError("Windows does not say how much memory there is")
    return size.value * 1024


def _gpu(torch, index: int) -> dict:
    problem = gpu_problem(torch, index)
    try:
        properties = torch.cuda.get_device_properties(index)
        name, memory = properties.name, properties.total_memory / 2**30
    except Exception:  # the problem says why
        name, memory = f"GPU {index}", None
    return {"device": f"cuda:{index}", "name": name, "memory_gb": memory, "problem": problem}


def _unseen_gpus(torch) -> list[dict]:
    """NVIDIA GPUs that the driver knows and PyTorch does not see at all."""
    if torch.version.cuda is None:
        problem = f"PyTorch {torch.__version__} was built without CUDA, for the CPU alone."
    else:
        problem = (
            f"PyTorch {torch.__version__} was built for CUDA {torch.version.cuda} and does not see it: the driver may "
            "be too old for it, or the GPU hidden from it (CUDA_VISIBLE_DEVICES)."
        )
    return [
        {"device": f"cuda:{index}", "name": name, "memory_gb": memory, "problem": problem}
        for index, (name, memory) in enumerate(driver_gpus())
    ]


def has_nvidia_driver() -> bool:
    """Whether NVIDIA's driver is installed, and so most likely a GPU. Takes no time."""
    return shutil.which(_NVIDIA_SMI[0]) is not None


def driver_gpus() -> list[tuple[str, float | None]]:
    """NVIDIA GPUs by their driver's own tool, without PyTorch: name and memory (GiB). Empty if it is not there."""
    program = shutil.which(_NVIDIA_SMI[0])
    if program is None:
        return []
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
    try:
        done = subprocess.run(
            [program, *_NVIDIA_SMI[1:]],
            capture_output=True, text=True, errors="replace", timeout=_NVIDIA_SMI_LIMIT_S, check=True, **options,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [_driver_gpu(line) for line in done.stdout.splitlines() if line.strip()]


def _driver_gpu(line: str) -> tuple[str, float | None]:
    name, _, mebibytes = line.rpartition(",")
    try:
        return name.strip(), float(mebibytes) / 1024
    except ValueError:  # "[N/A]": memory shared with the computer
        return name.strip() or line.strip(), None


def _runs_on(built_for: list[str], capability: tuple[int, int]) -> bool:
    """Whether code built for some architectures runs on a GPU of some CUDA capability (major, minor).

    ``sm_86`` is machine code: it runs on its own and on higher minor numbers of the same major one. ``compute_90`` is
    an intermediate code that the driver translates for every newer GPU. The suffix a ties both to that GPU alone, the
    suffix f to its family, which is the same major number.
    """
    matches = [re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", one) for one in built_for]
    if not any(matches):
        return True  # a build for other makers' GPUs, which names them in its own way
    for match in filter(None, matches):
        kind, suffix, version = match[1], match[4], (int(match[2]), int(match[3]))
        later_minor = version[0] == capability[0] and version[1] <= capability[1]
        if suffix == "a":
            fits = version == capability
        elif kind == "sm" or suffix == "f":
            fits = later_minor
        else:
            fits = version <= capability
        if fits:
            return True
    return False


def _torch():
    import torch

    return torch
