"""The PET and its CT out of all that an archive exports of an examination: corrected and uncorrected PET, CTs of other
ranges or frames of reference, topograms, projections, reports, structure sets.

What the headers decide is decided and noted; what they leave open is refused with the list to choose from.
"""

import numpy as np

from ..errors import BadInput
from .dicom import Series, corrected, find_series, is_volume, no_series, volumes_of

COVERED = 0.9  # of the PET's length: a CT that covers less is of another range where one covers more
PROJECTIONS = {"MIP", "PROJECTION IMAGE", "MAXIMUM_INTENSITY_PROJECTION"}  # in Image Type (0008,0008)
MOST_NAMED = 20


def choose_study(folder: str) -> tuple[Series, Series]:
    """The PET and the CT of a folder with DICOM series of one examination.

    The PET: the only one with more than one slice, or of several the only one that is corrected for attenuation. Its
    CT: of its study and frame of reference, where there are such, those that cover it best; only one may be left. The
    PET carries the note study_chosen where the folder holds more of either.

    :raises BadInput: study_undecided, dicom_no_pet_series, dicom_no_ct_series, those of :func:`.dicom.find_series`.
    """
    series = find_series(folder)
    images = [one for one in series if is_volume(one) and not PROJECTIONS & set(_image_type(one))]
    pets, cts = ([one for one in images if one.modality == modality] for modality in ("PT", "CT"))
    if not pets or not cts:
        raise no_series(series, folder, "CT" if pets else "PET")
    pet = _only(corrected(volumes_of(pets)), "PET", folder)
    ct = _only(_of_the_pet(volumes_of(cts), pet), "CT", folder)
    others = [one for one in series if one is not pet and one is not ct]
    pet.notes = [_note(pet, ct, others)] if any(one.modality in ("PT", "CT") for one in others) else []
    return pet, ct


# Inside ----------------------------------------------------------------------------------------------


def _image_type(series: Series) -> list[str]:
    value = series.slices[0].header.get("ImageType") or []
    return [value.upper()] if isinstance(value, str) else [str(one).upper() for one in value]


def _of_the_pet(cts: list[Series], pet: Series) -> list[Series]:
    """The CTs that belong to a PET and cover it."""
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        own = pet.slices[0].header.get(keyword)
        cts = [one for one in cts if own and one.slices[0].header.get(keyword) == own] or cts
    shares = [_share_covered(pet, ct) for ct in cts]
    return [ct for ct, share in zip(cts, shares, strict=True) if share >= COVERED * max(shares)]


def _share_covered(pet: Series, ct: Series) -> float:
    """Share of a PET's length, along the normal of its slices, that a CT covers, 0 to 1; 0 without positions."""
    try:
        cosines = np.array(pet.slices[0].header.ImageOrientationPatient, float)
        normal = np.cross(cosines[:3], cosines[3:])
        (pet_low, pet_high), (ct_low, ct_high) = (
            np.quantile([np.array(h.ImagePositionPatient, float) @ normal for h in one.headers()], (0, 1))
            for one in (pet, ct)
        )
    except (AttributeError, TypeError, ValueError):
        return 0.0
    return float(max(0.0, min(pet_high, ct_high) - max(pet_low, ct_low)) / max(pet_high - pet_low, 1e-6))


def _only(left: list[Series], role: str, folder: str) -> Series:
    if len(left) == 1:
        return left[0]
    listing = "; ".join(_told_apart(one) for one in left[:MOST_NAMED])
    text = f"Which {role} of the study '{folder}' is meant its headers do not decide. There are {len(left)}: {listing}."
    hint = "Give --pet and --ct one file of the wanted series each; in Slicer, load these two in the DICOM module."
    raise BadInput("study_undecided", text, hint)


def _told_apart(series: Series) -> str:
    """What tells a series from another of its kind, and a file of it."""
    header = series.slices[0].header
    facts = {
        "": header.get("StudyDate"),
        "kernel": header.get("ConvolutionKernel"),
        "slices of": f"{thickness} mm" if (thickness := header.get("SliceThickness")) else None,
        "contrast agent": header.get("ContrastBolusAgent"),
        "corrected for": header.get("CorrectedImage") if series.modality == "PT" else None,
    }
    told = ", ".join(f"{name} {_plain(value)}".strip() for name, value in facts.items() if value)
    return f"{_name(series)}, {told}, file '{series.slices[0].path}'" if told else _name(series)


def _plain(value) -> str:
    return str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else " ".join(map(str, value))


def _name(series: Series) -> str:
    count = len(series.slices)
    return f"'{series.description or 'no description'}' ({series.modality}, {count} file{'s' * (count != 1)})"


def _note(pet: Series, ct: Series, others: list[Series]) -> dict:
    how = ", corrected for attenuation," if pet.attenuation_corrected else ""
    rest = "; ".join(_name(one) for one in others[:MOST_NAMED])
    more = f"; and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    text = f"Of the study, the PET {_name(pet)}{how} and the CT {_name(ct)} were taken. Left alone: {rest}{more}."
    return {"code": "study_chosen", "text": text}
