"""How Slicer's application looks: Base/QTGUI/qSlicerStyle.cxx, Fusion with tighter layouts and a white palette."""

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QProxyStyle, QStyle

_MARGINS = (
    QStyle.PixelMetric.PM_LayoutLeftMargin,
    QStyle.PixelMetric.PM_LayoutTopMargin,
    QStyle.PixelMetric.PM_LayoutRightMargin,
    QStyle.PixelMetric.PM_LayoutBottomMargin,
)
_SPACINGS = (QStyle.PixelMetric.PM_LayoutHorizontalSpacing, QStyle.PixelMetric.PM_LayoutVerticalSpacing)
_COLORS = {
    "Window": "white",
    "WindowText": "black",
    "Base": "white",
    "AlternateBase": "#e4e4fe",
    "ToolTipBase": "#ffffdc",
    "ToolTipText": "black",
    "Text": "black",
    "PlaceholderText": "darkGray",
    "Button": "#fcfcfc",
    "ButtonText": "black",
    "BrightText": "red",
    "Light": "#c8c8c8",
    "Midlight": "#e6e6e6",
    "Dark": "#aaaaaa",
    "Mid": "#c8c8c8",
    "Shadow": "#5a5a5a",
    "Highlight": "#308cc6",
    "HighlightedText": "white",
    "Link": "#0000ff",
}
_DISABLED = {
    "WindowText": "#bebebe",
    "Base": "white",
    "Text": "#bebebe",
    "ButtonText": "#bebebe",
    "Highlight": "#919191",
    "HighlightedText": "white",
}


class qSlicerStyle(QProxyStyle):
    """The measures of Slicer's style that a panel's layout shows; its light palette is in ``apply``."""

    def __init__(self) -> None:
        super().__init__("Fusion")

    def pixelMetric(self, metric, option=None, widget=None) -> int:
        if metric in _MARGINS:
            return 4 if widget is not None and type(widget).__name__ == "ctkCollapsibleButton" else 6
        if metric in _SPACINGS:
            return 3
        return super().pixelMetric(metric, option, widget)


def apply(application: QApplication) -> None:
    """Give the application Slicer's look, for pictures of a panel."""
    application.setStyle(qSlicerStyle())
    palette = application.palette()
    for name, color in _COLORS.items():
        palette.setColor(QPalette.ColorRole[name], QColor(color))
    for name, color in _DISABLED.items():
        palette.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole[name], QColor(color))
    application.setPalette(palette)
