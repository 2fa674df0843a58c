"""The two CTK widgets that Slicer's MRML widgets are made of: ctkComboBox and ctkMenuButton."""

from PySide6.QtCore import Property, QRect, QSize, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QPushButton,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QStyleOptionComboBox,
    QStylePainter,
)

ARROW_WIDTH = 14


class ctkComboBox(QComboBox):
    """A combo box with a hint where nothing is selected, its text elided (CTK, Libs/Widgets/ctkComboBox.cpp).

    Not covered: forceDefault, defaultIcon, scrollWheelEffect, currentUserDataAsString.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._defaultText = ""
        self._elideMode = Qt.TextElideMode.ElideNone

    def _setDefaultText(self, text: str) -> None:
        self._defaultText = text
        self.update()

    def _setElideMode(self, mode) -> None:
        self._elideMode = mode
        self.update()

    defaultText = Property(str, lambda self: self._defaultText, _setDefaultText)

    def paintEvent(self, _event) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() == -1:
            option.currentText = self._defaultText
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = option.fontMetrics.elidedText(option.currentText, self._elideMode, field.width())
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class ctkMenuButton(QPushButton):
    """A push button whose menu opens from its arrow only (CTK, Libs/Widgets/ctkMenuButton.cpp)."""

    def sizeHint(self) -> QSize:
        return super().sizeHint() + QSize(ARROW_WIDTH - 1, 0)

    def minimumSizeHint(self) -> QSize:
        return super().minimumSizeHint() + QSize(ARROW_WIDTH - 1, 0)

    def _arrow(self) -> QRect:
        whole = self.rect()
        return QRect(whole.right() - ARROW_WIDTH + 1, whole.top(), ARROW_WIDTH, whole.height())

    def hitButton(self, position) -> bool:
        return not self._arrow().contains(position) and super().hitButton(position)

    def mousePressEvent(self, event) -> None:
        # QPushButton itself opens the menu when it hears "pressed"
        blocked = self.blockSignals(True)
        super().mousePressEvent(event)
        self.blockSignals(blocked)
        if not event.isAccepted() and self._arrow().contains(event.position().toPoint()):
            self.showMenu()
            event.accept()

    def paintEvent(self, _event) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.features &= ~QStyleOptionButton.ButtonFeature.HasMenu
        painter.drawControl(QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = self._arrow()
        painter.setPen(self.palette().button().color().darker(130))
        painter.drawLine(arrow.left() - 1, arrow.top() + 2, arrow.left() - 1, arrow.bottom() - 2)
        indicator = QStyleOption()
        indicator.initFrom(self)
        indicator.rect = arrow.adjusted(2, 2, -2, -2)
        painter.drawPrimitive(QStyle.PrimitiveElement.PE_IndicatorArrowDown, indicator)
        option.rect.setRight(arrow.left())
        painter.drawControl(QStyle.ControlElement.CE_PushButtonLabel, option)
