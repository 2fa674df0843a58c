"""Warnings where an input lies outside what the model saw in training, or where its answer should not be trusted
blindly.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..network.preprocessing import NetworkInput, mask_to_grid
from ..reading.checks import warning
from ..tumor.measurements import SUV_UNIT

TOLERANCE = 0.1  # of a limit: the ends of a range seen in 48 patients are not sharp
DISAGREEMENT = 0.2
HOT_ORGAN_ML = 2.0
HOT_ORGAN_SUV = 5.0
CLEARANCE_MM = 10.0  # uptake this near to the segmented tumor is its own, blurred
FACE_CM2 = 1.0
MASK_DICE = 0.3
LARGEST_TUMOR_ML = 3000.0  # where the card does not know better
# The search for the tumor names the organ; the segmentation then sees the same heat without knowing what it is.
SAID_ONCE = {"hot_organ_in_box"}

# name in the card's input_ranges: (what it is, unit, what it means for the reader)
_QUANTITIES = {
    "pet_voxel_mm": ("largest voxel side of the PET", "mm", "SUV and texture depend on the resolution"),
    "ct_voxel_mm": ("largest voxel side of the CT", "mm", "small structures may be lost"),
    "box_suv_max": ("highest SUV in the box", SUV_UNIT, "check the PET's units and whether an organ lies in the box"),
    "box_filled": ("share of the box that both images cover", "", "part of the tumor's surroundings is unknown"),
    "tumor_volume_ml": ("volume of the segmented tumor", "ml", "check the segmentation"),
    "tumor_suv_max": ("SUVmax of the segmented tumor", SUV_UNIT, "check the PET's units and the segmentation"),
}


def observe(pet: sitk.Image, ct: sitk.Image, network_input: NetworkInput) -> dict[str, float]:
    """Return what :func:`outside_ranges` compares, of one patient's images. Training collects the same for the card.

    :param pet: PET in SUV.
    :param ct: CT in HU.
    :param network_input: the box cut from both.
    """
    return {
        "pet_voxel_mm": float(max(pet.GetSpacing())),
        "ct_voxel_mm": float(max(ct.GetSpacing())),
        "box_suv_max": float(network_input.suv.max()),
        "box_filled": float(network_input.inside.mean()),
    }


def observe_tumor(tumor: dict) -> dict[str, float]:
    """Return the same for a measured tumor (see :func:`..tumor.measurements.measure`)."""
    found = {"tumor_volume_ml": tumor.get("volume_ml"), "tumor_suv_max": tumor.get("suv_max")}
    return {name: float(value) for name, value in found.items() if value is not None}


def input_ranges(observations: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the card's ``input_ranges``: lowest and highest of each quantity over the training patients."""
    names = {name for observation in observations for name in observation}
    values = {name: [o[name] for o in observations if name in o] for name in sorted(names)}
    return {name: [float(min(numbers)), float(max(numbers))] for name, numbers in values.items()}


def outside_ranges(observed: dict[str, float], ranges: dict) -> list[dict]:
    """Warn of every quantity outside the range of the training patients, more than 10 % beyond its end.

    :param observed: from :func:`observe` and :func:`observe_tumor`.
    :param ranges: the card's ``input_ranges``; a quantity that it lacks is not judged.
    :return: warnings with the code ``<quantity>_outside_range``; ``tumor_implausible`` for more than 3 liters of tumor
        where the card has no range for it.
    """
    found = []
    for name, value in observed.items():
        if name not in ranges or name not in _QUANTITIES:
            continue
        low, high = ranges[name]
        covered = name == "box_filled"  # more of the box filled than in training harms nobody
        if value < low * (1 - TOLERANCE) or (value > high * (1 + TOLERANCE) and not covered):
            what, unit, meaning = _QUANTITIES[name]
            number = f"{value:.3g} {unit}".strip()
            text = f"The {what} is {number}; the model saw {low:.3g} to {high:.3g}: {meaning}."
            found.append(warning(f"{name}_outside_range", text))
    volume_ml = observed.get("tumor_volume_ml", 0.0)
    if "tumor_volume_ml" not in ranges and volume_ml > LARGEST_TUMOR_ML:
        text = f"The segmented tumor has {volume_ml:.0f} ml, more than a tumor is likely to have: check the outline."
        found.append(warning("tumor_implausible", text))
    return found


