"""The module manager and factory: how modules are found by name, loaded, and unloaded."""

import sys
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Signal, Slot

from . import errors
from .module_objects import qSlicerAbstractCoreModule, qSlicerScriptedLoadableModule


class qSlicerModuleFactoryManager(QObject):
    """Base/QTCore/qSlicerModuleFactoryManager.h and qSlicerAbstractModuleFactoryManager.h"""

    modulesRegistered = Signal("QStringList")
    moduleLoaded = Signal(str)
    modulesLoaded = Signal("QStringList")
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def __init__(self, app_logic: object, scene: object, parent: QObject) -> None:
        super().__init__(parent)
        self._app_logic, self._scene = app_logic, scene
        self._loaded: dict[str, qSlicerAbstractCoreModule] = {}

    @Slot(result="QStringList")
    def loadedModuleNames(self) -> list[str]:
        return list(self._loaded)

    @Slot(result="QStringList")
    def registeredModuleNames(self) -> list[str]:
        return list(self._loaded)

    @Slot(result="QStringList")
    def instantiatedModuleNames(self) -> list[str]:
        return list(self._loaded)

    @Slot(str, result=bool)
    def isLoaded(self, name: str) -> bool:
        return name in self._loaded

    @Slot(str, result=bool)
    def isRegistered(self, name: str) -> bool:
        return name in self._loaded

    @Slot(str, result=bool)
    def isInstantiated(self, name: str) -> bool:
        return name in self._loaded

    @Slot(str, result=QObject)
    def moduleInstance(self, name: str) -> QObject | None:
        return self._loaded.get(name)

    @Slot(str, result=QObject)
    def loadedModule(self, name: str) -> QObject | None:
        return self._loaded.get(name)

    def _add(self, module: qSlicerAbstractCoreModule) -> None:
        """Take in a module of Slicer's own, which is complete already."""
        self._loaded[module.name] = module
        self.modulesRegistered.emit([module.name])
        self.moduleLoaded.emit(module.name)

    def _load(self, path: str) -> qSlicerAbstractCoreModule | None:
        """Register, instantiate and load a scripted module; None if Slicer would go on without it."""
        folder = str(Path(path).resolve().parent)
        if folder not in sys.path:
            sys.path.append(folder)  # appended, never first: qSlicerScriptedLoadableModuleFactory.cxx
        module = qSlicerScriptedLoadableModule(path, self)
        self.modulesRegistered.emit([module.name])
        if not module._set_python_source():
            return None
        missing = [name for name in module.dependencies if name not in self._loaded]
        if missing:
            errors.report(
                RuntimeError(f"the dependency {missing[0]} failed to be loaded"), f"When loading module {module.name}"
            )
            return None
        self._loaded[module.name] = module
        self._app_logic.SetModuleLogic(module.name, module.logic())
        module._initialize(self._app_logic)
        if not module.title:
            del self._loaded[module.name]
            self._app_logic.SetModuleLogic(module.name, None)
            errors.report(RuntimeError("the module has no title"), f"When loading module {module.name}")
            return None
        module.setMRMLScene(self._scene)
        self.moduleLoaded.emit(module.name)
        return module

    def _unload(self, name: str) -> None:
        """Unload a module and delete its widgets, as Slicer does when it ends."""
        self.moduleAboutToBeUnloaded.emit(name)
        module = self._loaded.pop(name)
        for widget in module._widgets:
            if shiboken6.isValid(widget):
                shiboken6.delete(widget)
        self._app_logic.SetModuleLogic(name, None)
        self.moduleUnloaded.emit(name)
        module.deleteLater()


class qSlicerModuleManager(QObject):
    """Base/QTCore/qSlicerModuleManager.h"""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self, app_logic: object, scene: object, parent: QObject) -> None:
        super().__init__(parent)
        self._factory = qSlicerModuleFactoryManager(app_logic, scene, self)
        self._factory.moduleLoaded.connect(self.moduleLoaded)
        self._factory.moduleAboutToBeUnloaded.connect(self.moduleAboutToBeUnloaded)

    @Slot(result=QObject)
    def factoryManager(self) -> QObject:
        return self._factory

    @Slot(result="QStringList")
    def modulesNames(self) -> list[str]:
        return self._factory.loadedModuleNames()

    @Slot(str, result=QObject)
    def module(self, name: str) -> QObject | None:
        return self._factory.loadedModule(name)


def publish(manager: qSlicerModuleManager) -> None:
    """Keep ``slicer.modules`` and ``slicer.moduleNames`` up to date, as Base/Python/slicerqt.py does.

    Called before any module connects: at its cleanup() a module is gone from ``slicer.modules`` already.
    """
    import slicer

    from .pythonqt import wrap

    def registered(names: list[str]) -> None:
        for name in names:
            setattr(slicer.moduleNames, name, name)

    def loaded(name: str) -> None:
        setattr(slicer.modules, name.lower(), wrap(manager.module(name)))

    def unloaded(name: str) -> None:
        for attribute in (f"{name}Instance", f"{name}Widget", name.lower()):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        if hasattr(slicer.moduleNames, name):
            delattr(slicer.moduleNames, name)
        getattr(slicer, "selfTests", {}).pop(name, None)

    manager.factoryManager().modulesRegistered.connect(registered)
    manager.moduleLoaded.connect(loaded)
    manager.moduleAboutToBeUnloaded.connect(unloaded)
