"""What a job leaves for the report's pictures beside its predictions: features of its network (Fig. 7) and relevance
maps of a few patients (Fig. 6). Only the first repeat's jobs do; a job does not fail by its pictures.

``features.npz``: every patient of the repeat to a vector; ``relevance.npz``: some held-out patients to a map of the
method's box, float16 (X, Y, Z), 0 to 1.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from CHMFLPredictorLib.errors import BadInput, Canceled
from CHMFLPredictorLib.files import write_bytes

if TYPE_CHECKING:
    from ..cohort.cases import Case
    from ..methods.base import Method

FEATURES_FILE, RELEVANCE_FILE, SEGMENTATIONS_FILE = "features.npz", "relevance.npz", "segmentations.npz"
RELEVANCE_PATIENTS = 2  # of a fold, unless the option relevance_patients says otherwise
_LOG = logging.getLogger(__name__)


def write_explanations(
    method: Method, known: list[Case], new: list[Case], folder: Path, check: Callable[[], None]
) -> None:
    """Write both files where the method can say something.

    :param known: the patients that it was trained on.
    :param new: those that it predicts.
    :param check: called between patients; may raise Canceled.
    :raises BadInput: method_option. Canceled. OSError where the disk refuses.
    """
    wanted = _how_many(method)
    for write in (lambda: _features(method, [*known, *new], folder), lambda: _maps(method, new, wanted, folder, check)):
        try:
            write()
        except (Canceled, OSError):
            raise
        except Exception:  # memory for one, which explaining needs more of than predicting
            _LOG.exception("%s: no picture of it", method.NAME)


def box_of(method: Method):
    """How a method makes its box: its attribute ``preprocessing``, or that of its ``preset``; None: it has none."""
    return getattr(method, "preprocessing", None) or getattr(getattr(method, "preset", None), "preprocessing", None)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Arrays by patient as a compressed npz file, whole or not at all."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def chosen(cases: list[Case], count: int) -> list[Case]:
    """Patients with and without the event by turns, in the folds' order: the same ones for every method."""
    sides = [[case for case in cases if case.label == label] for label in (1, 0)]
    turns = [case for pair in zip(*sides, strict=False) for case in pair]
    return [*turns, *(case for case in cases if case not in turns)][:count]


def _how_many(method: Method) -> int:
    count = method.settings.options.get("relevance_patients", RELEVANCE_PATIENTS)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        text = f"The option relevance_patients is {count!r}; it must be a whole number of patients of a fold."
        raise BadInput("method_option", text, "Change the option, or leave it out.")
    return count


def _features(method: Method, cases: list[Case], folder: Path) -> None:
    vectors = method.embedding(cases)
    if vectors is None:
        return
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(cases) or not np.isfinite(vectors).all():
        raise ValueError(f"{method.NAME} gave features of shape {vectors.shape} for {len(cases)} patients")
    write_arrays(folder / FEATURES_FILE, {case.patient_id: one for case, one in zip(cases, vectors, strict=True)})


def _maps(method: Method, cases: list[Case], count: int, folder: Path, check: Callable[[], None]) -> None:
    maps = {}
    for case in chosen(cases, count):
        check()
        found = method.relevance(case)
        if found is None:
            return
        if np.ndim(found) != 3 or not np.isfinite(found).all():
            raise ValueError(f"{method.NAME} gave a map of shape {np.shape(found)} for {case.patient_id}")
        maps[case.patient_id] = np.clip(found, 0, 1).astype(np.float16)
    if maps:
        write_arrays(folder / RELEVANCE_FILE, maps)
