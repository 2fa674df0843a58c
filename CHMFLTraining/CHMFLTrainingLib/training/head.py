"""Training of the head alone, on the features of a trained encoder: the first term of Eq. 1 when training is staged.

With 40 labels the head overfits long before the segmentation has learned, so here it comes second: many views of each
training patient become feature vectors once, and the three fully connected layers learn from those within seconds.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import torch
from CHMFLPredictorLib.network.chmfl import CHMFL, Head
from CHMFLPredictorLib.network.preprocessing import Preprocessing
from torch.nn import functional

from ..cohort.crops import Crop
from ..cohort.folds import inner_folds
from .augmentation import Augmentation, augment

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadConfig:
    """How the head is trained on its own.

    :param views: random views of each patient.
    :param decays: decoupled weight decays to choose from, by cross-validation inside the training patients.
    :param inner_folds: folds of that cross-validation.
    :param measurements: weight of the tumor measurements beside the DM term.
    """

    views: int = 6
    steps: int = 300
    learning_rate: float = 1e-3
    decays: tuple[float, ...] = (1.0, 10.0, 30.0, 100.0)
    inner_folds: int = 5
    measurements: float = 1.0


def feature_vectors(
    network: CHMFL, crops: list[Crop], settings: Preprocessing, limits: Augmentation, views: int, seed, device
) -> torch.Tensor:
    """The head's input (views * patients, features) for random views of each patient, all first views first."""
    random = np.random.default_rng(seed)
    network.eval()
    vectors = []
    for _ in range(views):
        for crop in crops:
            inputs, _, _ = augment(crop, settings, limits, random)
            with torch.no_grad():
                x = torch.from_numpy(inputs[None]).to(device, memory_format=torch.channels_last_3d)
                vectors.append(network.head.vector(network.encode(x))[0].float())
    return torch.stack(vectors)


def choose_decay(head: Head, vectors: torch.Tensor, labels, measurements, config: HeadConfig, seed: int) -> float:
    """The weight decay with the least log loss on patients left out, within the training patients.

    All arrays hold ``config.views`` views of the patients, all first views first; ``head`` is not changed.
    """
    if len(config.decays) == 1:
        return config.decays[0]
    patients = len(labels) // config.views
    inner = inner_folds(np.asarray(labels)[:patients], config.inner_folds, seed)
    inner = np.tile(inner, config.views)
    losses = []
    for decay in config.decays:
        loss = 0.0
        for fold in np.unique(inner):
            test = torch.from_numpy(inner == fold)
            trial = copy.deepcopy(head)
            fit_head(trial, vectors[~test], labels[inner != fold], measurements[inner != fold], config, decay, seed)
            with torch.no_grad():
                target = torch.as_tensor(labels[inner == fold], device=vectors.device)
                loss += float(functional.cross_entropy(trial.layers(vectors[test])[0], target, reduction="sum"))
        losses.append(loss / len(labels))
    _LOG.info("log loss by weight decay: %s", dict(zip(config.decays, np.round(losses, 4).tolist(), strict=True)))
    return config.decays[int(np.argmin(losses))]


def fit_head(
    head: Head, vectors: torch.Tensor, labels, measurements, config: HeadConfig, decay: float, seed: int
) -> float:
    """Train the head in place; returns the last loss.

    :param vectors: (n, features); they are scaled to unit variance here, and the scale ends up in the first layer.
    :param labels: (n,) 0 or 1. :param measurements: (n, M), standardized.
    """
    mean, scale = vectors.mean(0), vectors.std(0).clamp(min=1e-3)
    x = (vectors - mean) / scale
    labels = torch.as_tensor(np.asarray(labels), device=x.device)
    measurements = torch.as_tensor(np.asarray(measurements), dtype=x.dtype, device=x.device)
    torch.manual_seed(seed)
    torch.nn.init.kaiming_normal_(head.first.weight, nonlinearity="relu")
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    head.train()
    for _ in range(config.steps):
        dm_logits, measured = head.layers(x)
        loss = functional.cross_entropy(dm_logits, labels)
        if measured is not None:
            loss = loss + config.measurements * functional.mse_loss(measured, measurements)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        head.first.bias -= (head.first.weight * (mean / scale)).sum(1)
        head.first.weight /= scale
    head.eval()
    return float(loss.detach())
