"""A ResNet18 a modality on axial slices, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_PRETRAINED, OPEN_RESNET, PENG, ResNetPETCT


class ResNet18PetCtPretrained(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet18-PET-CT (pretrained)"
    ROW = 3
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.792, "sensitivity": 0.875, "specificity": 0.708, "precision": 0.750, "f1": 0.808, "auc": 0.705,
    }  # fmt: skip
    DEPTH = 18
    PRETRAINED = True
