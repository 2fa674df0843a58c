"""The report of a prediction: one self-contained HTML page to read on a screen or to print. Every text is escaped."""

import base64
import io
from html import escape
from pathlib import Path

from ..files import write_bytes
from .page import page
from .plots import cohort_plot, known, percent, risk_scale
from .words import ALTERNATIVES, CAPTIONS, FOUND_BY, LABELS, TODO, TODO_OUT_OF_RANGE, TUMOR_ROWS

MISSING = '<span class="missing">not available</span>'


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
    """The report as text; parameters as for `write_report`."""
    content = "\n".join(
        part
        for part in (
            _risk(result, card),
            _warnings(result.get("warnings"), card),
            _pictures(pictures),
            '<div class="columns">' + _tumor(result.get("tumor") or {}) + _box(result) + "</div>",
            _cohort(result, card),
            _card(result, card),
            _run(result),
        )
        if part
    )
    title = f"Risk of distant metastases {percent(result.get('risk'))} – not for clinical use"
    return page(escape(title), content, _footer(card))


def _risk(result, card) -> str:
    """The answer first: risk, interval, label, baseline."""
    risk, interval, threshold = result.get("risk"), result.get("risk_interval"), result.get("threshold")
    baseline = result.get("baseline_risk")
    rows = (
        ("90% interval", _interval(interval)),
        ("Threshold", _percent(threshold)),
        ("Simple baseline", f"{_percent(baseline)}{_agreement(result, card)}"),
        ("Ensemble members", _members(result.get("members"))),
    )
    label = str(result.get("label") or "")
    label = f'<span class="label">{escape(LABELS.get(label, label))}</span>' if label else ""
    names = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    scale = risk_scale(risk, interval, result.get("members"), threshold, baseline)
    return (
        "<header><h1>Risk of distant metastases of a soft-tissue sarcoma</h1>"
        f'<p class="soft">Predicted from FDG-PET-CT by {_model(result)}</p></header>'
        f'<section class="risk" aria-label="Risk"><div><div class="value">{_percent(risk)}</div>{label}</div>'
        f"<dl>{names}</dl></section>"
        f"<div>{scale if known(risk) else ''}</div>"
    )


def _agreement(result, card) -> str:
    """Whether network and baseline agree: the warning's word first, else the sides of their thresholds."""
    risk, baseline, threshold = (result.get(key) for key in ("risk", "baseline_risk", "threshold"))
    if any(warning.get("code") == "baseline_disagrees" for warning in result.get("warnings") or []):
        return ", <strong>disagrees</strong>"
    if not all(known(value) for value in (risk, baseline, threshold)):
        return ""
    own = (card.get("baseline") or {}).get("threshold", 0.5)
    return ", agrees" if (risk >= threshold) == (baseline >= own) else ", other side of the threshold, but near"


def _warnings(warnings, card) -> str:
    """What to mind, and what to do about it; says so where there is nothing."""
    if warnings is None:
        return f'<p class="soft">Warnings: {MISSING}</p>'
    if not warnings:
        reason = ": the input lies within what the model saw in training" if card.get("input_ranges") else ""
        return f'<p class="soft">No warnings{reason}.</p>'
    items = []
    for warning in warnings:
        code = str(warning.get("code", ""))
        todo = warning.get("hint") or TODO.get(code) or (TODO_OUT_OF_RANGE if code.endswith("_outside_range") else "")
        todo = f'<span class="todo soft">{escape(str(todo))}</span>' if todo else ""
        items.append(f"<li>{escape(str(warning.get('text', '')))} <code>{escape(code)}</code>{todo}</li>")
    count = "1 warning" if len(items) == 1 else f"{len(items)} warnings"
    return f'<section class="warnings" aria-label="Warnings"><h2>{count}</h2><ul>{"".join(items)}</ul></section>'


def _pictures(pictures) -> str:
    """The pictures inside the page, as PNG in base64."""
    figures = []
    for name, picture in (pictures or {}).items():
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        alternative, caption = escape(ALTERNATIVES.get(name, name)), escape(CAPTIONS.get(name, name))
        figures.append(
            f'<figure><img alt="{alternative}" width="{picture.width}" height="{picture.height}" '
            f'src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
        )
    return "<section><h2>Pictures</h2>" + "".join(figures) + "</section>" if figures else ""


def _tumor(tumor) -> str:
    rows = [
        (f"{name}<br><small>{meaning}</small>", _number(tumor.get(key), unit))
        for key, name, unit, meaning in TUMOR_ROWS
    ]
    return f"<section><h2>Tumor, from the network's segmentation</h2>{_table(rows)}</section>"


def _box(result) -> str:
    """Where the network looked."""
    box = result.get("box") or {}
    center, size = box.get("center_ras_mm"), box.get("size_mm")
    place = (
        ", ".join(
            f"{pair[0] if value >= 0 else pair[1]} {abs(value):.0f} mm"
            for pair, value in zip(("RL", "AP", "SI"), center, strict=True)
        )
        if center
        else MISSING
    )
    found_by = str(box.get("found_by") or "")
    rows = [
        ("Center", place),
        ("Size (R-L × A-P × S-I)", " × ".join(f"{side:.0f}" for side in size) + " mm" if size else MISSING),
        ("Placed by", escape(FOUND_BY.get(found_by, found_by)) or MISSING),
        *_inputs(result.get("inputs") or {}),
    ]
    return f"<section><h2>The box that the network read</h2>{_table(rows)}</section>"


