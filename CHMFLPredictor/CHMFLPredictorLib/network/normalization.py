"""The two intensity normalizations of the paper's section II.A: standardization, and luminosity and contrast
normalization.

Foracchia, Grisan and Ruggeri (Med Image Anal 2005;9:179) see an image as ``observed = contrast * true + luminosity``,
where contrast and
luminosity drift slowly over the image. Both drifts are estimated from the background and taken out. They worked on
retinal
photographs; here the windows are cubes instead of squares.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EPSILON = 1e-6


def standardize(values: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance over the whole array; a constant array becomes zero."""
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return (values - np.float32(mean)) / np.float32(max(deviation, _EPSILON))


def normalize_luminosity_and_contrast(
    values: np.ndarray, window: int = 25, background_distance: float = 1.0, floor: float = 0.1
) -> np.ndarray:
    """Take slow drifts of brightness and contrast out of a volume (X, Y, Z).

    :param window: side in voxels of the cube over which drifts are estimated.
    :param background_distance: a voxel is background when it lies within so many local standard deviations of the
        local mean
        (the one-dimensional Mahalanobis distance of the source).
    :param floor: least local contrast, as a share of the whole volume's; in flat regions (air) it keeps noise from
        being blown up.
    """
    values = values.astype(np.float32, copy=False)
    mean = ndimage.uniform_filter(values, window, mode="nearest")
    deviation = _deviation(values, mean, None, window)
    background = (np.abs(values - mean) <= background_distance * deviation + _EPSILON).astype(np.float32)
    share = np.maximum(ndimage.uniform_filter(background, window, mode="nearest"), _EPSILON)
    luminosity = ndimage.uniform_filter(values * background, window, mode="nearest") / share
    contrast = _deviation(values, luminosity, (background, share), window)
    least = max(floor * float(values.std()), _EPSILON)
    return (values - luminosity) / np.maximum(contrast, least)


def _deviation(
    values: np.ndarray, mean: np.ndarray, background: tuple[np.ndarray, np.ndarray] | None, window: int
) -> np.ndarray:
    squares = (values - mean) ** 2
    if background is not None:
        squares = squares * background[0]
    variance = ndimage.uniform_filter(squares, window, mode="nearest")
    if background is not None:
        variance = variance / background[1]
    return np.sqrt(np.maximum(variance, 0.0))
