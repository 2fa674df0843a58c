"""The panel's ways out of a result: report, export, slice views; and the log."""

import os

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import ChmflError
from ..predict.export import export_result
from ..predict.inputs import environment_text
from ..scene import pairs
from ..scene import show as scene_show
from ..scene.results import stored_report, stored_result


class OutputButtons:
    """The buttons below a result.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self.parameterNode = None
        self._pet, self._ct, self._nodes = None, None, {}
        ui.reportButton.connect("clicked()", self._onReport)
        ui.exportButton.connect("clicked()", self._onExport)
        ui.petOverCtButton.connect("clicked()", self._onPetOverCt)

    def setResult(self, pet, ct, nodes: dict) -> None:
        """What the buttons are about: a pair and its result nodes by role."""
        self._pet, self._ct, self._nodes = pet, ct, nodes

    def _onReport(self) -> None:
        """Write the page that the scene keeps to a file and let the web browser open it."""
        folder = os.path.join(slicer.app.temporaryPath, "CHMFL")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{self._nodes['report'].GetID()}.html")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(stored_report(self._nodes["report"]))
        if not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(path)):
            slicer.util.infoDisplay(_("No program opens web pages here. The report is in {path}").format(path=path))

    def _onExport(self) -> None:
        name = self._ct.GetName()
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save the result"), f"{name} CHMFL.csv", "CSV (*.csv);;JSON (*.json)"
        )
        if not path:
            return
        try:
            export_result(stored_result(self._nodes["table"]), path, pairs.patient_name(self._ct))
        except ChmflError as error:
            slicer.util.errorDisplay(f"{error.message}\n\n{error.hint}", windowTitle=_("The result is not saved"))

    def _onPetOverCt(self) -> None:
        self.parameterNode.showRelevance = False
        scene_show.show_in_slices(self._pet, self._ct)
        scene_show.center_slices(self._ct.GetScene(), self._nodes["box"].GetCenterWorld())


class LogBox:
    """The log of the last run: kept, scrolled to its end, and copied with what a report of a problem needs."""

    def __init__(self, ui):
        self._ui, self._text = ui, ""
        ui.copyLogButton.connect("clicked()", self._onCopy)
        ui.logCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)

    def clear(self) -> None:
        """A new run begins."""
        self.show("", atEnd=True)

    def show(self, text: str, atEnd: bool = False) -> None:
        """Show a run's log. While it runs, only where somebody looks: the text is long."""
        self._text = text
        self._ui.copyLogButton.enabled = bool(text)
        if atEnd or not self._ui.logCollapsibleButton.collapsed:
            self._write()

    def _write(self) -> None:
        self._ui.logTextEdit.plainText = self._text
        bar = self._ui.logTextEdit.verticalScrollBar()
        bar.value = bar.maximum

    def _onCollapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self._write()

    def _onCopy(self) -> None:
        about = f"Slicer {slicer.app.applicationVersion}, {environment_text()}"
        slicer.app.clipboard().setText(f"{about}\n\n{self._text}")
