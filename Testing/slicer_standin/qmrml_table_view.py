"""qMRMLTableView: Libs/MRML/Widgets/qMRMLTableView.cxx and qMRMLTableModel.cxx."""

from PySide6.QtCore import Property, QSortFilterProxyModel, Qt, Signal, Slot
from PySide6.QtGui import QFont, QGuiApplication, QKeySequence, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QSizePolicy, QTableView
from vtkmodules.vtkCommonCore import vtkBitArray, vtkVariant

from .qmrml_vtk import Observers, Weak, vtk_argument

MODIFIED = "ModifiedEvent"


class qMRMLTableModel(QStandardItemModel):
    """The cells of a table node (Libs/MRML/Widgets/qMRMLTableModel.cxx).

    Without "column title as header" the first row holds the columns' names in bold, below the letters A, B, C. Cells
    can be edited unless the node is locked. Not covered: transposed tables, special treatment of char columns.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = None
        self._updating = False
        self._observers = Observers(self)
        self.itemChanged.connect(self._onItemChanged)

    def _setMRMLTableNode(self, node) -> None:
        if node is not self._node:
            self._observers.move(self._node, node, MODIFIED, "_onNodeModified")
        self._node = node
        self._update()

    def _onNodeModified(self, _caller, _event) -> None:
        self._update()

    def _offsets(self) -> tuple[int, int]:
        """Return the table's row and column of the first cell; row -1 is the row of names."""
        first_row = 0 if self._node.GetUseColumnTitleAsColumnHeader() else -1
        return first_row, 1 if self._node.GetUseFirstColumnAsRowHeader() else 0

    def _update(self) -> None:
        self._updating = True
        table = self._node.GetTable() if self._node is not None else None
        if table is None or not table.GetNumberOfColumns():
            self.setRowCount(0)
            self.setColumnCount(0)
        else:
            self._fill(table)
        self._updating = False

    def _fill(self, table) -> None:
        first_row, first_column = self._offsets()
        self.setRowCount(table.GetNumberOfRows() - first_row)
        self.setColumnCount(table.GetNumberOfColumns() - first_column)
        for column in range(first_column, table.GetNumberOfColumns()):
            self._fillColumn(table, column, column - first_column, first_row)
        for row in range(first_row, table.GetNumberOfRows()):
            label = _row_label(table, row, first_column, first_row)
            self.setHeaderData(row - first_row, Qt.Orientation.Vertical, label)

    def _fillColumn(self, table, column: int, place: int, first_row: int) -> None:
        name = table.GetColumnName(column) or ""
        header = self._title(name) if first_row == 0 else _letters(place)
        self.setHeaderData(place, Qt.Orientation.Horizontal, header)
        tip = self._toolTip(name)
        for row in range(first_row, table.GetNumberOfRows()):
            item = self.item(row - first_row, place)
            if item is None:
                item = QStandardItem()
                self.setItem(row - first_row, place, item)
            if row < 0:
                _write_name(item, name)
            else:
                _write_cell(item, table, row, column)
            _lock(item, self._node.GetLocked())
            item.setToolTip(tip)

    def _title(self, name: str) -> str:
        title, unit = self._node.GetColumnTitle(name) or name, self._node.GetColumnUnitLabel(name)
        return f"{title} [{unit}]" if unit else title

    def _toolTip(self, name: str) -> str:
        title, unit = self._node.GetColumnTitle(name), self._node.GetColumnUnitLabel(name)
        named = f"<b>{name}</b>" if title in ("", name) else f"<b>{title}</b> <code>&lt;{name}&gt;</code>"
        lines = [named, f"Unit: {unit}" if unit else "", self._node.GetColumnDescription(name)]
        return "<p>".join(line for line in lines if line)

    def _onItemChanged(self, item) -> None:
        """Write what was edited into the node; a value that its column cannot hold is taken back."""
        if self._updating or self._node is None:
            return
        first_row, first_column = self._offsets()
        row, column, table = item.row() + first_row, item.column() + first_column, self._node.GetTable()
        if row < 0:
            self._node.RenameColumn(column, item.text())
            return
        before = table.GetValue(row, column).ToString()
        checked = str(int(item.checkState() == Qt.CheckState.Checked))
        table.SetValue(row, column, vtkVariant(checked if item.isCheckable() else item.text()))
        if table.GetValue(row, column).ToString() == before:
            self._update()
        else:
            table.Modified()


