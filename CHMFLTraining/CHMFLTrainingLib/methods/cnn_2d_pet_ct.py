"""A 2D CNN on PET and CT, without CFL and HMFL."""

from .convnets import OPEN_2D, PlainCNN


class Cnn2DPetCt(PlainCNN):
    """Table II: axial slices."""

    NAME = "2D-CNN-PET-CT"
    ROW = 3
    OPEN = OPEN_2D
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.792, "specificity": 0.667, "precision": 0.703, "f1": 0.745, "auc": 0.698,
    }  # fmt: skip
