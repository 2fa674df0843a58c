"""CHMFL staged: this project's first way to train the network, kept under its own name. Its labels never reach an
encoder, so it is not the paper's method.
"""

from __future__ import annotations

from dataclasses import replace

from .network_method import JOBS_A_SEED, OPEN, NetworkMethod

FASTER = 4  # times the preset's learning rate: the first stage has many voxels to learn from


class ChmflStaged(NetworkMethod):
    """The segmentation first; then the head alone, on the features of the trained encoders, with the tumor's log volume
    and log SUVmax to predict beside the label.
    """

    NAME = "CHMFL staged"
    GROUP = "baseline"
    ROW = 8
    SOURCE = "ours"
    OPEN = (
        "Not the paper's method: the label trains the head only, and w of Eq. 1 has no part in it. Every level is "
        "pooled, to its maximum and the log of the mean of its exponential; the head has 64 and 16 hidden units, and "
        "its weight decay is chosen by cross-validation inside the training patients. Learning rate four times the "
        "preset's. The risk is a logistic curve of log-odds of heads that did not see the patient, inside the training "
        "patients. "
        f"Chosen after looking at outcomes of the public cohort. {OPEN}"
    )
    UNREAD = frozenset({"w"})
    NETWORK = {
        "pooling": "max_uptake",
        "pool_deepest": True,
        "hidden": (64, 16),
        "dropout": (0.5, 0.0),
        "measurements": 2,
    }

    def training_config(self):
        """The preset's, in two stages."""
        from ..training.head import HeadConfig

        config = replace(super().training_config(), head=HeadConfig())
        asked = self.options.learning_rate is not None
        return config if asked else replace(config, learning_rate=FASTER * config.learning_rate)

    def _weight(self):
        return None  # the segmentation is learned alone

    def _calibrate(self, training, crops):
        from ..statistics.calibration import fit_platt
        from ..training.head_calibration import inner_log_odds

        fold = self.settings.seed % JOBS_A_SEED
        return fit_platt(*inner_log_odds(training.head_stage, training.config.head, fold))
