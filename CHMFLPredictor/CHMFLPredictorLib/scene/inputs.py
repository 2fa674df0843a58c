"""What the panel asks about the volumes of a scene: which are PET and CT, and why a pair cannot be predicted from.

Quick enough to ask at every click: headers, names and at most 50 000 voxels are looked at, never a whole volume.
"""

import numpy as np

from ..errors import BadInput, ChmflError
from ..reading.checks import LOWEST_BQML_P99, check_overlap
from . import suv
from .kinds import CT, OTHER, PET, kind_of
from .nodes import center_of_volume, check_coded_units, check_volumes, coded_units, pet_in_bqml, world_grid
from .pairs import Pair, complete_pair, guess_pair, pair_warnings, pairs, volumes_state

__all__ = [
    "Pair",
    "center_of_volume",
    "complete_pair",
    "guess_pair",
    "modality_of",
    "pair_warnings",
    "pairs",
    "refusal",
    "units_in_words",
    "volumes_state",
]


def modality_of(volume_node) -> tuple[str, str]:
    """What a volume is.

    Evidence in this order: DICOM modality, coded quantity and units, whole words of the name, values. Values that the
    named modality cannot have overrule the name.

    :return: "PT", "CT" or "" (neither, or it cannot be told), and why, in words.
    """
    kind, why = kind_of(volume_node)
    return ("" if kind == OTHER else kind), why


def refusal(pet_node, ct_node) -> BadInput | None:
    """Why this pair cannot be predicted from; None where nothing speaks against it at a glance.

    Codes: those of :func:`.nodes.check_inputs`; swapped_pet_ct, pet_is_ct, ct_is_pet, wrong_modality, no_overlap,
    partial_overlap, one_slice; pet_in_bqml, suv_files_missing, suv_slices_unclear and the suv_* codes of
    :mod:`..reading.suv`.
    """
    try:
        check_volumes(pet_node, ct_node)
        _check_slices(pet_node, ct_node)
        _check_kinds(pet_node, ct_node)  # before the units: a CT in the PET's place is more than a unit that is wrong
        check_coded_units(pet_node)
        check_overlap(world_grid(pet_node), world_grid(ct_node))
        _check_units(pet_node)
    except BadInput as error:
        return error
    except ChmflError as error:  # pydicom is not installed yet: it is installed at Predict
        return None if error.code == "pydicom_missing" else BadInput(error.code, error.message, error.hint)
    return None


def units_in_words(pet_node) -> str:
    """In what units a PET is and what becomes of them, in a sentence for people; empty without a PET."""
    if pet_node is None or pet_node.GetImageData() is None:
        return ""
    if coded_units(pet_node) == "SUV":
        return "The PET is in body-weight SUV."
    try:
        conversion = suv.check_convertible(pet_node)
    except ChmflError as error:
        return error.message
    if conversion is None:
        return "The PET names no units; its values are taken for body-weight SUV."
    return conversion.note or "The PET is in body-weight SUV."


# Inside --------------------------------------------------------------------------------------------------------------


def _check_slices(*nodes) -> None:
    for node in nodes:
        size = node.GetImageData().GetDimensions()
        if min(size) < 2:
            text = f"'{node.GetName()}' has {' x '.join(map(str, size))} voxels: a single slice."
            raise BadInput("one_slice", text, "Choose the whole volume.")


def _check_kinds(pet_node, ct_node) -> None:
    (pet_kind, pet_why), (ct_kind, ct_why) = kind_of(pet_node), kind_of(ct_node)
    pet, ct = f"'{pet_node.GetName()}'", f"'{ct_node.GetName()}'"
    if (pet_kind, ct_kind) == (CT, PET):
        text = f"PET and CT are swapped: {pet} is a CT ({pet_why}) and {ct} is a PET ({ct_why})."
        raise BadInput("swapped_pet_ct", text, "Exchange the two.")
    if pet_kind == CT:
        raise BadInput("pet_is_ct", f"The volume chosen as PET, {pet}, is a CT ({pet_why}).", "Choose the PET.")
    if ct_kind == PET:
        raise BadInput("ct_is_pet", f"The volume chosen as CT, {ct}, is a PET ({ct_why}).", "Choose the CT.")
    for role, name, kind, why in (("PET", pet, pet_kind, pet_why), ("CT", ct, ct_kind, ct_why)):
        if kind == OTHER:
            text = f"The volume chosen as {role}, {name}, is neither PET nor CT ({why})."
            raise BadInput("wrong_modality", text, f"Choose the {role}.")


def _check_units(pet_node) -> None:
    if suv.check_convertible(pet_node) is not None or coded_units(pet_node) is not None:
        return
    values = suv.sample(pet_node)
    p99 = float(np.percentile(values, 99)) if values.size else 0.0
    if p99 >= LOWEST_BQML_P99:
        raise pet_in_bqml(pet_node, f" by its values (99th percentile {p99:.4g})")
