"""CHMFL in 2D with a ResNet34 a modality, from scratch."""

from .convnets import HE, OPEN_CHMFL_RESNET, PENG, CHMFLResNet


class ChmflResNet34(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet34"
    ROW = 10
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_CHMFL_RESNET
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.750, "specificity": 0.708, "precision": 0.720, "f1": 0.735, "auc": 0.701,
    }  # fmt: skip
    DEPTH = 34
