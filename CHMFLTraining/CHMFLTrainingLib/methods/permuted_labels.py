"""Permuted labels: a method trained on shuffled outcomes. It must come out at chance, or something leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from CHMFLPredictorLib.errors import BadInput

from ..cohort.cases import Case
from .base import Method, labels_of
from .options import Options, string, table

OF = "HC + RF"


@dataclass(frozen=True)
class PermutedOptions(Options):
    """:param of: the other method's name. :param options: its own."""

    of: str = string(default=OF)
    options: Mapping[str, Any] = table()


class PermutedLabels(Method):
    """Another method (option ``of``, a row's name) fitted to training patients whose outcomes are dealt out anew."""

    NAME = "Permuted labels"
    GROUP = "baseline"
    ROW = 5
    SOURCE = (
        "Ojala M, Garriga GC. Permutation tests for studying classifier performance. J Mach Learn Res 2010;11:1833-63"
    )
    OPEN = (
        f"Not in the paper. Here: {OF} on permuted outcomes by default, since it selects among hundreds of features; "
        "the option 'of' names another method. Outcome, time and event of a patient move together, and are dealt out "
        "so that the new outcomes do not go with the true ones. A single deal scatters widely where one number rules "
        "(its sign alone decides): read the mean over folds and repeats."
    )

    Options = PermutedOptions

    def __init__(self, settings):
        super().__init__(settings)
        self.inner = self._inner_class()(replace(settings, options=self.options.options))

    def check_inputs(self, cases: list[Case]) -> None:
        """What the other method needs."""
        self.inner.check_inputs(cases)

    def prepare(self, case: Case) -> None:
        """What the other method caches."""
        self.inner.prepare(case)

    def fit(self, cases: list[Case], folder: Path, on_progress=None) -> None:
        """Shuffle the training patients' outcomes by the seed, then fit the other method."""
        donors = deal(labels_of(cases), self.settings.random(4711))
        dealt = [
            case.relabeled(cases[donor].label, cases[donor].time, cases[donor].event)
            for case, donor in zip(cases, donors, strict=True)
        ]
        self.inner.fit(dealt, Path(folder), on_progress)
        self.threshold = self.inner.threshold

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk by the other method, (n,)."""
        return self.inner.predict(cases)

    def state(self, folder: Path) -> dict:
        """The other method lies in the folder ``inner``."""
        self.inner.save(Path(folder) / "inner")
        return {"of": self.inner.NAME}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.inner = type(self.inner).load(Path(folder) / "inner", self.settings.device)

    def _inner_class(self) -> type[Method]:
        from .registry import find

        found = find(self.options.of)
        if len(found) != 1 or found[0] is type(self):
            text = "The permuted-label control needs one other method."
            raise BadInput("permuted_of", text, "Name one row in the option 'of', e.g. 'Volume + SUVmax'.")
        return found[0]


def deal(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whose outcome each patient gets: a random permutation in which patients with and without the event get the event
    in the same share, as nearly as whole patients allow. Free permutations agree with the truth now and then.

    :param labels: true outcomes, 0 or 1, (n,).
    :returns: index of the donor of each patient, (n,).
    """
    events, others = (random.permutation(np.flatnonzero(labels == outcome)) for outcome in (1, 0))
    exact = len(events) ** 2 / len(labels)
    keep = int(exact) + int(random.random() < exact - int(exact))  # rounded at random: always down would be a bias
    give = len(events) - keep
    receivers = np.concatenate([events[:keep], others[:give], events[keep:], others[give:]])
    donors = np.concatenate([random.permutation(events), random.permutation(others)])
    result = np.empty(len(labels), dtype=int)
    result[receivers] = donors
    return result
