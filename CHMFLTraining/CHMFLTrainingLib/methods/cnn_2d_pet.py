"""A 2D CNN on PET, without CFL and HMFL."""

from .convnets import OPEN_2D, PlainCNN


class Cnn2DPet(PlainCNN):
    """Table II: axial slices."""

    NAME = "2D-CNN-PET"
    ROW = 2
    OPEN = OPEN_2D
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.542, "specificity": 0.917, "precision": 0.867, "f1": 0.667, "auc": 0.656,
    }  # fmt: skip
    MODALITIES = ("pet",)
