"""The Extensions Manager, with a server and an installation that a test fills: ``slicer_standin.extensions``."""

from PySide6.QtCore import Property, QObject, Signal, Slot


class qSlicerExtensionsManagerModel(QObject):
    """Base/QTCore/qSlicerExtensionsManagerModel.h with a server that a test fills: ``slicer_standin.extensions``."""

    modelUpdated = Signal()
    extensionInstalled = Signal(str)
    interactiveChanged = Signal(bool)

    def __init__(self, shelf: "ExtensionShelf", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._shelf = shelf
        self._interactive = True

    def _set_interactive(self, value: bool) -> None:
        if value != self._interactive:
            self._interactive = value
            self.interactiveChanged.emit(value)

    interactive = Property(bool, lambda self: self._interactive, _set_interactive, notify=interactiveChanged)
    installedExtensions = Property("QStringList", lambda self: sorted(self._shelf.installed), notify=modelUpdated)
    enabledExtensions = Property("QStringList", lambda self: sorted(self._shelf.installed), notify=modelUpdated)
    installedExtensionsCount = Property(int, lambda self: len(self._shelf.installed), notify=modelUpdated)

    @Slot(str, result=bool)
    def isExtensionInstalled(self, name: str) -> bool:
        return name in self._shelf.installed

    @Slot(str, result=bool)
    def isExtensionEnabled(self, name: str) -> bool:
        return name in self._shelf.installed

    @Slot(result=bool)
    @Slot(bool, result=bool)
    @Slot(bool, bool, result=bool)
    def updateExtensionsMetadataFromServer(self, force: bool = False, waitForCompletion: bool = False) -> bool:
        return bool(self._shelf.on_server)

    @Slot(str, result=bool)
    @Slot(str, bool, result=bool)
    @Slot(str, bool, bool, result=bool)
    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
        """Install what the test put on the server. As in Slicer it works only after the next start."""
        self._shelf.requests.append((name, restart))
        if name in self._shelf.installed:
            return True
        if name not in self._shelf.on_server:
            return False
        self._shelf.installed.add(name)
        self.extensionInstalled.emit(name)
        self.modelUpdated.emit()
        return True


class ExtensionShelf:
    """Which extensions are installed, which the server offers, and what was asked for: (name, restart) pairs."""

    def __init__(self) -> None:
        self.installed: set[str] = set()
        self.on_server: set[str] = set()
        self.requests: list[tuple[str, bool]] = []

    def clear(self) -> None:
        for content in (self.installed, self.on_server, self.requests):
            content.clear()
