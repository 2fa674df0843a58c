"""The table of a batch in the scene: one row a patient, the numbers with their units, and why a row has none."""

import slicer
import vtk

from .results import COLUMNS, ROLE

NAME = "CHMFL batch"
BATCH_ROLE = "batch"  # of the attribute CHMFL.role
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
CANCELED, NOT_RUN, LEFT_OUT = "canceled", "not run", "left out"
_TEXTS = {"patient_id", "status", "label", "error"}
# title, key of the cell (as in results.csv), unit, description
_TABLE_COLUMNS = (
    ("Patient", "patient_id", "", "Name of the patient in this batch"),
    ("Status", "status", "", "waiting, running, done, failed, canceled, not run, or left out"),
    *(
        (title, {"risk_interval.0": "risk_low", "risk_interval.1": "risk_high"}.get(path, path.split(".")[-1]), *rest)
        for title, path, *rest in COLUMNS
    ),
    ("Error", "error", "", "Why there are no numbers, and what to do"),
)
_PATHS = dict(zip((key for _, key, *_ in _TABLE_COLUMNS[2:-1]), (path for _, path, *_ in COLUMNS), strict=True))


class BatchTable:
    """Fills the scene's batch table, which is made if there is none and reused otherwise.

    :param scene: the MRML scene.
    :param patients: name of each row.
    :ivar node: the vtkMRMLTableNode.
    """

    def __init__(self, scene, patients: list[str]):
        self.rows = [{"patient_id": name, "status": WAITING} for name in patients]
        self.node = find_table(scene) or scene.AddNewNodeByClass("vtkMRMLTableNode", NAME)
        self.node.SetAttribute(ROLE, BATCH_ROLE)
        self._build()

    def set(self, index: int, **cells) -> None:
        """Change cells of a row: numbers, or texts; None and "" are no number."""
        self.rows[index].update(cells)
        if self.node.GetScene() is None:
            return  # the user closed the scene or removed the table, and does not get it back
        if self.node.GetNumberOfRows() != len(self.rows) or self.node.GetNumberOfColumns() != len(_TABLE_COLUMNS):
            self._build()
            return
        modified = self.node.StartModify()
        for number, (_, key, *_) in enumerate(_TABLE_COLUMNS):
            if key in cells:
                self.node.GetTable().GetColumn(number).SetValue(index, _cell(key, self.rows[index]))
        self.node.GetTable().Modified()
        self.node.EndModify(modified)

    def close(self, error: str = "") -> None:
        """The batch has ended: what waited was not run, what ran was canceled, or failed for a reason."""
        for index, row in enumerate(self.rows):
            if row["status"] == WAITING:
                self.set(index, status=NOT_RUN)
            elif row["status"] == RUNNING:
                status = FAILED if error else CANCELED
                self.set(index, status=status, error=error, **numbers_of({}))  # a risk alone would pass for a result

    def count(self, status: str) -> int:
        """How many rows have this status."""
        return sum(row["status"] == status for row in self.rows)

    def _build(self) -> None:
        modified = self.node.StartModify()
        self.node.RemoveAllColumns()
        for title, key, unit, description in _TABLE_COLUMNS:
            column = vtk.vtkStringArray() if key in _TEXTS else vtk.vtkDoubleArray()
            column.SetName(title)
            for row in self.rows:
                column.InsertNextValue(_cell(key, row))
            self.node.AddColumn(column)
            self.node.SetColumnUnitLabel(title, unit)
            self.node.SetColumnDescription(title, description)
        self.node.SetUseColumnTitleAsColumnHeader(True)
        self.node.SetLocked(True)
        self.node.EndModify(modified)


def find_table(scene):
    """The batch table of a scene, or None."""
    tables = slicer.util.getNodesByClass("vtkMRMLTableNode", scene)
    return next((node for node in tables if node.GetAttribute(ROLE) == BATCH_ROLE), None)


def numbers_of(result: dict) -> dict:
    """The cells that a ``result.json``, or the part of it that a ``risk`` event holds, has for the table."""
    return {key: _at(result, path) for key, path in _PATHS.items()}


def _at(result, path: str):
    for part in path.split("."):
        if isinstance(result, list):
            result = result[int(part)]
        else:
            result = (result or {}).get(part)
    return result


def _cell(key: str, row: dict):
    value = row.get(key)
    if key in _TEXTS:
        return "" if value is None else str(value)
    return float("nan") if value is None or value == "" else float(value)
