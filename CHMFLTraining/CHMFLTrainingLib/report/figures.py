"""The figures of a comparison, drawn to be read at 400 pixels: curves, confusion matrices, calibration, learning.

Lines differ by dashes and markers besides colors, outcomes by shape: triangles have the event, circles do not. Colors
are those of Okabe and Ito, which color-blind readers can tell apart. Nothing is drawn on a screen.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.files import write_bytes

from ..statistics.auc import auc, roc_curve
from ..statistics.calibration import calibration_line, decision_curve, reliability
from ..statistics.metrics import OutOfFold

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9", "#7A1420")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), "-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
MARKERS = ("", "", "", "", "s", "o", "^", "D")
EVENT_STYLE = {"marker": "^", "color": "#b5401f", "linestyle": "none", "markersize": 6}
OTHER_STYLE = {"marker": "o", "color": "#0b5c8a", "linestyle": "none", "markersize": 6, "markerfacecolor": "none"}
WIDTH = 5.0  # inches: at 400 pixels a point is 1.1 pixels, so no word is below 10 points
DPI = 160
MOST_LINES = len(COLORS)
MOST_PLOTS = 6  # small ones in a figure
STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "CHMFL",  # the same picture gives the same file
    "svg.fonttype": "path",
}


def new_figure(height: float, rows: int = 1, columns: int = 1, **options):
    """A white figure of the common width and its axes (rows, columns), without any window."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08)
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG.

    :param stem: path without suffix.
    :returns: both files, PNG first.
    """
    import matplotlib as mpl

    paths = []
    with mpl.rc_context(STYLE):
        if figure.get_layout_engine() is not None:
            for _ in range(2):  # an axis of equal sides is placed by the first pass, its title by the second
                figure.get_layout_engine().execute(figure)
            figure.set_layout_engine(None)  # else each file would do it again, and be drawn twice
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
            stream = io.BytesIO()
            figure.savefig(stream, format=suffix[1:], dpi=DPI, metadata=metadata)
            paths.append(Path(stem).with_name(Path(stem).name + suffix))
            write_bytes(paths[-1], stream.getvalue())
    return paths


def line_style(index: int) -> dict:
    """Color, dashes and marker of the line at a place in the legend; they repeat after :data:`MOST_LINES`."""
    index %= MOST_LINES
    return {
        "color": COLORS[index], "linestyle": DASHES[index], "marker": MARKERS[index],
        "markersize": 4.5, "markevery": 0.12, "linewidth": 2.4 if index == 0 else 1.7,
    }  # fmt: skip


def roc_figure(methods: dict[str, OutOfFold], intervals: dict[str, tuple] | None = None, title: str = "ROC"):
    """Pooled out-of-fold ROC curves of the first repeat (the paper's Fig. 3 and 4).

    :param methods: name to predictions; the first is drawn boldest.
    :param intervals: name to the AUC's 95 % interval, for the legend.
    """
    figure, axes = new_figure(4.9 + 0.24 * len(methods))
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1, linestyle=":")
    for index, (name, found) in enumerate(methods.items()):
        low, high = (intervals or {}).get(name) or (None, None)
        text = f"{name}  {_mean_auc(found):.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None else "")
        axis.plot(*roc_curve(found.label, found.risk[0]), label=text, **line_style(index))
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_title(title)
    _legend_below(figure, "AUC, pooled out of fold" + (" (95 % interval)" if intervals else ""))
    return figure


def forest_figure(rows: list[dict], title: str = "AUC, pooled out of fold"):
    """AUC and 95 % interval of each method, with the paper's figure where it has one.

    :param rows: ``name``, ``auc``, ``interval`` (low, high), ``paper`` (AUC or None), in the order from the top.
    """
    figure, axes = new_figure(1.5 + 0.27 * len(rows))
    axis, places = axes[0, 0], -np.arange(len(rows))
    axis.axvline(0.5, color="#9aa5b1", linestyle=":", linewidth=1)
    for place, row in zip(places, rows, strict=True):
        axis.plot(row["interval"], [place, place], color="#0b5c8a", linewidth=1.8)
    axis.plot([row["auc"] for row in rows], places, "o", color="#0b5c8a", label="here (95 % interval)")
    paper = [(row["paper"], place) for row, place in zip(rows, places, strict=True) if row["paper"] is not None]
    if paper:
        axis.plot(*zip(*paper, strict=True), "x", color="#b5401f", markersize=7, markeredgewidth=2, label="paper")
    axis.set_yticks(places, [row["name"] for row in rows])
    lowest = min([0.4, *(row["interval"][0] - 0.02 for row in rows)])
    axis.set(xlim=(lowest, 1.01), ylim=(places[-1] - 0.7, 0.7), xlabel="AUC (dotted: chance)")
    axis.set_title(title)
    _legend_below(figure, None, columns=2)
    return figure


def confusion_figure(pairs: list[list[tuple[str, dict[str, int]]]], event: str = "DM"):
    """Confusion matrices (Fig. S1), two a row.

    :param pairs: for each row one or two of (title, ``tp``, ``fp``, ``fn``, ``tn``).
    """
    figure, axes = new_figure(2.75 * len(pairs), len(pairs), 2)
    for axis in axes.flat:
        axis.set_visible(False)
    shown = [(axis, *one) for row, pair in zip(axes, pairs, strict=True) for axis, one in zip(row, pair, strict=False)]
    for axis, name, count in shown:
        axis.set_visible(True)
        cells = np.array([[count["tp"], count["fn"]], [count["fp"], count["tn"]]])
        axis.imshow(cells / np.maximum(cells.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(cells):
            share = number / max(int(cells[row].sum()), 1)
            text = f"{number}\n{share:.0%}"
            axis.text(column, row, text, ha="center", va="center", fontsize=13, color="w" if share > 0.55 else "k")
        axis.set_xticks([0, 1], [event, f"no {event}"])
        axis.set_yticks([0, 1], [event, f"no\n{event}"])
        axis.set(xlabel="predicted", ylabel="happened")
        axis.set_title("\n".join(textwrap.wrap(name, 24)), fontsize=9.5)
        axis.spines[:].set_visible(False)
    return figure


def reliability_figure(found: OutOfFold, title: str, event: str = "DM"):
    """Observed against predicted risk of the first repeat, with the single patients at the edges."""
    label, risk = found.label, found.risk[0]
    groups, line = reliability(label, risk), calibration_line(label, risk)
    figure, axes = new_figure(4.6)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="#9aa5b1", linestyle=":", label="calibrated")
    x, y = (np.array([group[name] for group in groups]) for name in ("risk", "observed"))
    ends = np.array([[group["low"], group["high"]] for group in groups]).T
    # the interval can lie beside the share by rounding only
    error = np.maximum(np.array([y - ends[0], ends[1] - y]), 0)
    text = f"groups of about {round(len(label) / max(len(groups), 1))} (95 %)"
    axis.errorbar(x, y, error, color="#0b5c8a", marker="s", capsize=3, linewidth=1.2, label=text)
    axis.plot(risk[label == 1], np.full((label == 1).sum(), 1.06), label=event, **EVENT_STYLE)
    axis.plot(risk[label == 0], np.full((label == 0).sum(), -0.06), label=f"no {event}", **OTHER_STYLE)
    axis.set(xlabel="predicted risk", ylabel=f"share with {event}", xlim=(-0.03, 1.03), ylim=(-0.12, 1.12))
    slope = f"{line.slope:.2f}" if np.isfinite(line.slope) else "undefined"
    axis.set_title(f"{title}: calibration slope {slope}")
    _legend_below(figure, None, columns=2)
    return figure


def decision_figure(methods: dict[str, OutOfFold], title: str = "Decision curves"):
    """Net benefit of the first repeat against the threshold, beside acting on all patients and on none."""
    figure, axes = new_figure(4.0 + 0.24 * (len(methods) + 2))
    axis, top = axes[0, 0], 0.1
    for index, (name, found) in enumerate(methods.items()):
        curve = decision_curve(found.label, found.risk[0])
        axis.plot(curve["threshold"], curve["model"], label=name, **line_style(index))
        top = max(top, float(curve["model"].max()), float(curve["all"].max()))
    axis.plot(curve["threshold"], curve["all"], color="#6b7785", linewidth=1, label="act on all")
    axis.plot(curve["threshold"], curve["none"], color="#6b7785", linewidth=1, linestyle=":", label="act on none")
    axis.set(xlabel="threshold probability", ylabel="net benefit", ylim=(-0.15, top * 1.08), xlim=(0.05, 0.8))
    axis.set_title(title)
    _legend_below(figure, None)
    return figure


def sweep_figure(points: dict[float, dict], title: str = "Weight w of the segmentation loss"):
    """Accuracy, sensitivity, specificity (Fig. 5) and AUC against w.

    :param points: w to a summary of :func:`..statistics.metrics.summarize`.
    """
    figure, axes = new_figure(4.6)
    axis, weights = axes[0, 0], sorted(points)
    for index, name in enumerate(("accuracy", "sensitivity", "specificity", "auc")):
        values = [points[w]["pooled"][name] for w in weights]
        style = line_style(index) | {"marker": "sov^"[index], "markevery": None}
        label = "AUC (95 % interval)" if name == "auc" else name
        axis.plot(weights, [np.nan if value is None else value for value in values], label=label, **style)
    ends = np.array([[np.nan if end is None else end for end in points[w]["interval"]["auc"]] for w in weights])
    axis.fill_between(weights, ends[:, 0], ends[:, 1], color=COLORS[3], alpha=0.15, linewidth=0)
    axis.set(xlabel="w (0: prediction only, 1: segmentation only)", ylabel="pooled, out of fold", ylim=(0, 1.02))
    axis.set_title(title)
    _legend_below(figure, None, columns=2)
    return figure


def learning_figure(methods: dict[str, dict[str, list[dict]]]):
    """Training loss (and the inner validation's, dashed) by epoch, a line a fold, a small plot a method.

    :param methods: name, at most :data:`MOST_PLOTS`, to fold's name to the rows of its history.csv; columns that end in
        ``loss`` are drawn.
    """
    figure, axes = _plots(len(methods), 2.3)
    drawn = {}
    for axis, (name, histories) in zip(axes, methods.items(), strict=True):
        for index, rows in enumerate(histories.values()):
            for column in [name for name in rows[0] if name.endswith("loss")]:
                inner = "validation" in column
                epochs, values = (np.array([_number(row.get(name)) for row in rows]) for name in ("epoch", column))
                style = {"linestyle": "--" if inner else "-", "color": COLORS[1 if inner else 0]}
                style |= {"marker": MARKERS[4 + index % 4], "markevery": 0.2, "markersize": 3.5}
                line = axis.plot(epochs, values, linewidth=1, alpha=0.7, **style)
                drawn.setdefault(column.replace("_", " "), line[0])
        axis.set(xlabel="epoch", ylabel="loss")
        axis.locator_params(axis="y", nbins=4)
        axis.locator_params(axis="x", nbins=4, integer=True)
        _small_title(axis, name)
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=2, frameon=False, handlelength=3.4)
    return figure


def tsne_figure(methods: dict[str, tuple], event: str = "DM", seed: int = 0):
    """Features of networks in two dimensions (Fig. 7), a small plot a network.

    :param methods: name, at most :data:`MOST_PLOTS`, to features (n, d), n at least 4; label 0 or 1 (n,); and held out
        (n,), the patients that the network never saw: drawn with a ring. In the others any network that has learned
        them by heart looks good.
    """
    figure, axes = _plots(len(methods), 2.6)
    for axis, (name, (features, *about)) in zip(axes, methods.items(), strict=True):
        places, (label, held_out) = tsne(features, seed), map(np.asarray, about)
        for outcome, style, text in ((1, EVENT_STYLE, event), (0, OTHER_STYLE, f"no {event}")):
            axis.plot(*places[label == outcome].T, label=text, **style)
        ring = {"linestyle": "none", "marker": "o", "markersize": 13, "markerfacecolor": "none", "color": "k"}
        axis.plot(*places[held_out.astype(bool)].T, label="held out", **ring)
        axis.set(xticks=[], yticks=[])
        axis.margins(0.1)
        _small_title(axis, name)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def tsne(features, seed: int = 0) -> np.ndarray:
    """Features (n, d), standardized, in two dimensions (n, 2). van der Maaten L, Hinton G. J Mach Learn Res
    2008;9:2579.
    """
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(np.asarray(features, dtype=float))
    perplexity = min(30.0, (len(scaled) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)


def _plots(count: int, height: float):
    """A figure of so many small plots, two a row, and their axes."""
    rows = -(-count // 2)
    figure, axes = new_figure(0.5 + height * rows, rows, 2 if count > 1 else 1)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def _small_title(axis, text: str) -> None:
    axis.set_title("\n".join(textwrap.wrap(text, 24)), fontsize=10.5)


def _legend_below(figure, title, columns: int = 1) -> None:
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, title=title, handlelength=3.4)


def _mean_auc(found: OutOfFold) -> float:
    return float(np.mean([auc(found.label, risk) for risk in found.risk]))


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")
