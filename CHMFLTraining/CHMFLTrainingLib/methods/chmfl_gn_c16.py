"""CHMFL with group normalization, 16 channels a group."""

from .chmfl_family import NORMALIZATION_OPEN, PENG, WU, NetworkMethod


class ChmflGnC16(NetworkMethod):
    """CHMFL whose batch normalization is replaced (Table SIII)."""

    NAME = "CHMFL + GN_c16"
    GROUP = "Table SIII"
    ROW = 3
    SOURCE = f"{PENG}; {WU}"
    OPEN = NORMALIZATION_OPEN
    PAPER = {
        "accuracy": 0.833,
        "sensitivity": 0.875,
        "specificity": 0.792,
        "precision": 0.808,
        "f1": 0.840,
        "auc": 0.820,
    }
    NETWORK = {"group_channels": 16}
