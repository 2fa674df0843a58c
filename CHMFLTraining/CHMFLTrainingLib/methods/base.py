"""The interface that every method of the comparison implements, and what methods share.

A method is a subclass of :class:`Method` in a file of ``methods/``, one file a family. It is trained on some patients
and gives the risk of the event for others; everything that it fits (scaling, selection, threshold, calibration) sees
its training patients only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from CHMFLPredictorLib.errors import BadInput, ChmflError
from CHMFLPredictorLib.files import read_csv, write_json

from ..cohort.cases import Case, Paths
from ..training.settings import Settings
from .options import Options

if TYPE_CHECKING:
    from CHMFLPredictorLib.network.preprocessing import Preprocessing
    from CHMFLPredictorLib.network.presets import Preset

    from ..cohort.crops import Crop
    from ..training.recipes import Recipe
    from .options import TrainedOptions

GROUPS = ("Table I", "Table II", "Table SII", "Table SIII", "Figure 5", "Table SIV", "baseline")
STATE_FILE = "method.json"
STATE_VERSION = 1
PAPER_FILE = Path(__file__).with_name("paper.csv")  # what the paper prints of its rows, to hold beside it
RISK_FIGURES = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auc")
VOXEL_FIGURES = ("dice", "jaccard", "voxel_accuracy", "voxel_sensitivity", "voxel_specificity")
_WORDS = {"pet": "PET", "ct": "CT", "mask": "mask"}


class Method:
    """A method: fit on training patients, predict the risk for others, save, load.

    A subclass overrides :meth:`fit`, :meth:`predict`, :meth:`state` and :meth:`restore`, and the capital attributes.
    GROUP, ROW, PAPER and PAPER_SEGMENTATION of a row that the paper prints come from ``paper.csv``, by its name.

    :cvar NAME: the row's name in the paper's table.
    :cvar GROUP: one of :data:`GROUPS`.
    :cvar ROW: place in that table, for sorting; equal rows are sorted by name.
    :cvar SOURCE: citation of the method, DOI.
    :cvar OPEN: what the paper left open and what was chosen here.
    :cvar PAPER: the paper's accuracy, sensitivity, specificity, precision, f1, auc; None where it has no such row.
    :cvar PAPER_SEGMENTATION: the paper's dice, jaccard, accuracy, sensitivity, specificity of voxels (Table SIV), or
        None.
    :cvar Options: its family's options, with types and limits; an instance's ``options`` are those of its settings.
    :cvar UNREAD: names among them that would change nothing of this row.
    :cvar OPTIONS: names of the options that it reads, which follow from these two; a run refuses others.
    :cvar NEEDS: what of a case it reads in training, of "pet", "ct", "mask", "clinical".
    :cvar NEEDS_TO_PREDICT: what of a new case it reads; :attr:`NEEDS` unless the class says otherwise. Without "mask"
        here, a mask does no more than place the box, and any mark of the tumor's place will do.
    :ivar threshold: risk from which a patient counts as positive, fitted inside the training patients.
    """

    NAME: ClassVar[str] = ""
    GROUP: ClassVar[str] = "baseline"
    ROW: ClassVar[int] = 0
    SOURCE: ClassVar[str] = ""
    OPEN: ClassVar[str] = ""
    PAPER: ClassVar[dict[str, float] | None] = None
    PAPER_SEGMENTATION: ClassVar[dict[str, float] | None] = None
    Options: ClassVar[type[Options]] = Options
    UNREAD: ClassVar[frozenset[str]] = frozenset()
    OPTIONS: ClassVar[frozenset[str]] = frozenset()
    NEEDS: ClassVar[frozenset[str]] = frozenset({"pet", "ct", "mask"})
    NEEDS_TO_PREDICT: ClassVar[frozenset[str]] = NEEDS

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        if "NEEDS" in vars(cls) and "NEEDS_TO_PREDICT" not in vars(cls):
            cls.NEEDS_TO_PREDICT = cls.NEEDS
        if {"Options", "UNREAD"} & vars(cls).keys():
            cls.OPTIONS = cls.Options.names() - cls.UNREAD
        for name, value in paper_rows().get(vars(cls).get("NAME", ""), {}).items():
            setattr(cls, name, value)

    def __init__(self, settings: Settings):
        """Read the options.

        :raises BadInput: method_option.
        """
        self.settings = settings
        self.options = self.Options.read(settings.options, self.OPTIONS, self.NAME)
        self.threshold = 0.5

    @property
    def recipe(self) -> Recipe | None:
        """How the row's network is trained; None: it trains none."""
        return None

    @property
    def left_out(self) -> str | None:
        """Why the row cannot be part of a table with these settings, in a sentence; None: it can."""
        return None

    def prepare(self, case: Case) -> None:
        """Compute what :meth:`fit` and :meth:`predict` will ask of this patient's cache (features, crops).

        Optional: a run may call it for all patients on all cores before its jobs. It must not look at the outcome.
        """

    def check_inputs(self, cases: list[Case]) -> None:
        """Refuse patients who lack an image that the method reads, before anything is computed.

        :raises BadInput: input_missing, with the patients.
        """
        for name in sorted(self.NEEDS & set(Paths._fields)):
            lacking = [case.patient_id for case in cases if getattr(case.paths, name) is None]
            if lacking:
                text = f"{self.NAME} needs the {_WORDS[name]} of every patient; it is not given for: "
                hint = "Add it to the cohort, or leave the method or these patients out."
                raise BadInput("input_missing", f"{text}{', '.join(lacking)}.", hint)

    def fit(self, cases: list[Case], folder: Path, on_progress: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Train.

        :param folder: the job's own: checkpoints go there and a second call resumes from them.
        :param on_progress: gets ``{"epoch", "epochs", "loss", ...}``; may raise to stop.
        """
        raise NotImplementedError

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk of the event, 0 to 1, shape (n,)."""
        raise NotImplementedError

    def segment(self, case: Case) -> np.ndarray | None:
        """The tumor on the case's crop grid without its margin, uint8 (X, Y, Z); None: the method does not segment."""
        return None

    def embedding(self, cases: list[Case]) -> np.ndarray | None:
        """The features that the classifier sees, float32 (n, d), for t-SNE (Figure 7); None: the method has none."""
        return None

    def relevance(self, case: Case) -> np.ndarray | None:
        """Where the risk comes from, float32 on the grid of :meth:`segment`; None: the method does not tell."""
        return None

    def state(self, folder: Path) -> dict[str, Any]:
        """What was fitted, as JSON values. Larger things go into files in ``folder`` (npz, safetensors; no pickle)."""
        raise NotImplementedError

    def restore(self, state: dict[str, Any], folder: Path) -> None:
        """The inverse of :meth:`state`."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the fitted method into a folder; ``method.json`` last, so that it stands for the whole."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "schema_version": STATE_VERSION,
            "method": self.NAME,
            "settings": asdict(self.settings),
            "threshold": float(self.threshold),
            "state": self.state(folder),
        }
        write_json(folder / STATE_FILE, values)

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Method:
        """Read what :meth:`save` wrote.

        :param device: where it is to run; None: where it was trained ("cpu", "cuda" or "cuda:n"). A model trained on
            one device can be read on any other.
        :raises BadInput: model_damaged where it cannot be read or is another method's.
        """
        folder = Path(folder)
        try:
            values = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            if values["method"] != cls.NAME or values["schema_version"] != STATE_VERSION:
                raise ValueError(f"it holds {values['method']!r}, version {values['schema_version']}")
            settings = Settings(**values["settings"])
            method = cls(settings if device is None else replace(settings, device=device))
            method.threshold = float(values["threshold"])
            method.restore(values["state"], folder)
        except ChmflError:
            raise
        except Exception as error:  # whatever a damaged file makes of json, npz, safetensors or a method's arrays
            text = f"The saved model of {cls.NAME} in {folder} cannot be read: {error}."
            raise BadInput("model_damaged", text, "Delete the folder and train this fold again.") from error
        return method


@cache
def paper_rows() -> dict[str, dict[str, Any]]:
    """GROUP, ROW, PAPER and PAPER_SEGMENTATION of the rows that the paper prints, by their names."""
    return {
        row["name"]: {
            "GROUP": row["group"],
            "ROW": int(row["row"]),
            "PAPER": _figures(row, RISK_FIGURES),
            "PAPER_SEGMENTATION": _figures(row, VOXEL_FIGURES),
        }
        for row in read_csv(PAPER_FILE)
    }


def _figures(row: dict[str, str], names: tuple[str, ...]) -> dict[str, float] | None:
    return {name.removeprefix("voxel_"): float(row[name]) for name in names if row[name]} or None


def preset_of(preset: str, options: TrainedOptions) -> Preset:
    """Network and preprocessing of a preset in the voxels and the box that were asked for, the same for all methods, so
    that the rows of a table see the same and share cached crops.

    :raises BadInput: method_option, for a box that the network cannot halve.
    """
    from CHMFLPredictorLib.network.presets import PRESETS, Preset

    chosen = PRESETS[preset]
    preprocessing = replace(
        chosen.preprocessing,
        voxel_mm=options.voxel_mm or chosen.preprocessing.voxel_mm,
        size_voxels=options.box_voxels or chosen.preprocessing.size_voxels,
    )
    try:
        return Preset(replace(chosen.network, input_size=preprocessing.size_voxels), preprocessing)
    except ValueError as error:
        text = f"The option box_voxels does not fit: {error}."
        raise BadInput("method_option", text, "Give three multiples of 16, as in box_voxels=112,112,144.") from error


def standardized_by(preprocessing: Preprocessing, crops: list[Crop]) -> Preprocessing:
    """The steps with the training patients' mean and deviation, where the preset standardizes by them."""
    from CHMFLPredictorLib.network.preprocessing import standardized

    from ..cohort.crops import box_of_crop

    boxes = map(box_of_crop, crops)
    return standardized(preprocessing, ((suv, hu, inside) for suv, hu, _, inside in boxes))


def labels_of(cases: list[Case]) -> np.ndarray:
    """Outcomes of training patients, int (n,).

    :raises BadInput: label_missing, one_outcome.
    """
    unlabeled = [case.patient_id for case in cases if case.label is None]
    if unlabeled:
        text = f"Patients without a label cannot train a method: {', '.join(unlabeled)}."
        raise BadInput("label_missing", text, "Give each a label, or leave them out of the folds.")
    labels = np.array([case.label for case in cases], dtype=int)
    if np.unique(labels).size != 2:
        text = f"The {labels.size} training patients do not hold both outcomes."
        raise BadInput("one_outcome", text, "Use folds whose training patients have and have not the event.")
    return labels
