"""How well a segmentation matches the delineated tumor: the five metrics of the paper's Table SIV."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SEGMENTATION_METRICS = ("dice", "jaccard", "accuracy", "sensitivity", "specificity")


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Dice similarity coefficient of two masks of one shape, above 0 is tumor; 1 when both are empty."""
    a, b = np.asarray(a) > 0, np.asarray(b) > 0
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def segmentation_metrics(predicted: ArrayLike, truth: ArrayLike, inside: ArrayLike | None = None) -> dict[str, float]:
    """Voxel counts of one patient turned into Dice, Jaccard, accuracy, sensitivity and specificity, each 0 to 1.

    Accuracy and specificity depend on how much air and healthy body the box holds: two boxes cannot be compared by
    them (in the paper's, doing nothing has an accuracy near 0.98).

    :param predicted, truth: masks of one shape; above 0 is tumor.
    :param inside: voxels that count, e.g. those within the published crop; None for all.
    :returns: NaN where a metric is undefined (sensitivity of an empty truth); Dice and Jaccard of two empty masks
        are 1.
    :raises ValueError: where the shapes differ.
    """
    predicted, truth = np.asarray(predicted) > 0, np.asarray(truth) > 0
    if predicted.shape != truth.shape:
        raise ValueError(f"masks of shapes {predicted.shape} and {truth.shape} cannot be compared")
    if inside is not None:
        keep = np.asarray(inside) > 0
        predicted, truth = predicted[keep], truth[keep]
    both, either = int((predicted & truth).sum()), int((predicted | truth).sum())
    tumor, count = int(truth.sum()), truth.size
    neither = count - either
    return {
        "dice": dice(predicted, truth),
        "jaccard": both / either if either else 1.0,
        "accuracy": _share(both + neither, count),
        "sensitivity": _share(both, tumor),
        "specificity": _share(neither, count - tumor),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
