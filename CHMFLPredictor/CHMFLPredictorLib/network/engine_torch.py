"""The network as one PyTorch module on a GPU or a CPU: batch norm folded, bfloat16 where the hardware has it."""

from __future__ import annotations

import torch

from .chmfl import CHMFL, dm_log_odds
from .folding import fold_batch_norm


class FoldedNetwork:
    """A network ready for prediction. Batch norm of the module is folded in place, and the module moves to the device.

    Arguments ``x`` are float32 (1, channels, X, Y, Z) on the CPU.

    :param bfloat16: convolutions in bfloat16; the head always computes in float32, because its logits are small
        differences.
    :param fold: False keeps the module as it is: the reference that every other engine has to agree with.
    """

    def __init__(self, network: CHMFL, device: torch.device, bfloat16: bool = False, fold: bool = True):
        self.network = fold_batch_norm(network, in_place=True) if fold else network.eval()
        # measured: on a GPU tensor cores want channels last, on a CPU the small convolutions of a few channels do not
        self.layout = torch.channels_last_3d if device.type == "cuda" else torch.contiguous_format
        self.network.requires_grad_(False).to(device)
        if device.type == "cuda":
            for branch in (network.pet, network.ct, network.decoder):
                if branch is not None:
                    branch.to(memory_format=self.layout)
        self.device, self.bfloat16 = device, bfloat16

    @torch.inference_mode()
    def log_odds(self, x: torch.Tensor) -> float:
        """Log-odds of DM; the decoder is not run."""
        features = [level.float() for level in self._encode(x)]
        return float(dm_log_odds(self.network.classify(features)))

    @torch.inference_mode()
    def tumor_probability(self, x: torch.Tensor) -> torch.Tensor | None:
        """Probability of tumor (X, Y, Z), on the CPU; None without a decoder."""
        if self.network.decoder is None:
            return None
        # encoding again takes a hundredth of the decoder's work and spares keeping the features
        features = self._encode(x)
        with self._precision():
            logits = self.network.decode(features)
        return torch.sigmoid((logits[0, 1] - logits[0, 0]).float()).cpu()

    def _encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        with self._precision():
            return self.network.encode(x.to(self.device).contiguous(memory_format=self.layout))

    def _precision(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
