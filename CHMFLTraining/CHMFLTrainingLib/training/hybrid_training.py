"""The training loop that the methods after Diamant, Chen and Peng share: Adam, cross-entropy, a checkpoint an epoch.

A network here takes one tensor for each array of a view and gives logits of no event and event (N, 2). All randomness
of an epoch follows from (seed, epoch), so a resumed training ends with the numbers of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes, write_csv
from torch import nn
from torch.nn import functional

from .recipes import Plan

CHECKPOINT = "checkpoint_latest.pt"
_LOG = logging.getLogger(__name__)

# What one patient gives: view(number of the patient, random generator or None for the plain view) -> arrays
View = Callable[[int, np.random.Generator | None], tuple[np.ndarray, ...]]


class NetworkTraining:
    """Training of one network on one fold's training patients.

    :param network: in any state; :meth:`run` initializes it (He, the paper's section II.E) from the seed.
    :param labels: (n,) 0 or 1. :param identity: what makes this training itself beside plan and seed, as JSON types
        (method, patients): a checkpoint of another one is refused.
    """

    def __init__(self, network: nn.Module, view: View, labels, plan: Plan, seed: int, folder: Path, device, identity):
        self.view, self.labels, self.plan, self.seed = view, np.asarray(labels, np.int64), plan, seed
        self.folder, self.device = Path(folder), torch.device(device)
        torch.manual_seed(_torch_seed(seed, 0))
        _initialize(network)
        self.network = _laid_out(network).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.identity = _fingerprint([identity, asdict(plan), seed, self.labels.tolist()])
        self.epoch, self.history = 0, []

    def run(self, on_progress: Callable[[dict], None] | None = None) -> nn.Module:
        """Train what is left; the network comes back ready for prediction.

        :raises BadInput: ``checkpoint_damaged`` or ``checkpoint_other``.
        """
        self._resume()
        while self.epoch < self.plan.epochs:
            started = time.monotonic()
            loss = self._train_epoch()
            self.epoch += 1
            self.history.append(
                {"epoch": self.epoch, "loss": round(loss, 5), "seconds": round(time.monotonic() - started, 2)}
            )
            self._save()
            _LOG.info("epoch %d/%d loss %.4f", self.epoch, self.plan.epochs, loss)
            if on_progress:
                on_progress({"epochs": self.plan.epochs, **self.history[-1]})
        return self.network.eval()

    def _train_epoch(self) -> float:
        random = np.random.default_rng([self.seed, self.epoch])
        torch.manual_seed(_torch_seed(self.seed, self.epoch + 1))
        self.network.train()
        losses = [self._step(chosen, random) for chosen in _batches(len(self.labels), self.plan.batch_size, random)]
        return float(np.mean(losses))

    def _step(self, chosen: np.ndarray, random: np.random.Generator) -> float:
        views = [self.view(int(number), random) for number in chosen]
        inputs = [_tensor(np.stack(arrays), self.device) for arrays in zip(*views, strict=True)]
        target = torch.from_numpy(self.labels[chosen]).to(self.device)
        loss = functional.cross_entropy(self.network(*inputs), target)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} in epoch {self.epoch + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return float(loss.detach())

    def _save(self) -> None:
        state = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "history": self.history,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.folder / CHECKPOINT, buffer.getvalue())
        write_csv(self.folder / "history.csv", list(self.history[0]), [list(row.values()) for row in self.history])

    def _resume(self) -> None:
        path, hint = self.folder / CHECKPOINT, "Delete it to train this fold from its beginning."
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            identity = str(state["identity"])
            if identity == self.identity:
                self.network.load_state_dict(state["network"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except Exception as error:
            raise BadInput("checkpoint_damaged", f"The checkpoint {path} cannot be read: {error}.", hint) from error
        if identity != self.identity:
            text = f"The checkpoint {path} belongs to a training with other patients, settings or seed."
            raise BadInput("checkpoint_other", text, hint)


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


def _batches(count: int, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """All patients once, in random order, in batches of nearly equal size."""
    order = random.permutation(count)
    return np.array_split(order, max(1, round(count / size)))


def _torch_seed(seed: int, epoch: int) -> int:
    return int(np.random.default_rng([seed, epoch, 1]).integers(2**31))


def _fingerprint(values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _initialize(network: nn.Module) -> None:
    """He; the last layer starts at zero, so that no risk is given before anything is learned."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.zeros_(layers[-1].weight)
