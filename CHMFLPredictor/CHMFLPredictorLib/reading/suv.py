"""Body-weight SUV of a DICOM PET, slice by slice.

Follows the vendor-neutral rule of the Quantitative Imaging Biomarkers Alliance (QIBA Profile FDG-PET/CT as an Imaging
Biomarker Measuring Response to Cancer Therapy, version 1.13, appendix G): SUV = rescaled pixel value x factor, where

- ``BQML``: factor = weight in g / dose at the time that the pixels were decay-corrected to;
- ``CNTS`` (Philips): the private SUV Scale Factor, or the private Activity Concentration Scale Factor and then as BQML;
- ``GML``: the pixels are SUV already.

Times are in :mod:`.suv_times` and :mod:`.suv_injection`, the tracer in :mod:`.suv_tracer`. What cannot be computed is
refused with the name and number of the tag that is missing.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from ..errors import BadInput
from .suv_injection import injection_moment, injections
from .suv_tags import TAGS, missing, private_value
from .suv_times import Doubt, decay_seconds
from .suv_tracer import tracer_warnings

PHILIPS = "Philips PET Private Group"
HALF_LIFE_F18_S = 6586.2


@dataclass
class SuvConversion:
    """Factor of each slice from rescaled pixel values to body-weight SUV (g/ml), how it was found, and warnings.

    :ivar doubts: where two tags of one fact disagree, with ``half_life`` (s) to tell what that does to SUV.
    """

    factors: np.ndarray
    rule: str
    warnings: list[dict] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    half_life: float = math.nan

    def told(self, suv_max: float) -> list[dict]:
        """All warnings; those of doubts say what either reading makes of the highest SUV.

        :param suv_max: of the whole PET, by ``factors``.
        """
        return self.warnings + [
            {
                **doubt.warning,
                "text": f"{doubt.warning['text']} The PET's SUVmax is {suv_max:.2f} by the first, "
                f"{suv_max * 2 ** (doubt.longer_s / self.half_life):.2f} {doubt.second}.",
            }
            for doubt in self.doubts
        ]


def suv_factors(headers: list, name: str = "PET series") -> SuvConversion:
    """Factors that turn rescaled pixel values into body-weight SUV.

    :param headers: pydicom Datasets of the slices, in the order of the slices wanted; pixels are not looked at.
    :param name: how messages call the series.
    :return: factors (one for each header), in SUV (g/ml) per unit of the rescaled pixels.
    :raises BadInput: suv_tag_missing, suv_tag_implausible, suv_units_unsupported, suv_type_unsupported,
        suv_not_corrected, suv_times_implausible, suv_mixed_slices, suv_several_injections.
    """
    conversion = _conversion(headers, name)
    conversion.warnings += tracer_warnings(headers, name)
    return conversion


def _conversion(headers: list, name: str) -> SuvConversion:
    units = str(_common(headers, "Units", name)).upper()
    if units == "GML":
        return _from_gml(headers, name)
    _check_corrections(headers, name)
    if units == "BQML":
        return _from_bqml(headers, name, np.ones(len(headers)))
    if units == "CNTS":
        return _from_philips(headers, name)
    text = f"The {name} is in units of {units}; only BQML, GML and Philips' CNTS can be converted to SUV."
    raise BadInput("suv_units_unsupported", text, "Export the PET in Bq/ml or body-weight SUV.")


def _from_gml(headers: list, name: str) -> SuvConversion:
    kinds = {
        str(header.get("SUVType", "") or "BW").upper() for header in headers
    }  # absent means BW: DICOM PS3.3 C.8.9.1
    if kinds != {"BW"}:
        text = (
            f"The {name} holds SUV normalized by {', '.join(sorted(kinds))} (SUV Type (0054,1006)), not by body weight."
        )
        raise BadInput("suv_type_unsupported", text, "Export the PET in Bq/ml or body-weight SUV (BW).")
    if any(header.get("CorrectedImage") for header in headers):
        _check_corrections(headers, name)
    return SuvConversion(np.ones(len(headers)), "GML")


def _from_bqml(headers: list, name: str, to_bqml: np.ndarray) -> SuvConversion:
    weight_g = 1000 * _plausible(_common(headers, "PatientWeight", name), "PatientWeight", 1, 500, "kg", name)
    items = injections(headers, name)
    dose = _plausible(_common(items, "RadionuclideTotalDose", name), "RadionuclideTotalDose", 1e6, 1e11, "Bq", name)
    half_life = _plausible(_common(items, "RadionuclideHalfLife", name), "RadionuclideHalfLife", 60, 1e7, "s", name)
    correction = str(_common(headers, "DecayCorrection", name)).upper()
    warnings = _unusual_half_life(half_life, name)
    if correction == "ADMIN":  # the pixels are as of the injection already
        return SuvConversion(weight_g / dose * to_bqml, "BQML, decay-corrected to administration", warnings)
    if correction != "START":
        text = f"The {name} is not decay-corrected to a known time: {TAGS['DecayCorrection']} is {correction}."
        raise BadInput("suv_not_corrected", text, "Export the PET with decay correction START or ADMIN.")
    decay = decay_seconds(headers, lambda scan: injection_moment(headers, items[0], scan, name), half_life, name)
    factors = weight_g / (dose * np.exp2(-decay.seconds / half_life)) * to_bqml
    rule = f"BQML, decay-corrected to {decay.rule}"
    return SuvConversion(factors, rule, warnings + decay.warnings, decay.doubts, half_life)


def _from_philips(headers: list, name: str) -> SuvConversion:
    suv_scale = [_private_number(header, 0x00) for header in headers]
    if all(suv_scale):  # 0 stands for "not computed"
        return SuvConversion(np.array(suv_scale), "CNTS, Philips SUV Scale Factor")
    activity_scale = [_private_number(header, 0x09) for header in headers]
    if all(activity_scale):
        conversion = _from_bqml(headers, name, np.array(activity_scale))
        conversion.rule = conversion.rule.replace("BQML", "CNTS, Philips Activity Concentration Scale Factor")
        return conversion
    text = (
        f"The {name} is in counts (CNTS) and both Philips private factors are missing or 0: "
        "SUV Scale Factor (7053,1000) and Activity Concentration Scale Factor (7053,1009)."
    )
    raise BadInput(
        "suv_tag_missing", text, "Export it with private tags kept, or convert it to body-weight SUV elsewhere."
    )


def _private_number(header, element: int) -> float | None:
    """A number of Philips' private block; None where it is absent or no number."""
    try:
        number = float(private_value(header, 0x7053, PHILIPS, element))
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


