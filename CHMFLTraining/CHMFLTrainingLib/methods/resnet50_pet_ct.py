"""A ResNet50 a modality on axial slices, from scratch."""

from .convnets import HE, OPEN_RESNET, PENG, ResNetPETCT


class ResNet50PetCt(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet50-PET-CT"
    ROW = 6
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_RESNET
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.667, "specificity": 0.792, "precision": 0.762, "f1": 0.711, "auc": 0.653,
    }  # fmt: skip
    DEPTH = 50
