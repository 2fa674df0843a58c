"""Mask + HMFL: CHMFL without the decoder; the tumor's label is given instead of learned."""

from dataclasses import replace

from .chmfl_family import OPEN, NetworkMethod, jointly


class MaskHmfl(NetworkMethod):
    """The ablation of section II.F: PET and label go into one branch, CT and label into the other. It needs a mask for
    new patients too.
    """

    NAME = "Mask + HMFL"
    GROUP = "Table I"
    ROW = 5
    OPEN = (
        "The label is a channel of 0 and 1, not scaled. Without a decoder there is no segmentation to learn first, so "
        f"'compact' too trains in one stage, at a learning rate of 0.001. {OPEN}"
    )
    PAPER = {
        "accuracy": 0.813,
        "sensitivity": 0.750,
        "specificity": 0.875,
        "precision": 0.857,
        "f1": 0.800,
        "auc": 0.769,
    }
    NEEDS_TO_PREDICT = frozenset({"pet", "ct", "mask"})
    NETWORK = {"branch_inputs": 2, "constrained": False}

    def training_config(self):
        """One stage; the rate that suits a segmentation of many voxels is too fast for 40 labels."""
        config = jointly(super().training_config())
        asked = "learning_rate" in self.settings.options
        return config if asked else replace(config, learning_rate=min(config.learning_rate, 1e-3))
