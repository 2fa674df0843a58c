"""Cox volume + SUVmax: the two numbers of the outlined tumor, trained on times to the event instead of yes and no."""

from ..cohort.cases import Case
from ..features.radiomics import measured
from .cox_method import CoxMethod
from .logistic import log_or_nan


class CoxVolumeSuvMax(CoxMethod):
    """Cox's proportional hazards on log volume (ml) and log SUVmax of the mask."""

    NAME = "Cox volume + SUVmax"
    GROUP = "baseline"
    ROW = 6
    SOURCE = "Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220 (ties: Efron 1977)"
    OPEN = (
        "Not in the paper, which names survival as future work. Here: natural logarithms, standardized, ridge penalty "
        "1, Efron's ties; the risk is that of the event by the training patients' median follow-up."
    )
    NEEDS = frozenset({"pet", "mask"})

    def numbers(self, case: Case) -> dict[str, float]:
        """Both logarithms."""
        values = measured(case)
        return {f"log_{name}": log_or_nan(values[f"measured_{name}"]) for name in ("volume_ml", "suv_max")}
