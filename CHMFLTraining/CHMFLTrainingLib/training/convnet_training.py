"""Training of the CNN classifiers by Eq. 1, and what they say of a patient.

A network here gives logits of the event (N, 2) and the segmentation's logits or None.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .losses import LossConfig, total_loss
from .recipes import CnnRecipe
from .settings import Settings
from .speed import made_ahead
from .trainer import Trainer, even_batches, torch_seed

BATCHES_AHEAD = 2  # made by a thread while the device works

# What one patient gives: view(number, random generator) -> inputs, tumor, inside
View = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]]


class ConvNetTraining(Trainer):
    """Training of one network on one fold's training patients.

    :param network: initialized. :param labels: (n,) 0 or 1.
    :param identity: what makes this training itself beside recipe, seed and labels, as JSON types (method, patients).
    """

    def __init__(
        self, network: nn.Module, view: View, labels, recipe: CnnRecipe, settings: Settings, folder: Path, identity
    ):
        self.view, self.labels, self.seed = view, np.asarray(labels, np.int64), settings.seed
        self.eq_1 = LossConfig(w=recipe.w, dice=recipe.dice)
        network = laid_out(network, torch.device(settings.device))
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=torch.device(settings.device).type == "cuda",
        )
        identity = [identity, asdict(recipe), self.seed, settings.preset, self.labels.tolist()]
        super().__init__(network, optimizer, recipe, folder, identity)

    def torch_seed(self) -> int:
        """From (seed, epoch)."""
        return torch_seed(self.seed, self.epoch, 1)

    @contextmanager
    def batches(self):
        """All patients once, in random order, in batches of nearly equal size; each view has its own generator."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.labels))
        chosen = even_batches(order, self.recipe.batch_size)
        with made_ahead(self._batch, chosen, BATCHES_AHEAD) as made:
            yield len(chosen), made

    def _batch(self, numbers: np.ndarray) -> tuple[np.ndarray, list]:
        seeds = [[self.seed, self.epoch, int(number), 2] for number in numbers]
        return numbers, [self.view(seed[2], np.random.default_rng(seed)) for seed in seeds]

    def loss(self, batch) -> torch.Tensor:
        """Eq. 1; its first term alone where the network does not segment."""
        numbers, views = batch
        inputs, tumor, inside = (np.stack(arrays) for arrays in zip(*views, strict=True))
        labels = self._tensor(self.labels[numbers])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, segmentation = self.network(self._tensor(inputs))
        targets = (labels, None, None)
        if segmentation is not None:
            targets = (labels, self._tensor(tumor.astype(np.int64)), self._tensor(inside))
            segmentation = segmentation.float()
        return total_loss((logits.float(), segmentation), targets, self.eq_1)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def outputs(network: nn.Module, view: np.ndarray) -> tuple[float, np.ndarray | None]:
    """Risk of the event for one patient's inputs, and the tumor in them, bool (slices, X, Y); None where the network
    does not segment.
    """
    logits, segmentation = _forward(network, view)
    tumor = None if segmentation is None else (segmentation[0, 1] > segmentation[0, 0]).cpu().numpy()
    return float(torch.softmax(logits.double(), dim=1)[0, 1]), tumor


def last_features(network: nn.Module, view: np.ndarray) -> np.ndarray:
    """What the output layer reads of one patient's inputs (values,); in 2D the mean of the slices', which is all that
    their mean log-odds depend on.
    """
    seen: list[torch.Tensor] = []
    hook = network.output_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        _forward(network, view)
    finally:
        hook.remove()
    return seen[0].float().mean(dim=0).cpu().numpy()


def _forward(network: nn.Module, view: np.ndarray):
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(view[None])).to(device))


def laid_out(network: nn.Module, device) -> nn.Module:
    """The network on its device; on a GPU with its channels last in memory, as convolutions there like it best.

    Not on a CPU: torch 2.13's strided 1x1 convolution of fewer than 8 channels writes past its memory in that layout.
    """
    if torch.device(device).type != "cuda":
        return network.to(device)
    layout = torch.channels_last_3d if network.dimensions == 3 else torch.channels_last
    return network.to(device, memory_format=layout)


@contextmanager
def seeded(seed: int):
    """What torch draws in here follows from the job's seed."""
    torch.manual_seed(torch_seed(seed, 0, 0))
    yield
