"""Two exact shortcuts for the decoder's 5x5x5 convolutions on a CPU: by Fourier transform, and split along X.

Direct convolution of the ``paper`` network is 2.4 TFLOP. In the (Y, Z) plane the convolution theorem turns 25
products into a single complex one; along X the five taps stay a sum, which keeps the matrix products tall. Together
about ten times fewer products, in float32, with a rounding error like that of direct convolution (1e-5 of the largest
value).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

# The spectrum of the weights is as large for a flat volume as for a tall one, so it has to serve many planes before
# it pays.
_FEWEST_PLANES = 24
_CHUNK_BYTES = 16 << 20  # what a step of the product works on: a part of a usual level-3 cache
_PLANES = 8


def fourier_pays(x_shape: torch.Size | tuple[int, ...], weight: torch.Tensor) -> bool:
    """Whether :func:`fourier_convolution` is the faster way for an input (1, C, X, Y, Z); measured on two cores."""
    outputs, inputs, kernel = weight.shape[:3]
    return kernel >= 5 and x_shape[2] >= _FEWEST_PLANES and min(outputs, inputs) >= 16 and x_shape[0] == 1


def fourier_convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Convolution with stride 1 and zero padding to the same size, in float32.

    :param x: (1, C, X, Y, Z).
    :param weight: (O, C, K, K, K) with odd K.
    :param bias: (O,).
    :param out: (1, O, X, Y, Z) that the result is added to in place (a residual sum); it may be ``x`` itself. A new
        tensor without.
    """
    pad = weight.shape[2] // 2
    ny, nz = _fast_length(x.shape[3] + pad), _fast_length(x.shape[4] + pad)
    spectrum = _forward(x[0], pad, ny, nz)
    _multiply(spectrum, weight, ny, nz)
    result = torch.empty((1, weight.shape[0], *x.shape[2:])) if out is None else out
    for start in range(0, x.shape[2], _PLANES):
        planes = slice(start, min(start + _PLANES, x.shape[2]))
        # (Z frequency, Y frequency, X, O) to (O, X, Y frequency, Z frequency)
        values = torch.fft.irfft2(spectrum[:, :, planes, : weight.shape[0]].permute(3, 2, 1, 0), s=(ny, nz))
        values = values[:, :, : x.shape[3], : x.shape[4]]
        if out is None:
            torch.add(values, bias[:, None, None, None], out=result[0, :, planes])
        else:
            result[0, :, planes].add_(values).add_(bias[:, None, None, None])
    return result


def split_convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The same for few outputs: K products in the plane, then K shifted sums along X.

    The 48 -> 2 convolution of the output would fill 2 of a vector's 8 or 16 lanes; split it fills 10.
    Arguments and result as in :func:`fourier_convolution`.
    """
    outputs, inputs, kernel = weight.shape[:3]
    pad, depth = kernel // 2, x.shape[2]
    flat = weight.permute(2, 0, 1, 3, 4).reshape(kernel * outputs, inputs, kernel, kernel)
    flat = flat.contiguous(memory_format=torch.channels_last)
    result = bias.view(1, -1, 1, 1, 1).repeat(1, 1, *x.shape[2:])
    for start in range(0, depth, _PLANES):
        planes = x[0, :, start : start + _PLANES].transpose(0, 1).contiguous(memory_format=torch.channels_last)
        products = F.conv2d(planes, flat, padding=pad).unflatten(1, (kernel, outputs))
        for tap in range(kernel):
            # the product of plane p with tap t belongs to output plane p + pad - t
            shift = start + pad - tap
            first, last = max(0, -shift), min(len(planes), depth - shift)
            if first < last:
                result[0, :, first + shift : last + shift] += products[first:last, tap].transpose(0, 1)
    return result


def _forward(x: torch.Tensor, pad: int, ny: int, nz: int) -> torch.Tensor:
    """Spectrum of the planes (nz / 2 + 1, ny, X + 2 pad, C): frequencies first, so that each is a matrix."""
    channels, depth = x.shape[:2]
    spectrum = torch.empty((nz // 2 + 1, ny, depth + 2 * pad, channels), dtype=torch.complex64)
    spectrum[:, :, :pad] = 0
    spectrum[:, :, pad + depth :] = 0
    for start in range(0, depth, _PLANES):
        planes = torch.fft.rfft2(x[:, start : start + _PLANES].float(), s=(ny, nz))
        spectrum[:, :, pad + start : pad + start + planes.shape[1]] = planes.permute(3, 2, 1, 0)
    return spectrum


def _multiply(spectrum: torch.Tensor, weight: torch.Tensor, ny: int, nz: int) -> None:
    """Replace the input's spectrum by the output's, at [:, :, :X, :O]. The weights' exists only piece by piece."""
    outputs, inputs, kernel = weight.shape[:3]
    depth = spectrum.shape[2] - kernel + 1
    if outputs > inputs:
        raise ValueError(f"{outputs} outputs do not fit in the place of {inputs} inputs")
    along_y, along_z = _transform(kernel, ny, ny), _transform(kernel, nz, nz // 2 + 1)
    # (Z taps, Y taps * X taps * C * O)
    taps = weight.permute(4, 3, 2, 1, 0).reshape(kernel, -1).to(torch.complex64)
    rows = max(1, _CHUNK_BYTES // (8 * kernel * inputs * max(outputs, depth)))
    for z in range(nz // 2 + 1):
        in_z = (along_z[z : z + 1] @ taps).view(kernel, -1)
        for first in range(0, ny, rows):
            piece = spectrum[z, first : first + rows]
            weights = (along_y[first : first + rows] @ in_z).view(-1, kernel * inputs, outputs)
            neighbors = torch.stack([piece[:, tap : tap + depth] for tap in range(kernel)], dim=2)
            piece[:, :depth, :outputs] = torch.bmm(neighbors.flatten(2), weights)


def _transform(kernel: int, length: int, frequencies: int) -> torch.Tensor:
    """Discrete Fourier transform (frequencies, K) of the taps -K/2..K/2, conjugated: networks correlate."""
    place = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    angle = 2 * math.pi / length * torch.arange(frequencies, dtype=torch.float64)[:, None] * place
    return torch.complex(angle.cos(), angle.sin()).to(torch.complex64)


def _fast_length(length: int) -> int:
    """The next even length that has no prime factor above 5."""
    length += length % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
