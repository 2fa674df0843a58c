"""The report of a comparison: tables, figures, and one self-contained page that a reader needs nothing else for."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.files import write_bytes
from CHMFLPredictorLib.report.page import page

from .. import MODULE_FOLDER
from . import pictures as run_figures
from . import tables
from .pictures import Picture
from .results import REFERENCES, RunData, read_run
from .tables import Table
from .words import AGAINST, PAPER_COUNTS, SMOKE, STATISTICS, SURVIVAL, limits

TEMPLATES = MODULE_FOLDER / "Resources" / "Templates"
SECTIONS = (  # title, beginning of its tables' names, place of its pictures, words before the tables
    ("Discrimination", "overview", "discrimination", ""),
    ("The paper's figures and ours", "metrics_", "metrics", PAPER_COUNTS),
    ("Methods compared on the same patients", "against_", "against", AGAINST),
    ("Calibration and use", "calibration", "calibration", ""),
    ("Time to the event", "survival", "survival", ""),
    ("Segmentation", "segmentation", "segmentation", ""),
    ("What the networks learned", None, "learning", ""),
)
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
    """The page as text (``Resources/Templates/comparison.html``)."""
    labels = np.array([data.run.patients[name].label for name in data.run.folds[0]])
    sections = [_section(*one, all_tables, pictures) for one in SECTIONS]
    times = any(table.stem == "survival" for table in all_tables)
    values = {
        "title": f"{len(data.methods)} methods compared: {data.run.folder.resolve().name}",
        "facts": _facts(data),
        "smoke": SMOKE if data.run.plan.preset == "smoke" else "",
        "problems": _problems(data),
        "patients": labels.size,
        "limits": _limits(data, labels),
        "sections": [section for section in sections if section["tables"] or section["pictures"]],
        "statistics": [*STATISTICS, *(SURVIVAL if times else [])],
        "methods": data.methods,
        "footer": _footer(data),
    }
    return page("comparison.html", values, TEMPLATES)


def _section(title: str, stem: str | None, place: str, lead: str, all_tables: list[Table], pictures: list[Picture]):
    return {
        "title": title,
        "lead": lead,
        "tables": [table for table in all_tables if stem and table.stem.startswith(stem)],
        "pictures": [
            {"caption": picture.caption, "data": base64.b64encode(picture.path.read_bytes()).decode()}
            for picture in pictures
            if picture.section == place
        ],
    }


def _facts(data: RunData) -> dict[str, str]:
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
    return facts


def _option_words(method: str, options: dict) -> str:
    """Return, for example, "CFL: preset smoke, epochs 30"."""
    return f"{'all' if method == '*' else method}: {', '.join(f'{name} {value}' for name, value in options.items())}"


def _problems(data: RunData) -> list[dict]:
    """What is not finished, failed or could not be read; nothing is left out silently."""
    found = [{"method": name, "text": f"Left out. {why}"} for name, why in data.run.plan.left_out.items()]
    for method in data.methods:
        missing = {state: count for state, count in method.states.items() if state != "finished"}
        if missing:
            total = sum(method.states.values())
            text = ", ".join(f"{count} of {total} jobs {STATES[state]}" for state, count in missing.items())
            found.append({"method": method.name, "text": f"{text}.", "errors": _errors(method.errors)})
        if method.problem:
            found.append({"method": method.name, "text": method.problem})
        if method.found is not None and len(method.found.patients) < len(data.run.folds[0]):
            text = f"only {len(method.found.patients)} of {len(data.run.folds[0])} patients are predicted"
            text += "; its numbers are not those of the whole cohort."
            found.append({"method": method.name, "text": text})
    return found


def _errors(errors: list[tuple[str, dict]]) -> list[dict]:
    """Each reason once, with the first job that it ended."""
    seen = {}
    for job, error in errors:
        told = {name: error.get(name, "") for name in ("code", "message", "hint")}
        seen.setdefault(tuple(told.values()), {"job": job, **told})
    return list(seen.values())


def _limits(data: RunData, labels: np.ndarray) -> list[tuple[str, str]]:
    first = data.references[0] if data.references else None
    errors = [method.against[first]["se"] for method in data.finished if first and method.name != first]
    return limits(int(labels.sum()), int((labels == 0).sum()), len(data.finished), errors)


def _footer(data: RunData) -> str:
    from CHMFLPredictorLib.predict.inputs import software

    versions = ", ".join(f"{name} {version}" for name, version in software().items())
    jobs = sum(sum(method.states.values()) for method in data.methods)
    done = sum(method.states.get("finished", 0) for method in data.methods)
    text = f"{done} of {jobs} jobs finished. Tables as CSV, LaTeX and Markdown in tables/, figures in figures/."
    return f"{text} {versions}"
