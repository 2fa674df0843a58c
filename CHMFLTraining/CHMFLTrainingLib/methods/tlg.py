"""TLG: total lesion glycolysis of the outlined tumor, one number."""

from ..cohort.cases import Case
from ..features.radiomics import measured
from .logistic import LogisticMethod, log_or_nan


class Tlg(LogisticMethod):
    """Logistic regression on the log of volume times mean SUV of the mask (SUV x ml)."""

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