def disagreement(risk: float, threshold: float, baseline: float, baseline_threshold: float = 0.5) -> list[dict]:
    """Warn where network and baseline fall on different sides of their thresholds and lie more than 0.2 apart."""
    if (risk >= threshold) == (baseline >= baseline_threshold) or abs(risk - baseline) <= DISAGREEMENT:
        return []
    text = (
        f"The network ({risk:.2f}) and the simple baseline ({baseline:.2f}) disagree: look at the box and the "
        "segmentation, and take the risk as undecided."
    )
    return [warning("baseline_disagrees", text)]


def judge_segmentation(tumor: np.ndarray, network_input: NetworkInput) -> list[dict]:
    """Warn where nothing was segmented, the tumor reaches the box's faces, or something hotter lies elsewhere in the
    box.

    :param tumor: bool (X, Y, Z), the segmented tumor in the box.
    """
    if not tumor.any():
        text = "No tumor was segmented in the box. Check the box's place; the risk may mean nothing."
        return [warning("nothing_segmented", text)]
    found = []
    if _face_cm2(tumor, network_input) > FACE_CM2:
        text = "The segmented tumor reaches the edge of the model's box: it may be larger, its volume and risk too low."
        found.append(warning("tumor_larger_than_box", text))
    return found + _hot_organ(tumor, network_input)


def judge_mask(mask: sitk.Image, tumor: np.ndarray | None, network_input: NetworkInput) -> list[dict]:
    """Warn where a given mask does not fit into the box, or the model segmented something else.

    :param mask: the mask that placed the box, 0 or not 0, any grid.
    :param tumor: bool (X, Y, Z), the model's segmentation in the box, or None where there is none.
    """
    given = mask_to_grid(mask, network_input.grid).astype(bool)
    mask_ml = float(np.count_nonzero(sitk.GetArrayViewFromImage(mask))) * float(np.prod(mask.GetSpacing())) / 1000.0
    share, found = float(given.sum()) * network_input.grid.voxel_ml / mask_ml, []
    if share < 0.9:  # resampling alone changes a volume by a few percent
        text = f"The box holds {share:.0%} of the given mask ({mask_ml:.0f} ml): the model does not see the rest of it."
        found.append(warning("tumor_larger_than_box", text))
    if tumor is not None and tumor.any():
        dice = 2.0 * float((given & tumor).sum()) / max(1.0, float(given.sum() + tumor.sum()))
        if dice < MASK_DICE:
            text = f"The model's segmentation and the given mask hardly overlap (Dice {dice:.2f})."
            found.append(warning("segmentation_off_mask", text))
    return found


def _face_cm2(tumor: np.ndarray, network_input: NetworkInput) -> float:
    """Area of the tumor on the six faces of the box, where there is image behind the face."""
    voxels = 0
    for axis in range(3):
        for end in (0, -1):
            face = np.take(tumor, end, axis=axis) & np.take(network_input.inside, end, axis=axis)
            voxels += int(face.sum())
    return voxels * network_input.grid.spacing[0] ** 2 / 100.0


def _hot_organ(tumor: np.ndarray, network_input: NetworkInput) -> list[dict]:
    away = ndimage.distance_transform_edt(~tumor, sampling=network_input.grid.spacing) > CLEARANCE_MM
    cut = max(float(network_input.suv[tumor].max()), HOT_ORGAN_SUV)
    hot = away & (network_input.suv > cut)
    volume_ml = float(hot.sum()) * network_input.grid.voxel_ml
    if volume_ml < HOT_ORGAN_ML:
        return []
    text = (
        f"{volume_ml:.0f} ml in the box, away from the segmented tumor, are hotter than the tumor (up to SUV "
        f"{float(network_input.suv[hot].max()):.1f}): an organ such as the bladder may have raised the risk."
    )
    return [warning("hot_organ_in_box", text)]
