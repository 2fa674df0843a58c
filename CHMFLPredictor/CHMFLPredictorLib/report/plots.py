"""Plots as SVG: the risk on its scale and among the cohort's out-of-fold risks, for the report; both in one, small."""

import math
from html import escape

LEFT, RIGHT, WIDTH = 30, 650, 680
STRIP_WIDTH, STRIP_HEIGHT = 360, 128
DM_COLOR, NO_DM_COLOR, PATIENT_COLOR = "#a3361f", "#2b6ea3", "#1d2733"
DOT = 5.0


def percent(value) -> str:
    """A probability as people read it: "41%", "<1%", ">99%"; no more digits than it has earned."""
    if not known(value):
        return "not available"
    if 0 < value < 0.01:
        return "<1%"
    if 0.99 < value < 1:
        return ">99%"
    return f"{round(100 * value)}%"


def known(value) -> bool:
    """Whether a number is there."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def risk_scale(risk, interval, members, threshold, baseline_risk) -> str:
    """The risk with its interval, the members' risks, the threshold and the baseline's risk on a scale of 0 to 100%."""
    parts = [_svg_open(104, "Risk scale", _scale_text(risk, interval, threshold, baseline_risk))]
    parts.append(f'<rect x="{LEFT}" y="42" width="{RIGHT - LEFT}" height="14" rx="7" fill="#e6ebf0"/>')
    if interval and all(known(end) for end in interval):
        low, high = (_x(end) for end in interval)
        parts.append(f'<rect x="{low:.1f}" y="42" width="{max(high - low, 2):.1f}" height="14" rx="7" fill="#9cc3dc"/>')
    for member in members or []:
        if known(member):
            parts.append(_line(_x(member), 44, 54, "#0b5c8a", 1.5))
    if known(threshold):
        parts.append(_line(_x(threshold), 34, 64, "#5b6876", 2, "4 3"))
        parts.append(_text(_x(threshold), 28, f"threshold {percent(threshold)}", "#5b6876"))
    if known(baseline_risk):
        x = _x(baseline_risk)
        parts.append(f'<path d="M{x:.1f} 60l7 8l-7 8l-7 -8z" fill="#fff" stroke="#5b6876" stroke-width="2"/>')
        parts.append(_text(x, 92, f"simple baseline {percent(baseline_risk)}", "#5b6876"))
    if known(risk):
        parts.append(_line(_x(risk), 34, 64, PATIENT_COLOR, 6))
        parts.append(_text(_x(risk), 12, f"this patient {percent(risk)}", PATIENT_COLOR, bold=True))
    for end, anchor in ((0, "start"), (1, "end")):
        parts.append(_text(_x(end), 92, f"{100 * end}%", "#5b6876", anchor) if _free(end, baseline_risk) else "")
    return "".join([*parts, "</svg>"])


def cohort_plot(risk, interval, threshold, cohort_risks, cohort_dm) -> str:
    """The cohort's out-of-fold risks, one mark a patient: triangles above developed DM, circles below did not.

    :returns: SVG, or an empty string where the card holds no out-of-fold risks.
    """
    pairs = [(float(r), int(dm)) for r, dm in zip(cohort_risks or [], cohort_dm or [], strict=False) if known(r)]
    if not pairs:
        return ""
    with_dm, without_dm = ([r for r, dm in pairs if dm == label] for label in (1, 0))
    text = f"{len(with_dm)} patients with and {len(without_dm)} without distant metastases by their out-of-fold risk."
    if known(risk):
        above = [sum(r >= risk for r in group) for group in (with_dm, without_dm)]
        text += f" At or above this patient's risk: {above[0]} with and {above[1]} without."
    parts = [_svg_open(282, "This risk among the cohort", text)]
    if interval and all(known(end) for end in interval):
        low, high = (_x(end) for end in interval)
        parts.append(f'<rect x="{low:.1f}" y="36" width="{high - low:.1f}" height="190" fill="#0b5c8a" opacity=".09"/>')
    if known(threshold):
        parts.append(_line(_x(threshold), 36, 226, "#5b6876", 1.5, "5 4"))
        parts.append(_text(_x(threshold), 30, f"threshold {percent(threshold)}", "#5b6876"))
    if known(risk):
        parts.append(_line(_x(risk), 36, 226, PATIENT_COLOR, 3))
        parts.append(_text(_x(risk), 12, f"this patient {percent(risk)}", PATIENT_COLOR, bold=True))
    parts.append(_lane(with_dm, 92, _triangle, f"developed distant metastases ({len(with_dm)})", DM_COLOR))
    parts.append(_lane(without_dm, 182, _circle, f"did not ({len(without_dm)})", NO_DM_COLOR))
    parts.append(_axis(226))
    return "".join([*parts, "</svg>"])


def cohort_strip(risk, interval, threshold, cohort_risks, cohort_dm, width: int = STRIP_WIDTH) -> str:
    """The risk among the cohort's out-of-fold risks, small enough for a panel and readable there.

    :param width: of the picture in pixels; words and marks are drawn for 360.
    :returns: SVG of STRIP_HEIGHT / STRIP_WIDTH times that height, or an empty string without out-of-fold risks.
    """
    pairs = [(float(r), int(dm)) for r, dm in zip(cohort_risks or [], cohort_dm or [], strict=False) if known(r)]
    if not pairs:
        return ""
    size = f'width="{width}" height="{round(width * STRIP_HEIGHT / STRIP_WIDTH)}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {STRIP_WIDTH} {STRIP_HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
    )
    frame = f'width="{STRIP_WIDTH - 1}" height="{STRIP_HEIGHT - 1}" rx="4" fill="#fff" stroke="#b8c2cc"'
    parts = [svg, f'<rect x="0.5" y="0.5" {frame}/>']
    if interval and all(known(end) for end in interval):
        low, high = (_strip_x(end) for end in interval)
        parts.append(f'<rect x="{low:.1f}" y="20" width="{high - low:.1f}" height="88" fill="#d6e4ee"/>')
    if known(threshold):
        parts.append(_line(_strip_x(threshold), 20, 108, "#5b6876", 1.5, "4 3"))
    for label, middle, mark, color in ((1, 52, _triangle, DM_COLOR), (0, 92, _circle, NO_DM_COLOR)):
        risks = [r for r, dm in pairs if dm == label]
        name = f"DM ({len(risks)})" if label else f"no DM ({len(risks)})"
        parts.append(_strip_text(10, middle - 15, name, color, "start"))
        parts += (mark(_strip_x(r), middle, color) for r in risks)
    if known(risk):
        parts.append(_line(_strip_x(risk), 18, 108, PATIENT_COLOR, 3))
        parts.append(_strip_text(_strip_x(risk), 14, f"this patient {percent(risk)}", PATIENT_COLOR))
    parts.append(_line_across(108))
    parts += (_strip_text(_strip_x(t / 4), 122, f"{25 * t}%", "#3d4853") for t in range(5))
    return "".join([*parts, "</svg>"])


def _strip_x(probability) -> float:
    return 20 + (STRIP_WIDTH - 40) * min(max(float(probability), 0.0), 1.0)


def _strip_text(x, y, text, color, anchor="middle") -> str:
    if anchor == "middle":
        half = 3.4 * len(text)  # about the words' half width: they must not leave the picture
        x = min(max(x, half + 3), STRIP_WIDTH - half - 3)
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _line_across(y) -> str:
    return f'<line x1="20" y1="{y}" x2="{STRIP_WIDTH - 20}" y2="{y}" stroke="#5b6876" stroke-width="1"/>'


def _lane(risks, middle, mark, label, color) -> str:
    """The marks of one label around a line, moved apart where they would cover each other, and its name."""
    placed: list[tuple[float, float]] = []
    for risk in sorted(risks):
        x = _x(risk)
        steps = (sign * 11.0 * step for step in range(60) for sign in (1, -1))
        y = next((y for y in steps if all(math.hypot(x - px, y - py) >= 11.0 for px, py in placed)), 0.0)
        placed.append((x, y))
    tallest = max((abs(y) for _, y in placed), default=0.0)
    squeeze = min(1.0, 28.0 / tallest) if tallest else 1.0
    name = mark(LEFT + 4, middle - 40, color) + _text(
        LEFT + 16, middle - 36, label, color, "start", bold=True, halo=True
    )
    return "".join(mark(x, middle + y * squeeze, color) for x, y in placed) + name


def _triangle(x, y, color) -> str:
    outline = f"M{x:.1f} {y - DOT - 1:.1f}l{DOT + 1} {2 * DOT + 1}h{-2 * DOT - 2}z"
    return f'<path d="{outline}" fill="{color}" fill-opacity=".85"/>'


def _circle(x, y, color) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="#fff" fill-opacity=".7" stroke="{color}" stroke-width="2"/>'
    )


def _axis(y) -> str:
    ticks = "".join(
        _line(_x(t / 4), y, y + 6, "#5b6876", 1.5) + _text(_x(t / 4), y + 22, f"{25 * t}%", "#5b6876") for t in range(5)
    )
    base = f'<line x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}" stroke="#5b6876" stroke-width="1.5"/>'
    return (
        base + ticks + _text((LEFT + RIGHT) / 2, y + 46, "risk of distant metastases (cohort: out of fold)", "#5b6876")
    )


def _scale_text(risk, interval, threshold, baseline_risk) -> str:
    ends = " to ".join(percent(end) for end in interval) if interval else "not available"
    return (
        f"Risk {percent(risk)}, interval {ends}, threshold {percent(threshold)}, "
        f"risk by the simple baseline {percent(baseline_risk)}."
    )


def _free(end, baseline_risk) -> bool:
    """Whether the baseline's words leave room for the words at an end of the scale."""
    return not known(baseline_risk) or abs(end - baseline_risk) > 0.22


def _x(probability) -> float:
    return LEFT + (RIGHT - LEFT) * min(max(float(probability), 0.0), 1.0)


def _svg_open(height, title, description) -> str:
    title, description = escape(title), escape(description)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-size="14" '
        f'aria-label="{title}: {description}"><title>{title}</title><desc>{description}</desc>'
    )


def _line(x, top, bottom, color, width, dash="") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{color}" stroke-width="{width}"{dashes}/>'


def _text(x, y, text, color, anchor="middle", bold=False, halo=False) -> str:
    """Words at a place; near the ends of the scale they turn inward."""
    if anchor == "middle":
        anchor = "start" if x < LEFT + 50 else "end" if x > RIGHT - 50 and len(text) > 5 else "middle"
    weight = ' font-weight="650"' if bold else ""
    edge = ' paint-order="stroke" stroke="#fff" stroke-width="4"' if halo else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" style="fill:{color}"{weight}{edge}>{escape(text)}</text>'
