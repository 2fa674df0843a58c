"""What a trained network says of a patient's cached box."""

from __future__ import annotations

import numpy as np
import torch
from CHMFLPredictorLib.network import dm_log_odds

from .samples import Crop, branch_channels, center_crop


def predict_crop(network, crop: Crop, settings, device="cpu", decode=True) -> tuple[float, np.ndarray | None]:
    """What a network in eval mode says of a patient it may never have seen: log-odds of DM, and the tumor, bool
    (X, Y, Z) of the box; None without a decoder.

    :param decode: False leaves the segmentation out, which is nearly all of the work.
    """
    inputs, mask, inside = center_crop(crop, settings)
    x = torch.from_numpy(branch_channels(inputs, mask, network.config.branch_inputs)[None])
    with torch.inference_mode():
        features = network.encode(x.to(device))
        dm_logits, segmentation = network.classify(features), network.decode(features) if decode else None
    tumor = None if segmentation is None else (segmentation[0, 1] > segmentation[0, 0]).cpu().numpy() & inside
    return float(dm_log_odds(dm_logits)), tumor
