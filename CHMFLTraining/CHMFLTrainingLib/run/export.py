"""From a comparison's CHMFL to a model bundle: a repeat's networks become the ensemble, their predictions of unseen
patients the honest card.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import csv_bytes
from CHMFLPredictorLib.model import baseline, bundle, calibration, warnings
from CHMFLPredictorLib.network import preprocessing
from CHMFLPredictorLib.network.chmfl import dm_log_odds
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.tumor import location, measurements
from CHMFLPredictorLib.tumor.segmentation import segment

from ..cohort.cohort import Patient
from ..statistics.calibration import cross_fitted
from ..statistics.metrics import out_of_fold, summarize
from ..statistics.segmentation import dice
from .run import Comparison, Job

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.presets import Preset

    from ..training.config import TrainingConfig

EXPORTED = "CHMFL"
THRESHOLD = {"value": 0.5, "chosen_by": "fixed before training: one half of a calibrated risk"}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trained:
    """CHMFL of one repeat of a comparison: its folds and their networks, and how they were made."""

    run: Comparison
    folds: dict[str, int]
    networks: dict
    preset: Preset
    training: TrainingConfig


def export(
    run_folder: Path,
    method: str,
    repeat: int,
    output: Path,
    name: str,
    version: str,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> dict:
    """Write a bundle of a comparison's CHMFL to ``output``, the out-of-fold predictions beside the weights as
    ``out_of_fold.csv``. The bundle's format holds CHMFL's network, so only CHMFL can be exported.

    :param on_progress: gets patients done, all, and the next one's name.
    :returns: the card's metrics: ``out_of_fold``, ``baseline``, ``compared``.
    :raises BadInput: export_method, method_not_compared, folds_repeat, run_unfinished, and of opening the run.
    """
    if method.strip().lower() != EXPORTED.lower():
        text = f"A model bundle of {method!r} cannot be made."
        raise BadInput("export_method", text, f"Only {EXPORTED} runs in the predictor; others: `predict RUN --method`.")
    trained, rows = _trained(Comparison(run_folder), repeat), []
    for number, (patient_id, fold) in enumerate(sorted(trained.folds.items())):
        if on_progress:
            on_progress(number, len(trained.folds), patient_id)
        patient, settings = trained.run.patients[patient_id], trained.preset.preprocessing
        rows.append(_judge(settings, patient, trained.networks[fold], fold))
    card, table = _card(trained, rows, name, version)
    out_of_fold = csv_bytes(list(table[0]), [list(row.values()) for row in table])
    states = [network.state_dict() for network in trained.networks.values()]
    bundle.save_bundle(output, card, states, {"out_of_fold.csv": out_of_fold})
    return card["metrics"]


def _trained(run: Comparison, repeat: int) -> _Trained:
    if EXPORTED not in run.plan.methods:
        text = f"The run {run.folder} does not compare {EXPORTED}."
        raise BadInput("method_not_compared", text, f"Add it: `compare --resume --methods {EXPORTED}`.")
    if not 0 <= repeat < run.plan.repeats:
        raise BadInput("folds_repeat", f"The run {run.folder} has no repeat {repeat}.", "Choose one of its repeats.")
    jobs = [job for job in run.jobs if job.method == EXPORTED and job.repeat == repeat]
    missing = [job.fold for job in jobs if run.state(job) != "finished"]
    if missing:
        text = f"Folds {missing} of {EXPORTED} in {run.folder} are not finished."
        raise BadInput("run_unfinished", text, "Finish them with `compare --resume`.")
    fitted = {job.fold: _fitted(run, job) for job in jobs}
    networks, last = {fold: _network(method) for fold, method in fitted.items()}, fitted[jobs[-1].fold]
    return _Trained(run, run.folds[repeat], networks, last.preset, last.training_config())


def _fitted(run: Comparison, job: Job):
    return run.method_class(EXPORTED).load(run.job_folder(job) / "model", "cpu")


def _network(method):
    """The fold's network as the predictor builds it."""
    from CHMFLPredictorLib.network.chmfl import build_network

    network = build_network(method.preset.network)
    network.load_state_dict(method.network.state_dict())
    return network.eval()


def _judge(settings: preprocessing.Preprocessing, patient: Patient, network, fold: int) -> dict:
    """What the fold's network, which never saw this patient, and the baseline say, in the box found without help and
    around the mask.
    """
    pet, mask = volumes.read_pet(patient.pet).image, volumes.read_mask(patient.mask).image
    ct_volume = volumes.read_ct(patient.ct)
    ct = ct_volume.image
    row = {"patient_id": patient.patient_id, "fold": fold, "label": patient.label}
    truth = measurements.measure(mask, pet)
    row |= {
        "gtv_log_volume": float(np.log(truth["volume_ml"])),
        "gtv_log_suv_max": float(np.log(truth["suv_max"])),
        "gtv_tlg": truth["tlg"],
    }
    centers = {
        "automatic": _automatic_center(patient, pet, ct, mask, settings),
        "mask": location.from_mask(mask).center_ras,
    }
    for how, center in centers.items():
        network_input = preprocessing.prepare(pet, ct, center, settings, ct_volume.no_data)
        log_odds, probability = _forward(network, network_input)
        row[f"{how}_log_odds"] = log_odds
        row[f"{how}_uptake"] = baseline.uptake(network_input.suv, network_input.grid.voxel_ml)
        if probability is not None:
            found = segment(probability, network_input, ct)[0]
            row[f"{how}_dice"] = _dice(found, mask)
            row[f"{how}_tlg"] = measurements.measure(found, pet)["tlg"] or 0.0
    row["observed"] = warnings.observe(pet, ct, network_input) | warnings.observe_tumor(truth)
    return row


