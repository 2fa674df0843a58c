"""Training in a real MRML scene: the plots and the table of a run, and a model handed to the Predictor."""

import math

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.errors import MissingModel
from CHMFLTrainingLib.run.live import Curve
from CHMFLTrainingLib.scene.plots import ROLE, TrainingPlots
from CHMFLTrainingLib.scene.use import use_in_predictor
from vtk.util import numpy_support

CLASSES = ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode")


@pytest.fixture
def scene():
    made = slicer_headless.new_scene()
    logic = slicer.vtkSlicerPlotsLogic()
    logic.SetMRMLApplicationLogic(slicer.modules._application)
    logic.SetMRMLScene(made)
    slicer.modules.plots = type("Plots", (), {"logic": lambda self: logic})()
    return made


@pytest.fixture
def plots(scene):
    return TrainingPlots(scene)


def curves(folds=3, epochs=5, validation=True, repeats=1) -> list[Curve]:
    found = []
    for repeat in range(repeats):
        for fold in range(folds):
            x = np.arange(1.0, epochs + fold + 1)  # each is as far as it is
            measured = np.where(x % 2 == 0, 1 / x, np.nan) if validation and len(x) > 1 else None
            found.append(Curve(fold, repeat, x, 2 / x + fold, measured))
    return found


def rocs(methods=("CHMFL", "HC + RF"), n=48) -> dict:
    fpr, tpr = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0, 1.0])
    return {name: (fpr[index % 2 :], tpr[index % 2 :], 0.875, n) for index, name in enumerate(methods)}


def metric_rows() -> list[dict]:
    names = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auc", "fold_auc", "dice")
    ours = {name: 0.5 + index / 30 for index, name in enumerate(names)}
    paper = {f"paper_{name}": 0.8 for name in names if name != "fold_auc"}
    known = {"method": "CHMFL", "n": 48, "folds_finished": 6, "folds": 6, "problem": "", **ours, **paper}
    nothing = dict.fromkeys((*ours, *paper))
    return [known, {"method": "Mine, too", "n": 0, "folds_finished": 0, "folds": 6, "problem": "", **nothing}]


def series_of(chart) -> list:
    return [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]


def points(series) -> tuple[np.ndarray, np.ndarray]:
    table = series.GetTableNode().GetTable()
    names = series.GetXColumnName(), series.GetYColumnName()
    return tuple(numpy_support.vtk_to_numpy(table.GetColumnByName(name)) for name in names)


def bounds(series) -> list[float]:
    """The range that Slicer's plot view gives the axes (qMRMLPlotView::RecalculateBounds asks the same of the plot)."""
    plot, found = vtk.vtkPlotLine(), [0.0] * 4
    plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
    plot.SetUseIndexForXSeries(False)
    plot.Update()
    plot.GetUnscaledInputBounds(found)
    return found


def ids(scene) -> list[str]:
    return sorted(scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes()))


# Plots ---------------------------------------------------------------------------------------------------------------


def test_a_curve_a_fold_and_its_validation_dashed_in_the_same_color(plots):
    chart = plots.show_curves("CHMFL", curves(3))
    drawn = series_of(chart)
    assert [node.GetName() for node in drawn[:2]] == ["fold 0", "fold 0 validation"] and len(drawn) == 6
    for solid, dashed in zip(drawn[::2], drawn[1::2], strict=True):
        assert (solid.GetLineStyle(), dashed.GetLineStyle()) == (solid.LineStyleSolid, solid.LineStyleDash)
        assert solid.GetColor() == dashed.GetColor() and solid.GetPlotType() == solid.PlotTypeScatter
    assert len({node.GetColor() for node in drawn}) == 3
    x, y = points(drawn[4])
    np.testing.assert_array_equal(x, np.arange(1, 8))
    np.testing.assert_allclose(y, 2 / x + 2)
    x, y = points(drawn[1])
    np.testing.assert_array_equal(np.unique(x), [2, 4])  # where it was measured
    assert "CHMFL" in chart.GetTitle() and "3 folds" in chart.GetTitle()
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("epoch", "loss")


