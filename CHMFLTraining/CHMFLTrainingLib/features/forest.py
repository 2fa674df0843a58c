"""A random forest whose fitted trees are plain arrays: it is saved without pickle and read without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.files import write_bytes


@dataclass
class Forest:
    """Trees one after another: node k of tree t stands at ``starts[t] + k``.

    :ivar starts: first node of each tree, int (trees + 1,); the last one is the number of nodes.
    :ivar left: child for values up to the threshold, within the tree, int (nodes,); -1 for a leaf.
    :ivar right: the other child.
    :ivar feature: column that a node asks for, int (nodes,).
    :ivar threshold: float (nodes,).
    :ivar share: share of events among the node's training patients, float (nodes,).
    """

    starts: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    share: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, labels: np.ndarray, trees: int, seed: int, threads: int = 1, **options) -> Forest:
        """Fit scikit-learn's random forest, both outcomes of equal weight.

        :param values: finite, (patients, features).
        :param labels: 0 or 1, (patients,).
        :param options: of :class:`sklearn.ensemble.RandomForestClassifier`.
        """
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(
            trees, class_weight="balanced", random_state=seed % 2**32, n_jobs=threads, **options
        )
        model.fit(values, labels)
        return cls.of(model)

    @classmethod
    def of(cls, model) -> Forest:
        """The trees of a fitted ``RandomForestClassifier`` of two classes."""
        trees = [estimator.tree_ for estimator in model.estimators_]
        share = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees]
        return cls(
            np.cumsum([0] + [tree.node_count for tree in trees]),
            np.concatenate([tree.children_left for tree in trees]),
            np.concatenate([tree.children_right for tree in trees]),
            np.concatenate([tree.feature for tree in trees]),
            np.concatenate([tree.threshold for tree in trees]),
            np.concatenate(share),
        )

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Mean over the trees of the share of events in a patient's leaf, (patients,)."""
        values = np.asarray(values, dtype=np.float32)  # as scikit-learn does: thresholds lie between float32 values
        first = self.starts[:-1][None, :]
        node = np.repeat(first, len(values), axis=0)
        patient = np.arange(len(values))[:, None]
        while True:
            inner = self.left[node] >= 0
            if not inner.any():
                return self.share[node].mean(axis=1)
            smaller = values[patient, np.maximum(self.feature[node], 0)] <= self.threshold[node]
            node = np.where(inner, first + np.where(smaller, self.left[node], self.right[node]), node)

    def save(self, path: Path) -> None:
        """Write an npz file."""
        import io

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{field.name: getattr(self, field.name) for field in fields(self)})
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Forest:
        """Read what :meth:`save` wrote. ValueError where the trees cannot be walked (a child before its parent)."""
        with np.load(path, allow_pickle=False) as arrays:
            forest = cls(**{field.name: arrays[field.name] for field in fields(cls)})
        nodes = len(forest.left)
        number = np.arange(nodes) - np.repeat(forest.starts[:-1], np.diff(forest.starts))
        size = np.repeat(np.diff(forest.starts), np.diff(forest.starts))
        inner = forest.left >= 0
        for child in (forest.left, forest.right):
            if not ((child > number) & (child < size))[inner].all():
                raise ValueError("the trees are damaged")
        return forest
