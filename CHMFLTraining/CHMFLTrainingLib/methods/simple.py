"""The simple methods: logistic regression on a few numbers a patient, of the outlined tumor, of the box around it or
known without an image. A method that does not beat them has learned nothing.

Gaps, scaling, coefficients and the threshold come from the training patients only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.model import baseline
from CHMFLPredictorLib.model.calibration import sigmoid
from CHMFLPredictorLib.network import preprocessing
from CHMFLPredictorLib.network.preprocessing import ChannelSteps, Preprocessing
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.tables import as_number
from CHMFLPredictorLib.tumor import location

from ..cohort.cases import Case
from ..features.radiomics import measured
from .base import Method, labels_of
from .options import Options, several

# the paper's box, 112 x 112 x 144 mm, at about the PET's own resolution
BOX = Preprocessing(voxel_mm=4.0, size_voxels=(28, 28, 36), pet=ChannelSteps(), ct=ChannelSteps())
COLUMNS = ("age", "sex", "grade", "stage", "depth", "mskcc_type")
# what follows the disease instead of preceding it: treatment and everything of the outcome
FORBIDDEN = re.compile(
    r"treat|therap|chemo|radio|surg|resect|outcome|status|follow|days|month|years?_to|mets|metast|recur|relapse|death|"
    r"dead|alive|surviv|progress|\btime\b|event|label|^dm$|^dfs|^os$|^pfs",
    re.IGNORECASE,
)
UNKNOWN = {"", "-", "--", "na", "n/a", "nan", "none", "unknown", "?"}


class LogisticMethod(Method):
    """A method that is a logistic regression with a ridge penalty (scikit-learn's default, C = 1) on standardized
    numbers. A subclass says which by :meth:`numbers`.

    The threshold is the share of events among the training patients: with calibrated risks that treats both outcomes
    alike, and it is 0.5 in a balanced cohort.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.names: list[str] = []
        self.median = self.mean = self.scale = self.slopes = np.zeros(0)
        self.intercept = 0.0

    def numbers(self, case: Case) -> dict[str, float]:
        """The patient's numbers by name, NaN where unknown; never of the outcome."""
        raise NotImplementedError

    def learn_columns(self, cases: list[Case]) -> None:
        """Choose what :meth:`numbers` gives, from training patients, where it is not fixed."""

    def prepare(self, case: Case) -> None:
        """Fill the cache."""
        self.numbers(case)

    def fit(self, cases: list[Case], folder: Path, on_progress=None) -> None:
        """Fit to the training patients, in one step.

        :raises BadInput: label_missing, one_outcome, no_numbers.
        """
        from sklearn.linear_model import LogisticRegression

        labels = labels_of(cases)
        self.learn_columns(cases)
        rows = [self.numbers(case) for case in cases]
        values = np.array([list(row.values()) for row in rows], dtype=np.float64).reshape(len(rows), -1)
        known = np.isfinite(values).any(axis=0)
        if not known.any():
            text = f"None of the training patients has what {self.NAME} needs."
            raise BadInput("no_numbers", text, "Check the cohort, or leave this method out.")
        self.names = [name for name, usable in zip(rows[0], known, strict=True) if usable]
        values = values[:, known]
        self.median = np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=0)
        values = np.where(np.isfinite(values), values, self.median)
        self.mean, spread = values.mean(axis=0), values.std(axis=0)
        self.scale = np.where(spread > 1e-9, spread, 1.0)
        model = LogisticRegression(C=1.0, max_iter=1000, tol=1e-8).fit((values - self.mean) / self.scale, labels)
        self.slopes, self.intercept = model.coef_[0], float(model.intercept_[0])
        self.threshold = float(labels.mean())
        if on_progress:
            on_progress({"epoch": 1, "epochs": 1})

    def predict(self, cases: list[Case]) -> np.ndarray:
        """Risk of the event, (n,)."""
        if not self.names:
            raise ValueError(f"{self.NAME} is not fitted")
        rows = [self.numbers(case) for case in cases]
        values = np.array([[row[name] for name in self.names] for row in rows], dtype=np.float64)
        values = np.where(np.isfinite(values), values, self.median).reshape(len(rows), -1)
        return sigmoid((values - self.mean) / self.scale @ self.slopes + self.intercept)

    def state(self, folder: Path) -> dict:
        """Coefficients and scaling."""
        arrays = {name: getattr(self, name).tolist() for name in ("median", "mean", "scale", "slopes")}
        return {"names": self.names, "intercept": self.intercept, **arrays}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.names, self.intercept = list(state["names"]), float(state["intercept"])
        for name in ("median", "mean", "scale", "slopes"):
            values = np.array(state[name], dtype=np.float64)
            if values.shape != (len(self.names),) or not np.isfinite(values).all():
                raise ValueError(f"{name} does not fit the {len(self.names)} numbers")
            setattr(self, name, values)


class VolumeSuvMax(LogisticMethod):
    """On log volume (ml) and log SUVmax of the mask."""

    NAME = "Volume + SUVmax"
    GROUP = "baseline"
    ROW = 1
    SOURCE = (
        "Eary JF, O'Sullivan F, O'Sullivan J, Conrad EU. Spatial heterogeneity in sarcoma 18F-FDG uptake as a "
        "predictor of patient outcome. J Nucl Med 2008;49:1973-9 (SUVmax and volume are what heterogeneity is held "
        "against; reference 43 of the paper)"
    )
    OPEN = "Not in the paper. Here: natural logarithms, ridge penalty C = 1, SUVmax on the PET's own voxels."
    NEEDS = frozenset({"pet", "mask"})

    def numbers(self, case: Case) -> dict[str, float]:
        """Both logarithms."""
        values = measured(case)
        return {f"log_{name}": log_or_nan(values[f"measured_{name}"]) for name in ("volume_ml", "suv_max")}


