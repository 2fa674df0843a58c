"""From a finished run to a model bundle: the folds' networks become the ensemble, their predictions of unseen patients
the honest card.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from CHMFLPredictorLib import baseline, bundle, calibration, cautions, location, measurements, preprocessing, volumes
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_csv
from CHMFLPredictorLib.network import dm_log_odds
from CHMFLPredictorLib.segmentation import segment

from .cohort import Patient
from .evaluation import cross_fitted, dice, metrics
from .experiment import Run

THRESHOLD = {"value": 0.5, "chosen_by": "fixed before training: one half of a calibrated risk"}
_LOG = logging.getLogger(__name__)


def export(run_folder: Path, output: Path, name: str, version: str) -> None:
    """Write the run's bundle to ``output``, the out-of-fold predictions beside the weights as ``out_of_fold.csv``."""
    run = Run(run_folder)
    missing = [fold for fold in run.fold_numbers if not run.finished(fold)]
    if missing:
        raise BadInput(
            "run_unfinished", f"Folds {missing} of {run_folder} are not finished.", "Finish them with `train --resume`."
        )
    networks = {fold: _trained(run, fold) for fold in run.fold_numbers}
    rows = [
        _judge(run, run.patients[patient_id], networks[fold], fold) for patient_id, fold in sorted(run.folds.items())
    ]
    card, table = _card(run, rows, name, version)
    text_file = Path(run_folder) / "tables" / "bundle_out_of_fold.csv"
    write_csv(text_file, list(table[0]), [list(row.values()) for row in table])
    states = [network.state_dict() for network in networks.values()]
    bundle.save_bundle(output, card, states, {"out_of_fold.csv": text_file.read_bytes()})
    found = card["metrics"]["out_of_fold"]
    _LOG.info(
        "%s: out-of-fold AUC %.3f (%.2f to %.2f), baseline %.3f",
        output,
        found["auc"],
        *found["auc_ci"],
        card["metrics"]["baseline"]["auc"],
    )


def _trained(run: Run, fold: int):
    import torch
    from CHMFLPredictorLib.network import build_network

    network = build_network(run.preset.network)
    network.load_state_dict(torch.load(run.fold_folder(fold) / "network.pt", map_location="cpu", weights_only=True))
    return network.eval()


def _judge(run: Run, patient: Patient, network, fold: int) -> dict:
    """What the fold's network, which never saw this patient, and the baseline say, in the box found without help and
    around the mask.
    """
    settings = run.preset.preprocessing
    pet, ct, mask = (
        volumes.read_pet(patient.pet).image,
        volumes.read_ct(patient.ct).image,
        volumes.read_mask(patient.mask).image,
    )
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
        sample = preprocessing.prepare(pet, ct, center, settings)
        log_odds, probability = _forward(network, sample)
        row[f"{how}_log_odds"] = log_odds
        row[f"{how}_uptake"] = baseline.uptake(sample.suv, sample.grid.voxel_ml)
        if probability is not None:
            found = segment(probability, sample, ct)[0]
            row[f"{how}_dice"] = _dice(found, mask)
            row[f"{how}_tlg"] = measurements.measure(found, pet)["tlg"] or 0.0
    row["observed"] = cautions.observe(pet, ct, sample) | cautions.observe_tumor(truth)
    _LOG.info("%s: log-odds %.2f, Dice %s", patient.patient_id, row["automatic_log_odds"], row.get("automatic_dice"))
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


def _forward(network, sample) -> tuple[float, np.ndarray | None]:
    import torch

    with torch.inference_mode():
        dm_logits, segmentation = network(torch.from_numpy(sample.inputs[None]))
    probability = None if segmentation is None else segmentation.softmax(1)[0, 1].numpy()
    return float(dm_log_odds(dm_logits)), probability


def _dice(segment, mask) -> float:
    import SimpleITK as sitk

    mask = sitk.Resample(mask, segment, sitk.Transform(), sitk.sitkNearestNeighbor)  # exact where the grids are one
    return dice(sitk.GetArrayFromImage(segment), sitk.GetArrayFromImage(mask))


def _column(rows: list[dict], *names: str) -> np.ndarray:
    return np.array([[row[name] for name in names] for row in rows], dtype=float)


def _card(run: Run, rows: list[dict], name: str, version: str) -> tuple[dict, list[dict]]:
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
        "out_of_fold": metrics(labels, risk, folds) | _segmentation_metrics(rows),
        "baseline": {"name": baseline.NAME} | metrics(labels, baseline_risk, folds),
        "compared": {what: metrics(labels, values, folds) for what, values in compared.items()},
    }
    observed = [row.pop("observed") for row in rows]
    card = {
        "name": name,
        "version": version,
        "method": run.config["method"],
        "preset": run.config["preset"],
        "network": run.preset.network.to_dict(),
        "preprocessing": run.preset.preprocessing.to_dict(),
        "training": {
            "cohort": run.config["about"]["cohort"],
            "citation": run.config["about"]["citation"],
            "patients": len(rows),
            "folds": len(run.fold_numbers),
            "epochs": run.training.epochs,
            "settings": run.training.to_dict(),
            "members": "one network a fold, each trained on the other folds",
        },
        "metrics": found,
        "calibration": calibration.fit_calibration(_column(rows, "automatic_log_odds")[:, 0], labels),
        "threshold": THRESHOLD,
        "baseline": baseline.fit_baseline(_column(rows, "automatic_uptake")[:, 0], labels),
        "out_of_fold": {"risk": risk.round(4).tolist(), "dm": labels.tolist()},
        "input_ranges": cautions.input_ranges(observed),
        "license": f"Apache-2.0; license of the training data: {run.config['about']['license']}",
    }
    table = [
        {**_rounded(row), "risk": round(float(r), 4), "baseline_risk": round(float(b), 4)}
        for row, r, b in zip(rows, risk, baseline_risk, strict=True)
    ]
    return card, table


def _segmentation_metrics(rows: list[dict]) -> dict:
    if "automatic_dice" not in rows[0]:
        return {}
    values = {how: _column(rows, f"{how}_dice")[:, 0] for how in ("automatic", "mask")}
    return {
        "dice": round(float(values["automatic"].mean()), 4),
        "dice_median": round(float(np.median(values["automatic"])), 4),
        "dice_box_around_mask": round(float(values["mask"].mean()), 4),
    }


def _rounded(row: dict) -> dict:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
