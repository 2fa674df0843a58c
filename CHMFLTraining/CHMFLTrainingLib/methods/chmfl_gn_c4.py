"""CHMFL with group normalization, 4 channels a group."""

from .chmfl_family import NORMALIZATION_OPEN, PENG, WU, NetworkMethod


class ChmflGnC4(NetworkMethod):
    """CHMFL whose batch normalization is replaced (Table SIII)."""

    NAME = "CHMFL + GN_c4"
    GROUP = "Table SIII"
    ROW = 1
    SOURCE = f"{PENG}; {WU}"
    OPEN = NORMALIZATION_OPEN
    PAPER = {
        "accuracy": 0.729,
        "sensitivity": 0.583,
        "specificity": 0.875,
        "precision": 0.824,
        "f1": 0.683,
        "auc": 0.706,
    }
    NETWORK = {"group_channels": 4}