class Tlg(LogisticMethod):
    """On the log of volume times mean SUV of the mask (SUV x ml)."""

    NAME = "TLG"
    GROUP = "baseline"
    ROW = 2
    SOURCE = (
        "Larson SM, et al. Tumor treatment response based on visual and quantitative changes in global tumor "
        "glycolysis using PET-FDG imaging. Clin Positron Imaging 1999;2:159-71"
    )
    OPEN = "Not in the paper. Here: natural logarithm, PET interpolated at the mask's voxels."
    NEEDS = frozenset({"pet", "mask"})

    def numbers(self, case: Case) -> dict[str, float]:
        """The logarithm of the TLG."""
        return {"log_tlg": log_or_nan(measured(case)["measured_tlg"])}


class Uptake(LogisticMethod):
    """On the log of the sum of SUV x ml over voxels with SUV above 2 in the box."""

    NAME = "Uptake"
    GROUP = "baseline"
    ROW = 3
    SOURCE = "This project: the baseline that the predictor shows beside the network."
    OPEN = (
        "Not in the paper. Here: the box of section II.A read as 112 x 112 x 144 mm. The mask only places the box, as "
        "it does for the networks; its outline is not used."
    )
    NEEDS = frozenset({"pet", "mask"})
    NEEDS_TO_PREDICT = frozenset({"pet"})

    def numbers(self, case: Case) -> dict[str, float]:
        """The logarithm of the uptake."""
        return case.features(f"uptake 1 {BOX.voxel_mm} {BOX.size_voxels} {baseline.SUV_CUT}", _uptake)


@dataclass(frozen=True)
class ClinicalOptions(Options):
    """:param columns: those of the cohort that are read, where it has them."""

    columns: tuple[str, ...] = several(default=COLUMNS)


class Clinical(LogisticMethod):
    """On clinical columns; words become one column a value seen in at least two training
    patients.
    """

    NAME = "Clinical"
    GROUP = "baseline"
    ROW = 4
    SOURCE = (
        "Grade and histology: Coindre JM, et al. Predictive value of grade for metastasis development in the main "
        "histologic types of adult soft tissue sarcomas. Cancer 2001;91:1914-26, "
        "doi:10.1002/1097-0142(20010515)91:10<1914::AID-CNCR1214>3.0.CO;2-3"
    )
    OPEN = (
        f"Not in the paper. Here: those of the columns {', '.join(COLUMNS)} that the cohort has; others by the option "
        "'columns'. Treatment and everything that follows the outcome is refused: chemotherapy is given to those whose "
        "disease spreads, and would pass for a predictor."
    )
    Options = ClinicalOptions
    NEEDS = frozenset({"clinical"})

    def __init__(self, settings):
        super().__init__(settings)
        forbidden = [name for name in self.options.columns if FORBIDDEN.search(name)]
        if forbidden:
            text = f"{', '.join(forbidden)} cannot predict: it is known only after the decision, or is the outcome."
            raise BadInput("clinical_column_forbidden", text, "Name columns that are known before treatment.")
        self.values: dict[str, list[str] | None] = {}

    def prepare(self, case: Case) -> None:
        """Nothing to compute beforehand."""

    def learn_columns(self, cases: list[Case]) -> None:
        """Columns that are numbers (values None), and the words of the others.

        :raises BadInput: clinical_columns_missing.
        """
        self.values = {}
        for name in self.options.columns:
            known = [word for word in (_word(case, name) for case in cases) if word]
            if not known:
                continue
            if all(_number(word) is not None for word in known):
                self.values[name] = None
            else:
                frequent = sorted({word for word in known if known.count(word) > 1})
                self.values |= {name: frequent} if frequent else {}
        if not self.values:
            text = f"The cohort has none of the columns {', '.join(self.options.columns)}."
            raise BadInput("clinical_columns_missing", text, "Add one to the cohort, or leave the method out.")

    def numbers(self, case: Case) -> dict[str, float]:
        """Numbers as they are; words as 0 or 1, all 0 where unknown."""
        row = {}
        for name, words in self.values.items():
            word = _word(case, name)
            if words is None:
                number = _number(word)
                row[name] = float("nan") if number is None else number
            else:
                row |= {f"{name}={one}": float(word == one) for one in words}
        return row

    def state(self, folder: Path) -> dict:
        """Besides the coefficients, the columns' meaning."""
        return super().state(folder) | {"values": self.values}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        super().restore(state, folder)
        self.values = dict(state["values"])


def log_or_nan(value: float) -> float:
    """Natural logarithm; NaN for what is not positive or unknown."""
    return float(np.log(value)) if value is not None and value > 0 else float("nan")


def _uptake(case: Case) -> dict[str, float]:
    pet = volumes.read_pet(case.paths.pet).image
    center = location.from_mask(volumes.read_mask(case.paths.mask).image).center_ras
    sample = preprocessing.prepare(pet, pet, center, BOX)  # the second channel is not read
    return {"log_uptake": baseline.uptake(sample.suv, sample.grid.voxel_ml)}


def _word(case: Case, name: str) -> str:
    other = (value for column, value in case.clinical.items() if column.lower() == name.lower())  # Age, AGE
    word = str(case.clinical.get(name) or next(other, "")).strip().lower()
    return "" if word in UNKNOWN else word


def _number(word: str) -> float | None:
    value = as_number(word)
    return value if value is not None and abs(value) < 1e9 else None
