"""ctkPathLineEdit, the choice of a file or folder: commontk/CTK Libs/Widgets/ctkPathLineEdit.h and .cpp."""

import enum
import re

from PySide6.QtCore import Property, QDir, QFileInfo, QRegularExpression, QSettings, Signal, Slot
from PySide6.QtGui import QRegularExpressionValidator
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QSizePolicy, QToolButton, QWidget

MAX_HISTORY = 5


class ctkPathLineEdit(QWidget):
    """An editable combo box with the paths used before, and a "..." button that opens a file dialog.

    Follows Libs/Widgets/ctkPathLineEdit.cpp. ``currentPathChanged`` comes only with text that the name filters accept,
    so an emptied path emits validInputChanged(False) alone. Not covered: completion while typing, and the combo box
    that showHistoryButton=False takes away.
    """

    class Filter(enum.IntFlag):
        Dirs = 0x001
        Files = 0x002
        Drives = 0x004
        NoSymLinks = 0x008
        AllEntries = 0x007
        TypeMask = 0x00F
        Readable = 0x010
        Writable = 0x020
        Executable = 0x040
        PermissionMask = 0x070
        Modified = 0x080
        Hidden = 0x100
        System = 0x200
        AccessMask = 0x3F0
        AllDirs = 0x400
        CaseSensitive = 0x800
        NoDotAndDotDot = 0x1000
        NoDot = 0x2000
        NoDotDot = 0x4000
        NoFilter = -1

    class SizeAdjustPolicy(enum.IntEnum):
        AdjustToContents = 0
        AdjustToContentsOnFirstShow = 1
        AdjustToMinimumContentsLength = 2

    SIGNATURES = {"comboBox()": "_comboBox"}
    validInputChanged = Signal(bool)
    currentPathChanged = Signal(str)
    _lastDirectory = ""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._valid = False
        self._kept = {"label": "", "options": 0, "minimumContentsLength": 0, "sizeAdjustPolicy": 2}
        self._settingKey = ""
        self._nameFilters: list[str] = []
        self._filters = int(
            (QDir.Filter.AllEntries | QDir.Filter.NoDotAndDotDot | QDir.Filter.Readable | QDir.Filter.Executable).value
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._box = QComboBox(self)
        self._box.setEditable(True)
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._edit = self._box.lineEdit()
        self._edit.setValidator(QRegularExpressionValidator(self))
        layout.addWidget(self._box)
        self._button = QToolButton(self)
        self._button.setText("...")
        self._button.setToolTip("Open a dialog")
        self._button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self._button.clicked.connect(self.browse)
        layout.addWidget(self._button)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(self._edit)
        self._updateFilter()
        self.retrieveHistory()
        self._edit.textChanged.connect(self._updateValid)

    def _comboBox(self):
        return self._box

    def _updateFilter(self) -> None:
        self._edit.validator().setRegularExpression(QRegularExpression(_pattern(self._nameFilters)))

    def _updateValid(self, _text: str) -> None:
        before = self._valid
        self._valid = self._edit.hasAcceptableInput()
        if self._valid:
            info = QFileInfo(self._edit.text())
            ctkPathLineEdit._lastDirectory = info.absolutePath() if info.isFile() else info.absoluteFilePath()
            self.currentPathChanged.emit(self._edit.text())
        if self._valid != before:
            self.validInputChanged.emit(self._valid)

    @Slot(str)
    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    @Slot()
    def browse(self) -> None:
        start = self._edit.text() or ctkPathLineEdit._lastDirectory
        options = QFileDialog.Option(self._kept["options"])
        names = ";;".join(self._nameFilters)
        if not self._filters & self.Filter.Files:
            path = QFileDialog.getExistingDirectory(self, "Select a directory...", start, options)
        elif self._filters & self.Filter.Writable:
            path = QFileDialog.getSaveFileName(self, "Select a file to save ", start, names, "", options)[0]
        else:
            path = QFileDialog.getOpenFileName(self, "Open a file", start, names, "", options)[0]
        if path:
            self.setCurrentPath(path)

    def _historyKey(self) -> str:
        return f"ctkPathLineEdit/{self._settingKey or self.objectName()}"

    def _history(self) -> list[str]:
        found = QSettings().value(self._historyKey())
        return [found] if isinstance(found, str) else list(found or [])

    @Slot()
    def retrieveHistory(self) -> None:
        path = self._edit.text()
        blocked = self.blockSignals(True)
        self._box.clear()
        self._box.addItems(self._history()[:MAX_HISTORY])
        if path:
            self.setCurrentPath(path)
            self.blockSignals(blocked)
        else:
            self.blockSignals(blocked)
            self._box.setCurrentIndex(0)

    @Slot()
    def addCurrentPathToHistory(self) -> None:
        path = self._edit.text()
        if not path:
            return
        QSettings().setValue(self._historyKey(), [path, *(each for each in self._history() if each != path)])
        known = self._box.findText(path)
        if known >= 0:
            self._box.removeItem(known)
        while self._box.count() >= MAX_HISTORY:
            self._box.removeItem(self._box.count() - 1)
        self._box.insertItem(0, path)
        self._box.setCurrentIndex(0)

    def _setFilters(self, filters: int) -> None:
        self._filters = filters
        self._updateFilter()

    def _setNameFilters(self, names: list[str]) -> None:
        self._nameFilters = list(names)
        self._updateFilter()

    def _setSettingKey(self, key: str) -> None:
        self._settingKey = key
        self.retrieveHistory()

    def _keep(self, name: str, value) -> None:
        self._kept[name] = value
        self.updateGeometry()

    currentPath = Property(str, lambda self: self._edit.text(), setCurrentPath, user=True)
    filters = Property(int, lambda self: self._filters, _setFilters)
    nameFilters = Property("QStringList", lambda self: self._nameFilters, _setNameFilters)
    settingKey = Property(str, lambda self: self._settingKey, _setSettingKey)
    label = Property(str, lambda self: self._kept["label"], lambda self, text: self._keep("label", text))
    options = Property(int, lambda self: self._kept["options"], lambda self, value: self._keep("options", value))
    minimumContentsLength = Property(
        int, lambda self: self._kept["minimumContentsLength"], lambda self, n: self._keep("minimumContentsLength", n)
    )
    sizeAdjustPolicy = Property(
        int, lambda self: self._kept["sizeAdjustPolicy"], lambda self, n: self._keep("sizeAdjustPolicy", n)
    )
    showBrowseButton = Property(
        bool, lambda self: self._button.isVisibleTo(self), lambda self, shown: self._button.setVisible(shown)
    )
    showHistoryButton = Property(bool, lambda self: True)


def _pattern(name_filters: list[str]) -> str:
    """The regular expression that ctkUtils.cpp makes of ``Images (*.jpg *.png)``; any text where there is no filter."""
    patterns = []
    for name_filter in name_filters:
        listed = re.fullmatch(r"(.*)\(([^()]*)\)", name_filter)
        for extension in listed.group(2).split() if listed else [name_filter]:
            found = re.search(r"\*\.(\w+)", extension)
            patterns += [rf".*\.{found.group(1)}?$"] if found else []
    return f"({'|'.join(patterns)})" if patterns else ".+"
