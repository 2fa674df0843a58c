"""Tables of a comparison as CSV (numbers), LaTeX and Markdown (for people), with the paper's figures beside ours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from CHMFLPredictorLib.files import write_bytes, write_csv

from ..statistics.metrics import METRICS, confusion, holm, rates
from ..statistics.segmentation import SEGMENTATION_METRICS

SHORT = ("Acc.", "Sen.", "Spe.", "Pre.", "F1", "AUC")  # of METRICS, as the paper's tables head them
NOTHING = "-"
PAPER_PATIENTS = (24, 24)  # with and without the event (section II.A)
_LATEX = {char: "\\" + char for char in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Table:
    """A table for people and the numbers behind it.

    :ivar stem: name of its files.
    :ivar header: words above the columns; ``cells`` are texts, a list a row.
    :ivar columns: names of the CSV's columns; ``records`` are its rows, None for an empty cell.
    """

    stem: str
    caption: str
    header: list[str]
    cells: list[list[str]]
    columns: list[str]
    records: list[list]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """What the tables hold of one method.

    :ivar summary: of :func:`..statistics.metrics.summarize`; None before a fold is finished.
    :ivar paper, paper_segmentation: the paper's figures, or None.
    :ivar against: name of a reference to :func:`..statistics.metrics.compare` with it.
    :ivar segmentation: metric to mean over patients, with ``patients``, and ``pooled`` over voxels; empty where nothing
        is segmented.
    :ivar survival: of :func:`..statistics.survival.survival_metrics`; empty where the cohort has no times.
    """

    name: str
    group: str
    summary: dict | None
    paper: dict | None = None
    paper_segmentation: dict | None = None
    against: dict[str, dict] = field(default_factory=dict)
    segmentation: dict = field(default_factory=dict)
    survival: dict = field(default_factory=dict)


def number(value, digits: int = 3) -> str:
    """A number as text; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def p_text(value) -> str:
    """A p-value as text."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def range_text(ends, digits: int = 2) -> str:
    """An interval as text."""
    return NOTHING if None in ends else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def overview_table(rows: list[Row], references: list[str]) -> Table:
    """AUC of each method, the paper's, and what DeLong's test says against each reference."""
    rows = [row for row in rows if row.summary]
    header = ["Method", "AUC pooled", "95 % interval", "AUC mean of folds", "paper", "Brier"]
    header += ["patients", *(f"p against {name}" for name in references)]
    columns = ["method", "group", "auc_pooled", "auc_low", "auc_high", "auc_fold_mean", "auc_fold_sd", "auc_paper"]
    columns += ["brier", "patients", *(f"delong_p_{name}" for name in references)]
    cells, records = [], []
    for row in rows:
        found, paper = row.summary, (row.paper or {}).get("auc")
        p_values = [None if name == row.name else row.against.get(name, {}).get("p") for name in references]
        pooled, ends = found["pooled"]["auc"], found["interval"]["auc"]
        folds = [found["fold_mean"]["auc"], found["fold_sd"]["auc"]]
        texts = [row.name, number(pooled), range_text(ends), number(folds[0]), number(paper), number(found["brier"])]
        cells.append([*texts, str(found["patients"]), *map(p_text, p_values)])
        numbers = [pooled, *ends, *folds, paper, found["brier"], found["patients"]]
        records.append([row.name, row.group, *numbers, *p_values])
    caption = "Discrimination of every method. p: DeLong's test of the pooled AUCs, not adjusted."
    return Table("overview", caption, header, cells, columns, records)


def metrics_table(rows: list[Row], group: str) -> Table:
    """The six metrics of one of the paper's tables: the paper's, our mean of folds, pooled, and its interval."""
    rows = [row for row in rows if row.group == group]
    header = ["Method", "", *SHORT]
    columns = ["method", "metric", "paper", "fold_mean", "fold_sd", "folds_used", "pooled", "low", "high"]
    cells, records = [], []
    for row in rows:
        if row.paper:
            cells.append([row.name, "paper", *(number(row.paper.get(name)) for name in METRICS)])
        if not row.summary:
            cells.append([row.name, "here", *[NOTHING] * len(METRICS)])
            continue
        found = row.summary
        cells.append([row.name, "mean of folds", *(number(found["fold_mean"][name]) for name in METRICS)])
        cells.append([row.name, "pooled", *(number(found["pooled"][name]) for name in METRICS)])
        cells.append([row.name, "95 % interval", *(range_text(found["interval"][name]) for name in METRICS)])
        for name in METRICS:
            ours = [found[kind][name] for kind in ("fold_mean", "fold_sd", "folds_used", "pooled")]
            records.append([row.name, name, (row.paper or {}).get(name), *ours, *found["interval"][name]])
    stem = "metrics_" + group.lower().replace(" ", "_")
    what = "the paper's figures and ours" if any(row.paper for row in rows) else "of these the paper reports no risk"
    title = f"{group}: {what}"
    caption = f"{title} (first repeat for the mean of folds, all repeats pooled)."
    return Table(stem, caption, header, cells, columns, records)


def comparison_table(rows: list[Row], reference: str) -> Table:
    """Every method against one: difference of AUCs, DeLong's p, p adjusted by Holm, the paper's t-test."""
    rows = [row for row in rows if row.against.get(reference, {}).get("patients") and row.name != reference]
    tests = [row.against[reference] for row in rows]
    adjusted = holm([math.nan if test["p"] is None else test["p"] for test in tests])
    header = ["Method", "AUC difference", "95 % interval", "DeLong p", "Holm p", "t-test p", "patients"]
    columns = ["method", "reference", "patients", "difference", "se", "low", "high", "delong_p", "holm_p"]
    columns += [f"t_test_p_{name}" for name in METRICS]
    cells, records = [], []
    for row, test, holm_p in zip(rows, tests, adjusted, strict=True):
        t_tests = [test["t_test"].get(name) for name in METRICS]
        ends = range_text([test["low"], test["high"]], 3)
        texts = [row.name, number(test["difference"]), ends, p_text(test["p"]), p_text(holm_p), p_text(t_tests[-1])]
        cells.append([*texts, str(test["patients"])])
        middle = [test[name] for name in ("difference", "se", "low", "high", "p")]
        holm_value = float(holm_p) if math.isfinite(holm_p) else None
        records.append([row.name, reference, test["patients"], *middle, holm_value, *t_tests])
    stem = "against_" + re.sub(r"[^A-Za-z0-9]+", "_", reference).strip("_")
    caption = f"Each method's AUC less that of {reference}, on the same patients."
    return Table(stem, caption, header, cells, columns, records)


def calibration_table(rows: list[Row]) -> Table:
    """Brier score, calibration slope and excess of each method."""
    rows = [row for row in rows if row.summary]
    header = ["Method", "Brier", "slope", "its standard error", "intercept", "mean risk less share of events"]
    header += ["Brier, one curve", "Acc., one curve"]
    keys = ("slope", "se", "intercept", "excess")
    cells, records = [], []
    for row in rows:
        line, platt = row.summary["calibration"], row.summary["platt"]
        curved = [platt["brier"], platt["accuracy"]]
        middle = [number(line[key], 2) for key in keys]
        cells.append([row.name, number(row.summary["brier"]), *middle, *map(number, curved)])
        records.append([row.name, row.summary["brier"], *(line[key] for key in keys), *curved])
    columns = ["method", "brier", "slope", "slope_se", "intercept", "excess", "brier_platt", "accuracy_platt"]
    note = (
        "One curve: the same for every method, a logistic curve (Platt) of the other folds' out-of-fold log-odds, "
        "fitted without training again; threshold 0.5."
    )
    return Table("calibration", "Can the risks be taken at their word?", header, cells, columns, records, note)


def segmentation_table(rows: list[Row]) -> Table:
    """The five segmentation metrics (Table SIV), the paper's and ours, mean over patients."""
    rows = [row for row in rows if row.segmentation or row.paper_segmentation]
    header = ["Method", "", "DSC", "Jac.", "Acc.", "Sen.", "Spe.", "patients"]
    cells, records = [], []
    for row in rows:
        here = [("mean of patients", row.segmentation), ("pooled voxels", row.segmentation.get("pooled"))]
        for source, values in [("paper", row.paper_segmentation), *here]:
            if values:
                numbers = [values.get(name) for name in SEGMENTATION_METRICS]
                patients = None if source == "paper" else row.segmentation["patients"]
                cells.append([row.name, source, *map(number, numbers), NOTHING if patients is None else str(patients)])
                records.append([row.name, source, *numbers, patients])
    columns = ["method", "source", *SEGMENTATION_METRICS, "patients"]
    caption = "Table SIV: segmentation of held-out patients of the first repeat, as the mean of patients and pooled."
    note = "The paper's three rows fit pooled voxels: in each its Jaccard index is Dice / (2 - Dice)."
    return Table("segmentation", caption, header, cells, columns, records, note)


