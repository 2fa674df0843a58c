"""Runs an ensemble of networks on what the computer has. Every engine agrees with plain PyTorch in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from ..errors import BadInput, MissingDependency, OutOfMemory
from ..failures import as_known
from ..reading.checks import warning
from .devices import GPU_HINT, choose
from .engine_torch import FoldedNetwork
from .folding import fold_batch_norm

__all__ = ["ENGINES", "Engine", "fold_batch_norm", "open_engine"]

ENGINES = ("auto", "eager", "torch", "openvino")


class Engine:
    """An ensemble ready for prediction; made by :func:`open_engine`.

    :ivar device: what computes, in words for people.
    :ivar name: "eager", "torch" or "openvino".
    :ivar warnings: what the user should know of this choice: ``gpu_unsupported`` when a GPU is there and the CPU
        computes, because PyTorch has no code for that GPU. A dict each, ``code`` and ``text``.
    """

    def __init__(self, members: list, device: str, name: str, threads: int, input_shape: tuple[int, ...]):
        self.members, self.device, self.name = members, device, name
        self.warnings: list[dict] = []
        self._threads, self._input_shape = threads, tuple(input_shape)

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        """DM log-odds of each member, float64 (members,). The decoder is not run.

        :param inputs: preprocessed images, float32 (channels, X, Y, Z).
        :raises OutOfMemory: the computer or its GPU has too little memory.
        """
        with self._ready(inputs) as x:
            return np.array([member.log_odds(x) for member in self.members])

    def tumor_probability(
        self, inputs: np.ndarray, on_member: Callable[[int, int], None] | None = None
    ) -> np.ndarray | None:
        """Probability of tumor, float32 (X, Y, Z), the mean over the members; None when the networks have no decoder.

        :param inputs: preprocessed images, float32 (channels, X, Y, Z).
        :param on_member: called with (members done, members) after each member; what it raises ends the computation.
        :raises OutOfMemory: the computer or its GPU has too little memory.
        """
        total = None
        with self._ready(inputs) as x:
            for number, member in enumerate(self.members):
                probability = member.tumor_probability(x)
                if probability is None:
                    return None
                total = probability.numpy() if total is None else np.add(total, probability.numpy(), out=total)
                if on_member is not None:
                    on_member(number + 1, len(self.members))
        return total / np.float32(len(self.members))

    @contextmanager
    def _ready(self, inputs: np.ndarray) -> Iterator[torch.Tensor]:
        if inputs.shape != self._input_shape:
            raise ValueError(f"the networks expect an input of shape {self._input_shape}, not {inputs.shape}")
        # PyTorch's number of threads belongs to the calling thread, which need not be the one that opened the backend
        torch.set_num_threads(self._threads)
        with _memory_errors():
            yield torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))[None]


def open_engine(
    networks: list[nn.Module],
    input_shape: tuple[int, ...],
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
) -> Engine:
    """Make networks ready for prediction.

    The engine takes the networks over: it folds their batch normalization in place and may move them to a GPU. They
    still compute the same, and :func:`.relevance_map` may use them.

    :param networks: the members of the ensemble, of one configuration.
    :param input_shape: of one image, (channels, X, Y, Z).
    :param device: "auto" (the first GPU that can be used, else the CPU), "cpu", "cuda" or "cuda:n".
    :param engine: "auto", "openvino" (CPU only), "torch" (optimized), or "eager" (plain float32, the reference).
    :param threads: of the CPU; PyTorch's own choice without.
    :raises BadInput: the device is not here (``gpu_absent``), unknown (``device_unknown``), or a GPU that this PyTorch
        has no code for (``gpu_unsupported``).
    :raises MissingDependency: OpenVINO is asked for and not installed.
    :raises OutOfMemory: the computer or its GPU has too little memory.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    chosen, passed_over = choose(torch, device)
    place = torch.device(chosen)
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    if engine == "auto":
        engine = best_engine(place)
    with _memory_errors():
        members = [_member(network, input_shape, place, engine, threads) for network in networks]
    opened = Engine(members, _describe(place, engine, threads), engine, threads, input_shape)
    if passed_over:
        instead = "The CPU computes instead, slower." if chosen == "cpu" else f"{chosen} computes instead."
        opened.warnings.append(warning("gpu_unsupported", f"{passed_over} {instead} {GPU_HINT}"))
    return opened


def best_engine(place: torch.device) -> str:
    """The engine that "auto" means on a device."""
    # Compiling takes 0.1 s a graph and goes on while the images are read.
    return "openvino" if place.type == "cpu" and find_spec("openvino") is not None else "torch"


def _member(network: nn.Module, input_shape: tuple[int, ...], place: torch.device, engine: str, threads: int):
    if engine == "eager":
        return FoldedNetwork(network, place, fold=False)
    if engine == "openvino":
        return _openvino_member(network, input_shape, place, threads)
    if place.type == "cuda":
        return FoldedNetwork(network, place, bfloat16=torch.cuda.is_bf16_supported(including_emulation=False))
    return FoldedNetwork(network, place, bfloat16=_cpu_has_bfloat16())


def _openvino_member(network: nn.Module, input_shape: tuple[int, ...], place: torch.device, threads: int):
    if place.type != "cpu":
        raise BadInput("engine_unfit", "OpenVINO runs on the CPU here.", "Choose --device cpu, or leave out --engine.")
    if find_spec("openvino") is None:
        raise MissingDependency(
            "openvino_missing", "OpenVINO is not installed.", "Install it: pip install openvino; or leave out --engine."
        )
    from .engine_openvino import OpenvinoNetwork

    return OpenvinoNetwork(network, input_shape, threads)


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16; where it merely could by emulation, float32 is faster."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _describe(place: torch.device, engine: str, threads: int) -> str:
    if place.type == "cuda":
        return f"{torch.cuda.get_device_name(place)} ({place})"
    library = f"PyTorch {torch.__version__.partition('+')[0]}"
    if engine == "openvino":
        import openvino

        library = f"OpenVINO {openvino.__version__.partition('-')[0]}"
    return f"CPU, {library}, {threads} thread{'' if threads == 1 else 's'}"


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn what the libraries raise when memory is exhausted into :class:`OutOfMemory`; everything else passes."""
    try:
        yield
    except Exception as error:
        known = as_known(error)
        if isinstance(known, OutOfMemory):
            raise known from error
        raise
