"""How well a segmentation matches the delineated tumor: the five metrics of the paper's Table SIV."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SEGMENTATION_METRICS = ("dice", "jaccard", "accuracy", "sensitivity", "specificity")


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Dice similarity coefficient of two masks of one shape, above 0 is tumor; 1 when both are empty."""
    return voxel_counts(a, b).metrics()["dice"]


@dataclass(frozen=True)
class VoxelCounts:
    """Voxels of one patient, or of several together, by what was found and what is true.

    :ivar both: found and true. :ivar found: found only. :ivar true: true only. :ivar neither: the rest.
    """

    both: int
    found: int
    true: int
    neither: int

    def __add__(self, other: VoxelCounts) -> VoxelCounts:
        """The voxels of both, as of one large patient."""
        mine, theirs = vars(self), vars(other)
        return VoxelCounts(**{name: mine[name] + theirs[name] for name in mine})

    def metrics(self) -> dict[str, float]:
        """Dice, Jaccard, accuracy, sensitivity and specificity; NaN where undefined (sensitivity of an empty truth);
        Dice and Jaccard of two empty masks are 1.
        """
        wrong = self.found + self.true
        return {
            "dice": 2 * self.both / (2 * self.both + wrong) if self.both + wrong else 1.0,
            "jaccard": self.both / (self.both + wrong) if self.both + wrong else 1.0,
            "accuracy": _share(self.both + self.neither, self.both + wrong + self.neither),
            "sensitivity": _share(self.both, self.both + self.true),
            "specificity": _share(self.neither, self.neither + self.found),
        }


def voxel_counts(predicted: ArrayLike, truth: ArrayLike, inside: ArrayLike | None = None) -> VoxelCounts:
    """Voxels of one patient, whose :meth:`VoxelCounts.metrics` are the paper's five, each 0 to 1.

    Accuracy and specificity depend on how much air and healthy body the box holds: two boxes cannot be compared by
    them (in the paper's, doing nothing has an accuracy near 0.98).

    :param predicted, truth: masks of one shape; above 0 is tumor.
    :param inside: voxels that count, e.g. those within the published crop; None for all.
    :raises ValueError: where the shapes differ.
    """
    predicted, truth = np.asarray(predicted) > 0, np.asarray(truth) > 0
    if predicted.shape != truth.shape:
        raise ValueError(f"masks of shapes {predicted.shape} and {truth.shape} cannot be compared")
    if inside is not None:
        keep = np.asarray(inside) > 0
        predicted, truth = predicted[keep], truth[keep]
    both, neither = int((predicted & truth).sum()), int((~predicted & ~truth).sum())
    return VoxelCounts(both, int(predicted.sum()) - both, int(truth.sum()) - both, neither)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
