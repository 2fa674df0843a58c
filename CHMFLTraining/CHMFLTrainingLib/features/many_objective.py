"""Many-objective radiomics: a support vector machine whose features are chosen by an immune algorithm for several
objectives at once, and evidential reasoning, which fuses classifiers.

After Zhou et al. (multi-objective radiomics, Phys Med Biol 2017;62:4460) and Chen et al. (many objectives, Phys Med
Biol 2019;64:075011); evidential reasoning after Yang and Xu (IEEE Trans Syst Man Cybern A 2002;32:289,
doi:10.1109/TSMCA.2002.802746).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

import numpy as np
from CHMFLPredictorLib.model.calibration import sigmoid

from ..statistics.auc import auc

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchConfig:
    """How feature sets are searched.

    :param population: feature sets kept from one generation to the next.
    :param inner_folds: folds, inside the training patients, over which the objectives are estimated.
    :param start: features in a set of the first generation, about. :param most: more are never in a set.
    """

    population: int = 24
    generations: int = 8
    inner_folds: int = 5
    start: int = 10
    most: int = 30


@dataclass
class SupportVectors:
    """A fitted support vector machine (radial basis functions) as plain arrays, with a logistic map to probability."""

    columns: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray
    intercept: float
    gamma: float
    slope: float
    offset: float

    def risk(self, values: np.ndarray) -> np.ndarray:
        """Probability of the event (n,) from standardized features (n, all features)."""
        return sigmoid(self.slope * self.decision(values) + self.offset)

    def decision(self, values: np.ndarray) -> np.ndarray:
        """Signed distance from the boundary (n,)."""
        x = np.asarray(values, float)[:, self.columns]
        squares = ((x[:, None, :] - self.vectors[None]) ** 2).sum(-1)
        return np.exp(-self.gamma * squares) @ self.weights + self.intercept


@dataclass
class ManyObjectiveModel:
    """The machines of the Pareto front, one for each feature set."""

    machines: list[SupportVectors]

    def risk(self, values: np.ndarray) -> np.ndarray:
        """Probability of the event (n,): all machines, fused by evidential reasoning with equal weights."""
        risks = np.array([machine.risk(values) for machine in self.machines])
        return evidential_reasoning(np.stack([1 - risks, risks], axis=-1), np.ones(len(risks)))[:, 1]

    def arrays(self) -> dict[str, np.ndarray]:
        """For an npz file."""
        return {
            f"{number}.{name}": np.asarray(value)
            for number, machine in enumerate(self.machines)
            for name, value in vars(machine).items()
        }

    @classmethod
    def from_arrays(cls, arrays) -> ManyObjectiveModel:
        """The inverse of :meth:`arrays`. :raises KeyError: an array is missing."""
        machines = []
        for number in range(1 + max(int(name.split(".")[0]) for name in arrays)):
            values = {field.name: arrays[f"{number}.{field.name}"] for field in fields(SupportVectors)}
            machines.append(SupportVectors(**{k: v if v.ndim else float(v) for k, v in values.items()}))
        return cls(machines)


def fit_many_objective(values: np.ndarray, labels: np.ndarray, config: SearchConfig, seed: int) -> ManyObjectiveModel:
    """Choose feature sets and fit a machine on each; only these (training) patients are seen.

    :param values: standardized features (n, F). :param labels: (n,) 0 or 1.
    """
    random = np.random.default_rng([seed, 11])
    folds = _folds(labels, config.inner_folds, random)
    sets = search(values, labels, folds, config, random)
    for chosen in sets:
        _LOG.info("on the front: %s with features %s", _objectives(values, labels, folds, chosen).round(3), chosen)
    return ManyObjectiveModel([_support_vectors(values, labels, folds, np.array(chosen)) for chosen in sets])


def _support_vectors(values, labels, folds, columns: np.ndarray) -> SupportVectors:
    machine = _machine(values[:, columns], labels)
    slope, offset = _probability(_left_out(values, labels, folds, columns), labels)
    weights, intercept = machine.dual_coef_[0], float(machine.intercept_[0])
    return SupportVectors(columns, machine.support_vectors_, weights, intercept, machine.gamma, slope, offset)


def search(values, labels, folds, config: SearchConfig, random: np.random.Generator) -> list[tuple[int, ...]]:
    """The feature sets on the Pareto front after the last generation.

    A generation clones the sets (those in empty parts of the front most), mutates the clones, adds them, drops doubles,
    and keeps the best fronts, within a front those with the best AUC.
    """
    features, known = values.shape[1], {}

    def scored(sets):
        for chosen in sets:
            if chosen not in known:
                known[chosen] = _objectives(values, labels, folds, chosen)
        return np.array([known[chosen] for chosen in sets])

    population = sorted({_random_set(features, config, random) for _ in range(config.population)})
    for _ in range(config.generations):
        clones = 1 + np.round(_emptiness(scored(population))).astype(int)
        children = {
            _mutated(chosen, features, config, random)
            for chosen, count in zip(population, clones, strict=True)
            for _ in range(count)
        }
        pool = sorted(set(population) | children)
        scores = scored(pool)
        ranks = fronts(scores)
        order = sorted(range(len(pool)), key=lambda i: (ranks[i], -scores[i][2], len(pool[i]), pool[i]))
        population = [pool[i] for i in order[: config.population]]
    ranks = fronts(scored(population))
    return [chosen for chosen, rank in zip(population, ranks, strict=True) if rank == 0]


def fronts(objectives: np.ndarray) -> np.ndarray:
    """Rank of each solution (n,): 0 where no other is at least as good in all objectives (n, K) and better in one; 1
    without those; and so on.
    """
    at_least = (objectives[:, None] >= objectives[None]).all(-1)
    dominates = at_least & ~at_least.T
    ranks, left, rank = np.full(len(objectives), -1), np.ones(len(objectives), bool), 0
    while left.any():
        front = left & ~(dominates & left[:, None]).any(0)
        ranks[front], left, rank = rank, left & ~front, rank + 1
    return ranks


def evidential_reasoning(beliefs: np.ndarray, weights) -> np.ndarray:
    """Fuse beliefs of several sources by the analytic rule of evidential reasoning.

    :param beliefs: (sources, n, grades), each summing to 1 over the grades.
    :param weights: (sources,) importance; scaled to sum to 1.
    :returns: fused beliefs (n, grades), summing to 1.
    """
    beliefs, weights = np.asarray(beliefs, float), np.asarray(weights, float)
    weights = (weights / weights.sum())[:, None, None]
    support = np.prod(weights * beliefs + 1 - weights, axis=0)
    unassigned = np.prod(1 - weights, axis=0)
    masses = support - unassigned  # up to the factor that makes them sum to 1, which cancels below
    return masses / masses.sum(-1, keepdims=True)


def _objectives(values, labels, folds, chosen) -> np.ndarray:
    """Sensitivity, specificity and AUC of patients left out (3,)."""
    decisions = _left_out(values, labels, folds, np.array(chosen))
    with_dm, without = decisions[labels == 1], decisions[labels == 0]
    return np.array([(with_dm > 0).mean(), (without <= 0).mean(), auc(labels, decisions)])


def _left_out(values, labels, folds: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Decision values (n,) of each patient from a machine that was fitted without that patient's inner fold."""
    decisions = np.zeros(len(labels))
    for number in np.unique(folds):
        test = folds == number
        machine = _machine(values[~test][:, columns], labels[~test])
        decisions[test] = machine.decision_function(values[test][:, columns])
    return decisions


