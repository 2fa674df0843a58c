"""The network with wide kernels on a CPU, in PyTorch: the same numbers with less work and less memory traffic.

- The encoders, whose convolutions do not overlap but for the first, run slab by slab along X, so that a slab stays in
  the cache from the input to level 5; channels_last_3d, in which the first convolution is three times faster. The
  head's maxima are taken on the way.
- The decoder writes into the joined feature map that the encoders filled, adds in place and lets each level go when
  the next one is there.
- Wide 5x5x5 convolutions go by Fourier transform, the one of the output is split (``fast_convolution.py``).

At 112 x 112 x 144 voxels on two cores this is 2.6 times as fast as the plain module for all, 2.2 times for the risk
alone (``Testing/benchmark.py``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .chmfl import CHMFL, dm_log_odds
from .fast_convolution import fourier_convolution, fourier_pays, split_convolution
from .folding import fold_batch_norm, has_batch_norm

_CHANNELS_LAST = torch.channels_last_3d


class CpuNetwork:
    """A network ready for prediction. Batch norm of the module is folded in place: no second copy of the weights.

    Arguments ``x`` are float32 (1, channels, X, Y, Z).
    """

    def __init__(self, network: CHMFL):
        self.network = fold_batch_norm(network, in_place=True).requires_grad_(False)
        self.config = network.config
        # group normalization needs a whole feature map at a time
        self.in_slabs = self.config.group_channels is None and not has_batch_norm(network)
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.kernel_size[0] < 5:
                module.to(memory_format=_CHANNELS_LAST)

    @torch.inference_mode()
    def log_odds(self, x: torch.Tensor) -> float:
        """Log-odds of DM; the decoder is not run."""
        if not self.in_slabs:
            return float(dm_log_odds(self.network.classify(self.network.encode(x))))
        pools = _Pools(self.config)
        for branch in range(2):
            for _, levels in self._slabs(x, branch):
                pools.add(branch, levels)
        return float(dm_log_odds(self._head(pools.vector())))

    @torch.inference_mode()
    def tumor_probability(self, x: torch.Tensor) -> torch.Tensor | None:
        """Probability of tumor (X, Y, Z); None without a decoder."""
        if self.network.decoder is None:
            return None
        # encoding again takes a hundredth of the decoder's work; keeping the features since the risk would cost 265
        # MB at 1 mm
        joined = self._joined_features(x)
        below = joined.pop()
        for block in self.network.decoder.blocks:
            below = self._level(block, below, joined.pop())
        unit, last = self.network.decoder.output
        logits = F.conv3d(self._unit(unit, below, split=True), last.weight, last.bias)
        return torch.sigmoid(logits[0, 1] - logits[0, 0])

    def _head(self, vector: torch.Tensor) -> torch.Tensor:
        head = self.network.head
        return head.third(torch.relu(head.second(torch.relu(head.first(vector)))))

    def _slabs(self, x: torch.Tensor, branch: int):
        """For each slab of the input (first plane at level 5, feature maps of the five levels)."""
        encoder = (self.network.pet, self.network.ct)[branch]
        inputs = self.config.branch_inputs
        first, pad = encoder.levels[0][0], encoder.levels[0][0].padding[0]
        padded = F.pad(x[:, branch * inputs : (branch + 1) * inputs], (0, 0, 0, 0, pad, pad))
        # .to(), since .contiguous() finds nothing to do for a single channel, and then the result is not channels last
        weight = first.weight.to(memory_format=_CHANNELS_LAST)
        planes = 2 ** (len(encoder.levels) - 1)
        for start in range(0, x.shape[2], planes):
            slab = padded[:, :, start : start + planes + 2 * pad]
            levels = [F.elu_(F.conv3d(slab, weight, first.bias, padding=(0, *first.padding[1:])))]
            for unit in encoder.levels[1:]:
                levels.append(F.elu_(unit[0](levels[-1])))
            yield start // planes, levels

    def _joined_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps, finest first: [PET, CT] at the deepest level, elsewhere [room for what comes up, PET, CT]."""
        widths = self.config.channels
        joined = []
        for number, width in enumerate(widths):
            shape = [side // 2**number for side in x.shape[2:]]
            groups = 2 if number == len(widths) - 1 else 3
            joined.append(torch.empty((1, groups * width, *shape)))
        if self.in_slabs:
            for branch in range(2):
                for start, levels in self._slabs(x, branch):
                    for whole, level, width in zip(joined, levels, widths, strict=True):
                        offset = whole.shape[1] + (branch - 2) * width
                        planes = level.shape[2]
                        whole[:, offset : offset + width, start * planes : (start + 1) * planes] = level
        else:
            for whole, level in zip(joined, self.network.encode(x), strict=True):
                whole[:, whole.shape[1] - level.shape[1] :] = level
        return joined

    def _level(self, block: nn.Module, below: torch.Tensor, joined: torch.Tensor) -> torch.Tensor:
        joined[:, : block.up[0].out_channels] = self._unit(block.up, below.contiguous(memory_format=_CHANNELS_LAST))
        x = joined if isinstance(block.project, nn.Identity) else self._unit(block.project, joined)
        residual = x
        for unit in block.residual[:-1]:
            residual = self._unit(unit, residual)
        convolution, *rest = block.residual[-1]
        if isinstance(rest[0], nn.Identity) and fourier_pays(x.shape, convolution.weight):
            x = fourier_convolution(residual, convolution.weight, convolution.bias, out=x)
        else:
            x = x.add_(self._unit(block.residual[-1], residual))
        return F.elu_(x)

    def _unit(self, unit: nn.Sequential, x: torch.Tensor, split: bool = False) -> torch.Tensor:
        """Convolution by the fastest exact way, then what follows it."""
        convolution = unit[0]
        if isinstance(convolution, nn.Conv3d) and fourier_pays(x.shape, convolution.weight):
            x = fourier_convolution(x, convolution.weight, convolution.bias)
        elif split and convolution.kernel_size[0] >= 5:
            x = split_convolution(x, convolution.weight, convolution.bias)
        else:
            x = convolution(x)
        for module in unit[1:]:
            x = module(x)
        return x


class _Pools:
    """The head's input (Eq. 4), collected slab by slab."""

    def __init__(self, config):
        self.config = config
        levels = len(config.channels)
        self.maxima = [[[] for _ in range(levels)] for _ in range(2)]
        self.totals = [[[] for _ in range(levels)] for _ in range(2)]
        self.deepest = [[], []]

    def add(self, branch: int, levels: list[torch.Tensor]) -> None:
        last = len(levels) - 1
        for number, level in enumerate(levels):
            if number == last and not self.config.pool_deepest:
                self.deepest[branch].append(level)
            elif number == last or self.config.hierarchical:
                self._pool(branch, number, level)

    def _pool(self, branch: int, number: int, level: torch.Tensor) -> None:
        # plane by plane, then the rest: a reduction over many rows of few channels is slow in PyTorch
        rows = level.permute(0, 2, 3, 4, 1).flatten(0, 1)
        maximum = rows.amax(dim=0).flatten(0, 1).amax(dim=0)
        self.maxima[branch][number].append(maximum)
        if self.config.pooling == "max_uptake":
            self.totals[branch][number].append((rows.flatten(0, 2) - maximum).exp_().mean(dim=0).log() + maximum)

    def vector(self) -> torch.Tensor:
        """As ``Head.vector``: (1, inputs of the first layer)."""
        parts = []
        for number in range(len(self.config.channels)):
            if not self.maxima[0][number]:
                continue
            parts += [torch.stack(self.maxima[branch][number]).amax(dim=0) for branch in range(2)]
            if self.config.pooling == "max_uptake":
                # slabs are of equal size: the mean of their means is the mean
                totals = [torch.stack(self.totals[branch][number]) for branch in range(2)]
                parts += [total.logsumexp(dim=0) - torch.tensor(float(len(total))).log() for total in totals]
        if self.deepest[0]:
            parts += [torch.cat(slabs, dim=2).contiguous().flatten() for slabs in self.deepest]
        return torch.cat(parts)[None]
