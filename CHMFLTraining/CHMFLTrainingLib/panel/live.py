"""The panel's live results: learning curves and ROC as Slicer's plots, metrics as Slicer's table."""

import slicer
from slicer.i18n import tr as _


class LiveBox:
    """Draws what the watcher of a run tells. The nodes are in the scene; the layout is the user's until "Show plots".

    It draws while the module is entered, or on that button: a scene of another module gets no nodes.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self._ui, self.parameterNode = ui, None
        self._curves: dict[str, dict] = {}
        self._results: dict | None = None
        self._plots, self._behind = None, False
        self._showChoice()
        ui.liveMethodComboBox.connect("currentIndexChanged(int)", self._onMethod)
        ui.showPlotsButton.connect("clicked()", self.onShow)

    def clear(self) -> None:
        """Another run is shown."""
        self._curves, self._results, self._behind = {}, None, False
        combo = self._ui.liveMethodComboBox
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.blockSignals(blocked)
        self._ui.showPlotsButton.enabled = False
        self._ui.metricsTableView.visible = False
        self._showChoice()
        if self._plots is not None:
            self._plots.remove()
            self._plots = None

    def take(self, event: dict) -> None:
        """Take in an event of the watcher."""
        if event["event"] == "curves":
            self._curves[event["method"]] = event
            self._list(event["method"])
            if event["method"] == self._method():
                self._drawIfSeen(self._drawCurves)
        elif event["event"] == "results":
            self._results = event
            self._drawIfSeen(self._drawResults)

    def forgetScene(self) -> None:
        """The scene was closed, and with it went the nodes; the new one gets none of what is known already."""
        self._plots, self._behind = None, False

    def catchUp(self) -> None:
        """The module is entered: draw what came meanwhile."""
        if self._behind:
            self._draw()

    def onShow(self) -> None:
        """Show plots and table in Slicer's views."""
        if self._plots is None or self._behind:
            self._draw()
        self._scenePlots().show_layout()

    def _drawIfSeen(self, draw) -> None:
        if self.parameterNode is None:
            self._behind = True
            self._ui.showPlotsButton.enabled = True
        else:
            draw()

    def _draw(self) -> None:
        self._behind = False
        self._drawCurves()
        if self._results:
            self._drawResults()

    def _scenePlots(self):
        if self._plots is None:
            from ..scene.plots import TrainingPlots

            self._plots = TrainingPlots(slicer.mrmlScene)
        return self._plots

    def _method(self) -> str:
        return self._ui.liveMethodComboBox.currentText

    def _list(self, method: str) -> None:
        combo = self._ui.liveMethodComboBox
        if not self._curves[method]["curves"] or combo.findText(method) >= 0:
            return
        combo.addItem(method)
        self._showChoice()
        wanted = self.parameterNode.liveMethod if self.parameterNode is not None else ""
        if method == wanted:
            combo.setCurrentIndex(combo.findText(method))

    def _showChoice(self) -> None:
        """Only a method that has learning curves can be chosen."""
        for name in ("liveMethodNameLabel", "liveMethodComboBox"):
            getattr(self._ui, name).visible = self._ui.liveMethodComboBox.count > 0

    def _onMethod(self, index: int) -> None:
        if self.parameterNode is not None and self._method():
            self.parameterNode.liveMethod = self._method()
        self._drawIfSeen(self._drawCurves)

    def _drawCurves(self) -> None:
        from ..run.watch import curves_of

        event = self._curves.get(self._method())
        if event is not None:
            self._scenePlots().show_curves(event["method"], curves_of(event))
            self._ui.showPlotsButton.enabled = True

    def _drawResults(self) -> None:
        from ..run.watch import rocs_of

        rows = [row for row in self._results["rows"] if row["folds_finished"]]
        if not rows:
            return
        plots = self._scenePlots()
        plots.show_roc(rocs_of(self._results))
        table = plots.show_metrics(rows)
        self._ui.metricsTableView.setMRMLTableNode(table)
        self._ui.metricsTableView.visible = True
        self._ui.metricsTableView.toolTip = _("Metrics out of fold, the paper's beside ours.")
        self._ui.showPlotsButton.enabled = True
