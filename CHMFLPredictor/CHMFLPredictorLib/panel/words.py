"""The panel's own words, translatable: stages, endings, choices."""

from enum import Enum

from slicer.i18n import tr as _

from ..child.process import Ending
from ..report.plots import percent
from .state import Kind, Phase, RunState


class Location(Enum):
    """How the place of the tumor is given."""

    AUTOMATIC = "automatic"
    POINT = "point"
    BOX = "box"
    SEGMENT = "segment"

    def label(self) -> str:
        """The words in the panel's list."""
        return {
            Location.AUTOMATIC: _("Find it automatically"),
            Location.POINT: _("A point in the tumor"),
            Location.BOX: _("A box to drag over the tumor"),
            Location.SEGMENT: _("A segment of the tumor"),
        }[self]


class Device(Enum):
    """What computes."""

    AUTO = "auto"
    GPU = "cuda"
    CPU = "cpu"

    def label(self) -> str:
        """The words in the panel's list."""
        return {Device.AUTO: _("Auto"), Device.GPU: _("GPU"), Device.CPU: _("CPU")}[self]


class BatchSource(Enum):
    """Where a batch's patients come from."""

    SCENE = "scene"
    FOLDER = "folder"

    def label(self) -> str:
        """The words in the panel's list."""
        scene = _("All PET-CT pairs in the scene")
        return scene if self is BatchSource.SCENE else _("A folder of patients, or a CSV")


def stageText(name: str) -> str:
    """A stage of ``events.STAGES``."""
    return {
        "": _("Handing over PET and CT"),
        "read": _("Reading PET and CT"),
        "locate": _("Looking for the tumor"),
        "preprocess": _("Preparing the box"),
        "model": _("Loading the model"),
        "risk": _("Predicting the risk"),
        "segmentation": _("Segmenting the tumor"),
        "relevance": _("Computing the relevance map"),
        "write": _("Writing the results"),
    }.get(name, name)


def statusText(state: RunState) -> str:
    """What the line under the bar says."""
    if state.phase is Phase.IDLE:
        return ""
    if state.phase is Phase.CANCELING:
        return _("Canceling...")
    if state.phase is Phase.RUNNING:
        words = stageText(state.stage) + "..."
        if state.kind is Kind.BATCH and state.patient[1]:
            return _("Patient {number} of {count}: {stage}").format(
                number=state.patient[0], count=state.patient[1], stage=words
            )
        return words
    return endingText(state)


def endingText(state: RunState) -> str:
    """How a run ended: one of five, told apart by its first words."""
    ended = state.ended
    details = f"{ended.message} {ended.hint}".strip()
    if ended.ending is Ending.DONE:
        return details or _("Done.")
    if ended.ending is Ending.CANCELED:
        return _("Canceled. {details}").format(details=ended.hint)
    if ended.ending is Ending.FAILED_TO_START:
        return _("Not started ({code}): {details}").format(code=ended.code, details=details)
    if ended.ending is Ending.OUT_OF_MEMORY:
        return _("Out of memory ({code}): {details}").format(code=ended.code, details=details)
    return _("Error ({code}): {details}").format(code=ended.code, details=details)


def buttonText(state: RunState, kind: Kind) -> str:
    """What the button that starts and cancels a kind of run says."""
    if state.busy and state.kind is kind:
        return _("Canceling...") if state.phase is Phase.CANCELING else _("Cancel")
    return _("Predict DM") if kind is Kind.PREDICTION else _("Predict all")


def riskText(numbers: dict, whose: str) -> str:
    """The headline: patient and study, the risk and on which side of the threshold it falls."""
    side = _("at or above the threshold") if numbers["label"] == "high" else _("below the threshold")
    words = _("{whose}: Risk of distant metastases: {risk}, {side}")
    return words.format(whose=whose, risk=percent(numbers["risk"]), side=side)


def riskDetails(numbers: dict) -> str:
    """Interval, members, baseline and threshold in lines."""
    low, high = numbers["risk_interval"]
    lines = [
        _("Interval: {low} to {high}").format(low=percent(low), high=percent(high)),
        _("Members: {members}").format(members=", ".join(percent(one) for one in numbers["members"])),
        _("Simple baseline (uptake in the box alone): {risk}").format(risk=percent(numbers["baseline_risk"])),
        _("Threshold: {threshold}").format(threshold=percent(numbers["threshold"])),
    ]
    return "\n".join(lines)


def honestyText(card: dict | None) -> str:
    """How good the model was on patients that it had not seen, network and baseline side by side."""
    if card is None:
        return _("The model that predicted this is not among the models of this computer.")
    network, baseline = card["metrics"].get("out_of_fold", {}), card["metrics"].get("baseline", {})
    if not isinstance(network.get("auc"), int | float):
        return _("The model's card does not tell how good it is.")
    text = _("Out of fold, on {patients} patients: AUC {auc}").format(
        patients=network.get("patients", card["training"].get("patients", "?")), auc=_auc(network)
    )
    if isinstance(baseline.get("auc"), int | float):
        text += _("; the simple baseline: {auc}").format(auc=_auc(baseline))
    return text + "."


def _auc(metrics: dict) -> str:
    interval = metrics.get("auc_ci")
    words = f"{metrics['auc']:.2f}"
    return words + (f" ({interval[0]:.2f}-{interval[1]:.2f})" if interval else "")


def doneText(result: dict) -> str:
    """How long a prediction took and what computed it."""
    return _("Done after {seconds} s on {device}.").format(
        seconds=f"{result['timings_s']['total']:.1f}", device=result["device"]
    )


def placeText(ras) -> str:
    """A place in words, RAS mm."""
    return "R {:.0f}, A {:.0f}, S {:.0f} mm".format(*ras)


def lesionText(center) -> str:
    """Which lesion the measurements are of.

    :param center: its center, RAS mm, or None where nothing was segmented or an older result does not say.
    """
    return _("Tumor at {place}").format(place=placeText(center)) if center else _("Tumor, as segmented")


def candidatesText(candidates: list[dict]) -> str:
    """A line for each candidate, as links whose target is the candidate's number (HTML)."""
    line = _("{place}, {volume} ml, SUVmax {suv}")
    rows = [
        '<a href="{number}">{words}</a>{taken}'.format(
            number=number,
            words=line.format(
                place=placeText(one["center_ras_mm"]),
                volume=f"{one['volume_ml']:.0f}",
                suv=f"{one['suv_max']:.1f}",
            ),
            taken=_(" (taken)") if number == 0 else "",
        )
        for number, one in enumerate(candidates)
    ]
    return "<br>".join([_("Candidates for the tumor; a click puts the point there:"), *rows]) if rows else ""
