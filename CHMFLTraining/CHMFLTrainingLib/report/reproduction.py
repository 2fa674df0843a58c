"""The paper's figures and a run's side by side, as Markdown: what ``reproduce`` adds to a comparison's report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CHMFLPredictorLib.files import write_bytes

from ..run.run import Comparison
from ..statistics.metrics import compare
from .results import MethodResult, RunData, read_run
from .tables import number, p_text, range_text, segmentation_table

FILE = "reproduction.md"


@dataclass(frozen=True)
class Pair:
    """Two rows that differ in one thing, and what it is."""

    one: str
    other: str
    difference: str


# Rows that share box, voxels, epochs, rate, batch, augmentation and loss, but for what is named
PAIRS = (
    Pair("CHMFL", "CFL", "the head reads all levels (HMFL), not the last alone"),
    Pair("CHMFL", "CHMFL w=0", "the segmentation's term of Eq. 1 and its decoder (CFL)"),
    Pair("CHMFL", "Mask + HMFL", "the tumor is learned (CFL) instead of given"),
    Pair("CHMFL", "CHMFL + GN_c4", "batch normalization instead of group normalization"),
    Pair("CHMFL w=0", "3D-CNN-PET-CT", "the head reads all levels (HMFL), without CFL in either"),
    Pair("3D-CNN-PET-CT", "3D-CNN-PET", "CT beside PET, in the box"),
    Pair("3D-CNN-PET-CT", "3D-CNN-CT", "PET beside CT, in the box"),
    Pair("2D-CNN-PET-CT", "2D-CNN-PET", "CT beside PET, in slices"),
    Pair("2D-CNN-PET-CT", "2D-CNN-CT", "PET beside CT, in slices"),
)


def write_reproduction(folder: Path) -> Path:
    """Write ``reproduction.md`` into a run's folder.

    :returns: its path.
    :raises BadInput: run_missing, run_damaged, run_other_kind, run_old.
    """
    data = read_run(Path(folder))
    parts = [_heading(data), _figures(data), _differences(data), _voxels(data), _missing(data)]
    path = data.run.folder / FILE
    write_bytes(path, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return path


def core_hours(run: Comparison, name: str) -> float | None:
    """Hours of a core that a method's finished jobs took, threads counted; None before one is finished."""
    jobs = [job for job in run.jobs if job.method == name and run.state(job) == "finished"]
    told = [seconds for job in jobs if (seconds := run.seconds(job)) is not None]
    return sum(told) * run.plan.threads / 3600 if told else None


def _heading(data: RunData) -> str:
    plan, labels = data.run.plan, [data.run.patients[name].label for name in data.run.folds[0]]
    text = (
        f"{len(labels)} patients, {sum(labels)} with the event; {len(set(data.run.folds[0].values()))} folds, "
        f"{plan.repeats} repeat{'s' if plan.repeats > 1 else ''}; preset `{plan.preset}`, precision {plan.precision}, "
        f"seed {plan.seed}."
    )
    return f"# The paper's figures and this run's\n\n{text} Every number is out of fold."


def _figures(data: RunData) -> str:
    head = ["table", "method", "AUC, paper", "AUC pooled", "95 %", "AUC mean of folds", "accuracy, paper", "accuracy"]
    head += ["Brier", "Brier, one curve", "folds", "core-hours"]
    rows = [_figures_of(data.run, method) for method in data.methods]
    note = (
        "Accuracy at 0.5, and for the logistic regressions at the share of events in training. One curve: Platt's, of "
        "the other folds' out-of-fold log-odds, the same way for every row."
    )
    return f"{_table(head, rows)}\n\n{note}"


def _figures_of(run: Comparison, method: MethodResult) -> list[str]:
    paper, hours = method.method.PAPER or {}, core_hours(run, method.name)
    names = [method.group, method.name]
    done, jobs = method.states.get("finished", 0), sum(method.states.values())
    budget = [f"{done} of {jobs}", number(hours, 2 if hours is not None and hours >= 0.1 else 3)]
    if method.summary is None:
        return [*names, number(paper.get("auc")), "-", "-", "-", number(paper.get("accuracy")), "-", "-", "-", *budget]
    found = method.summary
    ends = range_text(found["interval"]["auc"])
    aucs = [number(paper.get("auc")), number(found["pooled"]["auc"]), ends, number(found["fold_mean"]["auc"])]
    accuracy = [number(paper.get("accuracy")), number(found["pooled"]["accuracy"])]
    return [*names, *aucs, *accuracy, number(found["brier"]), number(found["platt"]["brier"]), *budget]


def _differences(data: RunData) -> str:
    head = ["rows", "they differ in", "AUC, paper", "AUC, here", "95 %", "p (DeLong)"]
    rows = []
    for pair in PAIRS:
        one, other = data.named(pair.one), data.named(pair.other)
        if one is None or other is None:
            continue
        test = compare(one.found, other.found)
        paper = [(row.method.PAPER or {}).get("auc") for row in (one, other)]
        printed = number(paper[0] - paper[1]) if None not in paper else "-"
        ends = range_text((test["low"], test["high"]))
        names = f"{pair.one} less {pair.other}"
        rows.append([names, pair.difference, printed, number(test["difference"]), ends, p_text(test["p"])])
    if not rows:
        return ""
    lead = (
        "Only these rows differ in one thing; no other two say anything about an architecture. An interval that holds "
        "0 does not tell them apart, nor does it show that they are equal."
    )
    return f"## What one change does\n\n{lead}\n\n{_table(head, rows)}"


def _voxels(data: RunData) -> str:
    table = segmentation_table([method.row() for method in data.methods if method.segmentation])
    if not table.cells:
        return ""
    return f"## Segmentation\n\n{_table(table.header, table.cells)}\n\n{table.note}"


def _missing(data: RunData) -> str:
    """Rows of the run that are not finished, and those that it leaves out."""
    lines = [f"- {name}: left out. {reason}" for name, reason in data.run.plan.left_out.items()]
    for method in data.methods:
        waiting = sum(count for state, count in method.states.items() if state != "finished")
        if not waiting:
            continue
        codes = sorted({error.get("code", "") for _, error in method.errors})
        why = f" ({', '.join(codes)})" if codes else ""
        lines.append(f"- {method.name}: {waiting} of {sum(method.states.values())} folds are missing{why}.")
    return "## Not here\n\n" + "\n".join(lines) if lines else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
