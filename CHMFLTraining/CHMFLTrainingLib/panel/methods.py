"""The panel's methods: a table to tick, with what the paper reports of each beside it."""

import qt
from CHMFLPredictorLib.child.process import Ending
from slicer.i18n import tr as _

from .task import Task
from .words import endingText

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "f1", "auc")
TITLES = ("Method", "Acc.", "Sens.", "Spec.", "Prec.", "F1", "AUC")
BASELINE = "baseline"
MINIMUM_WIDTH = 34
ROW_HEIGHT = 21


def groupText(group: str) -> str:
    """A table of the paper."""
    return _("Not in the paper") if group == BASELINE else _(group)


class MethodsBox:
    """The widgets of the section Methods.

    The methods are listed by a child process: their files import more than a panel may load.

    :param ui: the panel's widgets by name.
    :param onChanged: called without arguments when the list has come and when the user ticks.
    """

    def __init__(self, ui, onChanged):
        self._ui, self._onChanged = ui, onChanged
        self.parameterNode, self._methods, self._items = None, [], {}
        self._task, self._filling, self._problem = Task(), False, ""
        table = ui.methodsTableWidget
        table.setColumnCount(len(TITLES))
        table.setHorizontalHeaderLabels([_(title) for title in TITLES])
        for column, metric in enumerate(METRICS, 1):
            table.horizontalHeaderItem(column).setToolTip(_("What the paper reports: {metric}").format(metric=metric))
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        header = table.horizontalHeader()
        header.setMinimumSectionSize(MINIMUM_WIDTH)
        for column in range(len(TITLES)):
            mode = qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch
            header.setSectionResizeMode(column, mode)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItem)
        ui.selectTablesComboBox.connect("activated(int)", self._onSelect)

    @property
    def known(self) -> bool:
        """Whether the list has come."""
        return bool(self._methods)

    @property
    def chosen(self) -> dict[str, str]:
        """The ticked methods: name to group, in the order of the tables."""
        ticked = self._ticked()
        return {one["name"]: one["group"] for one in self._methods if one["name"] in ticked}

    def ask(self) -> None:
        """Ask for the methods, once."""
        if not self._methods and not self._task.running:
            self._task.start(["methods"], None, self._onListed)
            self._say()

    def stop(self) -> None:
        """End the child."""
        self._task.stop()

    def show(self) -> None:
        """Tick what the parameter node says."""
        ticked = self._ticked()
        self._filling = True
        for name, item in self._items.items():
            item.setCheckState(qt.Qt.Checked if name in ticked else qt.Qt.Unchecked)
        self._filling = False
        self._say()

    def setChosen(self, names) -> None:
        """Tick these methods and no others."""
        self.parameterNode.methods = ",".join(names)
        self.show()
        self._onChanged()

    def _ticked(self) -> set[str]:
        return set(self.parameterNode.methods.split(",")) if self.parameterNode is not None else set()

    def _onListed(self, ended) -> None:
        if ended.ending is Ending.DONE:
            self._methods = ended.result["methods"]
            self._fill()
        else:
            self._problem = endingText(ended)
        self.show()
        self._onChanged()

    def _fill(self) -> None:
        table, combo = self._ui.methodsTableWidget, self._ui.selectTablesComboBox
        groups = list(dict.fromkeys(one["group"] for one in self._methods))
        combo.clear()
        combo.addItem(_("Tick..."))
        for group in groups:
            combo.addItem(groupText(group), group)
        combo.addItem(_("All"), "all")
        combo.addItem(_("None"), "none")
        self._filling = True
        table.setRowCount(len(self._methods) + len(groups))
        row = 0
        for group in groups:
            table.setItem(row, 0, self._heading(groupText(group)))
            table.setSpan(row, 0, 1, len(TITLES))
            row += 1
            for method in (one for one in self._methods if one["group"] == group):
                self._fillRow(row, method)
                row += 1
        self._filling = False

    def _heading(self, text: str):
        item = qt.QTableWidgetItem(text)
        item.setFlags(qt.Qt.ItemIsEnabled)
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        return item

    def _fillRow(self, row: int, method: dict) -> None:
        table = self._ui.methodsTableWidget
        item = qt.QTableWidgetItem(method["name"])
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsSelectable)
        item.setCheckState(qt.Qt.Unchecked)
        needs = ", ".join(name.upper() if name in ("pet", "ct") else name for name in method["needs"])
        tip = _("{name}. Reads: {needs}.\n\nSource: {source}.\n\nOpen in the paper: {open}").format(
            name=method["name"], needs=needs, source=method["source"].rstrip("."), open=method["open"] or _("nothing")
        )
        item.setToolTip(f"<p>{tip.replace(chr(10) + chr(10), '</p><p>')}</p>")  # rich text wraps
        table.setItem(row, 0, item)
        self._items[method["name"]] = item
        for column, metric in enumerate(METRICS, 1):
            value = (method["paper"] or {}).get(metric)
            cell = qt.QTableWidgetItem("" if value is None else f"{value:.3f}")
            cell.setTextAlignment(qt.Qt.AlignCenter)
            table.setItem(row, column, cell)

    def _onItem(self, item) -> None:
        if self._filling or self.parameterNode is None:
            return
        names = [name for name, one in self._items.items() if one.checkState() == qt.Qt.Checked]
        self.parameterNode.methods = ",".join(names)
        self._say()
        self._onChanged()

    def _onSelect(self, index: int) -> None:
        wanted = self._ui.selectTablesComboBox.itemData(index)
        self._ui.selectTablesComboBox.setCurrentIndex(0)
        if wanted == "none":
            self.setChosen([])
        elif wanted:
            chosen = self._ticked()
            self.setChosen(
                [one["name"] for one in self._methods if wanted in ("all", one["group"]) or one["name"] in chosen]
            )

    def _say(self) -> None:
        label = self._ui.methodsSummaryLabel
        if self._problem:
            label.text = self._problem
        elif not self._methods:
            label.text = _("Looking for the methods...")
        else:
            label.text = _("{count} methods chosen. The figures beside them are the paper's.").format(
                count=len(self.chosen)
            )
