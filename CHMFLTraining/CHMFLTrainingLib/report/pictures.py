"""Which figures a run gets, drawn into ``RUN/figures``: each of the paper's that its predictions allow, and more."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import ChmflError

from ..methods import registry
from ..run.explanations import FEATURES_FILE, RELEVANCE_FILE
from ..run.run import Job
from ..training.recipes import PAPER_WEIGHT
from . import figures, images
from .results import MethodResult, RunData, explained, left_by, read_arrays, segmented
from .tables import confusion_counts, paper_counts

MOST_PATIENTS = 2  # of segmentations, as in the paper's Fig. S2
MOST_MATRICES = 4  # as in the paper's Fig. S1
LEAST_FEATURES = 4  # patients of a t-SNE
MOST_MAPS = 10  # of one patient; the paper's Fig. 6 has five
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A figure on disk, its words, and the section of the page that shows it."""

    path: Path
    caption: str
    section: str


def draw(data: RunData) -> list[Picture]:
    """Draw all figures of a run as PNG and SVG.

    Three of them need what a job leaves beside its predictions: segmentations, and the files of ``explanations.py``.
    """
    if not data.finished:
        return []
    parts = (_discrimination, _matrices, _calibration, _sweep, _segmentations, _relevance, _learning, _embeddings)
    return [picture for part in parts for picture in part(data)]


def _keep(data: RunData, figure, name: str, caption: str, section: str) -> Picture:
    path = figures.save(figure, data.run.folder / "figures" / name)[0]
    return Picture(path, caption, section)


def _with_auc(chosen: list[MethodResult]) -> list[MethodResult]:
    """Those whose predictions hold both outcomes."""
    return [method for method in chosen if method.summary["pooled"]["auc"] is not None]


def _discrimination(data: RunData):
    chosen = _with_auc(data.finished)
    if not chosen:
        return
    rows = [
        {
            "name": method.name,
            "auc": method.summary["pooled"]["auc"],
            "interval": method.summary["interval"]["auc"],
            "paper": (method.method.PAPER or {}).get("auc"),
        }
        for method in chosen
    ]
    text = "Pooled out-of-fold AUC of every method with its 95 % interval; a cross is the paper's figure."
    yield _keep(data, figures.forest_figure(rows), "auc", text, "discrimination")
    first = [method for name in data.references for method in chosen if method.name == name]
    for group in dict.fromkeys(method.group for method in chosen):
        others = [method for method in chosen if method.group == group and method not in first]
        step = figures.MOST_LINES - len(first)
        for part, start in enumerate(range(0, len(others), step) if others else []):
            shown = [*first, *others[start : start + step]]
            intervals = {method.name: method.summary["interval"]["auc"] for method in shown}
            figure = figures.roc_figure({method.name: method.found for method in shown}, intervals, f"ROC, {group}")
            name = f"roc_{registry.slug(group)}" + (f"_{part + 1}" if part else "")
            text = f"ROC curves of {group} and the references, pooled out-of-fold predictions of the first repeat."
            yield _keep(data, figure, name, text, "discrimination")


def _matrices(data: RunData):
    best = sorted(
        data.finished,
        key=lambda method: (paper_counts(method.method.PAPER) is None, -(method.summary["pooled"]["accuracy"] or 0)),
    )
    chosen = [method for name in data.references for method in data.finished if method.name == name]
    chosen = [*chosen, *(method for method in best if method not in chosen)][:MOST_MATRICES]
    pairs, alone = [], []
    for method in chosen:
        here, theirs = (f"{method.name}: here", confusion_counts(method.found)), paper_counts(method.method.PAPER)
        if theirs:
            pairs.append([here, (f"{method.name}: paper", theirs)])
        else:
            alone.append(here)
    pairs += [alone[start : start + 2] for start in range(0, len(alone), 2)]
    text = (
        "Confusion matrices of the references and the most accurate others (those that the paper has first), first "
        "repeat, each at its own threshold (Fig. S1); the paper's are what its metrics imply."
    )
    yield _keep(data, figures.confusion_figure(pairs, "event"), "confusion", text, "metrics")


def _calibration(data: RunData):
    chosen = [data.named(name) for name in data.references]
    for method in chosen:
        figure = figures.reliability_figure(method.found, method.name, "event")
        text = f"Reliability of {method.name}: observed against predicted risk, first repeat."
        yield _keep(data, figure, f"reliability_{registry.slug(method.name)}", text, "calibration")
    others = sorted((m for m in _with_auc(data.finished) if m not in chosen), key=lambda m: -m.summary["pooled"]["auc"])
    shown = {method.name: method.found for method in [*chosen, *others[:3]]}
    text = "Decision curves of the references and up to three methods with the highest AUC, first repeat."
    yield _keep(data, figures.decision_figure(shown), "decision", text, "calibration")


