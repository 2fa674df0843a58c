"""Training of the networks after Diamant, Chen and Peng, by cross-entropy, and what they say of a patient.

A network here takes one tensor for each array of a view and gives logits of no event and event (N, 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.files import write_bytes
from torch import nn
from torch.nn import functional

from .recipes import Plan
from .trainer import Trainer, even_batches, torch_seed

# What one patient gives: view(number of the patient, random generator or None for the plain view) -> arrays
View = Callable[[int, np.random.Generator | None], tuple[np.ndarray, ...]]


class NetworkTraining(Trainer):
    """Training of one network on one fold's training patients.

    :param network: in any state; it is initialized here (He, the paper's section II.E) from the seed.
    :param labels: (n,) 0 or 1. :param identity: what makes this training itself beside plan and seed, as JSON types
        (method, patients).
    """

    def __init__(self, network: nn.Module, view: View, labels, plan: Plan, seed: int, folder: Path, device, identity):
        self.view, self.labels, self.seed = view, np.asarray(labels, np.int64), seed
        torch.manual_seed(torch_seed(seed, 0, 1))
        _initialize(network)
        network = _laid_out(network).to(torch.device(device))
        optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        identity = [identity, asdict(plan), seed, self.labels.tolist()]
        super().__init__(network, optimizer, plan, folder, identity)

    def torch_seed(self) -> int:
        """From (seed, epoch)."""
        return torch_seed(self.seed, self.epoch + 1, 1)

    @contextmanager
    def batches(self):
        """All patients once, in random order, in batches of nearly equal size."""
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.labels))
        chosen = even_batches(order, self.recipe.batch_size)
        yield len(chosen), ((numbers, [self.view(int(n), random) for n in numbers]) for numbers in chosen)

    def loss(self, batch) -> torch.Tensor:
        """Cross-entropy of the event."""
        numbers, views = batch
        inputs = [_tensor(np.stack(arrays), self.device) for arrays in zip(*views, strict=True)]
        target = torch.from_numpy(self.labels[numbers]).to(self.device)
        return functional.cross_entropy(self.network(*inputs), target)


def risks(network: nn.Module, view: View, count: int) -> np.ndarray:
    """Probability of the event (count,) of patients 0 to count - 1, each alone and unaugmented: nobody's risk depends
    on who else is predicted.
    """
    values = np.zeros(count)
    for number, logits in enumerate(_logits(network, view, count)):
        values[number] = float(torch.softmax(logits.float(), dim=1)[0, 1])
    return values


def hidden_features(network: nn.Module, view: View, count: int) -> np.ndarray:
    """What the last layer of ``network.classifier`` reads of patients 0 to count - 1, each alone and unaugmented:
    float32 (count, width).
    """
    read, last = [], network.classifier[-1]
    hook = last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0][0].float().cpu().numpy()))
    try:
        list(_logits(network, view, count))
    finally:
        hook.remove()
    return np.array(read, dtype=np.float32).reshape(count, last.in_features)


def _logits(network: nn.Module, view: View, count: int) -> Iterator[torch.Tensor]:
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        for number in range(count):
            yield network(*(_tensor(array[None], device) for array in view(number, None)))


def save_network(path: Path, network: nn.Module) -> None:
    """Write the weights as safetensors, atomically."""
    from safetensors.torch import save

    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}))


def load_network(path: Path, network: nn.Module, device: str) -> nn.Module:
    """Put saved weights into a network of the same shape, ready for prediction on the device, or on the CPU where
    this computer lacks it.

    :raises ValueError: the file is cut short or another network's. :raises OSError: it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    usable = torch.cuda.is_available() or not str(device).startswith("cuda")
    return _laid_out(network).to(device if usable else "cpu").eval()


def _laid_out(network: nn.Module) -> nn.Module:
    """Volumes and their kernels channels last: 1.6 to 1.8 times as fast on a CPU."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network


def _tensor(array: np.ndarray, device) -> torch.Tensor:
    tensor = torch.from_numpy(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last_3d) if tensor.dim() == 5 else tensor


def _initialize(network: nn.Module) -> None:
    """He; the last layer starts at zero, so that no risk is given before anything is learned."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.zeros_(layers[-1].weight)
