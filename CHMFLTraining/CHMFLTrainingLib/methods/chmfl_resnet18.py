"""CHMFL in 2D with a ResNet18 a modality, from scratch."""

from .convnets import HE, OPEN_CHMFL_RESNET, PENG, CHMFLResNet


class ChmflResNet18(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet18"
    ROW = 8
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_CHMFL_RESNET
    PAPER = {
        "accuracy": 0.750, "sensitivity": 0.792, "specificity": 0.708, "precision": 0.731, "f1": 0.760, "auc": 0.715,
    }  # fmt: skip
    DEPTH = 18
