"""Plots on the stand-in: Slicer's own nodes and logics; the layouts' views; what a plot view draws."""

import numpy as np
import pytest
import slicer
from slicer_standin.plot_view import PlotView

pytestmark = pytest.mark.standin


def chart(series=("first", "second")):
    """A chart of lines over a table with the columns x, y and a column of texts."""
    table = slicer.util.updateTableFromArray(None, np.array([[0.0, 0.9], [1.0, 0.5], [2.0, 0.4]]), ["x", "y"])
    texts = table.AddColumn()
    texts.SetName("words")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "Chart")
    for name in series:
        line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
        line.SetAndObserveTableNodeID(table.GetID())
        line.SetPlotType(line.PlotTypeScatter)
        line.SetXColumnName("x")
        line.SetYColumnName("y")
        node.AddAndObservePlotSeriesNodeID(line.GetID())
    return node


def show(node):
    slicer.modules.plots.logic().ShowChartInLayout(node)


def layout():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


class TestLayouts:
    def test_there_is_one_layout_node_with_slicers_layouts(self):
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLayoutNode") == 1
        for name in ("FourUpView", "FourUpPlotView", "ConventionalPlotView", "FourUpPlotTableView"):
            assert layout().IsLayoutDescription(getattr(slicer.vtkMRMLLayoutNode, f"SlicerLayout{name}")), name
        description = layout().GetLayoutDescription(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
        assert "vtkMRMLPlotViewNode" in description

    @pytest.mark.parametrize("arrangement", ["FourUpPlotView", "ConventionalPlotView"])
    def test_a_layout_brings_its_plot_view_and_no_second_one(self, arrangement):
        layout().SetViewArrangement(getattr(slicer.vtkMRMLLayoutNode, f"SlicerLayout{arrangement}"))
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode") == 1
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceNode") == 3
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLViewNode") == 1

    def test_a_chart_is_shown_in_a_layout_with_a_plot_view(self):
        node = chart()
        show(node)
        assert layout().GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
        view = slicer.mrmlScene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode")
        assert view.GetPlotChartNodeID() == node.GetID()
        assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == node.GetID()

    def test_no_layout_manager_without_a_main_window(self):
        """Code must not need one: Slicer's --no-main-window has none."""
        assert slicer.app.layoutManager() is None


class TestPlotView:
    def test_needs_a_layout_that_had_one(self):
        with pytest.raises(ValueError, match="no plot view"):
            PlotView("PlotView7")

    def test_shows_the_series_of_its_chart(self):
        show(chart())
        assert PlotView().plots() == ["first", "second"]

    def test_shows_nothing_without_a_chart(self):
        show(None)
        assert PlotView().plots() == []

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda one: one.SetYColumnName("z"),
            lambda one: one.SetYColumnName("words"),
            lambda one: one.SetXColumnName(""),
            lambda one: slicer.mrmlScene.RemoveNode(one.GetTableNode()),
        ],
    )
    def test_leaves_out_what_slicer_does_not_draw(self, spoil):
        node, other = chart(["first"]), chart(["second"])
        node.AddAndObservePlotSeriesNodeID(other.GetNthPlotSeriesNodeID(0))
        spoil(node.GetNthPlotSeriesNode(0))
        show(node)
        assert PlotView().plots() == ["second"]

    def test_draws_what_the_chart_says(self):
        node = chart()
        node.SetTitle("Loss")
        node.SetXAxisTitle("epoch")
        node.SetYAxisRangeAuto(False)
        node.SetYAxisRange(0.0, 1.0)
        node.SetLegendVisibility(True)
        show(node)
        view = PlotView()
        view.plots()
        import vtk

        assert view.chart.GetTitle() == "Loss" and view.chart.GetShowLegend()
        assert view.chart.GetAxis(vtk.vtkAxis.BOTTOM).GetTitle() == "epoch"
        left = view.chart.GetAxis(vtk.vtkAxis.LEFT)
        assert (left.GetUnscaledMinimum(), left.GetUnscaledMaximum()) == (0.0, 1.0)

    def test_a_picture_has_the_colors_of_its_lines(self, tmp_path):
        from PIL import Image

        node = chart(["red"])
        node.GetNthPlotSeriesNode(0).SetColor(1.0, 0.0, 0.0)
        node.GetNthPlotSeriesNode(0).SetLineWidth(4)
        show(node)
        PlotView(size=(200, 150)).save(tmp_path / "plot.png")
        with Image.open(tmp_path / "plot.png") as picture:
            assert picture.size == (200, 150)
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
        assert ((pixels[:, 0] > 200) & (pixels[:, 1] < 60) & (pixels[:, 2] < 60)).sum() > 50
