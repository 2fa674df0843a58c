"""Which structure set and which region of interest (ROI) of a patient's RTSTRUCT files outlines the tumor.

Never guessed: what cannot be told is a BadInput that lists what there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.reading.checks import warning
from CHMFLPredictorLib.reading.dicom import Series

from .contours import contours_of, fill_contours

# The lower number wins: every word of one set must be in the name. "GTV_Mass" is the mass, not "GTV_Edema".
TUMOR_WORDS = (({"gtv", "mass"},), ({"gtv"},), ({"tumor"}, {"tumour"}, {"lesion"}, {"mass"}, {"sarcoma"}))
NOT_TUMOR = {"edema", "oedema", "ctv", "ptv", "margin", "ring", "skin", "body"}
NAME_HINT = "Name the tumor's ROI with the option roi."


@dataclass
class Roi:
    """A region of interest with at least one closed contour.

    :param words: of its name and of what the planner said it is ("GTV"), in small letters.
    :param contours: arrays (points, 3), LPS mm.
    :param left_out: the types of its contours that are no closed polygons.
    :param exclusive_or: whether the contours say that they combine so.
    """

    name: str
    words: set[str]
    contours: list[np.ndarray]
    left_out: list[str]
    frame_uid: str
    exclusive_or: bool = False


@dataclass
class StructureSet:
    """One RTSTRUCT file: its ROIs, those without a closed contour, and the image series that it was drawn on."""

    path: str
    series_uids: set[str]
    rois: list[Roi] = field(default_factory=list)
    open_rois: list[Roi] = field(default_factory=list)


def read_structure_sets(series: list[Series]) -> list[StructureSet]:
    """All structure sets among a patient's series."""
    return [_read(one) for found in series if found.modality == "RTSTRUCT" for one in found.slices]


def tumor_mask(
    sets: list[StructureSet], images: list[tuple[Series, sitk.Image]], roi: str | None = None
) -> tuple[sitk.Image, Roi, list[dict]]:
    """The tumor as a mask on the grid of the image that it was drawn on.

    :param sets: the patient's structure sets.
    :param images: the patient's CT and PET (series, image) in the order of preference.
    :param roi: name of the tumor's ROI (case does not matter), where it cannot be told.
    :returns: mask (uint8, 0 and 1), the ROI, warnings.
    :raises BadInput: rtstruct_none, rtstruct_other_series, roi_unknown, roi_ambiguous, roi_empty, and those of
        :func:`.contours.fill_contours`.
    """
    if not sets:
        text = "There is no RTSTRUCT (structure set) beside the images."
        raise BadInput("rtstruct_none", text, "Put it into the patient's folder, or give a mask file in the cohort.")
    series, image, fitting, warnings = _drawn_on(sets, images)
    rois, others = ([one for found in fitting for one in getattr(found, kind)] for kind in ("rois", "open_rois"))
    chosen = choose_roi(rois, roi, others)
    mask, more = fill_contours(chosen.contours, image, chosen.exclusive_or)
    if not sitk.GetArrayViewFromImage(mask).any():
        reasons = "".join(f" {one['text']}" for one in more)
        text = f"The ROI '{chosen.name}' encloses no voxel of the {series.describe()}.{reasons}"
        raise BadInput("roi_empty", text, "Check that the structure set belongs to these images.")
    if chosen.left_out:
        kinds = ", ".join(sorted(set(chosen.left_out)))
        text = f"{len(chosen.left_out)} contours of '{chosen.name}' are no closed polygons ({kinds}) and were left out."
        more.append(warning("contour_not_closed", text))
    return mask, chosen, warnings + more


def choose_roi(rois: list[Roi], roi: str | None = None, others: Sequence[Roi] = ()) -> Roi:
    """The tumor's ROI: the one that the user names, else the only one, else the only one that is best named.

    :param others: ROIs without a closed contour, which cannot be chosen, for the message.
    :raises BadInput: roi_unknown, roi_ambiguous.
    """
    listing = ", ".join(f"'{one.name}'" for one in rois) or "none with a closed contour"
    listing += "".join(f"; of '{one.name}' all contours are {', '.join(sorted(set(one.left_out)))}" for one in others)
    if roi is not None:
        named = [one for one in rois if one.name.strip().lower() == roi.strip().lower()]
        found = f"There is no ROI called '{roi}'; there is {listing}."
    elif len(rois) == 1:
        return rois[0]
    else:
        named = _best_named(rois)
        found = f"No ROI has a name like GTV_Mass; there is {listing}."
    if not named:
        raise BadInput("roi_unknown", found, NAME_HINT)
    if len(named) > 1:
        several = ", ".join(f"'{one.name}'" for one in named)
        hint = NAME_HINT if roi is None else "Remove all but one structure set of this image."
        raise BadInput("roi_ambiguous", f"{len(named)} ROIs could be the tumor: {several}.", hint)
    return named[0]


def _best_named(rois: list[Roi]) -> list[Roi]:
    possible = [one for one in rois if not one.words & NOT_TUMOR]
    for alternatives in TUMOR_WORDS:
        named = [one for one in possible if any(words <= one.words for words in alternatives)]
        if named:
            return named
    return []


def _drawn_on(sets, images):
    """The first image that a structure set names, with its sets; else the first in the sets' frame of reference."""
    for series, image in images:
        fitting = [one for one in sets if series.uid in one.series_uids]
        if fitting:
            return series, image, fitting, []
    for series, image in images:
        frame = series.identity()["frame_of_reference_uid"]
        fitting = [one for one in sets if frame and any(roi.frame_uid == frame for roi in one.rois + one.open_rois)]
        if fitting:
            text = f"The structure set was drawn on another series in the frame of {series.describe()}."
            return series, image, fitting, [warning("rtstruct_other_series", text)]
    text = f"None of the {len(sets)} structure sets belongs to the PET or the CT by its references."
    raise BadInput("rtstruct_other_series", text, "Put the series that it was drawn on into the patient's folder.")


def _read(one) -> StructureSet:
    header = one.header
    try:
        series_uids = {
            str(series.SeriesInstanceUID)
            for frame in header.get("ReferencedFrameOfReferenceSequence") or []
            for study in frame.get("RTReferencedStudySequence") or []
            for series in study.get("RTReferencedSeriesSequence") or []
        }
        types = {
            int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType", "") or "")
            for item in header.get("RTROIObservationsSequence") or []
        }
        about = {int(item.ROINumber): item for item in header.get("StructureSetROISequence") or []}
        rois = [
            _roi(item, about[int(item.ReferencedROINumber)], types) for item in header.get("ROIContourSequence") or []
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"The structure set '{one.path}' is damaged: {error}."
        raise BadInput("rtstruct_damaged", text, "Export it again.") from error
    closed = [roi for roi in rois if roi.contours]
    return StructureSet(one.path, series_uids, closed, [roi for roi in rois if roi.left_out and not roi.contours])


def _roi(item, about, types: dict[int, str]) -> Roi:
    name = str(about.get("ROIName", "") or "")
    words = set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    words |= {types.get(int(about.ROINumber), "").lower()} - {""}
    contours, left_out, exclusive_or = contours_of(item)
    return Roi(name, words, contours, left_out, str(about.get("ReferencedFrameOfReferenceUID", "") or ""), exclusive_or)