def _inputs(inputs) -> list[tuple[str, str]]:
    """The images read: by their names in the scene, or as files by their and their folders' names, which is enough to
    tell patients apart without the whole disk.
    """
    rows = []
    for key, name in (("pet", "PET"), ("ct", "CT"), ("segmentation", "Mask")):
        given = inputs.get(key)
        own_name = given.get("name") if isinstance(given, dict) else None
        path = given.get("path") if isinstance(given, dict) else given
        if own_name:
            rows.append((name, escape(own_name)))
        elif path:
            rows.append((name, escape("/".join(Path(path).parts[-2:]))))
    return rows


def _cohort(result, card) -> str:
    """Where this risk falls among patients whose outcome is known."""
    cohort = card.get("out_of_fold") or {}
    plot = cohort_plot(
        result.get("risk"), result.get("risk_interval"), result.get("threshold"), cohort.get("risk"), cohort.get("dm")
    )
    if not plot:
        return ""
    caption = (
        "Each mark is a patient of the training cohort, placed by the risk that networks gave which had not seen that "
        "patient. Shaded: the interval of this patient's risk."
    )
    return f"<section><h2>Among the cohort</h2><figure>{plot}<figcaption>{caption}</figcaption></figure></section>"


def _card(result, card) -> str:
    """The model in short, its honest numbers beside the baseline's."""
    training, metrics = card.get("training") or {}, card.get("metrics") or {}
    network, baseline = metrics.get("out_of_fold") or {}, metrics.get("baseline") or {}
    scores = "".join(
        f"<tr><th scope=row>{name}</th><td>{_auc(values)}</td><td>{_number(values.get('accuracy'), '', 2)}</td></tr>"
        for name, values in (("This model", network), ("Simple baseline", baseline))
    )
    threshold = card.get("threshold") or {}
    rows = [
        ("Model", f"{_text(card.get('name'))} {_text(card.get('version'))}, method {_text(card.get('method'))}"),
        ("Cohort", f"{_text(training.get('cohort'))}, {_text(training.get('patients'))} patients"),
        ("Training", f"{_text(training.get('folds'))} folds, {_text(training.get('epochs'))} epochs"),
        ("Threshold", f"{_percent(threshold.get('value'))}, chosen by: {_text(threshold.get('chosen_by'))}"),
        (
            "Simple baseline",
            f"{_text((card.get('baseline') or {}).get('name'))}: {_text((card.get('baseline') or {}).get('feature'))}",
        ),
        ("License", _text(card.get("license"))),
        ("SHA-256 of the weights", _text((result.get("model") or {}).get("sha256") or card.get("weights_sha256"))),
    ]
    return (
        "<section><h2>The model, out of fold</h2>"
        "<table><thead><tr><td></td><th scope=col>AUC (95% CI)</th><th scope=col>Accuracy</th></tr></thead>"
        f"<tbody>{scores}</tbody></table>"
        f'<p class="soft">{_honest(network.get("auc"), baseline.get("auc"))}</p>'
        f"{_table(rows)}</section>"
    )


def _honest(auc, baseline_auc) -> str:
    """What the two AUCs mean, whatever they are."""
    text = "On patients of the cohort that the scored networks had not seen; an AUC of 0.50 is no better than chance."
    if known(auc) and known(baseline_auc):
        better = (
            "lower than" if auc < baseline_auc - 0.005 else "higher than" if auc > baseline_auc + 0.005 else "equal to"
        )
        text += (
            f" The model's AUC is {better} that of the simple baseline; with intervals this wide that may be chance."
        )
    return text


def _run(result) -> str:
    """On what it ran, how long, with which versions."""
    timings = ", ".join(
        f"{escape(str(stage).replace('_', ' '))} {value:.1f} s"
        for stage, value in (result.get("timings_s") or {}).items()
        if known(value)
    )
    software = ", ".join(
        f"{escape(str(name))} {escape(str(version))}"
        for name, version in (result.get("software") or {}).items()
        if version
    )
    rows = [
        ("Device", _text(result.get("device"))),
        ("Time", timings or MISSING),
        ("Software", software or MISSING),
    ]
    if result.get("created"):
        rows.insert(0, ("Date", _text(result["created"])))
    return f"<section><h2>This run</h2>{_table(rows)}</section>"


def _footer(card) -> str:
    citation = (card.get("training") or {}).get("citation")
    return f"<p><strong>Not for clinical use.</strong></p><p>Cohort: {_text(citation)}</p>"


def _table(rows) -> str:
    """Two columns of HTML that is already escaped."""
    body = "".join(f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"


def _text(value) -> str:
    return MISSING if value is None or value == "" else escape(str(value))


def _percent(value) -> str:
    return escape(percent(value)) if known(value) else MISSING


def _number(value, unit, digits=None) -> str:
    """A number with its unit; one decimal below 100, none above, where digits are not given."""
    if not known(value):
        return MISSING
    digits = (1 if abs(value) < 100 else 0) if digits is None else digits
    return f"{value:.{digits}f}{' ' + unit if unit else ''}"


def _interval(ends) -> str:
    if not ends or not all(known(end) for end in ends):
        return MISSING
    return " to ".join(escape(percent(end)) for end in ends)


def _members(members) -> str:
    values = [member for member in members or [] if known(member)]
    if not values:
        return MISSING
    return f"{len(values)}, " + escape(f"{percent(min(values))} to {percent(max(values))}")


def _auc(values) -> str:
    auc, ends = values.get("auc"), values.get("auc_ci")
    if not known(auc):
        return MISSING
    between = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends and all(known(end) for end in ends) else f" ({MISSING})"
    return f"{auc:.2f}{between}"


def _model(result) -> str:
    model = result.get("model") or {}
    return f"{_text(model.get('name'))} {_text(model.get('version'))}"
