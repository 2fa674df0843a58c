"""Answers the dialogs that product code opens, so that a test goes on: ``slicer_standin.dialogs``.

A dialog opened by exec_() waits for its user. Here the user is a list of answers, given one a dialog, first in first
out. A dialog for which there is no answer is closed as if by its X, and noted in ``unanswered``.
"""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QInputDialog, QLineEdit, QMessageBox, QProgressDialog


@dataclass
class Shown:
    """What a dialog said when it opened: its class, title, text, details, button texts, and (files) mode and folder."""

    kind: str
    title: str
    text: str = ""
    details: str = ""
    buttons: tuple[str, ...] = ()


class Dialogs(QObject):
    """Event filter of the application that looks at every modal dialog.

    An answer is: the text or standard name of a message box's button ("Ok", "Cancel", "Yes"); a path or list of paths
    for a file dialog; a text, number or item for an input dialog; True or False to accept or reject any dialog; None to
    close it; or a function that is called with the PySide dialog and does what it likes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answers: list = []
        self.shown: list[Shown] = []
        self.unanswered: list[Shown] = []

    def clear(self) -> None:
        """Forget answers and what was shown."""
        self.answers.clear()
        self.shown.clear()
        self.unanswered.clear()

    def expect(self, *answers) -> None:
        """Add answers for the next dialogs, in their order."""
        self.answers.extend(answers)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QDialog) and watched.isModal():
            shown = _describe(watched)
            self.shown.append(shown)
            if not _only_tells(watched):
                QTimer.singleShot(0, watched, lambda: self._answer(watched, shown))
        return False

    def _answer(self, dialog: QDialog, shown: Shown) -> None:
        if not self.answers:
            self.unanswered.append(shown)
            dialog.reject()
            return
        answer = self.answers.pop(0)
        if callable(answer):
            answer(dialog)
        elif answer is None or answer is False:
            dialog.reject()
        elif isinstance(dialog, QMessageBox):
            _press(dialog, answer)
        elif isinstance(dialog, QFileDialog) and answer is not True:
            _choose(dialog, answer)
        elif isinstance(dialog, QInputDialog) and answer is not True:
            _type(dialog, answer)
        else:
            dialog.accept()


def install() -> Dialogs:
    """Start to look after the application's dialogs. File dialogs must be Qt's own for that."""
    from PySide6.QtCore import Qt

    QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, True)
    dialogs = Dialogs()
    QApplication.instance().installEventFilter(dialogs)
    return dialogs


def _only_tells(dialog: QDialog) -> bool:
    """Whether a dialog wants no answer: progress, and a box without buttons (slicer.util.MessageDialog)."""
    return isinstance(dialog, QProgressDialog) or (isinstance(dialog, QMessageBox) and not dialog.buttons())


def _describe(dialog: QDialog) -> Shown:
    kind = type(dialog).__name__
    if isinstance(dialog, QMessageBox):
        text = "\n".join(part for part in (dialog.text(), dialog.informativeText()) if part)
        buttons = tuple(button.text().replace("&", "") for button in dialog.buttons())
        return Shown(kind, dialog.windowTitle(), text, dialog.detailedText(), buttons)
    if isinstance(dialog, QFileDialog):
        return Shown(kind, dialog.windowTitle(), dialog.directory().path(), dialog.fileMode().name)
    if isinstance(dialog, QInputDialog | QProgressDialog):
        return Shown(kind, dialog.windowTitle(), dialog.labelText())
    return Shown(kind, dialog.windowTitle())


def _press(box: QMessageBox, answer) -> None:
    """Click a message box's button, by its text or its standard name; True is the default button."""
    if answer is True:
        button = box.defaultButton() or box.buttons()[0]
    else:
        named = {box.standardButton(button).name: button for button in box.buttons()}
        named |= {button.text().replace("&", ""): button for button in box.buttons()}
        if answer not in named:
            box.reject()
            raise AssertionError(f"The message box has no button '{answer}', only {sorted(named)}: {box.text()}")
        button = named[answer]
    button.click()


def _choose(dialog: QFileDialog, answer) -> None:
    paths = [answer] if isinstance(answer, str) or hasattr(answer, "__fspath__") else answer
    quoted = [str(path) for path in paths] if len(paths) == 1 else [f'"{path}"' for path in paths]
    dialog.findChild(QLineEdit, "fileNameEdit").setText(" ".join(quoted))
    dialog.accept()
    if dialog.isVisible():  # Qt refused: no such file
        dialog.reject()


def _type(dialog: QInputDialog, answer) -> None:
    if isinstance(answer, str):
        dialog.setTextValue(answer)
    elif isinstance(answer, int):
        dialog.setIntValue(answer)
    else:
        dialog.setDoubleValue(answer)
    dialog.accept()
