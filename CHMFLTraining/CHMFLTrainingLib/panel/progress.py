"""The panel's run: how far it is, what every fold does, what went wrong."""

import qt

from ..run.log import log_tail, prepared
from .state import Phase, TrainingState
from .words import STATE_COLORS, STATE_SIGNS, messageText, remainingText, stateWord, statusText

ROW_HEIGHT = 21
MOST_ROWS = 12  # of the table of jobs before it scrolls


class ProgressBox:
    """Progress bar, lines, and the table of jobs.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self._ui, self._grid, self._shape, self._log = ui, None, None, None
        table = ui.jobsTableWidget
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        ui.logCollapsibleButton.connect("contentsCollapsed(bool)", lambda collapsed: self._writeLog())

    def refresh(self, state: TrainingState, note: str = "") -> None:
        """Show the state of the run.

        :param note: what else there is to say, e.g. why a start was refused.
        """
        ui = self._ui
        ui.progressBar.visible = state.busy or bool(state.jobs[1])
        ui.progressBar.value = round(1000 * state.fraction)
        ui.statusLabel.text = statusText(state, prepared(state.folder) if self._preparing(state) else None)
        self._say(ui.remainingLabel, remainingText(state))
        self._say(ui.messageLabel, "\n".join(text for text in (note, messageText(state)) if text))
        self._showGrid(state.grid)
        folder = state.folder
        if self._log != folder or not ui.logCollapsibleButton.collapsed:
            self._log = folder
            self._writeLog()

    def _preparing(self, state: TrainingState) -> bool:
        """Whether the run works, but on no job yet."""
        return state.phase is Phase.RUNNING and not (state.status and (state.status["now"] or state.jobs[0]))

    def _say(self, label, text: str) -> None:
        label.text, label.visible = text, bool(text)

    def _showGrid(self, grid: list) -> None:
        """A row a method (and repeat), a column a fold."""
        if grid == self._grid:
            return
        self._grid = grid
        table = self._ui.jobsTableWidget
        table.visible = bool(grid)
        repeats = len({repeat for _, repeat, *_ in grid}) > 1
        rows = list(dict.fromkeys((method, repeat) for method, repeat, *_ in grid))
        folds = sorted({fold for _, _, fold, *_ in grid})
        shape = (rows, folds)
        if shape != self._shape:
            self._shape = shape
            table.setRowCount(len(rows))
            table.setColumnCount(len(folds))
            table.setVerticalHeaderLabels([f"{m}, repeat {r}" if repeats else m for m, r in rows])
            table.setHorizontalHeaderLabels([str(fold) for fold in folds])
        for method, repeat, fold, state, detail in grid:
            text = f"{STATE_SIGNS[state]} {detail}" if state == "running" and detail else STATE_SIGNS[state]
            item = qt.QTableWidgetItem(text)
            item.setTextAlignment(qt.Qt.AlignCenter)
            tip = f"{method}, repeat {repeat}, fold {fold}: {stateWord(state)}"
            item.setToolTip(f"{tip}. {detail}" if detail else tip)
            if state in STATE_COLORS:
                item.setForeground(qt.QBrush(qt.QColor(STATE_COLORS[state])))
            table.setItem(rows.index((method, repeat)), folds.index(fold), item)
        table.resizeColumnsToContents()
        self._fit(table, len(rows))

    def _fit(self, table, rows: int) -> None:
        """As high as its rows, up to a limit."""
        shown = min(rows, MOST_ROWS)
        height = table.horizontalHeader().sizeHint.height() + sum(table.rowHeight(row) for row in range(shown))
        table.setFixedHeight(height + 2 * table.frameWidth + 16)  # and a scroll bar

    def _writeLog(self) -> None:
        edit = self._ui.logTextEdit
        text = log_tail(self._log) if self._log else ""
        if edit.plainText != text:
            edit.plainText = text
            bar = edit.verticalScrollBar()
            bar.value = bar.maximum
