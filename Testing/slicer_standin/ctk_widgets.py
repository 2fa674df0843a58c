"""The module ``ctk`` with the widgets of commontk/CTK that a panel of ours may use, written anew in Python.

Each class's docstring cites the CTK file that it follows. They are ordinary QWidgets; what PythonQt shows of them are
their properties, signals and slots (pythonqt.py). A class that is not here is missing: ``ctk.X`` raises AttributeError.
"""

import types

from PySide6.QtCore import Property, QSettings, QSize, Qt, QUrl, Signal, Slot
from PySide6.QtGui import QFontMetrics, QIcon
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QMessageBox,
    QSizePolicy,
    QSlider,
    QTextBrowser,
    QWidget,
)

from .ctk_collapsible import ctkCollapsibleButton
from .ctk_path_line_edit import ctkPathLineEdit
from .pythonqt import expose
from .qmrml_ctk import ctkComboBox

SLIDER_STEPS = 10_000


class ctkFittedTextBrowser(QTextBrowser):
    """A text browser as high as its text; Libs/Widgets/ctkFittedTextBrowser.cpp.

    ``collapsibleText`` shows the first line (plain text) or what is before the first <br> (HTML) and a link.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed = True
        self._scrollDisabled = False
        self._whole = ""
        self._isHtml = False
        self._links = {"show": "Show details...", "hide": "Hide details."}
        self.setSizePolicy(QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred))
        self.textChanged.connect(self.updateGeometry)
        self.anchorClicked.connect(self._onAnchor)

    def _onAnchor(self, url: QUrl) -> None:
        if not url.path() and url.fragment() in ("show_details", "hide_details"):
            self._setCollapsed(url.fragment() == "hide_details")

    def _setWhole(self, text: str, html: bool) -> None:
        self._whole = text
        self._isHtml = html or "<html>" in text
        self._showText()

    @Slot(result=str)
    def collapsibleText(self) -> str:
        return self._whole

    @Slot(str)
    def setCollapsibleText(self, text: str) -> None:
        self._setWhole(text, html=False)

    @Slot(str)
    def setCollapsibleHtml(self, text: str) -> None:
        self._setWhole(text, html=True)

    @Slot(str)
    def setCollapsiblePlainText(self, text: str) -> None:
        self._setWhole(text, html=False)

    def _showText(self) -> None:
        end = "<br>" if self._isHtml else "\n"
        teaser, found, rest = self._whole.partition(end)
        if not found:
            self.setHtml(self._whole)
            return
        if self._collapsed:
            text = f'{teaser}&hellip; <a href="#show_details">{self._links["show"]}</a>'
        else:
            text = f'{teaser}{rest} <a href="#hide_details">{self._links["hide"]}</a>'
        self.setHtml(text if self._isHtml else text.replace("\n", "<br>"))

    def heightForWidth(self, width: int) -> int:
        document = self.document()
        before = document.textWidth()
        edge = 2 * self.frameWidth()
        document.setTextWidth(width - edge)
        height = int(document.documentLayout().documentSize().height()) + edge
        document.setTextWidth(before)
        return max(height, QFontMetrics(document.defaultFont()).lineSpacing() + edge)

    def minimumSizeHint(self) -> QSize:
        width = self.size().width()
        return QSize(width, self.heightForWidth(width)) if width else super().minimumSizeHint()

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        if event.size().height() != self.heightForWidth(event.size().width()):
            self.updateGeometry()

    def wheelEvent(self, event) -> None:
        if not self._scrollDisabled:
            super().wheelEvent(event)

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self._showText()

    def _setLink(self, which: str, text: str) -> None:
        if text != self._links[which]:
            self._links[which] = text
            self._showText()

    def _setScrollDisabled(self, disabled: bool) -> None:
        self._scrollDisabled = disabled

    collapsed = Property(bool, lambda self: self._collapsed, _setCollapsed)
    disableMouseScroll = Property(bool, lambda self: self._scrollDisabled, _setScrollDisabled)
    showDetailsText = Property(str, lambda self: self._links["show"], lambda self, text: self._setLink("show", text))
    hideDetailsText = Property(str, lambda self: self._links["hide"], lambda self, text: self._setLink("hide", text))


class ctkCheckBox(QCheckBox):
    """A check box that can show an icon in place of its box (stored, not drawn); Libs/Widgets/ctkCheckBox.h."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._icon = QIcon()
        self._iconSize = QSize()

    def _setIcon(self, icon: QIcon) -> None:
        self._icon = icon

    def _setIconSize(self, size: QSize) -> None:
        self._iconSize = size

    indicatorIcon = Property(QIcon, lambda self: self._icon, _setIcon)
    indicatorIconSize = Property(QSize, lambda self: self._iconSize, _setIconSize)


