"""A ResNet34 a modality on axial slices, from scratch."""

from .convnets import HE, OPEN_RESNET, PENG, ResNetPETCT


class ResNet34PetCt(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet34-PET-CT"
    ROW = 4
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_RESNET
    PAPER = {
        "accuracy": 0.708, "sensitivity": 0.667, "specificity": 0.750, "precision": 0.727, "f1": 0.696, "auc": 0.683,
    }  # fmt: skip
    DEPTH = 34