def survival_table(rows: list[Row]) -> Table:
    """Harrell's C and the AUC at a few times of each method."""
    rows = [row for row in rows if row.survival]
    times = [time for time, _ in rows[0].survival["auc_at"]] if rows else []
    header = ["Method", "C pooled", "95 % interval", "C mean of folds", *(f"AUC at {time:g}" for time in times)]
    columns = ["method", "c_pooled", "c_low", "c_high", "c_fold_mean", *(f"auc_at_{time:g}" for time in times)]
    cells, records = [], []
    for row in rows:
        found = row.survival
        areas = [area for _, area in found["auc_at"]]
        means = [found["concordance"], found["concordance_folds"]]
        count = [found["patients"], found["events"]]
        ends = range_text(found["concordance_ci"])
        cells.append([row.name, number(means[0]), ends, *map(number, [means[1], *areas]), *map(str, count)])
        plain = [None if value is None or math.isnan(value) else value for value in (*means, *areas)]
        records.append([row.name, plain[0], *found["concordance_ci"], *plain[1:], *count])
    caption = (
        "Time to the event: how well the risks of the first repeat order the times, whatever a method was trained on "
        "(times in the cohort's unit)."
    )
    return Table("survival", caption, [*header, "patients", "events"], cells, [*columns, "patients", "events"], records)


