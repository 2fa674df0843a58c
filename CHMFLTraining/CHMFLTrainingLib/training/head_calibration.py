"""Calibration inside the training patients: from the head's log-odds to a risk, by Platt's logistic curve.

The staged head is trained again on parts of the training patients, and the log-odds of the patients left out fit the
curve. Its encoder saw their images and masks, never their outcome. No patient of the fold's test set takes part.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from CHMFLPredictorLib.network.chmfl import dm_log_odds

from .fold_training import HeadStage
from .head import HeadConfig, fit_head


def inner_log_odds(stage: HeadStage, config: HeadConfig, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of DM (patients,) from heads that did not see the patient, mean over the views, and the labels.

    :param stage: what the fold's head learned from; it is not changed.
    """
    patients = len(stage.labels) // config.views
    labels, log_odds = np.asarray(stage.labels)[:patients], np.zeros(patients)
    for left_out in inner_parts(labels, config.inner_folds, seed):
        rows = np.tile(left_out, config.views)
        vectors, chosen = stage.vectors[torch.from_numpy(~rows)], ~rows
        head = copy.deepcopy(stage.head)
        fit_head(head, vectors, stage.labels[chosen], stage.measurements[chosen], config, stage.decay, seed)
        with torch.no_grad():
            found = dm_log_odds(head.layers(stage.vectors[torch.from_numpy(rows)])[0]).cpu().numpy()
        log_odds[left_out] = found.reshape(config.views, -1).mean(0)
    return log_odds, labels


def inner_parts(labels: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Parts of the training patients to be left out in turn, bool (patients,) each, with both outcomes in each. Fewer
    than ``count`` where an outcome is rarer than that; none where it has one patient only.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = np.asarray(labels)
    count = min(count, int(np.bincount(labels, minlength=2).min()))
    if count < 2:
        return []
    folds = StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels)
    return [np.isin(np.arange(labels.size), members) for _, members in folds]
