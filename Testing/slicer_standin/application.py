"""``slicer.app``: the application object of a Slicer run without a main window, and what hangs directly on it.

Slots are what C++ marks as slots, Q_INVOKABLE or a PythonQt decorator; a name that is missing here is missing on
purpose or listed in README.md.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

from PySide6.QtCore import Property, QObject, QProcessEnvironment, QSettings, QStandardPaths, Signal, Slot
from PySide6.QtWidgets import QApplication

ORGANIZATION, DOMAIN, NAME = "slicer.org", "slicer.org", "Slicer"
MAJOR, MINOR, PATCH = 5, 12, 4
SYSTEMS = {"linux": "linux", "darwin": "macosx", "win32": "win"}

# what a settings panel writes at Slicer's first start, where code reads it without a default of its own
FIRST_SETTINGS = {"Developer/DeveloperMode": False, "Developer/SelfTestDisplayMessageDelay": 750}


class ctkSettings(QSettings):
    """Base/QTGUI/qSlicerApplication.cxx makes its settings of this class (CTK Libs/Core/ctkSettings.h)."""


class qSlicerCommandOptions(QObject):
    """Base/QTGUI/qSlicerCommandOptions.h and Base/QTCore/qSlicerCoreCommandOptions.h: what the command line said."""

    def __init__(self, testing: bool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("qSlicerCommandOptions")
        self._testing = testing
        self._run_and_exit = False

    def _set_run_and_exit(self, value: bool) -> None:
        self._run_and_exit = value

    noMainWindow = Property(bool, lambda self: True, constant=True)
    noSplash = Property(bool, lambda self: True, constant=True)
    testingEnabled = Property(bool, lambda self: self._testing, constant=True)
    ignoreSlicerRC = Property(bool, lambda self: True, constant=True)
    pythonDisabled = Property(bool, lambda self: False, constant=True)
    showPythonConsole = Property(bool, lambda self: False, constant=True)
    disableToolTips = Property(bool, lambda self: False, constant=True)
    verboseModuleDiscovery = Property(bool, lambda self: False, constant=True)
    exitAfterStartup = Property(bool, lambda self: False, constant=True)
    pythonScript = Property(str, lambda self: "", constant=True)
    pythonCode = Property(str, lambda self: "", constant=True)
    additionalModulePaths = Property("QStringList", lambda self: [], constant=True)
    modulesToIgnore = Property("QStringList", lambda self: [], constant=True)
    runPythonAndExit = Property(bool, lambda self: self._run_and_exit, _set_run_and_exit)


class qSlicerApplication(QApplication):
    """Base/QTGUI/qSlicerApplication.h and Base/QTCore/qSlicerCoreApplication.h (.cxx for what they answer).

    Settings, temporary and cache folders lie under one temporary folder that goes with the process.
    """

    startupCompleted = Signal()
    renderPaused = Signal(bool)
    urlReceived = Signal(str)
    usageEventLogged = Signal(str, str)

    def __init__(self, testing: bool) -> None:
        super().__init__([NAME])
        self._testing = testing
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-standin-", ignore_cleanup_errors=True)
        self._startup_environment = QProcessEnvironment.systemEnvironment()
        self._requests: list[tuple] = []
        self._parts: dict[str, object] = {}
        self._name_settings()
        self._options = qSlicerCommandOptions(testing, self)

    def _name_settings(self) -> None:
        self.setOrganizationName(ORGANIZATION)
        self.setOrganizationDomain(DOMAIN)
        self.setApplicationName(NAME)
        self.setApplicationVersion(f"{MAJOR}.{MINOR}.{PATCH}")
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, str(self._made("settings")))
        QStandardPaths.setTestModeEnabled(True)
        self._user_settings = ctkSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, ORGANIZATION, NAME, self
        )
        self._revision_settings = ctkSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, ORGANIZATION, f"{NAME}-revision", self
        )
        self._clear_settings()

    def _clear_settings(self) -> None:
        self._revision_settings.clear()
        self._user_settings.clear()
        for key, value in FIRST_SETTINGS.items():
            self._user_settings.setValue(key, value)
        self._user_settings.sync()

    def _made(self, *parts: str) -> Path:
        folder = Path(self._folder.name, *parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _adopt(self, parts: dict[str, object]) -> None:
        """Take the scene, the logics and the managers, and tell them where the application's folders are."""
        self._parts |= parts
        self.applicationLogic().SetTemporaryPath(self.temporaryPath)
        self.mrmlScene().GetCacheManager().SetRemoteCacheDirectory(self.cachePath)

    def _path(self, key: str, default: str) -> str:
        folder = Path(self._user_settings.value(key) or self._made(default))
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def _set_temporary_path(self, path: str) -> None:
        self._user_settings.setValue("TemporaryPath", path)
        self.applicationLogic().SetTemporaryPath(path)

    def _set_cache_path(self, path: str) -> None:
        self._user_settings.setValue("Cache/Path", path)
        self.mrmlScene().GetCacheManager().SetRemoteCacheDirectory(self.cachePath)

    slicerHome = Property(str, lambda self: str(self._made("home")), constant=True)
    slicerSharePath = Property(str, lambda self: f"share/Slicer-{MAJOR}.{MINOR}", constant=True)
    temporaryPath = Property(str, lambda self: self._path("TemporaryPath", "temporary"), _set_temporary_path)
    cachePath = Property(str, lambda self: self._path("Cache/Path", "cache"), _set_cache_path)
    defaultScenePath = Property(str, lambda self: self._path("DefaultScenePath", "scenes"))
    startupWorkingPath = Property(str, lambda self: os.getcwd(), constant=True)
    extensionsInstallPath = Property(str, lambda self: str(self._made("extensions")))
    slicerUserSettingsFilePath = Property(str, lambda self: self._user_settings.fileName(), constant=True)
    slicerRevisionUserSettingsFilePath = Property(str, lambda self: self._revision_settings.fileName(), constant=True)
    isInstalled = Property(bool, lambda self: True, constant=True)
    releaseType = Property(str, lambda self: "Stable", constant=True)
    intDir = Property(str, lambda self: "", constant=True)
    majorVersion = Property(int, lambda self: MAJOR, constant=True)
    minorVersion = Property(int, lambda self: MINOR, constant=True)
    os = Property(str, lambda self: SYSTEMS.get(sys.platform, sys.platform), constant=True)
    platform = Property(str, lambda self: f"{self.os}-{self.arch}", constant=True)
    arch = Property(str, lambda self: platform.machine().lower().replace("x86_64", "amd64"), constant=True)
    isCustomMainApplication = Property(bool, lambda self: False, constant=True)
    mainApplicationName = Property(str, lambda self: NAME, constant=True)
    mainApplicationDisplayName = Property(str, lambda self: "3D Slicer", constant=True)
    mainApplicationMajorVersion = Property(int, lambda self: MAJOR, constant=True)
    mainApplicationMinorVersion = Property(int, lambda self: MINOR, constant=True)
    mainApplicationPatchVersion = Property(int, lambda self: PATCH, constant=True)
    applicationLocaleName = Property(str, lambda self: "en_US", constant=True)
    documentationVersion = Property(str, lambda self: f"{MAJOR}.{MINOR}", constant=True)
    documentationLanguage = Property(str, lambda self: "en", constant=True)
    documentationBaseUrl = Property(str, lambda self: f"https://slicer.readthedocs.io/en/{MAJOR}.{MINOR}")
    isUsageLoggingSupported = Property(bool, lambda self: False, constant=True)

    @Slot(result=bool)
    def testingEnabled(self) -> bool:
        return self._testing

    @Slot(result=QObject)
    def commandOptions(self) -> QObject:
        return self._options

    @Slot(result=object)
    def layoutManager(self) -> None:
        """There is no main window, so nobody set a layout manager."""
        return

    @Slot(result=object)
    def settingsDialog(self) -> None:
        return

    @Slot(result=QObject)
    def moduleManager(self) -> QObject:
        return self._parts["module_manager"]

    @Slot(result=QObject)
    def extensionsManagerModel(self) -> QObject:
        return self._parts["extensions"]

    @Slot(result=QObject)
    def coreIOManager(self) -> QObject:
        return self._parts["io_manager"]

    @Slot(result=QObject)
    def ioManager(self) -> QObject:
        return self._parts["io_manager"]

    @Slot(result=object)
    def dicomDatabase(self) -> object:
        return self._parts["dicom_database"]

    @Slot(result=object)
    def mrmlScene(self) -> object:
        return self._parts["scene"]

    @Slot(result=object)
    def applicationLogic(self) -> object:
        return self._parts["logic"]

    @Slot(str, result=object)
    def moduleLogic(self, name: str) -> object:
        return self.applicationLogic().GetModuleLogic(name)

    @Slot(result=QObject)
    def userSettings(self) -> QObject:
        return self._user_settings

    @Slot(result=QObject)
    def settings(self) -> QObject:
        return self._user_settings

    @Slot(result=QObject)
    def revisionUserSettings(self) -> QObject:
        return self._revision_settings

    @Slot(result=object)
    def startupEnvironment(self) -> QProcessEnvironment:
        return self._startup_environment

    @Slot(result=object)
    def environment(self) -> QProcessEnvironment:
        return QProcessEnvironment.systemEnvironment()

    @Slot(str, str)
    def setEnvironmentVariable(self, key: str, value: str) -> None:
        os.environ[key] = value

    @Slot(str, result=str)
    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}/user_guide/modules/{name.lower()}.html"

    @Slot(str, str)
    def logUsageEvent(self, component: str, event: str) -> None:
        self.usageEventLogged.emit(component, event)

    @Slot(bool)
    def setRenderPaused(self, pause: bool) -> None:
        self.renderPaused.emit(pause)

    @Slot()
    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    @Slot()
    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    # what leaves the process is only written down, for tests to look at: slicer_standin.app_requests

    @Slot()
    def restart(self) -> None:
        self._requests.append(("restart",))

    @Slot()
    @Slot(str)
    def confirmRestart(self, reason: str = "") -> None:
        self._requests.append(("confirmRestart", reason))

    @Slot()
    def openExtensionsManagerDialog(self) -> None:
        self._requests.append(("openExtensionsManagerDialog",))

    @Slot(str)
    def openUrl(self, url: str) -> None:
        self._requests.append(("openUrl", url))
        self.urlReceived.emit(url)

    @Slot(object)
    @Slot(object, str)
    @Slot(object, str, str)
    def openNodeModule(self, node: object, role: str = "", context: str = "") -> None:
        self._requests.append(("openNodeModule", node.GetID(), role, context))

    @Slot("QStringList", result=bool)
    def launchDesigner(self, arguments: list[str]) -> bool:
        self._requests.append(("launchDesigner", *arguments))
        return True
