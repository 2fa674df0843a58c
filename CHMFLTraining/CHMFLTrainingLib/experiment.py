"""A run on disk, after nnU-Net's habit: configuration, folds, and one folder a method, repeat and fold.

``RUN/config.json``, ``RUN/folds.csv``, ``RUN/cache/``, ``RUN/CHMFL/repeat_r/fold_k/{checkpoint_latest.pt, history.csv,
predictions.csv}``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes, write_csv, write_json
from CHMFLPredictorLib.network import NetworkConfig
from CHMFLPredictorLib.preprocessing import Preprocessing
from CHMFLPredictorLib.presets import PRESETS, Preset

from .cohort import Patient, about_cohort, read_cohort
from .folds import draw_folds, read_folds, write_folds
from .samples import Crop, load_crop
from .training import TRAINING_PRESETS, FoldTraining, TrainingConfig, fold_predictions

METHOD = "CHMFL"
DRAWN_FOLDS = 6  # the paper's
_LOG = logging.getLogger(__name__)


class Run:
    """A training run: made once from a cohort, folds and a preset; opened again from its folder."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        path = self.folder / "config.json"
        if not path.exists():
            raise BadInput(
                "run_missing", f"There is no run in {self.folder}: config.json is missing.", "Start one with `train`."
            )
        self.config = json.loads(path.read_text(encoding="utf-8"))
        self.preset = Preset(
            NetworkConfig.from_dict(self.config["network"]), Preprocessing.from_dict(self.config["preprocessing"])
        )
        self.training = TrainingConfig.from_dict(self.config["training"])
        self.patients = {patient.patient_id: patient for patient in read_cohort(Path(self.config["cohort"]))}
        self.folds = read_folds(self.folder / "folds.csv", self.config["repeat"], list(self.patients.values()))

    @classmethod
    def create(cls, folder: Path, cohort: Path, folds: Path | None, preset: str, repeat=0, voxel_mm=None, **changes):
        """Make the run's folder and open it.

        :param folds: CSV of folds; None draws six with equal shares of both outcomes.
        :param voxel_mm: voxel side instead of the preset's; the box keeps its number of voxels.
        :param changes: fields of :class:`TrainingConfig` that differ from the preset's.
        """
        folder = Path(folder)
        if (folder / "config.json").exists():
            hint = "Add --resume to go on with it, or choose another folder."
            raise BadInput("run_exists", f"There is a run in {folder} already.", hint)
        patients, chosen = read_cohort(cohort), PRESETS[preset]
        preprocessing = replace(chosen.preprocessing, **({"voxel_mm": voxel_mm} if voxel_mm else {}))
        training = replace(TRAINING_PRESETS[preset], **changes)
        if folds is None:
            write_folds(folder / "folds.csv", draw_folds(patients, DRAWN_FOLDS, training.seed))
        else:
            read_folds(folds, repeat, patients)
            write_bytes(folder / "folds.csv", Path(folds).read_bytes())
        config = {
            "method": METHOD,
            "preset": preset,
            "repeat": repeat,
            "cohort": str(Path(cohort).resolve()),
            "about": about_cohort(cohort),
            "network": chosen.network.to_dict(),
            "preprocessing": preprocessing.to_dict(),
            "training": training.to_dict(),
        }
        write_json(folder / "config.json", config)
        return cls(folder)

    @property
    def fold_numbers(self) -> list[int]:
        """All folds of the run."""
        return sorted(set(self.folds.values()))

    def fold_folder(self, fold: int) -> Path:
        """Where a fold's files lie."""
        return self.folder / METHOD / f"repeat_{self.config['repeat']}" / f"fold_{fold}"

    def finished(self, fold: int) -> bool:
        """Whether the fold's network and its predictions of the held-out patients are on disk."""
        return all((self.fold_folder(fold) / name).exists() for name in ("network.pt", "predictions.csv"))

    def patients_of(self, fold: int, held_out: bool) -> list[Patient]:
        """The fold's test patients, or its training patients."""
        return [self.patients[name] for name, number in self.folds.items() if (number == fold) == held_out]

    def crops(self, patients: list[Patient]) -> list[Crop]:
        """The patients' crops, through the run's cache."""
        return [load_crop(patient, self.preset.preprocessing, self.folder / "cache") for patient in patients]

    def fold_training(self, fold: int, device: str = "cpu") -> FoldTraining:
        """A fold ready to train or to predict."""
        crops = [self.crops(self.patients_of(fold, held_out)) for held_out in (False, True)]
        return FoldTraining(self.preset, self.training, *crops, fold=fold, folder=self.fold_folder(fold), device=device)

    def train(
        self, folds: list[int] | None = None, device: str = "cpu", on_epoch: Callable[[int, dict], None] | None = None
    ) -> None:
        """Train the folds that are not finished; a finished one is never computed again."""
        unknown = sorted(set(folds or []) - set(self.fold_numbers))
        if unknown:
            raise BadInput("fold_unknown", f"The run has no fold {unknown[0]}.", f"Its folds are {self.fold_numbers}.")
        for fold in folds or self.fold_numbers:
            if self.finished(fold):
                _LOG.info("fold %d is finished", fold)
                continue
            self.fold_training(fold, device).run(lambda row, fold=fold: on_epoch(fold, row) if on_epoch else None)
        self.summarize()

    def predictions(self) -> list[dict]:
        """Held-out predictions of all finished folds."""
        rows = []
        for fold in self.fold_numbers:
            if self.finished(fold):
                rows += fold_predictions(self.fold_folder(fold))
        return rows

    def summarize(self) -> None:
        """Write the out-of-fold predictions of the finished folds in one table, and ``summary.json``."""
        rows = self.predictions()
        if not rows:
            return
        write_csv(self.folder / "tables" / "out_of_fold.csv", list(rows[0]), [list(row.values()) for row in rows])
        overlaps = [float(row["dice"]) for row in rows if row["dice"]]
        summary = {"folds_finished": [fold for fold in self.fold_numbers if self.finished(fold)], "patients": len(rows)}
        summary["dice"] = round(sum(overlaps) / len(overlaps), 4) if overlaps else None
        write_json(self.folder / "summary.json", summary)
