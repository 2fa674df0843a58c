"""The panel's batch: where the patients come from, how far it is, the table of results."""

import slicer
from slicer.i18n import tr as _

from ..scene import inputs
from .state import Kind, Phase, RunState
from .words import BatchSource, buttonText, statusText


class BatchBox:
    """The widgets of the Batch section.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self._ui = ui
        self._state, self._count = None, 0

    def source(self, kind: BatchSource) -> tuple[str | None, str | None]:
        """Folder or CSV of the patients and folder of the results; None and None for the scene."""
        if kind is BatchSource.SCENE:
            return None, None
        return self._ui.batchPathLineEdit.currentPath, self._ui.batchOutputPathLineEdit.currentPath

    def refresh(self, state: RunState, kind: BatchSource, modelProblem: str) -> None:
        """Show what belongs to the choices, and how far a batch is."""
        ui, mine = self._ui, state.kind is Kind.BATCH
        for name in ("batchPathNameLabel", "batchPathLineEdit", "batchOutputNameLabel", "batchOutputPathLineEdit"):
            getattr(ui, name).visible = kind is BatchSource.FOLDER
        ui.batchButton.text = buttonText(state, Kind.BATCH)
        if state.busy:
            ui.batchButton.enabled = mine and state.phase is Phase.RUNNING
        else:
            problem = modelProblem or self._problem(kind)
            ui.batchButton.enabled = not problem
            ui.batchButton.toolTip = problem or _("Predict every patient, one after another.")
        ui.batchProgressBar.visible = state.busy and mine
        ui.batchProgressBar.value = round(1000 * state.overall)
        if mine:
            ui.batchStatusLabel.text = statusText(state)
        elif kind is BatchSource.SCENE and not state.busy:
            count = self._pairCount()
            ui.batchStatusLabel.text = _("PET-CT pairs in the scene: {count}").format(count=count)
        else:
            ui.batchStatusLabel.text = ""

    def show(self, table) -> None:
        """Show the table of results; None empties it, as when a scene is closed."""
        if table is None:
            self._state = None
        self._ui.batchTableView.visible = table is not None
        self._ui.batchTableView.setMRMLTableNode(table)

    def _pairCount(self) -> int:
        """How many pairs the scene holds: looked for only where a volume came, went or was changed."""
        state = inputs.volumes_state(slicer.mrmlScene)
        if state != self._state:
            self._state, self._count = state, len(inputs.pairs(slicer.mrmlScene))
        return self._count

    def _problem(self, kind: BatchSource) -> str:
        source, output = self.source(kind)
        if kind is BatchSource.SCENE:
            return "" if self._pairCount() else _("The scene holds no PET-CT pair.")
        if not source or not output:
            return _("Choose the patients' folder or CSV, and a folder for the results.")
        return ""
