"""CHMFL in 2D with a ResNet34 a modality, from ImageNet's weights."""

from .convnets import HE, IMAGENET, OPEN_CHMFL_RESNET, OPEN_PRETRAINED, PENG, CHMFLResNet


class ChmflResNet34Pretrained(CHMFLResNet):
    """Table SII: prediction and segmentation."""

    NAME = "CHMFL + ResNet34 (pretrained)"
    ROW = 11
    SOURCE = f"{PENG}; {HE}; {IMAGENET}"
    OPEN = OPEN_CHMFL_RESNET + OPEN_PRETRAINED
    PAPER = {
        "accuracy": 0.771, "sensitivity": 0.833, "specificity": 0.708, "precision": 0.741, "f1": 0.784, "auc": 0.726,
    }  # fmt: skip
    DEPTH = 34
    PRETRAINED = True