def paper_counts(paper: dict | None, patients: tuple[int, int] = PAPER_PATIENTS) -> dict[str, int] | None:
    """The confusion matrix that a row of the paper's tables comes from: the only one whose five pooled metrics round
    to the printed ones; None where there is none (a printed figure is then no pooled one, or a misprint).

    Nearly all rows have one, so the paper's "mean value across all 6 folds" cannot be what its precision and F1 are.
    """
    events, others = patients
    if not paper:
        return None
    tp, tn = round(paper["sensitivity"] * events), round(paper["specificity"] * others)
    counts = {"tp": tp, "fp": others - tn, "fn": events - tp, "tn": tn}
    fits = all(abs(float(value) - paper[name]) < 0.00101 for name, value in rates(**counts).items())
    return counts if fits else None


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write ``<stem>.csv``, ``.tex`` and ``.md``."""
    stem = Path(folder) / table.stem
    paths = [stem.with_name(stem.name + suffix) for suffix in (".csv", ".tex", ".md")]
    records = [["" if value is None else value for value in record] for record in table.records]
    write_csv(paths[0], table.columns, records)
    write_bytes(paths[1], latex(table).encode())
    write_bytes(paths[2], markdown(table).encode())
    return paths


def latex(table: Table) -> str:
    """A table for LaTeX without further packages."""
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'c' * (len(table.header) - 1)}}}",
        r"\hline",
        " & ".join(map(_escaped, table.header)) + r" \\ \hline",
        *(" & ".join(map(_escaped, row)) + r" \\" for row in _without_repeats(table.cells)),
        r"\hline",
        r"\end{tabular}",
    ]
    note = [_escaped(table.note)] if table.note else []
    return "\n".join([*lines, *note, r"\end{table}", ""])


def markdown(table: Table) -> str:
    """A table for Markdown, under its caption."""
    head = ["| " + " | ".join(table.header) + " |", "| --- |" + " ---: |" * (len(table.header) - 1)]
    cells = [[text.replace("|", "\\|") for text in row] for row in _without_repeats(table.cells)]
    body = ["| " + " | ".join(row) + " |" for row in cells]
    note = ["", table.note] if table.note else []
    return "\n".join([table.caption, "", *head, *body, *note, ""])


def confusion_counts(found) -> dict[str, int]:
    """Confusion matrix of the first repeat of an :class:`..statistics.metrics.OutOfFold`."""
    return confusion(found.label, found.positive[0])


def _without_repeats(cells: list[list[str]]) -> list[list[str]]:
    """Rows of one method show its name once."""
    above = [None, *(row[0] for row in cells)]
    return [["" if row[0] == name else row[0], *row[1:]] for name, row in zip(above, cells, strict=False)]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text.replace("\\", "/")).replace("<", "$<$")
