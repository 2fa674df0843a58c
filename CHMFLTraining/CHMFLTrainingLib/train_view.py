"""CHMFL's folds of a comparison as a run of ``train``, which is what ``export`` reads."""

from __future__ import annotations

from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes, write_csv, write_json

from .comparison import Comparison, Job

EXPORTED = "CHMFL"


def write_train_run(run: Comparison, repeat: int, folder: Path) -> None:
    """Write a run of ``train`` with the comparison's networks of one repeat into an empty folder.

    :raises BadInput: method_not_compared, run_unfinished, folds_repeat.
    """
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
    write_bytes(folder / "folds.csv", (run.folder / "folds.csv").read_bytes())
    for job in jobs:
        method = _one_fold(run, job, folder)
    config = {
        "method": EXPORTED,
        "preset": run.plan.preset,
        "repeat": repeat,
        "cohort": str((run.folder / "cohort.csv").resolve()),
        "about": run.config["about"],
        "network": method.preset.network.to_dict(),
        "preprocessing": method.preset.preprocessing.to_dict(),
        "training": method.training_config().to_dict(),
    }
    write_json(folder / "config.json", config)


def _one_fold(run: Comparison, job: Job, folder: Path):
    """The fold's network where ``export`` looks for it; returns the fitted method."""
    import io

    import torch

    method = run.method_class(EXPORTED).load(run.job_folder(job) / "model", "cpu")
    place = folder / EXPORTED / f"repeat_{job.repeat}" / f"fold_{job.fold}"
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in method.network.state_dict().items()}, buffer)
    write_bytes(place / "network.pt", buffer.getvalue())
    rows = run.predictions(job)
    write_csv(place / "predictions.csv", list(rows[0]), [list(row.values()) for row in rows])
    return method
