"""CHMFL in 2D with a ResNet18 a modality, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_CHMFL_RESNET, OPEN_PRETRAINED, PENG, CHMFLResNet


class ChmflResNet18Pretrained(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet18 (pretrained)"
    ROW = 9
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_CHMFL_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.792, "sensitivity": 0.917, "specificity": 0.667, "precision": 0.733, "f1": 0.815, "auc": 0.741,
    }  # fmt: skip
    DEPTH = 18
    PRETRAINED = True
