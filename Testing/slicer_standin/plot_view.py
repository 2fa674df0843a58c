"""A plot view without a window: the chart of a plot view node, drawn by VTK's charts as Slicer draws it.

Follows Libs/MRML/Widgets/qMRMLPlotView.cxx: init(), updateWidgetFromMRML(), updatePlotFromPlotSeriesNode(),
RecalculateBounds(). Stands in: the Qt widget around it (CTK's ctkVTKChartView.cpp). Not covered: the mouse, logarithmic
axes, labels of points.
"""

import slicer
import vtk
from vtkmodules.vtkRenderingContext2D import vtkMarkerUtilities

AXES = (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.TOP, vtk.vtkAxis.LEFT, vtk.vtkAxis.RIGHT)
_SERIES = slicer.vtkMRMLPlotSeriesNode
LINES = {
    _SERIES.LineStyleNone: vtk.vtkPen.NO_PEN,
    _SERIES.LineStyleSolid: vtk.vtkPen.SOLID_LINE,
    _SERIES.LineStyleDash: vtk.vtkPen.DASH_LINE,
    _SERIES.LineStyleDot: vtk.vtkPen.DOT_LINE,
    _SERIES.LineStyleDashDot: vtk.vtkPen.DASH_DOT_LINE,
    _SERIES.LineStyleDashDotDot: vtk.vtkPen.DASH_DOT_DOT_LINE,
}
MARKERS = {
    _SERIES.MarkerStyleNone: vtkMarkerUtilities.NONE,
    _SERIES.MarkerStyleCross: vtkMarkerUtilities.CROSS,
    _SERIES.MarkerStylePlus: vtkMarkerUtilities.PLUS,
    _SERIES.MarkerStyleSquare: vtkMarkerUtilities.SQUARE,
    _SERIES.MarkerStyleCircle: vtkMarkerUtilities.CIRCLE,
    _SERIES.MarkerStyleDiamond: vtkMarkerUtilities.DIAMOND,
}
NOT_DRAWN = (vtk.VTK_STRING, vtk.VTK_BIT)


class PlotView:
    """The plot view of a plot view node; what it shows is taken from the scene when it is drawn.

    :param name: the view node's singleton tag; Slicer's layouts have one plot view.
    :raises ValueError: there is no such view: no layout with a plot view was shown.
    """

    def __init__(self, name: str = "PlotView1", size=(400, 400)):
        self.node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLPlotViewNode")
        if self.node is None:
            raise ValueError(f"There is no plot view {name}: Slicer's layout has none yet.")
        self.size, self.chart = size, vtk.vtkChartXY()
        self.view = vtk.vtkContextView()
        self.view.GetScene().AddItem(self.chart)
        self.window = self.view.GetRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.chart.GetBackgroundBrush().SetColor(255, 253, 246, 255)

    def plots(self) -> list:
        """Take over chart and series from the scene; returns the names of the series that can be drawn."""
        self.chart.ClearPlots()
        node = self.node.GetPlotChartNode()
        if node is None:
            return []
        drawn = []
        for index in range(node.GetNumberOfPlotSeriesNodes()):
            series = node.GetNthPlotSeriesNode(index)
            plot = _plot(series)
            if plot is not None:
                self.chart.AddPlot(plot)
                drawn.append(series.GetName())
        self._title(node)
        for place in AXES:
            self._axis(node, place)
        return drawn

    def save(self, path) -> None:
        """Draw and write a PNG."""
        self.plots()
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()

    def _title(self, node) -> None:
        self.chart.SetTitle((node.GetTitle() or "") if node.GetTitleVisibility() else "")
        properties = self.chart.GetTitleProperties()
        family = properties.GetFontFamilyFromString(node.GetFontType() or "Arial")
        properties.SetFontFamily(family)
        properties.SetFontSize(node.GetTitleFontSize())
        self.chart.SetShowLegend(node.GetLegendVisibility())
        label = self.chart.GetLegend().GetLabelProperties()
        label.SetFontSize(node.GetLegendFontSize())
        label.SetFontFamily(family)

    def _axis(self, node, place: int) -> None:
        axis = self.chart.GetAxis(place)
        letter = "X" if place in (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.TOP) else "Y"

        def of(name: str):
            return getattr(node, f"Get{letter}Axis{name}")

        axis.SetTitle((of("Title")() or "") if of("TitleVisibility")() else "")
        if of("LogScale")():
            raise NotImplementedError("The stand-in draws no logarithmic axis.")
        if of("RangeAuto")():
            axis.SetBehavior(vtk.vtkAxis.AUTO)
        else:
            axis.SetBehavior(vtk.vtkAxis.FIXED)
            axis.SetUnscaledRange(*of("Range")())
        axis.Update()
        axis.SetGridVisible(node.GetGridVisibility())
        family = axis.GetTitleProperties().GetFontFamilyFromString(node.GetFontType() or "Arial")
        for properties, size in (
            (axis.GetTitleProperties(), node.GetAxisTitleFontSize()),
            (axis.GetLabelProperties(), node.GetAxisLabelFontSize()),
        ):
            properties.SetFontFamily(family)
            properties.SetFontSize(size)
            properties.SetBold(False)


def _plot(series):
    """A series as a plot of VTK; None where Slicer draws nothing: no table, no such column, a column of texts."""
    table = series.GetTableNode().GetTable() if series.GetTableNode() is not None else None
    y = table.GetColumnByName(series.GetYColumnName()) if table is not None and series.GetYColumnName() else None
    if y is None or y.GetDataType() in NOT_DRAWN:
        return None
    if series.IsXColumnRequired():
        x = table.GetColumnByName(series.GetXColumnName()) if series.GetXColumnName() else None
        if x is None or x.GetDataType() in NOT_DRAWN:
            return None
    kind = series.GetPlotType()
    is_line = kind in (series.PlotTypeScatter, series.PlotTypeLine)
    plot = vtk.vtkPlotLine() if is_line else vtk.vtkPlotBar()
    plot.SetWidth(series.GetLineWidth())
    plot.SetColorF(*series.GetColor())
    plot.SetOpacity(series.GetOpacity())
    plot.GetPen().SetOpacityF(series.GetOpacity())
    solid = kind == series.PlotTypeBar
    plot.GetPen().SetLineType(vtk.vtkPen.SOLID_LINE if solid else LINES[series.GetLineStyle()])
    if is_line:
        plot.SetMarkerSize(series.GetMarkerSize())
        plot.SetMarkerStyle(MARKERS[series.GetMarkerStyle()])
    needs_x = series.IsXColumnRequired()
    plot.SetUseIndexForXSeries(not needs_x)
    plot.SetInputData(table, series.GetXColumnName() if needs_x else series.GetYColumnName(), series.GetYColumnName())
    plot.SetLabel(series.GetName() or series.GetYColumnName())
    return plot
