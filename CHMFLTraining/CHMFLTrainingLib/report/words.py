"""The words of a comparison's report: what its statistics mean, and what so few patients cannot show."""

from __future__ import annotations

import math

from ..statistics.auc import NORMAL_975, luck_of_the_best, planned_error

POWER_80 = 0.8416212335729143  # normal quantile: the chance to find a difference that is there
TYPICAL_AUC = 0.8

_STATISTICS = """
Accuracy, sensitivity, specificity, precision, F1 | Shares of patients who are classified correctly at the method's
threshold: 0.5, and for the logistic regressions the share of events among their training patients. A metric that a fold
leaves undefined (precision where nobody is called positive, sensitivity without events) is left out of the mean of
folds.

AUC | The chance that a patient with the event got a higher risk than one without; 0.5 is guessing. A fold with one
outcome has no AUC.

Mean of folds | What the paper says that it reports (section II.F): each fold's metric, then the mean. With eight
patients a fold, an AUC moves in steps of about 0.06. Here: of the first repeat.

Pooled | One metric of all out-of-fold predictions together. It also pays for folds whose risks lie on different scales,
so it can be lower than the mean of folds. Over several repeats: the mean of theirs.

95 % interval | Percentiles of 2000 seeded bootstrap samples of patients, drawn within each outcome. The methods are not
trained again in a sample: what another training set or seed would change is not in the interval. For 24 and 24 patients
such an interval of an AUC of 0.80 held the truth in 94 of 100 simulated cohorts, about what it says.

DeLong's test | Whether two methods differ in pooled AUC on the same patients (doi:10.2307/2531595). Repeats are
averaged inside the test; they add no patients. It takes predictions as given: that methods of different folds share
training patients is not in it.

Holm's p | DeLong's p made larger for the number of methods compared. Without it, one of twenty useless methods is
expected to look different.

t-test | The paper's unpaired Student's t-test of fold values. It ignores that both methods saw the same patients and
takes folds for independent; it is here for comparison with the paper's stars only.

One curve | Every method judged alike: one logistic curve (Platt) of its out-of-fold log-odds, fitted to the other
folds' patients and applied to this fold's, without training anything again; threshold 0.5. The curve's patients were
judged by networks that had learned from this fold's, so it is not fully independent of them.

Brier score | Mean squared difference of risk and outcome. A constant risk at the share of events has 0.25 where half
the patients have the event; lower is better.

Calibration slope and intercept | 1 and 0 where risks can be taken at their word; a slope below 1 means that high risks
are too high and low ones too low. Undefined where all risks are equal or the outcomes are separated.

Decision curve | Net benefit of acting on risks at and above a threshold: true positives a patient, less false positives
at the exchange rate that the threshold states (doi:10.1177/0272989X06295361). A method is of use where it is above
both acting on all and acting on none.
"""
_SURVIVAL = """
Harrell's C | Of all pairs of patients of whom it is known who had the event first, the share in which that one got the
higher risk; 0.5 is guessing (doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4). Pooled over folds,
with a bootstrap interval over patients, and as mean of the folds' own. A method that was trained on yes and no is
judged by its risk as it is.

AUC at a time | The chance that who had the event by that time got a higher risk than who was followed longer without
it; patients lost before it count by those who were not (inverse probability of censoring,
doi:10.1198/016214507000000149). The times are the quartiles of the times at which events were seen.
"""


def _paragraphs(text: str) -> list[tuple[str, str]]:
    return [tuple(" ".join(part.split()) for part in one.split(" | ")) for one in text.strip().split("\n\n")]


STATISTICS, SURVIVAL = _paragraphs(_STATISTICS), _paragraphs(_SURVIVAL)

AGAINST = (
    "A p above 0.05 says that these patients cannot tell two methods apart, not that they are equally good; the "
    "interval says which differences remain possible. DeLong's test takes the trained methods as given, and methods of "
    "different folds share training patients: its p can be too small."
)

SMOKE = (
    "The preset smoke trains tiny networks for a few epochs: what follows says that everything works, and nothing "
    "about the methods."
)

PAPER_COUNTS = (
    "The paper's tables are no means of folds throughout: accuracy, sensitivity, specificity, precision and F1 of 26 "
    "of the 28 rows of Tables I, II, SII and SIII are exactly those of one pooled confusion matrix of 24 and 24 "
    "patients (CHMFL: 21 of 24 with and 20 of 24 without metastases called rightly). Compare them with 'pooled' here, "
    "and the AUC with both. The two rows that fit no such matrix are MOR + 3D CNNs and 3DMCL."
)


def limits(events: int, others: int, methods: int, errors: list[float]) -> list[tuple[str, str]]:
    """What a cohort of this size cannot show, with its own numbers: (first sentence, the rest) each.

    :param methods: how many were compared.
    :param errors: standard errors of the differences from the first reference; None where undefined.
    """
    if min(events, others) < 2:
        return [("No AUC has an error that could be stated", "with fewer than two patients of an outcome.")]
    se = planned_error(TYPICAL_AUC, events, others)
    found = [_one_auc(events, others, se)]
    known = sorted(error for error in errors if error is not None and math.isfinite(error) and error > 0)
    if known:
        found.append(_differences(known[len(known) // 2]))
    if methods > 1:
        found.append(_best(methods, se))
    repeats = (
        "One split is one draw; the spread over repeats (where the run has them) shows the training's part of the "
        "luck, not the patients' part, which repeats cannot reduce."
    )
    cohort = (
        "Nothing here says how a method does on another scanner, protocol or hospital, and an outcome that may still "
        "come after the last visit counts as none."
    )
    return [*found, ("Another draw of the folds gives another AUC.", repeats), ("This is one cohort.", cohort)]


def _one_auc(events: int, others: int, se: float) -> tuple[str, str]:
    low, high = TYPICAL_AUC - NORMAL_975 * se, min(TYPICAL_AUC + NORMAL_975 * se, 1)
    text = (
        f"With {events} patients with the event and {others} without, an AUC of {TYPICAL_AUC:.2f} has a standard error "
        f"of {se:.3f} (Hanley and McNeil): a method that is truly that good shows anything from {low:.2f} to "
        f"{high:.2f} in 95 of 100 such cohorts."
    )
    return f"One AUC is known to about ±{NORMAL_975 * se:.2f}.", text


def _differences(error: float) -> tuple[str, str]:
    text = (
        f"The typical standard error of a difference in this run is {error:.3f}: differences below "
        f"{NORMAL_975 * error:.2f} are not told from none, and only one of {(NORMAL_975 + POWER_80) * error:.2f} would "
        "be found with 80 % certainty. A p above 0.05 does not say that two methods are equal."
    )
    return "Small differences between methods cannot be seen.", text


def _best(methods: int, se: float) -> tuple[str, str]:
    text = (
        f"Were all {methods} equally good and independent, the best would be expected "
        f"{luck_of_the_best(methods) * se:.2f} above their common AUC by luck alone; methods that share "
        "patients are spread less than that. Choose a method on other patients than those that rank it."
    )
    return f"The best of {methods} looks better than it is.", text
