"""3D convolutions as 2D ones over planes, for training on a CPU: the same sums, several times faster in PyTorch (2.13).

A 1x1x1 convolution of a small batch goes to an unfolding kernel there when it runs on one thread. And the 5x5x5 or
3x3x3 convolution with two outputs fills 2 of a vector's 8 or 16 lanes; split into its K planes it fills more.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional


def pointwise(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """A 1x1x1 convolution; nothing is copied where channels lie last in memory.

    :param x: (N, C, X, Y, Z). :param weight: (O, C, 1, 1, 1). :param bias: (O,).
    """
    return functional.conv2d(_planes(x), weight[..., 0], bias).unflatten(0, (len(x), -1)).transpose(1, 2)


def split(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A convolution with stride 1 and zero padding to the same size: K products in the plane, then K shifted sums
    along X. For few outputs.

    :param x: (N, C, X, Y, Z). :param weight: (O, C, K, K, K) with odd K. :param bias: (O,).
    :returns: (N, O, X, Y, Z), float32, channels first in memory: two of them are better normalized so.
    """
    taps = weight.shape[2]
    flat = weight.permute(2, 0, 1, 3, 4).flatten(0, 1)
    products = functional.conv2d(_planes(x), flat, padding=taps // 2).unflatten(0, (len(x), -1))
    return _ShiftedSum.apply(products, taps) + bias.view(1, -1, 1, 1, 1)


def _planes(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).flatten(0, 1)


class _ShiftedSum(torch.autograd.Function):
    """From products (N, X, K * O, Y, Z) to (N, O, X, Y, Z): the product of plane p with tap t belongs to plane
    p + K / 2 - t.
    """

    @staticmethod
    def forward(ctx, products: torch.Tensor, taps: int) -> torch.Tensor:
        ctx.taps, ctx.dtype = taps, products.dtype
        parts = products.unflatten(2, (taps, -1))
        batch, depth, _, outputs, *plane = parts.shape
        result = products.new_zeros((batch, outputs, depth, *plane), dtype=torch.float32)
        for source, target, tap in _shifts(depth, taps):
            result[:, :, target] += parts[:, source, tap].transpose(1, 2)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        batch, outputs, depth, *plane = gradient.shape
        shape = (batch * depth, ctx.taps * outputs, *plane)
        flat = torch.empty(shape, dtype=ctx.dtype, device=gradient.device, memory_format=torch.channels_last).zero_()
        parts = flat.unflatten(0, (batch, depth)).unflatten(2, (ctx.taps, outputs))
        for source, target, tap in _shifts(depth, ctx.taps):
            parts[:, source, tap] = gradient[:, :, target].transpose(1, 2)
        return flat.unflatten(0, (batch, depth)), None


def _shifts(depth: int, taps: int) -> Iterator[tuple[slice, slice, int]]:
    for tap in range(taps):
        shift = taps // 2 - tap
        first, last = max(0, -shift), min(depth, depth - shift)
        if first < last:
            yield slice(first, last), slice(first + shift, last + shift), tap
