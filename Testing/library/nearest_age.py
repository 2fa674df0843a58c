"""The outcome of the training patients whose age is nearest: an example of a method."""

from dataclasses import dataclass

import numpy as np
from CHMFLTrainingLib.methods.base import Method, labels_of
from CHMFLTrainingLib.methods.options import Options, numeric


@dataclass(frozen=True)
class NearestAgeOptions(Options):
    """:param neighbors: how many patients are asked."""

    neighbors: int = numeric(int, 1, 100, default=5)


class NearestAge(Method):
    """The share of events among the nearest."""

    NAME = "Nearest age"
    SOURCE = "Cover T, Hart P. Nearest neighbor pattern classification. IEEE Trans Inf Theory 1967;13:21-27"
    OPEN = "Not in the paper. Here: five neighbors."
    NEEDS = frozenset({"clinical"})  # of pet, ct, mask, clinical
    Options = NearestAgeOptions

    def fit(self, cases, folder, on_progress=None):
        """Keep ages and outcomes. Training patients only; checkpoints would go into the folder."""
        self.ages, self.labels = ages(cases), labels_of(cases)

    def predict(self, cases):
        """Risks, 0 to 1 (n,)."""
        nearest = np.argsort(np.abs(self.ages - ages(cases)[:, None]), axis=1, kind="stable")
        return self.labels[nearest[:, : self.options.neighbors]].mean(axis=1)

    def state(self, folder):
        """What was fitted, as JSON; arrays may lie as files in the folder, no pickle."""
        return {"ages": self.ages.tolist(), "labels": self.labels.tolist()}

    def restore(self, state, folder):
        """The inverse."""
        self.ages, self.labels = np.array(state["ages"]), np.array(state["labels"])


def ages(cases):
    """Age of each patient (n,)."""
    return np.array([float(case.clinical["age"]) for case in cases])
