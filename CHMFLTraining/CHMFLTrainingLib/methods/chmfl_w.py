"""CHMFL at given weights w of the segmentation in Eq. 1 (Fig. 5): five rows, and any other weight by its name."""

import re
from functools import cache

from CHMFLPredictorLib.errors import BadInput

from .chmfl_family import OPEN, NetworkMethod


class WeightedChmfl(NetworkMethod):
    """CHMFL with both losses at once and a given weight: 0 trains the head alone, without a decoder, 1 the
    segmentation alone (its risk says nothing then, for the head's last layer starts at zero).
    """

    GROUP = "Figure 5"
    OPTIONS = NetworkMethod.OPTIONS - {"w"}
    OPEN = (
        "Fig. 5 is a curve without numbers, best at 0.5; its steps are not given: here 0, 0.25, 0.5, 0.75 and 1, and "
        "any other weight by name ('CHMFL w=0.3'). In 'compact' these rows train both terms of Eq. 1 at once, on the "
        "whole box, unlike the row CHMFL, where stages would leave w without effect; in 'paper' and 'smoke' the row "
        f"w=0.5 is the row CHMFL. {OPEN}"
    )


class ChmflW0(WeightedChmfl):
    """No segmentation loss."""

    NAME, W, ROW = "CHMFL w=0", 0.0, 0


class ChmflW25(WeightedChmfl):
    """A quarter."""

    NAME, W, ROW = "CHMFL w=0.25", 0.25, 250


class ChmflW50(WeightedChmfl):
    """The paper's choice; its curve and its Table I meet here."""

    NAME, W, ROW = "CHMFL w=0.5", 0.5, 500
    PAPER = {
        "accuracy": 0.854,
        "sensitivity": 0.875,
        "specificity": 0.833,
        "precision": 0.840,
        "f1": 0.857,
        "auc": 0.873,
    }


class ChmflW75(WeightedChmfl):
    """Three quarters."""

    NAME, W, ROW = "CHMFL w=0.75", 0.75, 750


class ChmflW100(WeightedChmfl):
    """Segmentation loss only."""

    NAME, W, ROW = "CHMFL w=1", 1.0, 1000


def named(name: str) -> type[WeightedChmfl] | None:
    """The row of a weight by its name, "CHMFL w=0.3", or its folder's, "CHMFL_w_0.3"; None for other names.

    :raises BadInput: method_option, for a weight that is not from 0 to 1.
    """
    match = re.fullmatch(r"chmfl[ _]*\(?w[ _]*[=_ ][ _]*(-?[\d.]+)\)?", name.strip(), re.IGNORECASE)
    if match is None or match[1].count(".") > 1 or not any(character.isdigit() for character in match[1]):
        return None
    w = round(float(match[1]), 6)
    if not 0 <= w <= 1:
        raise BadInput("method_option", f"The weight w of {name} is {match[1]}.", "Give a number from 0 to 1.")
    listed = (ChmflW0, ChmflW25, ChmflW50, ChmflW75, ChmflW100)
    return next((row for row in listed if row.W == w), None) or _row(w)


@cache
def _row(w: float) -> type[WeightedChmfl]:
    name = f"CHMFL w={w:.6f}".rstrip("0")
    fields = {"NAME": name, "W": w, "ROW": round(1000 * w), "__module__": __name__}
    return type("ChmflOtherW", (WeightedChmfl,), {**fields, "__doc__": f"The weight {w:g}."})
