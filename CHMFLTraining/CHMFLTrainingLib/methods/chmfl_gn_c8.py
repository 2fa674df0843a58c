"""CHMFL with group normalization, 8 channels a group."""

from .chmfl_family import NORMALIZATION_OPEN, PENG, WU, NetworkMethod


class ChmflGnC8(NetworkMethod):
    """CHMFL whose batch normalization is replaced (Table SIII)."""

    NAME = "CHMFL + GN_c8"
    GROUP = "Table SIII"
    ROW = 2
    SOURCE = f"{PENG}; {WU}"
    OPEN = NORMALIZATION_OPEN
    PAPER = {
        "accuracy": 0.771,
        "sensitivity": 0.792,
        "specificity": 0.750,
        "precision": 0.760,
        "f1": 0.775,
        "auc": 0.787,
    }
    NETWORK = {"group_channels": 8}
