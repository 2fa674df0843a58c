"""What a volume of a scene is, by what is written about it and by its values: a PET, a CT or something else."""

import re
from weakref import WeakKeyDictionary

import numpy as np
import slicer

from ..reading.checks import HIGHEST_SUV_P99, looks_like_ct
from .nodes import coded_units
from .suv import sample

PET, CT, OTHER = "PT", "CT", "other"
WORDS = {
    PET: {"pet", "pt", "suv", "suvbw", "fdg", "tep"},
    CT: {"ct", "cect", "ldct", "tdm"},
    OTHER: {"mr", "mri", "mrt", "t1", "t1w", "t2", "t2w", "stir", "flair", "dwi", "adc", "rtdose"},
}
QUANTITIES = {"126400": PET, "112031": CT, "110852": OTHER}  # DCM: SUV, attenuation coefficient, MR signal intensity
UNITS = {"SUV": PET, "BQML": PET, "{SUVlbm}g/ml": PET, "{SUVbsa}cm2/ml": PET, "{SUVibw}g/ml": PET, "HU": CT}
NO_MODALITY = ("", "RWV", "OT")  # of which the volume may be anything
FEWEST_VALUES = 32  # whole numbers of fewer kinds are labels
_JUDGED: WeakKeyDictionary = WeakKeyDictionary()  # volume node: when its voxels last changed, and what they say


def kind_of(volume_node) -> tuple[str, str]:
    """PET, CT, OTHER or "" where it cannot be told, and why, in words. See :func:`.inputs.modality_of`."""
    modality = dicom_modality(volume_node)
    if modality not in NO_MODALITY:
        return (modality if modality in (PET, CT) else OTHER), f"its DICOM modality is {modality}"
    kind, why = _by_codes(volume_node)
    if kind:
        return kind, why
    named, why = _by_name(volume_node.GetName() or "")
    valued, values = _by_values(volume_node)
    if named and (valued in ("", named) or named == OTHER):
        return named, why
    return valued, values


def dicom_modality(volume_node) -> str:
    """The DICOM modality of the series that the volume was loaded from, "" for others."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume_node.GetScene())
    item = hierarchy.GetItemByDataNode(volume_node) if hierarchy is not None else 0
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return (hierarchy.GetItemAttribute(item, name) or "").strip() if item else ""


def words_of(name: str) -> set[str]:
    """The words of a name in lower case, however they are joined: "STS_006 PET", "petImage2", "CTChest", "T1w"."""
    joined = re.findall(r"[^\W_]+", name)
    parts = [part for word in joined for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+", word)]
    return {word.lower() for word in [*joined, *parts]}


def plain_words(name: str) -> set[str]:
    """The words that say nothing of the modality: what a patient's volumes share."""
    whole = {word.lower() for word in re.findall(r"[^\W_]+", name)}
    known = set().union(*WORDS.values())
    return {word for word in whole if not words_of(word) & known} - known


# Inside --------------------------------------------------------------------------------------------------------------


def _by_codes(volume_node) -> tuple[str, str]:
    units = coded_units(volume_node)
    if units in UNITS:
        return UNITS[units], f"its units are {units}"
    entry = volume_node.GetVoxelValueQuantity()
    kind = QUANTITIES.get(entry.GetCodeValue()) if entry is not None else None
    return (kind, f"its values are {entry.GetCodeMeaning()}") if kind else ("", "")


def _by_name(name: str) -> tuple[str, str]:
    """What a name says, unless it says two things."""
    words = words_of(name)
    kinds = [kind for kind, known in WORDS.items() if words & known]
    return (kinds[0], f"by its name '{name}'") if len(kinds) == 1 else ("", "")


def _by_values(volume_node) -> tuple[str, str]:
    image = volume_node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        return "", "it has no voxels"
    changed, verdict = _JUDGED.get(volume_node, (None, None))
    if changed != image.GetMTime():
        verdict = _judge(sample(volume_node))
        _JUDGED[volume_node] = image.GetMTime(), verdict
    return verdict


def _judge(values: np.ndarray) -> tuple[str, str]:
    if values.size == 0:
        return "", "it has no finite values"
    low, high, p99 = float(values.min()), float(values.max()), float(np.percentile(values, 99))
    seen = f"values {low:.4g} to {high:.4g}"
    whole = bool(np.all(values == np.rint(values)))
    if looks_like_ct(low, values):
        return CT, f"by its {seen}, with air and fat"
    if whole and np.unique(values).size <= FEWEST_VALUES:
        return OTHER, f"by its {seen}, few whole numbers, as labels have"
    if low > -50 and 1.0 < high and p99 <= HIGHEST_SUV_P99 and not whole:
        return PET, f"by its {seen}, as SUV has"
    return "", f"its {seen} tell nothing"
