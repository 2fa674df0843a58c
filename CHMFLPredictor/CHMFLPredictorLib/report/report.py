"""The report of a prediction: one self-contained HTML page to read on a screen or to print. Every text is escaped."""

import base64
import io
from pathlib import Path

from ..files import write_bytes
from ..tumor.measurements import MEASUREMENTS
from .page import page
from .plots import cohort_plot, known, risk_scale
from .words import ALTERNATIVES, CAPTIONS, FOUND_BY, LABELS, TODO, TODO_OUT_OF_RANGE


def write_report(path, result: dict, card: dict, pictures: dict) -> Path:
    """Write the report, whole or not at all.

    :param path: the HTML file; an older one is replaced.
    :param result: content of result.json; whatever is absent or None shows as "not available".
    :param card: the model's card.
    :param pictures: PIL images by name, shown in this order; "slices" and "relevance" have captions of their own.
    :returns: the path.
    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    return write_bytes(path, report_html(result, card, pictures).encode(), make_folder=False)


def report_html(result: dict, card: dict, pictures: dict) -> str:
    """The report as text (``Resources/Templates/prediction.html``); parameters as for `write_report`."""
    from markupsafe import Markup

    risk, interval, threshold, label = (result.get(key) for key in ("risk", "risk_interval", "threshold", "label"))
    members = [member for member in result.get("members") or [] if known(member)]
    cohort, box = card.get("out_of_fold") or {}, result.get("box") or {}
    values = {
        "result": result,
        "card": card,
        "label": LABELS.get(label, label),
        "agreement": _agreement(result, card),
        "members": members,
        "scale": Markup(risk_scale(risk, interval, members, threshold, result.get("baseline_risk"))),
        "warnings": _warnings(result.get("warnings")),
        "pictures": [_picture(name, picture) for name, picture in (pictures or {}).items()],
        "measurements": _measured(result.get("tumor") or {}),
        "lesion": _place((result.get("tumor") or {}).get("center_ras_mm")),
        "candidates": [(_place(one["center_ras_mm"]), one) for one in box.get("candidates") or []],
        "center": _place(box.get("center_ras_mm")),
        "size": " × ".join(f"{side:.0f}" for side in box["size_mm"]) + " mm" if box.get("size_mm") else None,
        "placed_by": FOUND_BY.get(box.get("found_by"), box.get("found_by")),
        "inputs": _inputs(result.get("inputs") or {}),
        "plot": Markup(cohort_plot(risk, interval, threshold, cohort.get("risk"), cohort.get("dm"))),
        "against_baseline": _against_baseline(card.get("metrics") or {}),
        "timings": _timings(result.get("timings_s") or {}),
        "software": ", ".join(
            f"{name} {version}" for name, version in (result.get("software") or {}).items() if version
        ),
    }
    return page("prediction.html", values)


def _agreement(result, card) -> str:
    """Whether network and baseline agree: the warning's word first, else the sides of their thresholds."""
    risk, baseline, threshold = (result.get(key) for key in ("risk", "baseline_risk", "threshold"))
    if any(warning.get("code") == "baseline_disagrees" for warning in result.get("warnings") or []):
        return "disagrees"
    if not all(known(value) for value in (risk, baseline, threshold)):
        return ""
    own = (card.get("baseline") or {}).get("threshold", 0.5)
    return "agrees" if (risk >= threshold) == (baseline >= own) else "other side of the threshold, but near"


def _warnings(warnings) -> list[dict] | None:
    """What to mind, each with what to do about it; None where the result does not say."""
    return None if warnings is None else [{**warning, "todo": _todo(warning)} for warning in warnings]


def _todo(warning: dict) -> str:
    code = str(warning.get("code", ""))
    return warning.get("hint") or TODO.get(code) or (TODO_OUT_OF_RANGE if code.endswith("_outside_range") else "")


def _measured(tumor: dict) -> list[tuple]:
    """Each measurement with its value for people; None where there is none."""
    values = ((one, tumor.get(key)) for key, one in MEASUREMENTS.items())
    return [(one, f"{one.text(value)} {one.unit}" if known(value) else None) for one, value in values]


def _picture(name: str, picture) -> dict:
    """A picture inside the page, as PNG in base64."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return {
        "data": base64.b64encode(buffer.getvalue()).decode("ascii"),
        "width": picture.width,
        "height": picture.height,
        "alternative": ALTERNATIVES.get(name, name),
        "caption": CAPTIONS.get(name, name),
    }


def _place(center) -> str | None:
    """A point in RAS, in words."""
    if not center:
        return None
    pairs = zip(("RL", "AP", "SI"), center, strict=True)
    return ", ".join(f"{ends[0] if value >= 0 else ends[1]} {abs(value):.0f} mm" for ends, value in pairs)


def _inputs(inputs) -> list[tuple[str, str]]:
    """The images read: by their names in the scene, or as files by their and their folders' names, which is enough to
    tell patients apart without the whole disk.
    """
    rows = []
    for key, name in (("pet", "PET"), ("ct", "CT"), ("segmentation", "Mask")):
        given = inputs.get(key)
        own_name = given.get("name") if isinstance(given, dict) else None
        path = given.get("path") if isinstance(given, dict) else given
        if own_name or path:
            rows.append((name, own_name or "/".join(Path(path).parts[-2:])))
    return rows


def _against_baseline(metrics) -> str:
    """What the two AUCs mean, whatever they are."""
    auc, baseline = ((metrics.get(key) or {}).get("auc") for key in ("out_of_fold", "baseline"))
    if not (known(auc) and known(baseline)):
        return ""
    return "lower than" if auc < baseline - 0.005 else "higher than" if auc > baseline + 0.005 else "equal to"


def _timings(timings: dict) -> str:
    seconds = {str(stage).replace("_", " "): value for stage, value in timings.items() if known(value)}
    return ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
