"""A stand-in for 3D Slicer's application, for tests where there is no Slicer. README.md says what is real in it.

    import slicer_standin
    slicer_standin.start()                      # once, before anything imports slicer, qt or ctk
    module = slicer_standin.add_module("CHMFLPredictor/CHMFLPredictor.py")
    panel = module.widgetRepresentation().self()

After start(), ``import slicer, qt, ctk, vtk, sitkUtils, SampleData`` and ``slicer.*`` work as in a run of Slicer with
``--no-main-window --testing``.
"""

import importlib
import os
import sys
import types
from pathlib import Path

from . import errors
from .errors import module_errors

# Made by start(). ``dialogs`` answers dialogs (dialogs.py); ``extensions`` says which extensions are installed and
# which the server has (extensions_manager.py); ``app_requests`` is what the application was asked to do and only
# wrote down, such as ("restart",)
dialogs = None
extensions = None
app_requests: list[tuple] = []

_application = None
_kept: list[object] = []  # what lives as long as the process

# modules of Slicer's that a module may name in its dependencies, and that have neither logic nor widget here
BARE_MODULES = ("DICOM", "SampleData", "SegmentEditor", "SegmentStatistics")
# widgets that Slicer puts on ``slicer``: file of the stand-in: class names
WIDGETS = {
    "qmrml_widgets": (
        "qMRMLWidget",
        "qMRMLNodeComboBox",
        "qMRMLSegmentSelectorWidget",
        "qMRMLSegmentationShow3DButton",
        "qMRMLTableView",
    ),
    "module_objects": ("qSlicerScriptedLoadableModule", "qSlicerScriptedLoadableModuleWidget"),
    "application": ("qSlicerApplication",),
}


def start(testing: bool = True) -> None:
    """Make the process look like a Slicer that has just started, without a main window. A second call does nothing.

    ``testing`` is Slicer's --testing: dialogs are skipped. set_testing() changes it later, for the tests of dialogs.
    """
    global _application, dialogs, extensions
    if _application is not None:
        return
    import slicer_headless  # refuses to be imported once there is slicer.app

    from . import application, extensions_manager, util

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    errors.watch()
    scene = slicer_headless.new_scene()
    util.hide_leaked_names()
    _application = application.qSlicerApplication(testing)
    extensions = extensions_manager.ExtensionShelf()
    _application._requests = app_requests
    _publish_qt()
    _assemble(scene)
    _publish_slicer()
    dialogs = importlib.import_module(".dialogs", __name__).install()
    util.provide_python(_application._made("bin"))


def run(function, *arguments, **keywords) -> object:
    """Call a function from inside an event loop, as Slicer calls all that a module does, and return what it returns.

    It matters to deleteLater(): outside any loop, the next one that starts deletes at once, so that a dialog which is
    to go after exec_() would be gone before it was seen. What the function raises is raised here.
    """
    from PySide6.QtCore import QEventLoop, QTimer

    loop, outcome = QEventLoop(), {}

    def call() -> None:
        try:
            outcome["value"] = function(*arguments, **keywords)
        except BaseException as error:
            outcome["error"] = error
        finally:
            loop.quit()

    QTimer.singleShot(0, call)
    loop.exec()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def add_module(path) -> object | None:
    """Load a scripted module from its file, as the factory does, and complete the startup for it.

    Returns the module object (``slicer.modules.<name in lower case>``), or None where Slicer would go on without the
    module: module_errors says why. A module of that name that is loaded already is returned as it is.
    """
    import slicer

    name = Path(path).stem
    manager = _application.moduleManager()
    if manager.module(name) is None:
        if manager.factoryManager()._load(str(Path(path).resolve())) is None:
            return None
        _application.startupCompleted.emit()
    return getattr(slicer.modules, name.lower())


def remove_module(name: str) -> None:
    """Unload a module as at Slicer's end: cleanup() is called, its panel is deleted. Its Python module stays loaded."""
    if _application.moduleManager().module(name) is not None:
        _application.moduleManager().factoryManager()._unload(name)


def set_testing(enabled: bool) -> None:
    """Switch slicer.app.testingEnabled(): without testing mode, dialogs open and ``dialogs`` answers them."""
    _application._testing = enabled


