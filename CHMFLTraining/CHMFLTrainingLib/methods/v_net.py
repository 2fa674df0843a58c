"""V-net as a segmenter (Table SIV), with the simplest risk that a segmentation gives."""

from dataclasses import replace

import numpy as np

from ..statistics.calibration import fit_platt
from .base import Method
from .network_method import PENG, NetworkMethod

WIDTHS = {"paper": 16, "paper_k3": 16, "compact": 8, "smoke": 4}


class VNet(NetworkMethod):
    """MONAI's V-Net on PET and CT. Its risk is a logistic curve of the log of the TLG of its own segmentation."""

    NAME = "V-net"
    SOURCE = (
        "Milletari F, Navab N, Ahmadi SA. V-Net: fully convolutional neural networks for volumetric medical image "
        f"segmentation. 3DV 2016:565-571, doi:10.1109/3DV.2016.79; compared in {PENG}"
    )
    OPEN = (
        "The paper gives V-net's segmentation only, and no settings. Here: MONAI's V-Net, PET and CT as two channels, "
        "trained like CHMFL by the segmentation's term of Eq. 1 (Milletari: Dice alone), with soft Dice where the "
        "preset adds it to every row; the first level has 16 channels, 8 in 'compact', 4 in 'smoke'. The risk of DM is "
        "this project's addition: a logistic curve of log(1 + TLG) of the segmentation, fitted to the training "
        "patients, whom the network has seen (their segmentations are somewhat better than those of new patients). "
        "Threshold 0.5, fixed."
    )
    UNREAD = frozenset({"w"})

    # no head whose features could be shown; the risk comes from the segmentation, which can be shown itself
    embedding, relevance = Method.embedding, Method.relevance

    @property
    def preset(self):
        """The preset's box, and V-Net's widths."""
        chosen, width = super().preset, WIDTHS[self.settings.preset]
        widths = tuple(width * 2**level for level in range(5))
        network = replace(chosen.network, channels=widths, decoder_convolutions=(2, 2, 1, 1))
        return replace(chosen, network=network)

    def training_config(self):
        """The preset's, with nothing but the segmentation to learn."""
        config = super().training_config()
        return replace(config, loss=replace(config.loss, w=1.0))

    def build(self, config):
        """An untrained V-Net."""
        from ..networks.v_net import VNetSegmenter

        return VNetSegmenter(config)

    def log_odds(self, cases):
        """Log of 1 + TLG (SUV ml) of each patient's segmentation (n,); the logistic curve makes it a risk."""
        settings = self.preset.preprocessing
        return np.array([log_tlg(case.crop(settings), self._forward(case)[1], settings) for case in cases])

    def _weight(self):
        return None  # there is one loss only: Eq. 1 has no part in it

    def _calibrate(self, training, crops):
        from ..training.fold_training import predict_crop

        settings = self.preset.preprocessing
        found = [predict_crop(training.network, crop, settings, self.settings.device)[1] for crop in crops]
        values = [log_tlg(crop, tumor, settings) for crop, tumor in zip(crops, found, strict=True)]
        return fit_platt(np.array(values), np.array([crop.label for crop in crops]))


def log_tlg(crop, tumor, settings) -> float:
    """Log of 1 + total lesion glycolysis (SUV ml) of a segmentation (X, Y, Z) of the crop's box."""
    from ..cohort.crops import MARGIN

    suv = crop.suv[(slice(MARGIN, -MARGIN),) * 3].astype(np.float64)
    return float(np.log1p(max(float(suv[tumor].sum()), 0.0) * settings.voxel_mm**3 / 1000))
