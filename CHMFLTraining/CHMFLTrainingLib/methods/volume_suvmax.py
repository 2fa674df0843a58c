"""Volume + SUVmax: two numbers of the outlined tumor. A method that does not beat them has learned nothing."""

from ..cohort.cases import Case
from ..features.radiomics import measured
from .logistic import LogisticMethod, log_or_nan


class VolumeSuvMax(LogisticMethod):
    """Logistic regression on log volume (ml) and log SUVmax of the mask."""

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