def set_pytorch(state: object | None) -> None:
    """Let ``import PyTorchUtils`` find the PyTorch extension with this pytorch_utils.TorchState; None takes it away."""
    sys.modules.pop("PyTorchUtils", None)
    if state is not None:
        from .scripted_modules import ScriptedLoadableModuleLogic

        sys.modules["PyTorchUtils"] = _module("pytorch_utils").build(state, ScriptedLoadableModuleLogic)


def take_errors() -> list[str]:
    """Return the errors so far and forget them: a test that expects some takes them."""
    taken = list(module_errors)
    module_errors.clear()
    _module("pythonqt").slot_errors.clear()
    return taken


def generic_module_test(name: str) -> list[str]:
    """Run Slicer's generic tests on a loaded module; returns complaints (generic_tests.py)."""
    from . import generic_tests

    return generic_tests.generic_module_test(name)


def reset() -> None:
    """Bring back the state of a fresh start, for the next test: empty scene, first settings, no answers, no errors.

    Modules stay loaded, as in Slicer when a scene is closed.
    """
    import slicer

    slicer.mrmlScene.Clear(False)
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(layout.SlicerLayoutInitialView)
    slicer.dicomDatabase = _application._parts["dicom_database"] = _module("dicom_database").build()
    set_pytorch(None)
    _application._clear_settings()
    _application._testing = _application.commandOptions().testingEnabled
    while _application.overrideCursor() is not None:
        _application.restoreOverrideCursor()
    dialogs.clear()
    extensions.clear()
    app_requests.clear()
    _application.processEvents()
    take_errors()


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(f".{name}", __name__)


def _publish_qt() -> None:
    for name, source in (("qt", "qt_module"), ("ctk", "ctk_widgets")):
        sys.modules[name] = _module(source).build()
    application = _module("application")
    sys.modules["ctk"].ctkSettings = _module("pythonqt").expose(application.ctkSettings)


def _assemble(scene: object) -> None:
    """Give the application its parts, and ``slicer`` what C++ puts there: app, mrmlScene, modules, widgets."""
    import slicer

    from . import module_manager, scene_io
    from . import scene as scenes
    from .extensions_manager import qSlicerExtensionsManagerModel
    from .module_objects import qSlicerLoadableModule
    from .pythonqt import expose, wrap

    logic = slicer.modules._application
    logics = {name: holder.logic() for name, holder in vars(slicer.modules).items() if name != "_application"}
    logics |= scenes.add_logics(logic, scene)
    _kept.append(scenes.add_views(logic, scene))
    manager = module_manager.qSlicerModuleManager(logic, scene, _application)
    _application._adopt(
        {
            "scene": scene,
            "logic": logic,
            "module_manager": manager,
            "dicom_database": _module("dicom_database").build(),
            "extensions": qSlicerExtensionsManagerModel(extensions, _application),
            "io_manager": scene_io.qSlicerIOManager(logics, logic, scene, _application),
        }
    )
    _kept.append(scenes.SubjectHierarchyPluginLogic(scene))

    slicer.app = wrap(_application)
    slicer.dicomDatabase = _application.dicomDatabase()
    for name in ("modules", "moduleNames"):
        sys.modules[f"slicer.{name}"] = types.ModuleType(f"slicer.{name}")
        setattr(slicer, name, sys.modules[f"slicer.{name}"])
    for source, names in WIDGETS.items():
        for name in names:
            setattr(slicer, name, expose(getattr(_module(source), name)))
    module_manager.publish(manager)
    for lowered, module_logic in logics.items():
        manager.factoryManager()._add(qSlicerLoadableModule(scenes.module_name(lowered), module_logic, logic, scene))
    for name in BARE_MODULES:
        manager.factoryManager()._add(qSlicerLoadableModule(name, None, logic, scene))


def _publish_slicer() -> None:
    """Put the Python modules of Slicer that the wheel lacks where ``import`` finds them."""
    import slicer

    from . import scripted_modules, util

    made = {
        "slicer.i18n": _module("i18n").build(),
        "slicer.testing": util.build_testing(),
        "slicer.packaging": _module("packaging").build(),
        "slicer.parameterNodeWrapper": _module("parameter_node").build(),
        "slicer.ScriptedLoadableModule": scripted_modules.build(),
        "sitkUtils": _module("sitk_utils").build(),
        "SampleData": _module("sample_data").build(),
    }
    for name, module in made.items():
        sys.modules[name] = module
        if name.startswith("slicer."):
            setattr(slicer, name.removeprefix("slicer."), module)
    util.install(_module("ui_loader"))
