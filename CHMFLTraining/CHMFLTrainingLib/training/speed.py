"""What makes a training step fast on the device at hand; the numbers stay those of plain PyTorch but for rounding."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from CHMFLPredictorLib.network.chmfl import Decoder, NetworkConfig, UpBlock, build_network
from torch import nn
from torch.utils.checkpoint import checkpoint

from .planar_convolution import pointwise, split

LARGEST_GB = 6.0  # that a step may keep, so that all of it stays under 8; beyond, features are computed twice
_BYTES_A_WEIGHT = 12  # itself and Adam's two moments; the gradients come when the features go


@dataclass(frozen=True)
class Speed:
    """How a training runs. The defaults are plain PyTorch: eager, float32, each batch made when it is needed.

    :param bfloat16: convolutions multiply in bfloat16; weights, head and loss stay float32.
    :param channels_last: channels lie last in memory.
    :param planar: the decoder's 1x1x1 convolutions and its output's as 2D ones (``planar_convolution.py``).
    :param fused: the optimizer is one kernel.
    :param ahead: batches that a thread makes ahead.
    :param resident: the patients' boxes lie in the device's memory, and views are made there.
    :param recomputed: the decoder's features are computed again for the gradient instead of kept.
    """

    bfloat16: bool = False
    channels_last: bool = False
    planar: bool = False
    fused: bool = False
    ahead: int = 0
    resident: bool = False
    recomputed: bool = False


def fastest(device: torch.device, config: NetworkConfig, voxels: int, precision: str = "auto") -> Speed:
    """What is fast on a device. On a GPU bfloat16 (its tensor cores), boxes that stay there (no view waits for the
    processor or the bus) and a fused optimizer (one kernel instead of some for each weight).

    :param voxels: of a batch: they and the weights decide whether the decoder's features are kept.
    :param precision: as in :class:`.settings.Settings`.
    """
    gpu, bfloat16 = device.type == "cuda", in_bfloat16(device, precision)
    recomputed = config.constrained and kept_gigabytes(config, voxels, bfloat16) > LARGEST_GB
    return Speed(
        bfloat16=bfloat16,
        channels_last=True,
        planar=not gpu,
        fused=True,
        ahead=0 if gpu else 2,  # on a GPU making a view is a handful of kernels in the same queue
        resident=gpu,
        recomputed=recomputed,
    )


def in_bfloat16(device: torch.device, precision: str = "auto") -> bool:
    """Whether a training multiplies in bfloat16: where it is asked for, and by itself on NVIDIA's GPUs since Ampere.
    Never by itself on a CPU, where it depends on the processor and was not measured to be faster.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


def kept_gigabytes(config: NetworkConfig, voxels: int, bfloat16: bool) -> float:
    """About how much a step with the paper's kind of network keeps: weights, Adam's moments, and features of every
    convolution and normalization until their gradient is known.
    """
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in build_network(config).parameters())
    floats, widths = 0.0, config.channels
    for level, width in enumerate(widths):
        floats += 6 * width / 8**level  # both branches: convolution, normalization, and the joined pair
    for level, convolutions in zip(range(len(widths) - 2, -1, -1), config.decoder_convolutions, strict=True):
        out = widths[level] if config.projection else 3 * widths[level]
        floats += config.constrained * (2 * widths[level] + out * (2 * convolutions + 2)) / 8**level
    return (_BYTES_A_WEIGHT * weights + (2 if bfloat16 else 4) * floats * voxels) / 1e9


def prepared(network: nn.Module, device: torch.device, speed: Speed) -> nn.Module:
    """The network on its device, with the fast ways of the same sums. Names and shapes of its weights stay."""
    network = network.to(device, **({"memory_format": torch.channels_last_3d} if speed.channels_last else {}))
    for module in network.modules():
        if isinstance(module, Decoder) and speed.planar:
            output = module.output[0][0]
            output.forward = types.MethodType(_split_forward, output)
        if isinstance(module, UpBlock):
            if speed.planar and not isinstance(module.project, nn.Identity):
                module._join = types.MethodType(_join, module)
            if speed.recomputed:
                for part in (module.up, module.residual):
                    part.forward = _recomputed(part)
    return network


def autocast(device: torch.device, wanted: bool) -> AbstractContextManager:
    """bfloat16 where ``wanted``; float32 otherwise."""
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


@contextmanager
def repeatable() -> Iterator[None]:
    """Kernels of cuDNN that give the same numbers every time; no effect on a CPU."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


@contextmanager
def made_ahead(make: Callable, parts: list, ahead: int) -> Iterator[Iterator]:
    """What ``make`` returns for each part, in their order, made by one thread while the device works.

    One thread, so that a generator of random numbers that ``make`` draws from is drawn from in order.

    :param ahead: parts that are made before they are asked for; 0 makes each when it is, without a thread.
    """
    if not ahead:
        yield map(make, parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="views") as maker:
        coming = deque(maker.submit(make, part) for part in parts[:ahead])

        def results():
            for number in range(len(parts)):
                if number + ahead < len(parts):
                    coming.append(maker.submit(make, parts[number + ahead]))
                yield coming.popleft().result()

        try:
            yield results()
        finally:
            for future in coming:
                future.cancel()


def _join(self: UpBlock, up: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    """:meth:`UpBlock._join` with the faster projection."""
    convolution, rest = self.project[0], self.project[1:]
    weights = convolution.weight.split([up.shape[1], horizontal.shape[1]], dim=1)
    return rest(pointwise(up, weights[0], convolution.bias) + pointwise(horizontal, weights[1]))


def _split_forward(self: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    return split(x, self.weight, self.bias)


def _recomputed(part: nn.Module) -> Callable:
    """``part.forward`` that keeps its input alone and runs again for the gradient."""
    forward = part.forward

    def call(x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return forward(x)
        return checkpoint(forward, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _second_run(part)))

    return call


@contextmanager
def _second_run(part: nn.Module) -> Iterator[None]:
    """The running statistics of batch normalization count each batch once."""
    norms = [module for module in part.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked -= 1
