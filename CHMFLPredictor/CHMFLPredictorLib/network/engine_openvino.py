"""The network compiled by OpenVINO, layer by layer: tracing the PyTorch module would take longer than predicting."""

from __future__ import annotations

import numpy as np
import torch
from openvino import Core, Model
from openvino import opset13 as ops
from torch import nn

from .chmfl import CHMFL
from .folding import fold_batch_norm

_SPACE = [2, 3, 4]


class OpenvinoNetwork:
    """A network ready for prediction, as two graphs: the risk waits neither for the decoder nor for compiling it.

    Batch norm of the module is folded in place. Arguments ``x`` are float32 (1, channels, X, Y, Z).
    """

    def __init__(self, network: CHMFL, input_shape: tuple[int, ...], threads: int):
        self.network = fold_batch_norm(network, in_place=True).requires_grad_(False)
        self.input_shape, self.threads = input_shape, threads
        self._vector = self._compile(_vector_graph)
        self._tumor = None

    def _compile(self, graph):
        shape = (1, *self.input_shape)
        return core().compile_model(graph(self.network, shape), "CPU", settings(self.threads)).create_infer_request()

    @torch.inference_mode()
    def log_odds(self, x: torch.Tensor) -> float:
        """Log-odds of DM; the decoder is not run. PyTorch multiplies by the head's matrix: up to 1 GB, not copied."""
        (vector,) = self._vector.infer([x.numpy()]).values()
        head = self.network.head
        logits = head.third(torch.relu(head.second(torch.relu(head.first(torch.from_numpy(vector))))))
        return float(logits[0, 1] - logits[0, 0])

    def tumor_probability(self, x: torch.Tensor) -> torch.Tensor | None:
        """Probability of tumor (X, Y, Z); None without a decoder."""
        if self.network.decoder is None:
            return None
        self._tumor = self._tumor or self._compile(_tumor_graph)
        (probability,) = self._tumor.infer([x.numpy()]).values()
        return torch.from_numpy(probability[0, 0].copy())


def core() -> Core:
    """The one OpenVINO runtime of the process."""
    global _core
    if _core is None:
        _core = Core()
    return _core


_core = None


def has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 (AVX-512 BF16 or AMX)."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def settings(threads: int) -> dict:
    """Compile for one image at a time; bfloat16 only where the CPU has it, float32 everywhere else."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16() else "f32",
    }


def _vector_graph(network: CHMFL, shape: tuple[int, ...]) -> Model:
    x = ops.parameter(shape, np.float32)
    features, config, parts = _encode(network, x), network.config, []
    if config.hierarchical:
        for level in features[:-1]:
            parts += _pool(level, config.pooling)
    parts += _pool(features[-1], config.pooling) if config.pool_deepest else [_flat(features[-1])]
    return Model([ops.concat(parts, 1)], [x])


def _tumor_graph(network: CHMFL, shape: tuple[int, ...]) -> Model:
    x = ops.parameter(shape, np.float32)
    features = _encode(network, x)
    below = features.pop()
    for block in network.decoder.blocks:
        joined = ops.concat([_unit(block.up, below), features.pop()], 1)
        joined = joined if isinstance(block.project, nn.Identity) else _unit(block.project, joined)
        residual = joined
        for unit in block.residual:
            residual = _unit(unit, residual)
        below = ops.elu(ops.add(residual, joined), 1.0)
    unit, last = network.decoder.output
    # softmax over two classes is the logistic function of their difference
    weight = last.weight[1:] - last.weight[:1]
    difference = _convolution(_unit(unit, below), weight, last.bias[1:] - last.bias[:1])
    return Model([ops.sigmoid(difference)], [x])


def _encode(network: CHMFL, x) -> list:
    branches = []
    for encoder, image in zip((network.pet, network.ct), ops.split(x, ops.constant(1), 2).outputs(), strict=True):
        levels, level = [], image
        for unit in encoder.levels:
            level = _unit(unit, level)
            levels.append(level)
        branches.append(levels)
    return [ops.concat(list(pair), 1) for pair in zip(*branches, strict=True)]


def _pool(level, pooling: str) -> list:
    maximum = ops.reduce_max(level, ops.constant(_SPACE), True)
    if pooling == "max":
        return [_flat(maximum)]
    total = ops.reduce_mean(ops.exp(ops.subtract(level, maximum)), ops.constant(_SPACE), True)
    return [_flat(maximum), _flat(ops.add(ops.log(total), maximum))]


def _flat(x):
    return ops.reshape(x, ops.constant(np.array([1, -1])), False)


def _unit(unit: nn.Sequential, x):
    convolution, *rest = unit
    transposed = isinstance(convolution, nn.ConvTranspose3d)
    x = _convolution(x, convolution.weight, convolution.bias, convolution.stride, convolution.padding, transposed)
    for module in rest:
        if isinstance(module, nn.GroupNorm):
            x = _group_norm(module, x)
        elif isinstance(module, nn.ELU):
            x = ops.elu(x, module.alpha)
        elif not isinstance(module, nn.Identity):
            raise TypeError(f"OpenVINO has no translation for {module}")
    return x


def _convolution(
    x, weight: torch.Tensor, bias: torch.Tensor, stride=(1, 1, 1), pad=(0, 0, 0), transposed: bool = False
):
    # both libraries keep (out, in, ...) for convolutions and (in, out, ...) for transposed ones
    operation = ops.convolution_backprop_data if transposed else ops.convolution
    sides = {"pads_begin": list(pad), "pads_end": list(pad), "dilations": [1, 1, 1]}
    return ops.add(operation(x, _constant(weight), strides=list(stride), **sides), _constant(bias.view(1, -1, 1, 1, 1)))


def _group_norm(module: nn.GroupNorm, x):
    # spelled out: the operation itself crashes OpenVINO 2026 on some five-dimensional shapes
    groups = ops.reshape(x, ops.constant(np.array([1, module.num_groups, -1])), False)
    normalized = ops.mvn(groups, ops.constant(np.array([2])), True, module.eps, "inside_sqrt")
    normalized = ops.reshape(normalized, ops.constant(np.array(x.get_output_shape(0))), False)
    shape = (1, -1, 1, 1, 1)
    return ops.add(ops.multiply(normalized, _constant(module.weight.view(shape))), _constant(module.bias.view(shape)))


def _constant(values: torch.Tensor):
    return ops.constant(values.detach().contiguous().numpy())
