"""Risks of made patients, as a run keeps them."""

import numpy as np
from CHMFLTrainingLib.statistics import metrics


def rows_of(risk, label, fold, repeat=0, threshold=0.5, dice=""):
    return [
        {"patient_id": f"P{i:03d}", "repeat": str(repeat), "fold": str(f), "label": str(y), "risk": repr(float(r)),
         "threshold": str(threshold), "dice": dice}
        for i, (r, y, f) in enumerate(zip(risk, label, fold, strict=True))
    ]  # fmt: skip


def made(patients=48, signal=1.2, seed=0, repeats=1, folds=6):
    """Patients with and without the event in turn, folds of equal shares."""
    random = np.random.default_rng(seed)
    label = np.arange(patients) % 2
    fold = np.arange(patients) // 2 % folds
    latent = random.normal(size=patients) + signal * label
    rows = []
    for repeat in range(repeats):
        risk = 1 / (1 + np.exp(signal / 2 - latent - 0.5 * random.normal(size=patients)))
        rows += rows_of(risk, label, fold, repeat)
    return metrics.out_of_fold(rows)