def test_lines_of_different_length_leave_the_axes_whole(plots):
    for chart in (plots.show_curves("CHMFL", curves(4)), plots.show_roc(rocs())):
        for series in series_of(chart):
            assert np.isfinite(bounds(series)).all(), series.GetName()
            columns = series.GetTableNode().GetTable()
            assert all(columns.GetColumn(i).IsA("vtkDoubleArray") for i in range(columns.GetNumberOfColumns()))
    assert bounds(series_of(plots.show_curves("CHMFL", curves(4)))[0])[:2] == [1.0, 5.0]


def test_a_first_epoch_is_a_point(plots):
    drawn = series_of(plots.show_curves("CHMFL", curves(1, epochs=1)))
    assert len(drawn) == 1 and drawn[0].GetMarkerStyle() == drawn[0].MarkerStyleCircle
    drawn = series_of(plots.show_curves("CHMFL", curves(1, epochs=2)))
    assert drawn[0].GetMarkerStyle() == drawn[0].MarkerStyleNone


def test_roc_says_auc_and_patients_and_shows_chance(plots):
    chart = plots.show_roc(rocs())
    names = [node.GetName() for node in series_of(chart)]
    assert names == ["CHMFL: AUC 0.88", "HC + RF: AUC 0.88", "chance: AUC 0.50"] and "n = 48" in chart.GetTitle()
    np.testing.assert_array_equal(points(series_of(chart)[-1])[0][:2], [0, 1])
    assert chart.GetXAxisRange() == (0.0, 1.0) and not chart.GetXAxisRangeAuto()
    one = plots.show_roc(rocs(["CHMFL"]))
    assert one is chart and one.GetTitle() == "CHMFL: AUC 0.88, n = 48, out of fold"
    unequal = plots.show_roc(rocs(["A"]) | rocs(["B"], n=40))
    assert [node.GetName() for node in series_of(unequal)][:2] == ["A: AUC 0.88, n = 48", "B: AUC 0.88, n = 40"]
    assert "no finished fold" in plots.show_roc({}).GetTitle()


def test_many_methods_stay_apart(plots):
    chart = plots.show_roc(rocs([f"Method {index}" for index in range(33)]))
    looks = [(node.GetColor(), node.GetLineStyle()) for node in series_of(chart)[:32]]
    assert len(set(looks)) == 32
    assert not chart.GetLegendVisibility() and "33 methods" in chart.GetTitle()
    assert plots.show_roc(rocs()).GetLegendVisibility()


def test_fifty_updates_leave_as_many_nodes(scene, plots):
    mine = scene.AddNewNodeByClass("vtkMRMLTableNode", "The user's")
    before = mine.GetMTime()

    def update(folds):
        plots.show_curves("CHMFL", curves(folds))
        plots.show_roc(rocs())
        plots.show_metrics(metric_rows())

    update(6)
    known, heard = ids(scene), []
    series = series_of(plots.show_roc(rocs()))[0]
    series.AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: heard.append("deleted"))
    for _ in range(50):
        update(6)
    assert ids(scene) == known and not heard
    update(2)
    assert len(ids(scene)) == len(known) - 8  # four folds, each with its validation
    update(6)
    assert len(ids(scene)) == len(known)
    assert mine.GetMTime() == before


def test_the_chart_hears_of_an_update_once(plots):
    chart, heard = plots.show_curves("CHMFL", curves(6)), []
    chart.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: heard.append(chart.GetTitle()))
    plots.show_curves("V-net", curves(6, epochs=9))
    assert len(heard) == 1 and "V-net" in heard[0]


def test_what_the_user_removes_comes_back_with_the_next_update(scene, plots):
    chart = plots.show_curves("CHMFL", curves(2))
    scene.RemoveNode(series_of(chart)[1])
    scene.RemoveNode(series_of(chart)[0].GetTableNode())
    assert [node.GetName() for node in series_of(plots.show_curves("CHMFL", curves(2)))][1] == "fold 0 validation"
    scene.Clear()
    assert len(series_of(plots.show_curves("CHMFL", curves(2)))) == 4


def test_metrics_stand_beside_the_paper(plots):
    node = plots.show_metrics(metric_rows())
    table = node.GetTable()
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert names[:5] == ["Method", "Patients", "Folds finished", "Accuracy", "Accuracy (paper)"]
    assert names[-5:] == ["AUC", "AUC (paper)", "AUC mean of folds", "Dice", "Dice (paper)"]
    assert [table.GetColumnByName("Method").GetValue(row) for row in (0, 1)] == ["CHMFL", "Mine, too"]
    assert table.GetColumnByName("Patients").GetDataType() == vtk.VTK_INT
    auc = [table.GetColumnByName("AUC").GetValue(row) for row in (0, 1)]
    assert auc[0] == pytest.approx(0.6667, abs=1e-9) and math.isnan(auc[1])
    assert table.GetColumnByName("AUC (paper)").GetValue(0) == "0.800"
    assert node.GetLocked() and "paper" in node.GetColumnDescription("AUC mean of folds")


