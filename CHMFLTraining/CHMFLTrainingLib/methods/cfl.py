"""CFL: CHMFL without hierarchical feature learning."""

from .chmfl_family import OPEN, NetworkMethod


class Cfl(NetworkMethod):
    """The ablation of section II.F: the head reads the deepest level only, the decoder stays."""

    NAME = "CFL"
    GROUP = "Table I"
    ROW = 6
    OPEN = f"What remains of the head without HMFL: here level 5 of both branches. {OPEN}"
    PAPER = {
        "accuracy": 0.813,
        "sensitivity": 0.958,
        "specificity": 0.667,
        "precision": 0.742,
        "f1": 0.836,
        "auc": 0.852,
    }
    PAPER_SEGMENTATION = {
        "dice": 0.707,
        "jaccard": 0.547,
        "accuracy": 0.960,
        "sensitivity": 0.991,
        "specificity": 0.941,
    }
    NETWORK = {"hierarchical": False}
