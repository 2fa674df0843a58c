"""The report of a comparison: tables, figures, and one self-contained page that a reader needs nothing else for."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.files import write_bytes
from CHMFLPredictorLib.report import page

from . import pictures as run_figures
from . import tables
from .pictures import Picture
from .results import REFERENCES, RunData, read_run
from .tables import Table
from .words import AGAINST, PAPER_COUNTS, SMOKE, STATISTICS, SURVIVAL, limits

STYLE = """
main { max-width: 74rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem 1.6rem; align-items: flex-start; }
.pictures figure { flex: 1 1 22rem; max-width: 32rem; margin: .6rem 0; }
.pictures figure img { background: #fff; border: 1px solid var(--line); }
.wide { overflow-x: auto; margin: .6rem 0 1.6rem; } .wide table { font-size: .92rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
.wide td, .wide thead th { padding-right: .9rem; overflow-wrap: normal; } .wide td { white-space: nowrap; }
tr.next td { border-bottom: 1px solid var(--wash); } tr.paper td { color: #8a3a1a; font-style: italic; }
.limits { background: #eef4f8; border-left: 6px solid var(--accent); border-radius: 4px; padding: .8rem 1.2rem; }
.limits h2 { margin: 0; border: 0; } dt { font-weight: 650; margin-top: .5rem; } dd { margin: 0; }
"""
STATES = {
    "finished": "finished",
    "failed": "failed",
    "damaged": "with damaged predictions or model",
    "waiting": "not finished yet",
}


def write_report(run_folder: Path, references: tuple[str, ...] = REFERENCES) -> Path:
    """Write ``tables/*.{csv,tex,md}``, ``figures/*.{png,svg}`` and ``report.html`` of a run, finished or not.

    :param references: rows' names that all methods are compared with, where the run has them.
    :returns: the page's path.
    :raises BadInput: run_missing, run_damaged, run_other_kind, predictions_conflict.
    """
    data = read_run(Path(run_folder), references)
    all_tables = make_tables(data)
    for table in all_tables:
        tables.write_table(table, data.run.folder / "tables")
    pictures = run_figures.draw(data)
    path = data.run.folder / "report.html"
    write_bytes(path, report_html(data, all_tables, pictures).encode())
    return path


def make_tables(data: RunData) -> list[Table]:
    """All tables of a run; those without a row are left out."""
    rows = [method.row() for method in data.methods]
    groups = list(dict.fromkeys(row.group for row in rows))
    made = [tables.overview_table(rows, data.references)]
    made += [tables.metrics_table(rows, group) for group in groups]
    made += [tables.comparison_table(rows, name) for name in data.references]
    made += [tables.calibration_table(rows), tables.survival_table(rows), tables.segmentation_table(rows)]
    return [table for table in made if table.cells]


def report_html(data: RunData, all_tables: list[Table], pictures: list[Picture]) -> str:
    """The page as text."""
    by_stem = {table.stem: table for table in all_tables}
    sections = [_head(data), _problems(data), _limits(data)]
    sections.append(_section("Discrimination", by_stem, pictures, ["overview"], "discrimination"))
    metrics = [stem for stem in by_stem if stem.startswith("metrics_")]
    sections.append(_section("The paper's figures and ours", by_stem, pictures, metrics, "metrics", PAPER_COUNTS))
    against = [stem for stem in by_stem if stem.startswith("against_")]
    sections.append(_section("Methods compared on the same patients", by_stem, pictures, against, "against", AGAINST))
    sections.append(_section("Calibration and use", by_stem, pictures, ["calibration"], "calibration"))
    sections.append(_section("Time to the event", by_stem, pictures, ["survival"], "survival"))
    sections.append(_section("Segmentation", by_stem, pictures, ["segmentation"], "segmentation"))
    sections.append(_section("What the networks learned", by_stem, pictures, [], "learning"))
    sections += [_statistics("survival" in by_stem), _methods(data)]
    return page.PAGE.format(
        title=_title(data),
        style=page.STYLE + STYLE,
        notice=page.NOTICE,
        notice_text=page.NOTICE_TEXT,
        content="\n".join(filter(None, sections)),
        footer=_footer(data),
    )


def _title(data: RunData) -> str:
    return escape(f"{len(data.methods)} methods compared: {data.run.folder.resolve().name}")


def _head(data: RunData) -> str:
    run, plan = data.run, data.run.plan
    labels = [run.patients[name].label for name in run.folds[0]]
    folds = len(set(run.folds[0].values()))
    about = run.config.get("about") or {}
    facts = {
        "Cohort": about.get("cohort") or Path(run.config["cohort"]).name,
        "Patients": f"{len(labels)}: {sum(labels)} with the event, {len(labels) - sum(labels)} without",
        "Folds": f"{folds}, repeated {plan.repeats} time{'s' if plan.repeats > 1 else ''}; the same for every method",
        "Preset": f"{plan.preset}, seed {plan.seed}",
        "Compared with": ", ".join(data.references) or "nothing yet",
    }
    if plan.options:
        facts["Set apart from the preset"] = "; ".join(_option_words(*one) for one in plan.options.items())
    if about.get("citation"):
        facts["Citation"] = about["citation"]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(text))}</td></tr>" for name, text in facts.items())
    lead = "Every number is out of fold: of patients that the method did not see in training."
    warning = f'<div class="warnings"><p>{escape(SMOKE)}</p></div>' if plan.preset == "smoke" else ""
    return f"<h1>{_title(data)}</h1><p class='soft'>{lead}</p><table>{rows}</table>{warning}"


def _option_words(method: str, options: dict) -> str:
    """Return, for example, "CFL: preset smoke, epochs 30"."""
    return f"{'all' if method == '*' else method}: {', '.join(f'{name} {value}' for name, value in options.items())}"


def _problems(data: RunData) -> str:
    """What is not finished, failed or could not be read; nothing is left out silently."""
    items = []
    for method in data.methods:
        missing = {state: count for state, count in method.states.items() if state != "finished"}
        if missing:
            total = sum(method.states.values())
            text = ", ".join(f"{count} of {total} jobs {STATES[state]}" for state, count in missing.items())
            items.append(f"<b>{escape(method.name)}</b>: {text}.{_errors(method.errors)}")
        if method.problem:
            items.append(f"<b>{escape(method.name)}</b>: {escape(method.problem)}")
        if method.found is not None and len(method.found.patients) < len(data.run.folds[0]):
            text = f"only {len(method.found.patients)} of {len(data.run.folds[0])} patients are predicted"
            items.append(f"<b>{escape(method.name)}</b>: {text}; its numbers are not those of the whole cohort.")
    if not items:
        return ""
    return f'<div class="warnings"><h2>Not complete</h2><ul>{"".join(f"<li>{item}</li>" for item in items)}</ul></div>'


def _errors(errors: list[tuple[str, dict]]) -> str:
    """Each reason once, with the first job that it ended."""
    seen = {}
    for job, error in errors:
        seen.setdefault((error.get("code", ""), error.get("message", ""), error.get("hint", "")), job)
    return "".join(
        f'<span class="todo">{escape(job)}: {escape(message)} {escape(hint)} <code>{escape(code)}</code></span>'
        for (code, message, hint), job in seen.items()
    )


def _limits(data: RunData) -> str:
    labels = np.array([data.run.patients[name].label for name in data.run.folds[0]])
    first = data.references[0] if data.references else None
    errors = [method.against[first]["se"] for method in data.finished if first and method.name != first]
    found = limits(int(labels.sum()), int((labels == 0).sum()), len(data.finished), errors)
    items = "".join(f"<li><b>{escape(head)}</b> {escape(text)}</li>" for head, text in found)
    return f'<div class="limits"><h2>What {labels.size} patients cannot show</h2><ul>{items}</ul></div>'


def _section(title: str, by_stem: dict, pictures: list[Picture], stems: list[str], place: str, lead: str = "") -> str:
    """Tables and figures under a heading; nothing where there are none."""
    shown = [table_html(by_stem[stem]) for stem in stems if stem in by_stem]
    figures = "".join(map(figure_html, (picture for picture in pictures if picture.section == place)))
    if not shown and not figures:
        return ""
    text = f"<p>{escape(lead)}</p>" if lead and shown else ""
    return f"<h2>{escape(title)}</h2>{text}{''.join(shown)}<div class='pictures'>{figures}</div>"


def table_html(table: Table) -> str:
    """A table of the page; rows of one method stand together under its name, the paper's are in italics."""
    head = "".join(f"<th scope='col'>{escape(text)}</th>" for text in table.header)
    body, above = [], None
    for index, cells in enumerate(table.cells):
        following = table.cells[index + 1][0] if index + 1 < len(table.cells) else None
        kinds = [kind for kind, holds in (("next", following == cells[0]), ("paper", "paper" in cells[1:2])) if holds]
        texts = ["" if cells[0] == above else cells[0], *cells[1:]]
        body.append(f"<tr class='{' '.join(kinds)}'>{''.join(f'<td>{escape(text)}</td>' for text in texts)}</tr>")
        above = cells[0]
    caption = f"<caption>{escape(table.caption)}</caption>"
    return (
        f"<div class='wide'><table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def figure_html(picture: Picture) -> str:
    """A figure of the page, the picture inside it."""
    data = base64.b64encode(picture.path.read_bytes()).decode()
    text = escape(picture.caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _statistics(times: bool) -> str:
    shown = [*STATISTICS, *(SURVIVAL if times else [])]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in shown)
    return f"<h2>What each statistic means</h2><dl>{items}</dl>"


def _methods(data: RunData) -> str:
    items = []
    for method in data.methods:
        parts = [("Source: ", method.method.SOURCE), ("Left open and chosen here: ", method.method.OPEN)]
        text = "".join(f"<p>{name}{escape(words)}</p>" for name, words in parts if words)
        items.append(f"<dt>{escape(method.name)} ({escape(method.group)})</dt><dd>{text}</dd>")
    return f"<h2>The methods</h2><dl>{''.join(items)}</dl>"


def _footer(data: RunData) -> str:
    from CHMFLPredictorLib.predict.inputs import software

    versions = ", ".join(f"{name} {version}" for name, version in software().items())
    jobs = sum(sum(method.states.values()) for method in data.methods)
    done = sum(method.states.get("finished", 0) for method in data.methods)
    text = f"{done} of {jobs} jobs finished. Tables as CSV, LaTeX and Markdown in tables/, figures in figures/."
    return f"{escape(text)} {escape(versions)}"