def test_plots_survive_saving_and_loading_and_are_taken_over(scene, plots, tmp_path):
    plots.show_curves("Method, with a comma", curves(3))
    plots.show_roc(rocs(["A, b", "C\tD", "C D"]))
    plots.show_metrics(metric_rows())
    counts = [scene.GetNumberOfNodesByClass(name) for name in CLASSES]
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    loaded = slicer_headless.new_scene()
    assert loaded.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert [loaded.GetNumberOfNodesByClass(name) for name in CLASSES] == counts
    for name in ("curves", "roc"):
        chart = next(n for n in slicer.util.getNodesByClass(CLASSES[2], loaded) if n.GetAttribute(ROLE) == name)
        for series in series_of(chart):
            assert [values.dtype.kind for values in points(series)] == ["f", "f"], "a column lost its type"
    np.testing.assert_allclose(points(series_of(chart)[0])[1][:3], [0, 0.5, 1])
    again = TrainingPlots(loaded)
    again.show_curves("CHMFL", curves(3))
    again.show_roc(rocs(["A", "B", "C"]))
    again.show_metrics(metric_rows())
    assert [loaded.GetNumberOfNodesByClass(name) for name in CLASSES] == counts


def test_remove_takes_all_of_ours_and_nothing_else(scene, plots, tmp_path):
    mine = [scene.AddNewNodeByClass(name, "The user's") for name in CLASSES]
    before = ids(scene)
    plots.show_curves("CHMFL", curves(3))
    plots.show_roc(rocs())
    plots.show_metrics(metric_rows()).AddDefaultStorageNode()
    assert len(ids(scene)) > len(before)
    compared = plots.show_metrics(metric_rows()[:1], "compared")
    assert compared.GetNumberOfRows() == 1
    plots.remove()
    assert sorted([*before, compared.GetID()]) == ids(scene) and all(node.GetScene() is scene for node in mine)
    plots.remove("compared")
    assert ids(scene) == before


def test_the_layout_shows_the_chart_and_the_table(scene, plots):
    layout = scene.AddNode(slicer.vtkMRMLLayoutNode())
    views = [scene.AddNode(node) for node in (slicer.vtkMRMLPlotViewNode(), slicer.vtkMRMLTableViewNode())]
    plots.show_layout()  # nothing is drawn yet
    layout.SetViewArrangement(layout.SlicerLayoutFourUpView)
    curve, table = plots.show_curves("CHMFL", curves()), plots.show_metrics(metric_rows())
    plots.show_layout("roc")
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpPlotTableView
    assert views[0].GetPlotChartNodeID() == curve.GetID(), "there is no ROC yet"
    assert views[1].GetTableNodeID() == table.GetID()
    roc = plots.show_roc(rocs())
    layout.SetViewArrangement(layout.SlicerLayoutConventionalPlotView)
    plots.show_layout("roc")
    assert views[0].GetPlotChartNodeID() == roc.GetID()
    assert layout.GetViewArrangement() == layout.SlicerLayoutConventionalPlotView, "it shows a plot already"


# The Predictor -------------------------------------------------------------------------------------------------------


def test_a_bundle_is_listed_and_chosen_in_the_predictor(scene, tiny_bundle, tmp_path):
    shelf = tmp_path / "models.json"
    model = use_in_predictor(tiny_bundle, scene, shelf)
    node = scene.GetSingletonNode("CHMFLPredictor", "vtkMRMLScriptedModuleNode")
    assert node.GetParameter("model") == str(model.folder) and node.GetAttribute("ModuleName") == "CHMFLPredictor"
    node.SetParameter("device", "cpu")
    assert use_in_predictor(tiny_bundle, scene, shelf) == model
    assert scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1 and node.GetParameter("device") == "cpu"
    with pytest.raises(MissingModel):
        use_in_predictor(tmp_path, scene, shelf)
    assert node.GetParameter("model") == str(model.folder)