class ctkSliderWidget(QWidget):
    """A slider with a spin box beside it; Libs/Widgets/ctkSliderWidget.h and .cpp.

    Properties, signals and slots are those of the header; there is no setRange and no setMinimum. Not covered:
    popupSlider, synchronizeSiblings, ticks, inverted directions.
    """

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    SIGNATURES = {
        "valueChanged(double)": "valueChanged",
        "valueIsChanging(double)": "valueIsChanging",
        "setValue(double)": "setValue",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, SLIDER_STEPS)
        self._box = QDoubleSpinBox(self)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._tracking = True
        self._before = 0.0
        self._pageStep = 10.0
        self._box.valueChanged.connect(self._onBox)
        self._slider.valueChanged.connect(self._onSlider)
        self._slider.sliderReleased.connect(self._onReleased)

    def _onBox(self, value: float) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round(SLIDER_STEPS * (value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(blocked)
        if self._slider.isSliderDown() and not self._tracking:
            self.valueIsChanging.emit(value)
        else:
            self._before = value
            self.valueChanged.emit(value)

    def _onSlider(self, step: int) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        self._box.setValue(low + (high - low) * step / SLIDER_STEPS)

    def _onReleased(self) -> None:
        if not self._tracking and self._box.value() != self._before:
            self._before = self._box.value()
            self.valueChanged.emit(self._before)

    def _value(self) -> float:
        return self._before if self._slider.isSliderDown() and not self._tracking else self._box.value()

    @Slot()
    def reset(self) -> None:
        self.setValue(0.0)

    @Slot(float)
    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    @Slot(bool)
    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    @Slot(int)
    def setDecimals(self, decimals: int) -> None:
        if decimals != self._box.decimals():
            self._box.setDecimals(decimals)
            self.decimalsChanged.emit(decimals)

    def _setTracking(self, tracking: bool) -> None:
        self._tracking = tracking

    def _setPageStep(self, step: float) -> None:
        self._pageStep = step

    value = Property(float, _value, setValue)
    minimum = Property(float, lambda self: self._box.minimum(), lambda self, low: self._box.setMinimum(low))
    maximum = Property(float, lambda self: self._box.maximum(), lambda self, high: self._box.setMaximum(high))
    singleStep = Property(float, lambda self: self._box.singleStep(), lambda self, step: self._box.setSingleStep(step))
    pageStep = Property(float, lambda self: self._pageStep, _setPageStep)
    decimals = Property(int, lambda self: self._box.decimals(), setDecimals, notify=decimalsChanged)
    prefix = Property(str, lambda self: self._box.prefix(), lambda self, text: self._box.setPrefix(text))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, text: self._box.setSuffix(text))
    tracking = Property(bool, lambda self: self._tracking, _setTracking)
    spinBoxVisible = Property(bool, lambda self: self._box.isVisibleTo(self), setSpinBoxVisible)


class ctkMessageBox(QMessageBox):
    """A message box that can be told not to come again; Libs/Widgets/ctkMessageBox.cpp.

    Not covered: the buttons (dontShowAgainButtonRoles) with which the choice counts: here every accepting one.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._key = ""
        self._again = QCheckBox("Don't show this message again", self)
        self._again.hide()
        self.finished.connect(self.onFinished)

    @Slot(bool)
    def setDontShowAgain(self, dont: bool) -> None:
        self._again.setChecked(dont)

    @Slot(int)
    def onFinished(self, code: int) -> None:
        button = self.clickedButton()
        accepted = button is not None and self.buttonRole(button) == QMessageBox.ButtonRole.AcceptRole
        if self._key and accepted:
            QSettings().setValue(self._key, code if self._again.isChecked() else -1)

    def _setKey(self, key: str) -> None:
        self._key = key
        self.setCheckBox(self._again if key else None)
        self._again.setChecked(int(QSettings().value(key, -1)) != -1 if key else False)

    def setVisible(self, visible: bool) -> None:
        if visible and self._again.isChecked():
            self.done(int(QSettings().value(self._key, 0)) if self._key else 0)
            return
        super().setVisible(visible)

    dontShowAgain = Property(bool, lambda self: self._again.isChecked(), setDontShowAgain)
    dontShowAgainVisible = Property(
        bool, lambda self: self._again.isVisibleTo(self), lambda self, shown: self._again.setVisible(shown)
    )
    dontShowAgainSettingsKey = Property(str, lambda self: self._key, _setKey)


WIDGETS = (
    ctkCheckBox,
    ctkCollapsibleButton,
    ctkComboBox,
    ctkFittedTextBrowser,
    ctkMessageBox,
    ctkPathLineEdit,
    ctkSliderWidget,
)


def build() -> types.ModuleType:
    """Make the module ``ctk``; the caller puts it into sys.modules."""
    module = types.ModuleType("ctk", __doc__)
    for widget in WIDGETS:
        setattr(module, widget.__name__, expose(widget, generated=False))
    return module
