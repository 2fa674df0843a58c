"""The simple baseline shown beside the network: one number from the PET box and a logistic curve, nothing learned from
pixels.

The number is the log of the total uptake in hot voxels. It needs no segmentation, and on the cohort it predicts
distant metastases about as well as anything else does, so a network that disagrees with it deserves a second look.
"""

import numpy as np

from .calibration import fit_logistic, sigmoid

NAME = "log total uptake"
FEATURE = "ln of the sum of SUV x ml over voxels with SUV > 2 in the model's box"
SUV_CUT = 2.0
FLOOR_SUV_ML = 1.0  # less than this (0.2 ml at SUV 5) is noise; it also keeps the logarithm of a cold box finite


def uptake(suv, voxel_volume_ml: float) -> float:
    """Return the natural log of the total uptake of the hot voxels in the box.

    :param suv: absolute body-weight SUV in the model's box, any shape; voxels without data hold 0 or NaN.
    :param voxel_volume_ml: volume of one voxel in ml.
    :return: ln(sum of SUV * ml over voxels with SUV > 2), at least ln(1 SUV ml) = 0.
    """
    if not voxel_volume_ml > 0:
        raise ValueError(f"voxel volume must be positive, got {voxel_volume_ml} ml")
    suv = np.asarray(suv)
    hot = suv[suv > SUV_CUT]  # NaN compares false
    return float(np.log(max(float(hot.sum(dtype=np.float64)) * voxel_volume_ml, FLOOR_SUV_ML)))


def baseline_risk(card: dict, feature: float) -> float:
    """Return the baseline's probability of DM (0 to 1) from the coefficients in the card.

    :param card: the model card; its ``baseline`` holds ``mean`` and ``scale`` of the feature and ``slope`` and
        ``intercept``.
    :param feature: what :func:`uptake` returned for this patient.
    """
    b = card["baseline"]
    return float(sigmoid(b["slope"] * (feature - b["mean"]) / b["scale"] + b["intercept"]))


def fit_baseline(features, dm) -> dict:
    """Fit the card's ``baseline`` to the cohort.

    :param features: :func:`uptake` of each patient, shape (n,).
    :param dm: label of each patient, 0 or 1, shape (n,).
    :return: ``{"name", "feature", "mean", "scale", "slope", "intercept"}``.
    """
    features = np.asarray(features, dtype=np.float64)
    mean, scale = float(features.mean()), float(features.std()) or 1.0
    slope, intercept = fit_logistic((features - mean) / scale, dm)
    return {"name": NAME, "feature": FEATURE, "mean": mean, "scale": scale, "slope": slope, "intercept": intercept}
