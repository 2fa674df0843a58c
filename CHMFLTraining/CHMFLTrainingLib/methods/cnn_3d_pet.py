"""A 3D CNN on PET, without CFL and HMFL."""

from .convnets import OPEN_3D, PlainCNN


class Cnn3DPet(PlainCNN):
    """Table II: the whole box."""

    NAME = "3D-CNN-PET"
    ROW = 5
    OPEN = OPEN_3D
    PAPER = {
        "accuracy": 0.771, "sensitivity": 0.750, "specificity": 0.792, "precision": 0.783, "f1": 0.766, "auc": 0.734,
    }  # fmt: skip
    MODALITIES = ("pet",)
    DIMENSIONS = 3
