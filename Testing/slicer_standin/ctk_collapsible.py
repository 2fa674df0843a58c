"""ctkCollapsibleButton, the section of a module's panel: commontk/CTK Libs/Widgets/ctkCollapsibleButton.h and .cpp."""

from PySide6.QtCore import Property, QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QSizePolicy,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QStyleOptionFrame,
    QWidget,
)

_HIDDEN = "visibilityToParent"  # the dynamic property in which CTK remembers what somebody hid or showed on purpose


def _left() -> int:
    return int((Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter).value)


def _stored(name: str) -> Property:
    """A property that is kept in ``_kept`` and drawn with at the next paint."""

    def read(self) -> int:
        return self._kept[name]

    def write(self, value: int) -> None:
        self._kept[name] = value
        self.update()

    return Property(int, read, write)


class ctkCollapsibleButton(QAbstractButton):
    """A header with an arrow that hides and shows what is inside; ``checked`` is always the opposite of ``collapsed``.

    Follows Libs/Widgets/ctkCollapsibleButton.cpp: children that were hidden on purpose stay hidden when it opens.
    Not covered: texts and arrows that are not at the left (indicatorAlignment and buttonTextAlignment are stored only).
    """

    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed = False
        self._collapsedHeight = 14
        self._flat = False
        self._kept = {
            "contentsFrameShape": int(QFrame.Shape.NoFrame.value),
            "contentsFrameShadow": int(QFrame.Shadow.Plain.value),
            "contentsLineWidth": 1,
            "contentsMidLineWidth": 0,
            "buttonTextAlignment": _left(),
            "indicatorAlignment": _left(),
        }
        self._forcing = False
        self._shownBefore = False
        self._maximumBefore = self.maximumHeight()
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred))
        self.setContentsMargins(0, self._headerSize().height(), 0, 0)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self.toggled.connect(self._onToggled)

    def _setCollapsed(self, collapsed: bool) -> None:
        if self.isCheckable():
            self.setChecked(not collapsed)
        else:
            self._collapse(collapsed)

    def _onToggled(self, checked: bool) -> None:
        if self.isCheckable():
            self._collapse(not checked)

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            self._maximumBefore = self.maximumHeight()
            self.setMaximumHeight(self.sizeHint().height())
        else:
            self.setMaximumHeight(self._maximumBefore)
        self._updateChildren()
        self.updateGeometry()
        parent = self.parentWidget()
        if not collapsed and (parent is None or parent.layout() is None):
            self.resize(self.sizeHint())
        self.contentsCollapsed.emit(collapsed)

    def _updateChildren(self) -> None:
        for child in self.children():
            if isinstance(child, QWidget):
                self._updateChild(child)

    def _updateChild(self, child) -> None:
        # before the first show() Qt itself would show the children again
        if not self.testAttribute(Qt.WidgetAttribute.WA_WState_Created):
            return
        wanted = child.property(_HIDDEN) is not False
        visible = wanted and not self._collapsed
        self._forcing = True
        if child.testAttribute(Qt.WidgetAttribute.WA_WState_Created) or not visible:
            child.setVisible(visible)
        if wanted:
            child.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
        self._forcing = False

    def childEvent(self, event) -> None:
        child = event.child()
        if event.type() == QEvent.Type.ChildAdded and isinstance(child, QWidget):
            hidden = child.testAttribute(Qt.WidgetAttribute.WA_WState_Hidden)
            if hidden and child.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide):
                child.setProperty(_HIDDEN, False)
            child.installEventFilter(self)
            self._updateChild(child)
        super().childEvent(event)

    def eventFilter(self, child, event) -> bool:
        if not self._forcing and isinstance(child, QWidget):
            if event.type() == QEvent.Type.ShowToParent:
                child.setProperty(_HIDDEN, True)
                self._updateChild(child)
            elif event.type() == QEvent.Type.HideToParent:
                child.setProperty(_HIDDEN, False)
        return False

    def setVisible(self, visible: bool) -> None:
        self._forcing = True
        super().setVisible(visible)
        self._forcing = False
        if not self._shownBefore and self.testAttribute(Qt.WidgetAttribute.WA_WState_Created):
            self._shownBefore = True
            self._updateChildren()

    def event(self, event) -> bool:
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self.setContentsMargins(0, self._headerSize().height(), 0, 0)
            if self._collapsed:
                self.setMaximumHeight(self.sizeHint().height())
        return super().event(event)

    def hitButton(self, position: QPoint) -> bool:
        return self._headerRect().contains(position)

    def _indicator(self) -> QSize:
        style = self.style()
        return QSize(
            style.pixelMetric(QStyle.PixelMetric.PM_IndicatorWidth, None, self),
            style.pixelMetric(QStyle.PixelMetric.PM_IndicatorHeight, None, self),
        )

    def _spacing(self) -> int:
        return self.style().pixelMetric(QStyle.PixelMetric.PM_CheckBoxLabelSpacing, None, self)

    def _headerSize(self) -> QSize:
        option = QStyleOptionButton()
        option.initFrom(self)
        arrow = self._indicator()
        text = self.fontMetrics().size(Qt.TextFlag.TextShowMnemonic, self.text() or "XXXX")
        width = arrow.width() + self._spacing() + (text.width() if self.text() else 0)
        size = QSize(width, max(arrow.height(), text.height()))
        return self.style().sizeFromContents(QStyle.ContentsType.CT_PushButton, option, size, self)

    def _headerRect(self) -> QRect:
        return QRect(0, 0, self.width(), self._headerSize().height())

    def minimumSizeHint(self) -> QSize:
        header = self._headerSize()
        if self._collapsed:
            return header + QSize(0, self._collapsedHeight)
        return header if self.layout() is None else super().minimumSizeHint().expandedTo(header)

    def sizeHint(self) -> QSize:
        collapsed = self._headerSize() + QSize(0, self._collapsedHeight)
        return collapsed if self._collapsed else super().sizeHint().expandedTo(collapsed)

    def paintEvent(self, _event) -> None:
        painter = QPainter(self)
        header = self._headerRect()
        self._paintHeader(painter, header)
        self._paintFrame(painter, header)
        painter.end()

    def _paintHeader(self, painter: QPainter, header: QRect) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = header
        option.state |= QStyle.StateFlag.State_Sunken if self.isDown() else QStyle.StateFlag.State_Raised
        if self._flat:
            option.features |= QStyleOptionButton.ButtonFeature.Flat
        style = self.style()
        style.drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrow = QStyleOption()
        arrow.initFrom(self)
        size = self._indicator()
        edge = (header.height() - size.width()) // 2
        arrow.rect = QRect(edge, (header.height() - size.height()) // 2, size.width(), size.height())
        down, right = QStyle.PrimitiveElement.PE_IndicatorArrowDown, QStyle.PrimitiveElement.PE_IndicatorArrowRight
        style.drawPrimitive(right if self._collapsed else down, arrow, painter, self)
        text = header.adjusted(edge + size.width() + self._spacing(), 0, 0, 0)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        role = QPalette.ColorRole.ButtonText
        flags = int(flags.value) | int(Qt.TextFlag.TextHideMnemonic.value)
        style.drawItemText(painter, text, flags, option.palette, self.isEnabled(), self.text(), role)

    def _paintFrame(self, painter: QPainter, header: QRect) -> None:
        option = QStyleOptionFrame()
        option.initFrom(self)
        option.rect = self.rect().adjusted(0, header.height(), 0, 0)
        option.frameShape = QFrame.Shape(self._kept["contentsFrameShape"])
        option.lineWidth = self._kept["contentsLineWidth"]
        option.midLineWidth = self._kept["contentsMidLineWidth"]
        self.style().drawControl(QStyle.ControlElement.CE_ShapedFrame, option, painter, self)

    def _setCollapsedHeight(self, height: int) -> None:
        self._collapsedHeight = height
        self.updateGeometry()

    def _setFlat(self, flat: bool) -> None:
        self._flat = flat
        self.update()

    collapsed = Property(bool, lambda self: self._collapsed, _setCollapsed, notify=contentsCollapsed)
    collapsedHeight = Property(int, lambda self: self._collapsedHeight, _setCollapsedHeight)
    flat = Property(bool, lambda self: self._flat, _setFlat)
    contentsFrameShape = _stored("contentsFrameShape")
    contentsFrameShadow = _stored("contentsFrameShadow")
    contentsLineWidth = _stored("contentsLineWidth")
    contentsMidLineWidth = _stored("contentsMidLineWidth")
    buttonTextAlignment = _stored("buttonTextAlignment")
    indicatorAlignment = _stored("indicatorAlignment")