def _machine(values: np.ndarray, labels: np.ndarray):
    from sklearn import config_context
    from sklearn.svm import SVC

    # the features have unit variance, so 1 / their number is scikit-learn's "scale"; thousands of machines are fitted,
    # each in a fraction of the time that checking its settings takes
    with config_context(skip_parameter_validation=True, assume_finite=True):
        return SVC(C=1.0, gamma=1.0 / values.shape[1], class_weight="balanced").fit(values, labels)


def _probability(decisions: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Platt's logistic map of left-out decision values; never a falling one, which only chance can produce."""
    from sklearn.linear_model import LogisticRegression

    center, scale = decisions.mean(), max(decisions.std(), 1e-9)
    curve = LogisticRegression().fit(((decisions - center) / scale)[:, None], labels)
    slope = float(curve.coef_[0, 0] / scale)
    return max(slope, 1e-3), float(curve.intercept_[0] - slope * center)


def _folds(labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """A fold for each patient, with equal shares of both outcomes."""
    folds = np.zeros(len(labels), int)
    least = int(min(np.bincount(labels, minlength=2)))
    for label in (0, 1):
        members = random.permutation(np.flatnonzero(labels == label))
        folds[members] = np.arange(len(members)) % max(2, min(count, least))
    return folds


def _random_set(features: int, config: SearchConfig, random: np.random.Generator) -> tuple[int, ...]:
    size = min(features, 1 + int(random.binomial(2 * config.start, 0.5)))
    return tuple(sorted(random.choice(features, min(size, config.most), replace=False).tolist()))


def _mutated(chosen: tuple[int, ...], features: int, config: SearchConfig, random) -> tuple[int, ...]:
    """One to three features enter or leave; the set is never empty nor larger than ``config.most``."""
    members = set(chosen)
    for _ in range(int(random.integers(1, 4))):
        leave = len(members) > 1 and (random.random() < 0.5 or len(members) >= config.most)
        members ^= {int(random.choice(sorted(members)))} if leave else {int(random.integers(features))}
    return tuple(sorted(members)) if members else chosen


def _emptiness(objectives: np.ndarray) -> np.ndarray:
    """How empty the front is around each solution (n,), 0 to 3: the distance to its nearest neighbor, scaled."""
    if len(objectives) < 2:
        return np.zeros(len(objectives))
    distances = np.linalg.norm(objectives[:, None] - objectives[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(1)
    return 3 * nearest / max(nearest.max(), 1e-9)
