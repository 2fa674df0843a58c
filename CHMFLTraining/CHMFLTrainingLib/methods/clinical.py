"""Clinical: what is known of a patient without any image, before any treatment."""

import re
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput

from ..cohort.cases import Case
from .logistic import LogisticMethod

COLUMNS = ("age", "sex", "grade", "stage", "depth", "mskcc_type")
# what follows the disease instead of preceding it: treatment and everything of the outcome
FORBIDDEN = re.compile(
    r"treat|therap|chemo|radio|surg|resect|outcome|status|follow|days|month|years?_to|mets|metast|recur|relapse|death|"
    r"dead|alive|surviv|progress|\btime\b|event|label|^dm$|^dfs|^os$|^pfs",
    re.IGNORECASE,
)
UNKNOWN = {"", "-", "--", "na", "n/a", "nan", "none", "unknown", "?"}


class Clinical(LogisticMethod):
    """Logistic regression on clinical columns; words become one column a value seen in at least two training
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
    OPTIONS = frozenset({"columns"})
    NEEDS = frozenset({"clinical"})

    def __init__(self, settings):
        super().__init__(settings)
        self.columns = tuple(settings.options.get("columns") or COLUMNS)
        forbidden = [name for name in self.columns if FORBIDDEN.search(name)]
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
        for name in self.columns:
            known = [word for word in (_word(case, name) for case in cases) if word]
            if not known:
                continue
            if all(_number(word) is not None for word in known):
                self.values[name] = None
            else:
                frequent = sorted({word for word in known if known.count(word) > 1})
                self.values |= {name: frequent} if frequent else {}
        if not self.values:
            text = f"The cohort has none of the columns {', '.join(self.columns)}."
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


def _word(case: Case, name: str) -> str:
    word = str(case.clinical.get(name) or "").strip().lower()
    return "" if word in UNKNOWN else word


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
