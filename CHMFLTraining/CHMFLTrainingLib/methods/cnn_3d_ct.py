"""A 3D CNN on CT, without CFL and HMFL."""

from .convnets import OPEN_3D, PlainCNN


class Cnn3DCt(PlainCNN):
    """Table II: the whole box."""

    NAME = "3D-CNN-CT"
    ROW = 4
    OPEN = OPEN_3D
    PAPER = {
        "accuracy": 0.667, "sensitivity": 0.667, "specificity": 0.667, "precision": 0.667, "f1": 0.667, "auc": 0.684,
    }  # fmt: skip
    MODALITIES = ("ct",)
    DIMENSIONS = 3