class qMRMLTableView(QTableView):
    """Shows a table node (Libs/MRML/Widgets/qMRMLTableView.h).

    Not covered: transposed, pasteSelection, plotSelection, deleteRow, deleteColumn, the table view node.
    """

    SIGNATURES = {
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
        "selectionChanged()": "_selectionSignal",
        "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
        "setMRMLTableNode(vtkMRMLTableNode*)": "setMRMLTableNode",
        "setMRMLTableNode(vtkMRMLNode*)": "setMRMLTableNode",
    }
    mrmlSceneChanged = Signal(object)
    # QTableView has a virtual method of that name
    _selectionSignal = Signal(name="selectionChanged")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = Weak()
        self._tableModel = qMRMLTableModel(self)
        self._sorting = QSortFilterProxyModel(self)
        self._sorting.setSourceModel(self._tableModel)
        self.setModel(self._sorting)
        self.selectionModel().selectionChanged.connect(self._selectionSignal)
        self.horizontalHeader().setStretchLastSection(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @Slot(result=object)
    def mrmlScene(self):
        return self._scene.get()

    @Slot(object)
    def setMRMLScene(self, scene) -> None:
        vtk_argument(scene, "vtkMRMLScene")
        if scene is not self._scene.get():
            self._scene.set(scene)
            self.mrmlSceneChanged.emit(scene)

    @Slot(result=object)
    def mrmlTableNode(self):
        return self._tableModel._node

    @Slot(result=object)
    def tableModel(self):
        return self._tableModel

    @Slot(result=object)
    def sortFilterProxyModel(self):
        return self._sorting

    @Slot(object)
    def setMRMLTableNode(self, node) -> None:
        vtk_argument(node, "vtkMRMLNode")
        self._tableModel._setMRMLTableNode(node if node is not None and node.IsA("vtkMRMLTableNode") else None)
        self._sorting.invalidate()
        self.horizontalHeader().setMinimumSectionSize(60)
        self.resizeColumnsToContents()
        self._selectionSignal.emit()

    @Slot()
    def insertRow(self) -> None:
        if self._verified("insertRow"):
            self.mrmlTableNode().AddEmptyRow()

    @Slot()
    def insertColumn(self) -> None:
        if self._verified("insertColumn"):
            self.mrmlTableNode().AddColumn()

    @Slot()
    def copySelection(self) -> None:
        """Put the selected cells on the clipboard, tabs between columns."""
        if not self._verified("copySelection") or not self.selectionModel().hasSelection():
            return
        indexes = self.selectionModel().selectedIndexes()
        chosen = {(index.row(), index.column()): index.data() or "" for index in indexes}
        rows = sorted({row for row, _ in chosen})
        columns = sorted({column for _, column in chosen})
        lines = ["\t".join(chosen[row, column] for column in columns if (row, column) in chosen) for row in rows]
        QGuiApplication.clipboard().setText("\n".join(lines))

    def keyPressEvent(self, event) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copySelection()
            return
        super().keyPressEvent(event)

    def _verified(self, method: str) -> bool:
        if self.mrmlTableNode() is None:
            print(f"qMRMLTableView::{method} failed: invalid node")
        return self.mrmlTableNode() is not None

    def _getLocked(self, getter: str) -> bool:
        return self._verified("locked") and bool(getattr(self.mrmlTableNode(), getter)())

    def _setLocked(self, setter: str, locked: bool) -> None:
        if self._verified("setLocked"):
            getattr(self.mrmlTableNode(), setter)(locked)
            self.resizeColumnsToContents()

    firstRowLocked = Property(
        bool,
        lambda self: self._getLocked("GetUseColumnTitleAsColumnHeader"),
        lambda self, locked: self._setLocked("SetUseColumnTitleAsColumnHeader", locked),
    )
    firstColumnLocked = Property(
        bool,
        lambda self: self._getLocked("GetUseFirstColumnAsRowHeader"),
        lambda self, locked: self._setLocked("SetUseFirstColumnAsRowHeader", locked),
    )


def _letters(place: int) -> str:
    """Name a column as a spreadsheet does: A ... Z, AA, AB ..."""
    name = ""
    while place >= 0:
        name = chr(ord("A") + place % 26) + name
        place = place // 26 - 1
    return name


def _write_name(item: QStandardItem, name: str) -> None:
    item.setText(name)
    font = QFont()
    font.setBold(True)
    item.setFont(font)


def _write_cell(item: QStandardItem, table, row: int, column: int) -> None:
    value = table.GetValue(row, column)
    is_bit = isinstance(table.GetColumn(column), vtkBitArray)
    item.setFont(QFont())
    item.setCheckable(is_bit)
    item.setText("" if is_bit else value.ToString())
    if is_bit:
        item.setCheckState(Qt.CheckState.Checked if value.ToInt() else Qt.CheckState.Unchecked)
    else:
        item.setData(None, Qt.ItemDataRole.CheckStateRole)


def _lock(item: QStandardItem, locked) -> None:
    checkable = item.isCheckable()
    flags = item.flags() & ~(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable)
    if not locked:
        flags |= Qt.ItemFlag.ItemIsUserCheckable if checkable else Qt.ItemFlag.ItemIsEditable
    item.setFlags(flags)


def _row_label(table, row: int, first_column: int, first_row: int) -> str:
    if not first_column:
        return str(row - first_row + 1)
    return table.GetValue(row, 0).ToString() if row >= 0 else table.GetColumnName(0) or ""
