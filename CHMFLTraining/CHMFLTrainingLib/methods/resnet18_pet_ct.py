"""A ResNet18 a modality on axial slices, from scratch."""

from .convnets import HE, OPEN_RESNET, PENG, ResNetPETCT


class ResNet18PetCt(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet18-PET-CT"
    ROW = 2
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_RESNET
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.708, "specificity": 0.750, "precision": 0.739, "f1": 0.723, "auc": 0.695,
    }  # fmt: skip
    DEPTH = 18
