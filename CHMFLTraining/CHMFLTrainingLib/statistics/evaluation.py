"""How good are predictions: the paper's metrics, pooled and by fold, with intervals that say what 48 patients can
show.
"""

from __future__ import annotations

import numpy as np
from CHMFLPredictorLib.model.calibration import sigmoid


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice similarity coefficient of two masks; 1 when both are empty."""
    a, b = np.asarray(a) > 0, np.asarray(b) > 0
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int((a & b).sum()) / total


def auc(labels, scores) -> float:
    """Area under the ROC curve; a tie counts half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def auc_interval(labels, scores, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the AUC by bootstrap over patients, drawn within each outcome."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    events, others = scores[labels == 1], scores[labels == 0]
    # the AUC is the share of (event, no event) pairs in the right order
    ordered = (np.sign(events[:, None] - others[None, :]) + 1) / 2
    random = np.random.default_rng(seed)
    rows, columns = (random.integers(n, size=(resamples, n)) for n in ordered.shape)
    values = [ordered[np.ix_(i, j)].mean() for i, j in zip(rows, columns, strict=True)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def metrics(labels, risks, folds, threshold: float = 0.5) -> dict:
    """Pooled out-of-fold metrics of risks (0 to 1), and the mean of the folds' AUCs, which is what the paper
    reports.
    """
    labels, risks, folds = np.asarray(labels), np.asarray(risks, dtype=float), np.asarray(folds)
    positive = risks >= threshold
    true_positive, false_positive = int((positive & (labels == 1)).sum()), int((positive & (labels == 0)).sum())
    events, others = int((labels == 1).sum()), int((labels == 0).sum())
    sensitivity, specificity = true_positive / events, 1 - false_positive / others
    precision = true_positive / max(1, true_positive + false_positive)
    # a fold with one outcome only has no AUC
    by_fold = [auc(labels[folds == fold], risks[folds == fold]) for fold in both_outcomes(labels, folds)]
    low, high = auc_interval(labels, risks)
    values = {
        "auc": auc(labels, risks),
        "auc_ci": [low, high],
        "fold_auc": float(np.mean(by_fold)) if by_fold else None,
        "accuracy": float((positive == (labels == 1)).mean()),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": precision,
        "f1": 2 * precision * sensitivity / max(1e-9, precision + sensitivity),
        "brier": float(((risks - labels) ** 2).mean()),
        "patients": int(labels.size),
    }
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return None if value is None else round(value, 4)


def both_outcomes(labels: np.ndarray, folds: np.ndarray) -> list[int]:
    """The folds that hold patients with and without the event."""
    return [int(fold) for fold in np.unique(folds) if np.unique(labels[folds == fold]).size == 2]


def cross_fitted(labels, features, folds, inverse_penalty: float = 1.0) -> np.ndarray:
    """Risks (0 to 1) of a logistic regression that never saw the patient's own fold; features are scaled inside the
    training folds.

    :param features: (patients, features).
    """
    labels, folds = np.asarray(labels), np.asarray(folds)
    features = np.asarray(features, dtype=float).reshape(len(labels), -1)
    risks = np.zeros(len(labels))
    for fold in np.unique(folds):
        test = folds == fold
        slope, intercept = fit_logistic(features[~test], labels[~test], inverse_penalty)
        risks[test] = sigmoid(features[test] @ slope + intercept)
    return risks


def fit_logistic(features, labels, inverse_penalty: float = 1.0) -> tuple[np.ndarray, float]:
    """Slope (features,) and intercept of a logistic regression on scaled features, given back in the features' own
    units.
    """
    from sklearn.linear_model import LogisticRegression

    features = np.asarray(features, dtype=float)
    mean, scale = features.mean(0), np.maximum(features.std(0), 1e-9)
    model = LogisticRegression(C=inverse_penalty).fit((features - mean) / scale, labels)
    slope = model.coef_[0] / scale
    return slope, float(model.intercept_[0] - slope @ mean)