def _sweep(data: RunData):
    points = {method.method.W: method.summary for method in data.finished if method.group == "Figure 5"}
    own = data.named("CHMFL")  # the point at the paper's weight
    if points and own is not None:
        points[data.run.settings(Job(own.name, 0, 0), "cpu").options.get("w", PAPER_WEIGHT)] = own.summary
    points = dict(sorted(points.items()))
    if len(points) > 1:
        text = "CHMFL at other weights w of the segmentation loss (Eq. 1, Fig. 5); the band is the AUC's 95 % interval."
        yield _keep(data, figures.sweep_figure(points), "w_sweep", text, "learning")


def _learning(data: RunData):
    histories = {method.name: method.histories for method in data.methods if method.histories}
    for part, names in enumerate(_parts(list(histories))):
        figure = figures.learning_figure({name: histories[name] for name in names})
        text = f"Loss by epoch, a line a fold, first repeat: {', '.join(names)}."
        yield _keep(data, figure, f"learning_{part + 1}", text, "learning")


def _embeddings(data: RunData):
    found = {}
    for method in data.finished:
        for fold in sorted(set(data.run.folds[0].values())):
            vectors = read_arrays(data.run.job_folder(Job(method.name, 0, fold)) / FEATURES_FILE)
            names = sorted(set(vectors) & set(data.run.folds[0]))
            if len(names) >= LEAST_FEATURES:
                labels = [data.run.patients[name].label for name in names]
                held_out = [data.run.folds[0][name] == fold for name in names]
                values = np.stack([np.ravel(vectors[name]) for name in names])
                found[f"{method.name}, fold {fold}"] = (values, labels, held_out)
                break
    for part, names in enumerate(_parts(list(found))):
        figure = figures.tsne_figure({name: found[name] for name in names}, "event")
        text = (
            f"Features before the last layer, in two dimensions by t-SNE (Fig. 7): {'; '.join(names)}. Patients in a "
            "ring are new to the network; on the others it was trained."
        )
        yield _keep(data, figure, f"tsne_{part + 1}", text, "learning")


def _parts(names: list[str]) -> list[list[str]]:
    """Names of as many small plots as a figure holds."""
    return [names[start : start + figures.MOST_PLOTS] for start in range(0, len(names), figures.MOST_PLOTS)]


def _segmentations(data: RunData):
    """Two patients by rule: the median and the lowest Dice of the first segmenter among the references or the rest."""
    chosen = [method for method in data.methods if method.overlaps]
    first = next((m for m in chosen if m.name in data.references), chosen[0] if chosen else None)
    if first is None:
        return
    order = sorted(first.overlaps, key=lambda name: first.overlaps[name].metrics()["dice"])
    names = list(dict.fromkeys([order[len(order) // 2], order[0]]))[:MOST_PATIENTS]
    shown = {name: {} for name in names}
    for method in chosen:
        for case, found, truth, _, crop in segmented(data.run, method.name, names):
            shown[case.patient_id][method.name] = (found, truth, crop)
    patients = [_overlay(data, name, shown[name]) for name in names if shown[name]]
    text = (
        "Segmentations of held-out patients (solid) beside the delineated tumor (dashed), axial, where it is largest "
        f"(Fig. S2): the median and the lowest Dice of {first.name}."
    )
    yield _keep(data, images.patients_figure(patients), "segmentations", text, "segmentation")


def _overlay(data: RunData, name: str, found: dict) -> images.Patient:
    """Methods whose box is that of the first; another box cannot be laid over its slice."""
    _, truth, crop = next(iter(found.values()))
    masks = {method: mask for method, (mask, other, _) in found.items() if other.shape == truth.shape}
    overlaps = {method.name: method.overlaps for method in data.methods}
    dice = {method: overlaps[method][name].metrics()["dice"] for method in masks}
    pet, ct = (images.without_margin(volume, truth.shape) for volume in (crop.suv, crop.hu))
    return images.overlay_patient(name, pet, ct, truth, masks, dice)


def _relevance(data: RunData):
    """Of the held-out patients of whom most methods left a map, one with and one without the event."""
    left = {method.name: left_by(data.run, method.name, RELEVANCE_FILE) for method in data.finished}
    count = Counter(name for names in left.values() for name in names)
    order = sorted(count, key=lambda name: (-count[name], name))
    sides = [[name for name in order if data.run.patients[name].label == label] for label in (1, 0)]
    names = list(dict.fromkeys([*(side[0] for side in sides if side), *order]))[:MOST_PATIENTS]
    found: dict[str, list[tuple]] = {name: [] for name in names}
    for method in [name for name, patients in left.items() if set(names) & set(patients)][:MOST_MAPS]:
        try:
            for case, heat, truth, crop in explained(data.run, method, names):
                found[case.patient_id].append((method, heat, truth, crop))
        except (ChmflError, OSError) as error:  # the patients' files may be elsewhere by now
            _LOG.warning("relevance of %s cannot be drawn: %s", method, error)
    drawn = [images.relevance_patient(_outcome(data, name), maps) for name, maps in found.items() if maps]
    if drawn:
        text = "Where PET and CT drive the risk of held-out patients (Fig. 6): brighter is more, white line: half."
        yield _keep(data, images.patients_figure(drawn), "relevance", text, "learning")


def _outcome(data: RunData, name: str) -> str:
    return f"{name}, {'with' if data.run.patients[name].label else 'without'} the event"
