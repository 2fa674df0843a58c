"""The panel's result box: fills it from a result, and from the ``risk`` event while the rest is still computed."""

import qt
from slicer.i18n import tr as _

from ..report.plots import STRIP_HEIGHT, STRIP_WIDTH, cohort_strip
from ..report.words import TODO, TODO_OUT_OF_RANGE
from ..tumor.measurements import MEASUREMENTS
from .words import candidatesText, honestyText, lesionText, riskDetails, riskText


class ResultBox:
    """The widgets of the Result section.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self._ui = ui
        table = ui.measurementsTable
        table.setColumnCount(3)
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)

    def clear(self, text: str) -> None:
        """Show no result but a few words."""
        self._ui.riskLabel.text = text
        for name in (
            "riskDetailsLabel", "scorePlotLabel", "measurementsTable", "warningsLabel", "candidatesLabel",
            "honestyLabel",
        ):  # fmt: skip
            getattr(self._ui, name).visible = False
        self._ui.show3DButton.setSegmentationNode(None)
        for name in ("relevanceCheckBox", "petOverCtButton", "reportButton", "exportButton"):
            getattr(self._ui, name).enabled = False

    def showRisk(self, numbers: dict, card: dict | None, whose: str) -> None:
        """Show what is known as soon as the risk is: everything but the tumor.

        :param numbers: a ``risk`` event or a result.
        :param whose: patient and study.
        """
        self._ui.riskLabel.text = riskText(numbers, whose)
        self._say(self._ui.riskDetailsLabel, riskDetails(numbers))
        self._say(self._ui.honestyLabel, honestyText(card))
        self._plot(numbers, card)

    def show(self, result: dict, nodes: dict, card: dict | None, whose: str, earlier: bool = False) -> None:
        """Show a whole result and switch on what can be done with it.

        :param nodes: the result's nodes by role; a risk-only result has no segmentation and no relevance.
        :param earlier: the last run gave none; this one must not be taken for its result.
        """
        self.showRisk(result, card, whose)
        if earlier:
            self._ui.riskLabel.text = _("Earlier result. {risk}").format(risk=riskText(result, whose))
        self._measure(result.get("tumor"))
        self.showWarnings(result.get("warnings", []))
        uncertain = any(one["code"] == "uncertain_location" for one in result.get("warnings", []))
        self._say(self._ui.candidatesLabel, candidatesText(result["box"].get("candidates", [])) if uncertain else "")
        self._ui.show3DButton.setSegmentationNode(nodes.get("segmentation"))
        self._ui.relevanceCheckBox.enabled = "relevance" in nodes
        self._ui.petOverCtButton.enabled = True
        self._ui.reportButton.enabled = "report" in nodes
        self._ui.exportButton.enabled = True

    def showWarnings(self, warnings: list[dict]) -> None:
        """Each warning once, with what to do about it."""
        told = {one["code"]: one["text"] for one in warnings}
        lines = [_("Look at this:")] if told else []
        for code, text in told.items():
            advice = TODO_OUT_OF_RANGE if code.endswith("_outside_range") else TODO.get(code, "")
            lines.append(f"\N{WARNING SIGN} {text} {advice}".rstrip())
        self._say(self._ui.warningsLabel, "\n".join(lines))

    def _measure(self, tumor: dict | None) -> None:
        table = self._ui.measurementsTable
        table.visible = tumor is not None
        if tumor is None:
            return
        table.setHorizontalHeaderLabels([lesionText(tumor.get("center_ras_mm")), _("Value"), _("Unit")])
        table.setRowCount(len(MEASUREMENTS))
        for row, one in enumerate(MEASUREMENTS.values()):
            value = tumor.get(one.key)
            cells = (one.title, _("not measured") if value is None else one.text(value), one.unit)
            for column, text in enumerate(cells):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeRowsToContents()
        rows = sum(table.rowHeight(row) for row in range(len(MEASUREMENTS)))
        height = table.horizontalHeader().sizeHint.height() + rows
        table.setFixedHeight(height + 2 * table.frameWidth + 2)

    def _plot(self, numbers: dict, card: dict | None) -> None:
        label = self._ui.scorePlotLabel
        scores = card["out_of_fold"] if card is not None else {}
        svg = cohort_strip(
            numbers["risk"], numbers["risk_interval"], numbers["threshold"], scores.get("risk"), scores.get("dm"),
            width=2 * STRIP_WIDTH,  # sharp on screens of high resolution too
        )  # fmt: skip
        label.visible = bool(svg)
        if svg:
            pixmap = qt.QPixmap()
            pixmap.loadFromData(qt.QByteArray(svg.encode()))
            pixmap.setDevicePixelRatio(2)
            label.setPixmap(pixmap)
            label.setFixedHeight(STRIP_HEIGHT)
            label.toolTip = _(
                "The cohort's patients by the risk that a network gave them which had not seen them: triangles "
                "developed distant metastases, circles did not. The dashed line is the threshold."
            )

    def _say(self, label, text: str) -> None:
        label.text, label.visible = text, bool(text)
