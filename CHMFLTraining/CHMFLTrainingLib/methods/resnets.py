"""The ResNets of Table SII: one a modality on axial slices, and CHMFL in 2D with a ResNet a modality; from scratch, or
from ImageNet's weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .cnns import OPEN_COMMON, OPEN_SLICES, ConvNet, ConvNetOptions
from .network_method import PENG
from .options import numeric, string

if TYPE_CHECKING:
    from ..cohort.cases import Case

PAPER_RATE = 1e-4  # section II.E
SLICES_AT_ONCE = 16  # a segmentation of the whole box takes all of its slices
HE = "He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR 2016:770-778, "
HE += "doi:10.1109/CVPR.2016.90"
IMAGENET = "ImageNet weights of torchvision (Deng J et al. CVPR 2009:248-255, doi:10.1109/CVPR.2009.5206848)"

_RESNET = (
    "The paper does not say how two modalities enter a ResNet. Here: one ResNet a modality, as CHMFL has one branch a "
    "modality, the slice repeated in its three channels. "
)
_OPEN_PRETRAINED = (
    " Pretrained: torchvision's IMAGENET1K_V1 file for this depth, in both branches; all weights are then trained, in "
    "'compact' and 'smoke' at a tenth of the other rows' learning rate, which would wash ImageNet's weights out."
)


@dataclass(frozen=True)
class ResNetOptions(ConvNetOptions):
    """Options of the ResNets.

    :param width: share of the channels, from scratch. :param weights: pretrained: a file, or a folder of them.
    :param w: CHMFL + ResNet: weight of the segmentation in Eq. 1.
    """

    width: float | None = numeric(float, 1 / 64, 1)
    weights: str | None = string()
    w: float | None = numeric(float, 0, 1)


class ResNetPETCT(ConvNet):
    """A 2D ResNet a modality (Table SII).

    :cvar NAMED: the names of its rows, but for the depth.
    :cvar DEPTH: 18, 34 or 50. :cvar PRETRAINED: training begins at ImageNet's weights.
    """

    OPEN = (
        _RESNET
        + "The two averaged feature vectors are joined before one fully connected layer. "
        + OPEN_SLICES
        + OPEN_COMMON
    )
    Options = ResNetOptions
    UNREAD = frozenset({"w"})
    CHANGES = {"smoke": {"slices": 3, "width": 0.125}}
    NAMED: ClassVar[str] = "ResNet{}-PET-CT"
    DEPTH: ClassVar[int] = 18
    PRETRAINED: ClassVar[bool] = False

    @property
    def recipe(self):
        """As for all rows; a pretrained network learns slower where the preset's rate is high."""
        recipe, asked = super().recipe, self.options.learning_rate is not None
        return recipe if asked or not self.PRETRAINED else replace(recipe, learning_rate=_gentle(recipe.learning_rate))

    def _build(self):
        from ..networks.resnets import ResNetClassifier

        return ResNetClassifier(self.DEPTH, self.width)

    def _initial(self):
        if not self.PRETRAINED:
            return super()._initial()
        from ..networks.pretrained import resnet_weights, width_of

        weights = resnet_weights(self.DEPTH, {"weights": self.options.weights})
        self.width = width_of(weights)
        network = self._build()
        for branch in (network.pet, network.ct):
            branch.load_state_dict(weights, strict=True)
        return network


class CHMFLResNet(ResNetPETCT):
    """CHMFL in 2D with ResNet branches (Table SII)."""

    OPEN = (
        _RESNET
        + "'Reimplemented in 2D with ResNet as the backbone' is all there is. Here: the five levels are the stem and "
        "the four stages; HMFL pools all five, level 5 too, for the three fully connected layers; CFL has four "
        "up-convolutions, each joined with the level's PET and CT features, brought to its width by a 1x1 convolution"
        " and followed by a 3x3 residual convolution, and a fifth for the stem's stride of 2. w is 0.5. A "
        "segmentation covers the whole box; slices farther from its middle than those trained on are left to what was "
        "learned there. " + OPEN_SLICES + OPEN_COMMON
    )
    UNREAD = frozenset()
    NAMED = "CHMFL + ResNet{}"

    def _build(self):
        from ..networks.resnets import CHMFLResNet2D

        return CHMFLResNet2D(self.DEPTH, self.preset.network, self.width)

    def segment(self, case: Case) -> np.ndarray:
        """The tumor in every slice of the box, uint8 (X, Y, Z)."""
        from ..cohort.crops import center_crop
        from ..training.convnet_training import outputs

        view = center_crop(case.crop(self.preprocessing), self.preprocessing)
        starts, depth = range(0, view[1].shape[2], SLICES_AT_ONCE), view[1].shape[2]
        parts = [self._sliced(view, np.arange(start, min(depth, start + SLICES_AT_ONCE)))[0] for start in starts]
        found = np.concatenate([outputs(self.network, part)[1] for part in parts])
        return (found.transpose(1, 2, 0) & view[2]).astype(np.uint8)


def _gentle(rate: float) -> float:
    return min(rate, max(rate / 10, PAPER_RATE))


def _row(base: type[ResNetPETCT], depth: int, pretrained: bool) -> type[ResNetPETCT]:
    fields = {
        "__doc__": f"ResNet{depth} from {'the weights of ImageNet' if pretrained else 'scratch'}.",
        "__module__": __name__,
        "NAME": base.NAMED.format(depth) + (" (pretrained)" if pretrained else ""),
        "SOURCE": f"{PENG}; {HE}" + (f"; {IMAGENET}" if pretrained else ""),
        "OPEN": base.OPEN + (_OPEN_PRETRAINED if pretrained else ""),
        "DEPTH": depth,
        "PRETRAINED": pretrained,
        "UNREAD": base.UNREAD | {"width" if pretrained else "weights"},
    }
    return type(base.__name__, (base,), fields)


ROWS = tuple(
    _row(base, depth, pretrained)
    for base in (ResNetPETCT, CHMFLResNet)
    for depth in (18, 34, 50)
    for pretrained in (False, True)
)
