"""CHMFL in 2D with a ResNet50 a modality, from scratch."""

from .convnets import HE, OPEN_CHMFL_RESNET, PENG, CHMFLResNet


class ChmflResNet50(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet50"
    ROW = 12
    SOURCE = f"{PENG}; {HE}"
    OPEN = OPEN_CHMFL_RESNET
    PAPER = {
        "accuracy": 0.729, "sensitivity": 0.625, "specificity": 0.833, "precision": 0.790, "f1": 0.698, "auc": 0.710,
    }  # fmt: skip
    DEPTH = 50