# Inside ----------------------------------------------------------------------------------------------


def _common(datasets: list, keyword: str, name: str):
    """The value of a tag that all slices must have and share."""
    values = [dataset.get(keyword) for dataset in datasets]
    if any(value is None or str(value).strip() == "" for value in values):
        raise missing(keyword, name)
    if any(value != values[0] for value in values):
        text = (
            f"The slices of the {name} disagree on {TAGS[keyword]}: {', '.join(sorted({str(v) for v in values})[:4])}."
        )
        raise BadInput("suv_mixed_slices", text, "Give one reconstruction of one patient.")
    return values[0]


def _plausible(value, keyword: str, low: float, high: float, unit: str, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number == 0:  # DICOM's way to say unknown
        raise missing(keyword, name)
    if not low <= number <= high:
        text = f"{TAGS[keyword]} of the {name} is {value} {unit}, outside {low:g} to {high:g} {unit}."
        raise BadInput(
            "suv_tag_implausible", text, f"It must be in {unit}. Correct the tag, or give the PET as body-weight SUV."
        )
    return number


def _check_corrections(headers: list, name: str) -> None:
    for header in headers:
        value = header.get("CorrectedImage")
        if not value:
            raise missing("CorrectedImage", name)
        done = {value} if isinstance(value, str) else {str(one) for one in value}
        lacking = [
            word for word, spellings in (("ATTN", {"ATTN"}), ("DECY", {"DECY", "DECAY"})) if not done & spellings
        ]
        if lacking:
            what = {"ATTN": "attenuation", "DECY": "decay"}
            text = f"The {name} is not corrected for {' and '.join(what[word] for word in lacking)}"
            tag = f"{TAGS['CorrectedImage']} is {', '.join(sorted(done))}"
            raise BadInput(
                "suv_not_corrected", f"{text}: {tag}.", "Choose the corrected reconstruction (often named AC)."
            )


def _unusual_half_life(half_life: float, name: str) -> list[dict]:
    if abs(half_life / HALF_LIFE_F18_S - 1) < 0.02:
        return []
    text = f"The {name} has a half-life of {half_life:g} s; fluorine-18, as in FDG, has {HALF_LIFE_F18_S:g} s."
    return [{"code": "half_life_unusual", "text": text}]