def _automatic_center(patient: Patient, pet, ct, mask, settings) -> tuple[float, float, float]:
    """Where the box lies without help. A user would be asked for a point where the search refuses; so it is the mask's
    center then, and the log says so.
    """
    try:
        return location.find(pet, ct, settings.size_mm).center_ras
    except BadInput as refused:
        _LOG.warning("%s: %s The mask's center is taken.", patient.patient_id, refused.message)
        return location.from_mask(mask).center_ras


def _forward(network, network_input) -> tuple[float, np.ndarray | None]:
    import torch

    with torch.inference_mode():
        dm_logits, segmentation = network(torch.from_numpy(network_input.inputs[None]))
    probability = None if segmentation is None else segmentation.softmax(1)[0, 1].numpy()
    return float(dm_log_odds(dm_logits)), probability


def _dice(segment, mask) -> float:
    import SimpleITK as sitk

    mask = sitk.Resample(mask, segment, sitk.Transform(), sitk.sitkNearestNeighbor)  # exact where the grids are one
    return dice(sitk.GetArrayFromImage(segment), sitk.GetArrayFromImage(mask))


def _column(rows: list[dict], *names: str) -> np.ndarray:
    return np.array([[row[name] for name in names] for row in rows], dtype=float)


def _card(trained: _Trained, rows: list[dict], name: str, version: str) -> tuple[dict, list[dict]]:
    labels, folds = _column(rows, "label")[:, 0].astype(int), _column(rows, "fold")[:, 0].astype(int)
    # a large inverse penalty: calibration of one score, not learning
    risk = cross_fitted(labels, _column(rows, "automatic_log_odds"), folds, 100.0)
    baseline_risk = cross_fitted(labels, _column(rows, "automatic_uptake"), folds, 100.0)
    compared = {
        "network, box around the tumor's mask": cross_fitted(labels, _column(rows, "mask_log_odds"), folds, 100.0),
        "volume and SUVmax of the tumor's mask": cross_fitted(
            labels, _column(rows, "gtv_log_volume", "gtv_log_suv_max"), folds
        ),
        "total lesion glycolysis of the tumor's mask": cross_fitted(
            labels, np.log(_column(rows, "gtv_tlg") + 1), folds, 100.0
        ),
    }
    if "automatic_tlg" in rows[0]:
        own = cross_fitted(labels, np.log(_column(rows, "automatic_tlg") + 1), folds, 100.0)
        compared["total lesion glycolysis of the network's own segmentation"] = own
    found = {
        "out_of_fold": _metrics(rows, risk) | _segmentation_metrics(rows),
        "baseline": {"name": baseline.NAME} | _metrics(rows, baseline_risk),
        "compared": {what: _metrics(rows, values) for what, values in compared.items()},
    }
    observed, about = [row.pop("observed") for row in rows], trained.run.config["about"]
    card = {
        "name": name,
        "version": version,
        "method": EXPORTED,
        "preset": trained.run.plan.preset,
        "network": trained.preset.network.to_dict(),
        "preprocessing": trained.preset.preprocessing.to_dict(),
        "training": {
            "cohort": about["cohort"],
            "citation": about["citation"],
            "patients": len(rows),
            "folds": len(trained.networks),
            "epochs": trained.training.epochs,
            "settings": trained.training.to_dict(),
            "members": "one network a fold, each trained on the other folds",
        },
        "metrics": found,
        "calibration": calibration.fit_calibration(_column(rows, "automatic_log_odds")[:, 0], labels),
        "threshold": THRESHOLD,
        "baseline": baseline.fit_baseline(_column(rows, "automatic_uptake")[:, 0], labels),
        "out_of_fold": {"risk": risk.round(4).tolist(), "dm": labels.tolist()},
        "input_ranges": warnings.input_ranges(observed),
        "license": f"Apache-2.0; license of the training data: {about['license']}",
    }
    table = [
        {**_rounded(row), "risk": round(float(r), 4), "baseline_risk": round(float(b), 4)}
        for row, r, b in zip(rows, risk, baseline_risk, strict=True)
    ]
    return card, table


def _metrics(rows: list[dict], risk: np.ndarray) -> dict:
    """What the card says of the out-of-fold risks: the report's numbers, at the card's threshold."""
    about = {"repeat": 0, "threshold": THRESHOLD["value"]}
    found = summarize(out_of_fold(row | about | {"risk": one} for row, one in zip(rows, risk, strict=True)))
    pooled = found["pooled"]
    first = {"auc": pooled["auc"], "auc_ci": found["interval"]["auc"], "fold_auc": found["fold_mean"]["auc"]}
    return _rounded(first | pooled | {"brier": found["brier"], "patients": found["patients"]})


def _segmentation_metrics(rows: list[dict]) -> dict:
    if "automatic_dice" not in rows[0]:
        return {}
    values = {how: _column(rows, f"{how}_dice")[:, 0] for how in ("automatic", "mask")}
    return {
        "dice": round(float(values["automatic"].mean()), 4),
        "dice_median": round(float(np.median(values["automatic"])), 4),
        "dice_box_around_mask": round(float(values["mask"].mean()), 4),
    }


def _rounded(values: dict) -> dict:
    return {name: _to_four_digits(value) for name, value in values.items()}


def _to_four_digits(value):
    if isinstance(value, list):
        return [_to_four_digits(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
