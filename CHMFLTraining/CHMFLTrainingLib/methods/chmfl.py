"""CHMFL, the paper's method: constrained and hierarchical."""

from .chmfl_family import NetworkMethod


class Chmfl(NetworkMethod):
    """The whole network (sections II.B to II.D, Tables I, II and SI)."""

    NAME = "CHMFL"
    GROUP = "Table I"
    ROW = 7
    PAPER = {
        "accuracy": 0.854,
        "sensitivity": 0.875,
        "specificity": 0.833,
        "precision": 0.840,
        "f1": 0.857,
        "auc": 0.873,
    }
    PAPER_SEGMENTATION = {
        "dice": 0.722,
        "jaccard": 0.565,
        "accuracy": 0.988,
        "sensitivity": 0.898,
        "specificity": 0.989,
    }
