"""What Slicer writes in C++ for its modules: the module object, the module's widget, the manager and the factory.

Public methods are slots, Q_INVOKABLEs or PythonQt decorators there; helpers start with an underscore.
"""

import importlib.util
import sys
from pathlib import Path

from PySide6.QtCore import Property, QObject, Signal, Slot
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout, QWidget

from . import errors


def load_source_as_module(name: str, path: str) -> None:
    """Base/QTCore/qSlicerScriptedUtils.cxx: run a file as a top-level module, replacing one of that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


class PythonClass:
    """Base/QTCore/qSlicerScriptedUtils_p.h, qSlicerPythonCppAPI: calls the methods of a class written in Python.

    The methods are looked up once, when the class is made: one put on the instance later is not called.
    """

    def __init__(self, cpp: QObject, methods: tuple[str, ...]) -> None:
        self.instance = None
        self._cpp = cpp
        self._names = methods
        self._methods: dict[str, object] = {}

    def instantiate(self, path: str, class_name: str) -> bool:
        """Make the class of a source file, loading the file if no module of its name has that class."""
        from .pythonqt import wrap

        module_name = Path(path).stem
        try:
            if not hasattr(sys.modules.get(module_name), class_name):
                load_source_as_module(module_name, path)
            maker = getattr(sys.modules[module_name], class_name, None)
            if maker is None:
                raise RuntimeError(f"class {class_name} was not found in file {path}")
            instance = maker(wrap(self._cpp))
        except Exception as error:
            errors.report(error, f"Failed to instantiate scripted pythonqt class {class_name}")
            return False
        self._methods = {name: getattr(instance, name) for name in self._names if hasattr(instance, name)}
        self.instance = instance
        return True

    def call(self, name: str, *arguments) -> object:
        """Call a method; what it raises is printed and Slicer goes on."""
        if name not in self._methods:
            return None
        try:
            return self._methods[name](*arguments)
        except Exception as error:
            errors.report(error, f"{type(self.instance).__name__}.{name} raised an exception")
            return None


class qSlicerAbstractCoreModule(QObject):
    """Base/QTCore/qSlicerAbstractCoreModule.h

    The properties that describe a module are in the derived classes: PySide cannot replace a property of a base.
    """

    def __init__(self, name: str, path: str = "", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name, self._path = name, path
        self._scene = self._logic = self._widget = self._app_logic = None
        self._widgets: list[QWidget] = []
        self._values = {
            "title": "",
            "categories": [],
            "contributors": [],
            "dependencies": [],
            "associatedNodeTypes": [],
            "helpText": "",
            "acknowledgementText": "",
            "icon": QIcon(),
            "hidden": False,
            "index": -1,
        }
        self._creates_widgets = True

    def _create_logic(self) -> object:
        return None

    def _create_widget(self) -> QWidget | None:
        return None

    def _setup(self) -> None:
        """Everything that a module does at its start, virtual in C++."""

    def _initialize(self, app_logic: object) -> None:
        self._app_logic = app_logic
        self.logic()
        self._setup()

    def _set_creates_widgets(self, value: bool) -> None:
        self._creates_widgets = value

    name = Property(str, lambda self: self._name)
    path = Property(str, lambda self: self._path)
    isInstalled = Property(bool, lambda self: True)
    widgetRepresentationCreationEnabled = Property(bool, lambda self: self._creates_widgets, _set_creates_widgets)
    SIGNATURES = {"setMRMLScene(vtkMRMLScene*)": "setMRMLScene"}

    @Slot(result=object)
    def logic(self) -> object:
        if self._logic is None:
            self._logic = self._create_logic()
            if self._logic is not None:
                self._logic.SetMRMLApplicationLogic(self._app_logic)
                self._logic.SetMRMLScene(self._scene)
        return self._logic

    @Slot(result=object)
    def mrmlScene(self) -> object:
        return self._scene

    @Slot(object)
    def setMRMLScene(self, scene: object) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        if self._logic is not None:
            self._logic.SetMRMLScene(scene)
        if self._widget is not None:
            self._widget.setMRMLScene(scene)

    @Slot(result=QObject)
    def widgetRepresentation(self) -> QWidget | None:
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    @Slot(result=QObject)
    def createNewWidgetRepresentation(self) -> QWidget | None:
        if not self._creates_widgets:
            return None
        widget = self._create_widget()
        if widget is None:
            return None
        widget._set_module(self)  # runs the widget's setup()
        widget.setMRMLScene(self._scene)  # only now: habit 9
        self._widgets.append(widget)
        return widget


def _readable(kind, key: str) -> Property:
    return Property(kind, lambda self: self._values[key])


def _writable(kind, key: str) -> Property:
    def write(self, value: object) -> None:
        self._values[key] = value

    return Property(kind, lambda self: self._values[key], write)


class qSlicerLoadableModule(qSlicerAbstractCoreModule):
    """Base/QTCore/qSlicerLoadableModule.h for Slicer's own modules: a real logic, no widget in this stand-in."""

    def __init__(self, name: str, logic: object, app_logic: object, scene: object) -> None:
        super().__init__(name)
        self._values["title"] = name
        self._logic, self._app_logic, self._scene = logic, app_logic, scene
        self._creates_widgets = False

    isBuiltIn = Property(bool, lambda self: True)
    title = _readable(str, "title")
    categories = _readable("QStringList", "categories")
    contributors = _readable("QStringList", "contributors")
    dependencies = _readable("QStringList", "dependencies")
    associatedNodeTypes = _readable("QStringList", "associatedNodeTypes")
    helpText = _readable(str, "helpText")
    acknowledgementText = _readable(str, "acknowledgementText")
    icon = _readable(QIcon, "icon")
    hidden = _readable(bool, "hidden")
    index = _readable(int, "index")


