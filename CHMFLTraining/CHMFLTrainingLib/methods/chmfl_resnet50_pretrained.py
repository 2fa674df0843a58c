"""CHMFL in 2D with a ResNet50 a modality, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_CHMFL_RESNET, OPEN_PRETRAINED, PENG, CHMFLResNet


class ChmflResNet50Pretrained(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet50 (pretrained)"
    ROW = 13
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_CHMFL_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.771, "sensitivity": 0.875, "specificity": 0.667, "precision": 0.724, "f1": 0.793, "auc": 0.754,
    }  # fmt: skip
    DEPTH = 50
    PRETRAINED = True
