"""CHMFL, the paper's method, and what the paper changes of it: the ablations of section II.F, group normalization
(Table SIII) and the weight w of the segmentation in Eq. 1 (Fig. 5), five rows and any other weight by its name.
"""

import re
from functools import cache

from CHMFLPredictorLib.errors import BadInput

from ..training.recipes import PAPER_WEIGHT
from .network_method import OPEN, PENG, NetworkMethod

WU = "Wu Y, He K. Group normalization. ECCV 2018:3-19, doi:10.1007/978-3-030-01261-8_1"
WEIGHTS = (0.0, 0.25, 0.75, 1.0)  # of the rows that are listed beside it


class Chmfl(NetworkMethod):
    """The whole network: constrained and hierarchical (sections II.B to II.D, Tables I, II and SI)."""

    NAME = "CHMFL"


class Cfl(NetworkMethod):
    """CHMFL without hierarchical feature learning: the head reads the deepest level only, the decoder stays."""

    NAME = "CFL"
    OPEN = f"What remains of the head without HMFL: here level 5 of both branches. {OPEN}"
    NETWORK = {"hierarchical": False}


class MaskHmfl(NetworkMethod):
    """CHMFL without the decoder; the tumor's label is given instead of learned: PET and label go into one branch, CT
    and label into the other. It needs a mask for new patients too.
    """

    NAME = "Mask + HMFL"
    OPEN = (
        "The label is a channel of 0 and 1, not scaled. Without a decoder Eq. 1 is its first term alone, not weighted: "
        f"w has no effect. {OPEN}"
    )
    NEEDS_TO_PREDICT = frozenset({"pet", "ct", "mask"})
    NETWORK = {"branch_inputs": 2, "constrained": False}


class GroupNormalizedChmfl(NetworkMethod):
    """CHMFL whose batch normalization is replaced (Table SIII)."""

    SOURCE = f"{PENG}; {WU}"
    OPEN = (
        "'GN channels' is read as the channels of a group; a layer with fewer channels is one group (the output's 2, "
        f"and the first layers of the smaller presets). {OPEN}"
    )


class WeightedChmfl(NetworkMethod):
    """CHMFL with both losses at once and a given weight: 0 trains the head alone, without a decoder, 1 the
    segmentation alone (its risk says nothing then, for the head's last layer starts at zero).
    """

    GROUP = "Figure 5"
    UNREAD = frozenset({"w"})
    OPEN = (
        "Fig. 5 is a curve without numbers, best at 0.5; its steps are not given: here 0, 0.25, 0.5, 0.75 and 1, and "
        f"any other weight by name ('CHMFL w=0.3'). The row w=0.5 is the row CHMFL and is not trained twice. {OPEN}"
    )


def named(name: str) -> type[NetworkMethod] | None:
    """The row of a weight by its name, "CHMFL w=0.3", or its folder's, "CHMFL_w_0.3"; CHMFL itself for 0.5; None for
    other names.

    :raises BadInput: method_option, for a weight that is not from 0 to 1.
    """
    match = re.fullmatch(r"chmfl[ _]*\(?w[ _]*[=_ ][ _]*(-?[\d.]+)\)?", name.strip(), re.IGNORECASE)
    if match is None or match[1].count(".") > 1 or not any(character.isdigit() for character in match[1]):
        return None
    w = round(float(match[1]), 6)
    if not 0 <= w <= 1:
        raise BadInput("method_option", f"The weight w of {name} is {match[1]}.", "Give a number from 0 to 1.")
    return Chmfl if w == PAPER_WEIGHT else _weighted(w)


@cache
def _weighted(w: float) -> type[WeightedChmfl]:
    number = f"{w:.6f}".rstrip("0").rstrip(".")
    fields = {"NAME": f"CHMFL w={number}", "W": w, "ROW": round(1000 * w), "__doc__": f"The weight {number}."}
    return type("ChmflW", (WeightedChmfl,), fields | {"__module__": __name__})


def _group_normalized(channels: int) -> type[GroupNormalizedChmfl]:
    fields = {"NAME": f"CHMFL + GN_c{channels}", "NETWORK": {"group_channels": channels}, "__module__": __name__}
    return type("ChmflGn", (GroupNormalizedChmfl,), fields | {"__doc__": f"{channels} channels a group."})


ROWS = (*map(_group_normalized, (4, 8, 16)), *map(_weighted, WEIGHTS))
