"""A 2D CNN on CT, without CFL and HMFL."""

from .convnets import OPEN_2D, PlainCNN


class Cnn2DCt(PlainCNN):
    """Table II: axial slices."""

    NAME = "2D-CNN-CT"
    ROW = 1
    OPEN = OPEN_2D
    PAPER = {
        "accuracy": 0.583, "sensitivity": 0.708, "specificity": 0.458, "precision": 0.567, "f1": 0.630, "auc": 0.503,
    }  # fmt: skip
    MODALITIES = ("ct",)
