"""Moran's I and Geary's C of a tumor, exactly and fast.

Mirp estimates the two from random subsets of 100 voxels in a Python loop, which takes nine tenths of the time of its
morphological features. Both are sums over all pairs of voxels of (1 / distance) times a product, so a convolution with
1 / distance gives them exactly. Definitions: IBSI reference manual, morphological features
(Zwanenburg A et al. Radiology 2020;295:328, doi:10.1148/radiol.2020191145).
"""

from __future__ import annotations

import contextlib

import numpy as np
from scipy import fft


def moran_geary(index, spacing_mm, values) -> tuple[float, float]:
    """Moran's I and Geary's C with inverse distance weights.

    :param index: voxel indices of the tumor, integers (n, 3).
    :param spacing_mm: voxel size along the same axes.
    :param values: intensity of each voxel, (n,).
    :returns: (1, 1) where all intensities are equal, as mirp does; NaN for a single voxel.
    """
    index, values = np.asarray(index, dtype=int), np.asarray(values, dtype=np.float64)
    n = len(values)
    if n < 2:
        return float("nan"), float("nan")
    deviation = values - values.mean()
    squares = float((deviation**2).sum())
    if squares == 0.0:
        return 1.0, 1.0
    index = index - index.min(axis=0)
    weight = _inverse_distance(index.max(axis=0) + 1, spacing_mm)
    weights = _sums_over_others(weight, index, np.ones(n))
    products = float((deviation * _sums_over_others(weight, index, deviation)).sum())
    total = float(weights.sum())
    moran = n * products / (total * squares)
    geary = (n - 1) * (float((deviation**2 * weights).sum()) - products) / (total * squares)
    return moran, geary


def _inverse_distance(size, spacing_mm) -> tuple[np.ndarray, tuple]:
    """Transform of 1 / distance on a grid twice the tumor's size (so that nothing wraps around), and that size."""
    padded = tuple(fft.next_fast_len(int(2 * n - 1), real=True) for n in size)
    offsets = [np.minimum(np.arange(n), n - np.arange(n)) * step for n, step in zip(padded, spacing_mm, strict=True)]
    squared = offsets[0][:, None, None] ** 2 + offsets[1][None, :, None] ** 2 + offsets[2][None, None, :] ** 2
    squared[0, 0, 0] = np.inf  # a voxel is no neighbor of itself
    return fft.rfftn(1.0 / np.sqrt(squared)), padded


def _sums_over_others(weight, index, values) -> np.ndarray:
    """For each voxel the sum over all others of value / distance, (n,)."""
    transform, padded = weight
    grid = np.zeros(padded)
    place = tuple(index.T)
    grid[place] = values
    return fft.irfftn(fft.rfftn(grid) * transform, s=padded)[place]


@contextlib.contextmanager
def exact_in_mirp():
    """While it is open, mirp computes the two by :func:`moran_geary`. A mirp that is built otherwise keeps its own."""
    try:
        from mirp._features.morph_3d_data import Data3DSpatial

        before = Data3DSpatial.compute_spatial_information
    except (ImportError, AttributeError):
        yield
        return
    Data3DSpatial.compute_spatial_information = _compute
    try:
        yield
    finally:
        Data3DSpatial.compute_spatial_information = before


def _compute(self, image, mask, allow_approximation: bool = True) -> None:
    """In the place of mirp's method of its spatial data; ``data_int`` holds the tumor's voxels."""
    data = self.data_int
    if data is None or data.empty:
        return  # both stay None, as everything of an empty mask
    self.moran_i, self.geary_c = moran_geary(data[["z", "y", "x"]].to_numpy(), self.spacing, data["g"].to_numpy())
