"""A 3D CNN on PET and CT, without CFL and HMFL."""

from .convnets import OPEN_3D, PlainCNN


class Cnn3DPetCt(PlainCNN):
    """Table II: the whole box."""

    NAME = "3D-CNN-PET-CT"
    ROW = 6
    OPEN = OPEN_3D
    PAPER = {
        "accuracy": 0.792, "sensitivity": 0.792, "specificity": 0.792, "precision": 0.792, "f1": 0.792, "auc": 0.773,
    }  # fmt: skip
    DIMENSIONS = 3
