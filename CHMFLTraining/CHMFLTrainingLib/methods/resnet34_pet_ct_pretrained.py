"""A ResNet34 a modality on axial slices, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_PRETRAINED, OPEN_RESNET, PENG, ResNetPETCT


class ResNet34PetCtPretrained(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet34-PET-CT (pretrained)"
    ROW = 5
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.750, "sensitivity": 0.708, "specificity": 0.792, "precision": 0.773, "f1": 0.739, "auc": 0.717,
    }  # fmt: skip
    DEPTH = 34
    PRETRAINED = True
