"""Choice of features by the training patients: those that order the outcomes best, without copies of one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

MOST_ALIKE = 0.9


@dataclass(frozen=True)
class Selection:
    """Features in use, best first, and the training median that fills a patient's gaps."""

    names: list[str]
    median: list[float]
    auc: list[float]

    @classmethod
    def fit(
        cls, names: list[str], values: np.ndarray, labels: np.ndarray, count: int, most_alike: float = MOST_ALIKE
    ) -> Selection:
        """Rank features by how well they alone order the training outcomes and keep the best that are no copies.

        :param values: (training patients, features), NaN for gaps; features that more than half lack are dropped.
        :param count: how many to keep at most.
        :param most_alike: largest absolute Spearman correlation with a feature that is kept already.
        """
        values = np.where(np.isfinite(values), values, np.nan)
        known = np.isfinite(values).mean(axis=0) > 0.5
        columns = np.flatnonzero(known)
        median = np.nanmedian(values[:, columns], axis=0)
        filled = np.where(np.isnan(values[:, columns]), median, values[:, columns])
        varies = np.ptp(filled, axis=0) > 1e-12 * np.maximum(np.abs(filled).max(axis=0, initial=0), 1e-30)
        columns, median, filled = columns[varies], median[varies], filled[:, varies]
        if not len(columns):
            raise ValueError("no feature differs between the training patients")
        ranks = rankdata(filled, axis=0)
        auc = univariate_auc(ranks, labels)
        # ties are ordered by name: the order of the columns must not matter
        order = sorted(range(len(columns)), key=lambda k: (-round(abs(auc[k] - 0.5), 12), names[columns[k]]))
        z = (ranks - ranks.mean(axis=0)) / (ranks.std(axis=0) * np.sqrt(len(ranks)))
        kept: list[int] = []
        for k in order:
            if len(kept) < count and not (np.abs(z[:, kept].T @ z[:, k]) > most_alike).any():
                kept.append(k)
        return cls([names[columns[k]] for k in kept], [float(median[k]) for k in kept], [float(auc[k]) for k in kept])

    def apply(self, names: list[str], values: np.ndarray) -> np.ndarray:
        """The chosen columns of a table without gaps, (patients, chosen). A feature that the table lacks is a gap."""
        place = {name: number for number, name in enumerate(names)}
        chosen = np.full((len(values), len(self.names)), np.nan)
        for column, name in enumerate(self.names):
            if name in place:
                chosen[:, column] = values[:, place[name]]
        return np.where(np.isfinite(chosen), chosen, np.asarray(self.median))

    def to_dict(self) -> dict:
        """As JSON values."""
        return {"names": self.names, "median": self.median, "auc": self.auc}

    @classmethod
    def from_dict(cls, values: dict) -> Selection:
        """The inverse of :meth:`to_dict`."""
        if not len(values["names"]) == len(values["median"]) == len(values["auc"]) > 0:
            raise ValueError("the selection is damaged")
        return cls(list(values["names"]), [float(v) for v in values["median"]], [float(v) for v in values["auc"]])


def univariate_auc(ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUC of each column alone from its ranks, ties counted half; below 0.5 where less means the event.

    :param ranks: mean ranks from 1, (patients, features).
    """
    events = int(labels.sum())
    others = len(labels) - events
    return (ranks[labels == 1].sum(axis=0) - events * (events + 1) / 2) / (events * others)
