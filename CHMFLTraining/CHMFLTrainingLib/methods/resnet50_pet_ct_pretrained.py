"""A ResNet50 a modality on axial slices, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_PRETRAINED, OPEN_RESNET, PENG, ResNetPETCT


class ResNet50PetCtPretrained(ResNetPETCT):
    """Table SII."""

    NAME = "ResNet50-PET-CT (pretrained)"
    ROW = 7
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.750, "sensitivity": 0.833, "specificity": 0.667, "precision": 0.714, "f1": 0.769, "auc": 0.658,
    }  # fmt: skip
    DEPTH = 50
    PRETRAINED = True