class qSlicerScriptedLoadableModule(qSlicerAbstractCoreModule):
    """Base/QTGUI/qSlicerScriptedLoadableModule.h and .cxx: the ``parent`` of a module class in Python."""

    isBuiltIn = Property(bool, lambda self: False)

    def __init__(self, path: str, parent: QObject | None = None) -> None:
        super().__init__(Path(path).stem, path, parent)
        self._python = PythonClass(self, ("setup",))

    title = _writable(str, "title")
    categories = _writable("QStringList", "categories")
    contributors = _writable("QStringList", "contributors")
    dependencies = _writable("QStringList", "dependencies")
    associatedNodeTypes = _writable("QStringList", "associatedNodeTypes")
    helpText = _writable(str, "helpText")
    acknowledgementText = _writable(str, "acknowledgementText")
    icon = _writable(QIcon, "icon")
    hidden = _writable(bool, "hidden")
    index = _writable(int, "index")

    def _set_python_source(self) -> bool:
        import slicer

        if not self._python.instantiate(self._path, self._name):
            return False
        setattr(slicer.modules, f"{self._name}Instance", self._python.instance)
        self._creates_widgets = hasattr(sys.modules[self._name], f"{self._name}Widget")
        return True

    def _setup(self) -> None:
        self._python.call("setup")

    def _create_logic(self) -> object:
        import slicer

        return slicer.vtkSlicerScriptedLoadableModuleLogic()

    def _create_widget(self) -> QWidget | None:
        widget = qSlicerScriptedLoadableModuleWidget()
        return widget if widget._set_python_source(self._path) else None


class qSlicerScriptedLoadableModuleWidget(QWidget):
    """Base/QTGUI/qSlicerScriptedLoadableModuleWidget.h and its bases qSlicerAbstractModuleWidget and qSlicerWidget."""

    SIGNATURES = {
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
        "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
        "setEditedNode(vtkMRMLNode*)": "setEditedNode",
        "setEditedNode(vtkMRMLNode*,QString)": "setEditedNode",
        "setEditedNode(vtkMRMLNode*,QString,QString)": "setEditedNode",
        "nodeEditable(vtkMRMLNode*)": "nodeEditable",
    }
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        QVBoxLayout(self)
        self._python = PythonClass(self, ("setup", "enter", "exit", "setEditedNode", "nodeEditable"))
        self._source = ""
        self._module = self._scene = None
        self._entered = False

    isEntered = Property(bool, lambda self: self._entered)
    moduleName = Property(str, lambda self: self._module.name if self._module is not None else "")

    def _set_module(self, module: qSlicerAbstractCoreModule) -> None:
        self._module = module
        self._setup()

    def _set_python_source(self, path: str) -> bool:
        import slicer

        class_name = Path(path).stem + "Widget"
        if not self._python.instantiate(path, class_name):
            return False
        self._source = path
        setattr(slicer.modules, class_name, self._python.instance)
        return True

    def _setup(self) -> None:
        self.setObjectName(f"{self._module.name}ModuleWidget")
        self.setWindowTitle(self._module.title)
        self.setWindowIcon(self._module.icon)
        self._python.call("setup")

    @Slot(result=QObject)
    def module(self) -> QObject:
        return self._module

    @Slot(result=object)
    def self(this) -> object:
        return this._python.instance

    @Slot()
    def reload(self) -> None:
        if Path(self._source).is_file():
            self._set_python_source(self._source)
            self._setup()

    @Slot()
    def enter(self) -> None:
        self._entered = True
        self._python.call("enter")

    @Slot()
    def exit(self) -> None:
        self._entered = False
        self._python.call("exit")

    @Slot(object, result=bool)
    @Slot(object, str, result=bool)
    @Slot(object, str, str, result=bool)
    def setEditedNode(self, node: object, role: str = "", context: str = "") -> bool:
        return self._python.call("setEditedNode", node, role, context) is True

    @Slot(object, result=float)
    def nodeEditable(self, node: object) -> float:
        answer = self._python.call("nodeEditable", node)
        if answer is None:
            return 0.5
        return answer if isinstance(answer, float) else 0.0

    @Slot(object)
    def setMRMLScene(self, scene: object) -> None:
        changed = scene is not self._scene
        self._scene = scene
        if changed:
            self.mrmlSceneChanged.emit(scene)
