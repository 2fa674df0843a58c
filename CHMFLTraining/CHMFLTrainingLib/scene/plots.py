"""Learning curves and ROC as Slicer's own plots, and the metrics as a table: nodes that are made once and updated.

Everything made here carries the attribute ``CHMFLTraining.Role``; by it the nodes are found again, also in a scene that
was saved and loaded. Nothing else in the scene is touched. Colors are those of Okabe and Ito, which color-blind readers
can tell apart; where they repeat, the dashes differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from CHMFLPredictorLib.scene.results import remove_node
from vtk.util import numpy_support

from ..report.figures import COLORS
from ..statistics.metrics import METRICS

ROLE = "CHMFLTraining.Role"
TABLE, SERIES, CHART = "vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode"
CURVES, ROC, METRICS_TABLE = "curves", "roc", "metrics"
MOST_IN_LEGEND = {CURVES: 14, ROC: 8}  # more would hide the lines; pointing at a line names it
FONTS = {"Title": 14, "AxisTitle": 13, "AxisLabel": 11, "Legend": 10}  # a plot shares the window with three images
DECIMALS = 4  # of the metrics: half a patient of 5 000
CHANCE_COLOR = "#8A949E"
STYLES = ("Solid", "DashDot", "Dot", "DashDotDot")  # Dash is the validation's
PLAIN = {"accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity"}
PLAIN |= {"precision": "Precision", "f1": "F1", "auc": "AUC", "dice": "Dice"}
DESCRIPTIONS = {
    "Method": "Name of its row in the paper's tables",
    "Patients": "Patients of the finished folds of repeat 0",
    "Folds finished": "Folds of repeat 0 that are finished",
    "AUC mean of folds": "Mean of the folds' AUCs, which is what the paper reports",
}


@dataclass(frozen=True)
class Line:
    """One series of a chart; ``x`` and ``y`` have one length, at least 1, and are finite."""

    name: str
    x: np.ndarray
    y: np.ndarray
    color: str
    style: str = "Solid"
    width: float = 2.0


class TrainingPlots:
    """The plots and the table of a run in a scene.

    :param scene: vtkMRMLScene. Nodes of an earlier run that it holds are taken over.
    """

    def __init__(self, scene):
        self.scene = scene

    def show_curves(self, method: str, curves) -> object:
        """Draw learning curves: a solid line a fold, dashed for the inner validation patients.

        :param curves: of :meth:`..run.live.LiveResults.curves`.
        :return: vtkMRMLPlotChartNode.
        """
        lines, repeats = [], len({curve.repeat for curve in curves}) > 1
        for curve in curves:
            name = f"fold {curve.fold}" + (f" of repeat {curve.repeat}" if repeats else "")
            color = COLORS[curve.fold % len(COLORS)]
            lines.append(Line(name, curve.epochs, curve.loss, color))
            if curve.validation_loss is not None:
                known = np.isfinite(curve.validation_loss)  # it may be measured every few epochs only
                x, y = curve.epochs[known], curve.validation_loss[known]
                lines.append(Line(f"{name} validation", x, y, color, "Dash", 1.5))
        count = len({curve.fold for curve in curves})
        title = f"{method}: loss, {count} fold{'s' if count != 1 else ''}"
        if any(line.style == "Dash" for line in lines):
            title += " (validation dashed)"
        title = title if lines else f"{method}: no learning curve yet"
        return self._show(CURVES, title, ("epoch", "loss"), lines)

    def show_roc(self, rocs: dict) -> object:
        """Draw ROC curves, a line a method with its AUC and number of patients, and the diagonal of chance.

        :param rocs: of :meth:`..run.live.LiveResults.roc`.
        :return: vtkMRMLPlotChartNode.
        """
        patients = {n for *_, n in rocs.values()}
        common = f"n = {patients.pop()}" if len(patients) == 1 else ""
        lines = []
        for index, (method, (fpr, tpr, area, n)) in enumerate(rocs.items()):
            name = f"{method}: AUC {area:.2f}" + ("" if common else f", n = {n}")
            style = STYLES[index // len(COLORS) % len(STYLES)]
            lines.append(Line(name, np.asarray(fpr), np.asarray(tpr), COLORS[index % len(COLORS)], style))
        lines.append(Line("chance: AUC 0.50", np.array([0.0, 1.0]), np.array([0.0, 1.0]), CHANCE_COLOR, "Dash", 1.0))
        title = "ROC out of fold"
        if len(rocs) == 1:
            title = f"{lines[0].name}, {common}, out of fold"
        elif rocs:
            title += f", {common}" if common else ", not all of the same patients yet"
        else:
            title += ": no finished fold yet"
        if len(lines) > MOST_IN_LEGEND[ROC]:
            title += f" ({len(rocs)} methods: point at a line for its name)"
        return self._show(ROC, title, ("1 - specificity", "sensitivity"), lines, (0.0, 1.0))

    def show_metrics(self, rows: list[dict], role: str = METRICS_TABLE) -> object:
        """Show the metrics of all methods in a table, the paper's beside ours (as text, empty where it has none).

        :param rows: of :meth:`..run.live.LiveResults.metrics`.
        :param role: another one than "metrics" gives a table of its own, as for runs side by side.
        :return: vtkMRMLTableNode.
        """
        columns = {"Method": [str(row["method"]) for row in rows]}
        columns |= {"Patients": _integers(rows, "n"), "Folds finished": _integers(rows, "folds_finished")}
        keys = [key for name in METRICS for key in (name, f"paper_{name}")]
        titles = [_title(key) for key in keys] + ["AUC mean of folds", "Dice", "Dice (paper)"]
        for title, key in zip(titles, [*keys, "fold_auc", "dice", "paper_dice"], strict=True):
            values = [row.get(key) for row in rows]
            columns[title] = _printed(values) if key.startswith("paper_") else _rounded(values)
        node = self._node(TABLE, role, f"CHMFL training {role}")
        modified = node.StartModify()
        _fill(node, columns)
        for title in columns:
            described = DESCRIPTIONS.get(title, "From the paper" if "paper" in title else "Pooled out of fold")
            node.SetColumnDescription(title, described)
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetLocked(True)
        node.EndModify(modified)
        return node

    def show_layout(self, chart: str = CURVES) -> None:
        """Switch Slicer to a layout with a plot and a table (unless it shows a plot already), and select ours in it.

        The layout is one of Slicer's own, so that a saved scene opens well where this extension is not installed.

        :param chart: "curves" or "roc"; where that is not drawn yet, the other one.
        """
        layout, logic = self.scene.GetFirstNodeByClass("vtkMRMLLayoutNode"), slicer.modules.plots.logic()
        if layout is not None and logic.GetLayoutWithPlot(layout.GetViewArrangement()) != layout.GetViewArrangement():
            layout.SetViewArrangement(layout.SlicerLayoutFourUpPlotTableView)
        shown = self._find(CHART, chart) or self._find(CHART, ROC if chart == CURVES else CURVES)
        if shown is not None:
            logic.ShowChartInLayout(shown)
        table, application = self._find(TABLE, METRICS_TABLE), logic.GetApplicationLogic()
        if table is not None and application is not None:
            application.GetSelectionNode().SetActiveTableID(table.GetID())
            application.PropagateTableSelection()

    def remove(self, *roles: str) -> None:
        """Take plots and tables that were made here out of the scene.

        :param roles: which; none given: what shows one run, that is "curves", "roc" and "metrics".
        """
        roles = roles or (CURVES, ROC, METRICS_TABLE)
        for class_name in (CHART, SERIES, TABLE):
            for node in slicer.util.getNodesByClass(class_name, self.scene):
                if (node.GetAttribute(ROLE) or "").split(" ")[0] in roles:
                    _remove(self.scene, node)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _find(self, class_name: str, role: str):
        nodes = slicer.util.getNodesByClass(class_name, self.scene)
        return next((node for node in nodes if node.GetAttribute(ROLE) == role), None)

    def _node(self, class_name: str, role: str, name: str):
        node = self._find(class_name, role)
        if node is None:
            node = self.scene.AddNewNodeByClass(class_name, name)
            node.SetAttribute(ROLE, role)
        return node

    def _show(self, role: str, title: str, axes: tuple[str, str], lines: list[Line], ends=None):
        """Bring the table, the series and the chart of a role up to date; the chart hears of it once."""
        chart = self._node(CHART, role, f"CHMFL training {role}")
        modified = chart.StartModify()
        table = self._node(TABLE, role, f"CHMFL training {role} data")
        named = _columns(lines)
        _fill(table, {name: values for line, (x, y) in named for name, values in ((x, line.x), (y, line.y))})
        nodes = [self._series(f"{role} {index}", table, line, pair) for index, (line, pair) in enumerate(named)]
        wanted = [node.GetID() for node in nodes]
        if wanted != [chart.GetNthPlotSeriesNodeID(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]:
            chart.RemoveAllPlotSeriesNodeIDs()
            for identifier in wanted:
                chart.AddAndObservePlotSeriesNodeID(identifier)
        self._remove_surplus(role, len(nodes))
        chart.SetTitle(title)
        chart.SetXAxisTitle(axes[0])
        chart.SetYAxisTitle(axes[1])
        chart.SetLegendVisibility(0 < len(lines) <= MOST_IN_LEGEND[role])
        for part, size in FONTS.items():
            getattr(chart, f"Set{part}FontSize")(size)
        if ends is not None:
            chart.SetXAxisRangeAuto(False)
            chart.SetYAxisRangeAuto(False)
            chart.SetXAxisRange(*ends)
            chart.SetYAxisRange(*ends)
        chart.EndModify(modified)
        return chart

    def _series(self, role: str, table, line: Line, columns: tuple[str, str]):
        node = self._node(SERIES, role, line.name)
        modified = node.StartModify()
        node.SetName(line.name)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetPlotType(node.PlotTypeScatter)  # the one with x values; the others count rows
        node.SetXColumnName(columns[0])
        node.SetYColumnName(columns[1])
        node.SetLineStyle(getattr(node, f"LineStyle{line.style}"))
        node.SetLineWidth(line.width)
        node.SetMarkerStyle(node.MarkerStyleCircle if len(line.x) == 1 else node.MarkerStyleNone)
        node.SetColor(*(int(line.color[at : at + 2], 16) / 255 for at in (1, 3, 5)))
        node.EndModify(modified)
        return node

    def _remove_surplus(self, role: str, count: int) -> None:
        """Series of an earlier, larger drawing."""
        for node in slicer.util.getNodesByClass(SERIES, self.scene):
            kind, _, number = (node.GetAttribute(ROLE) or "").rpartition(" ")
            if kind == role and int(number) >= count:
                self.scene.RemoveNode(node)


def _remove(scene, node) -> None:
    """Remove a node, a table with its storage node too."""
    if node.IsA("vtkMRMLStorableNode"):
        remove_node(scene, node)
    else:
        scene.RemoveNode(node)


def _columns(lines: list[Line]) -> list[tuple[Line, tuple[str, str]]]:
    """Each line with the names of its columns. A comma would cost the column its type when the table is saved."""
    plain = [re.sub(r"[^\w .+()=:/-]", " ", line.name) for line in lines]
    names = [name if plain.count(name) == 1 else f"{name} {index}" for index, name in enumerate(plain)]
    return [(line, (f"{name} x", f"{name} y")) for line, name in zip(lines, names, strict=True)]


def _fill(node, columns: dict[str, Iterable]) -> None:
    """Replace a table's columns at once; shorter ones repeat their last value: a NaN would cost the chart its axes."""
    table, rows = vtk.vtkTable(), max((len(values) for values in columns.values()), default=0)
    for name, values in columns.items():
        column = _array(values, rows)
        column.SetName(name)
        table.AddColumn(column)
    node.SetAndObserveTable(table)


def _array(values, rows: int):
    if isinstance(values, list):
        column = vtk.vtkStringArray()
        for text in values:
            column.InsertNextValue(text)
        return column
    column = vtk.vtkIntArray() if values.dtype.kind == "i" else vtk.vtkDoubleArray()
    column.SetNumberOfValues(rows)
    if rows:
        array = numpy_support.vtk_to_numpy(column)
        array[: len(values)] = values
        array[len(values) :] = values[-1]
    return column


def _integers(rows: list[dict], key: str) -> np.ndarray:
    return np.array([int(row.get(key) or 0) for row in rows], dtype=np.int32)


def _rounded(values: list) -> np.ndarray:
    return np.array([math.nan if value is None else round(float(value), DECIMALS) for value in values], dtype=float)


def _printed(values: list) -> list[str]:
    return ["" if value is None else f"{value:.3f}" for value in values]


def _title(key: str) -> str:
    name = key.removeprefix("paper_")
    return PLAIN[name] + (" (paper)" if key != name else "")
