"""The generic tests that slicerMacroBuildScriptedModule's WITH_GENERIC_TESTS adds for a module."""

# qSlicerModuleWidgetGenericTest.cxx.in: pixels, and the part of the screen's width, that a panel may demand
ALLOWED_WIDTH, ALLOWED_PART = 500, 0.30


def generic_module_test(name: str) -> list[str]:
    """Test a loaded module as Slicer's generic tests do; returns what they would complain about.

    The steps of Base/QTCore/Testing/Python/qSlicerModuleGenericTest.py.in come first, in their alphabetical order; the
    stricter ones of the C++ templates (Base/QTGUI/Testing/Cxx), that Slicer uses for its own modules, follow.
    """
    import ctk
    import slicer

    module = getattr(slicer.modules, name.lower(), None)
    if module is None:
        return [f"slicer.modules has no attribute {name.lower()}"]
    complaints = []

    def check(condition: bool, complaint: str) -> None:
        if not condition:
            complaints.append(complaint)

    check(type(slicer.app).__name__ == "qSlicerApplication", "slicer.app is no qSlicerApplication")
    check(isinstance(slicer.app.settings(), ctk.ctkSettings), "slicer.app.settings() is no ctkSettings")
    check(module.name == name, f"module.name is {module.name}")
    check(module.logic() is module.logic(), "logic() changes")
    widget = module.widgetRepresentation()
    check(widget is module.widgetRepresentation(), "widgetRepresentation() changes")
    _check_scene(module, check)
    for text in ("title", "categories", "contributors", "acknowledgementText"):
        check(bool(getattr(module, text)), f"{text} is empty")
    check(-1 <= module.index <= 1000, f"index {module.index} seems invalid")
    if widget is None:
        check(module.hidden, "the module has no widget and is not hidden")
    else:
        _check_widget(widget, check)
    return complaints


def _check_scene(module, check) -> None:
    import slicer

    scene = slicer.vtkMRMLScene()
    module.setMRMLScene(scene)
    check(module.mrmlScene() is scene, "setMRMLScene() failed with a fresh scene")
    check(module.logic().GetMRMLScene() is scene, "setMRMLScene() failed to pass the scene to the logic")
    module.setMRMLScene(slicer.mrmlScene)
    check(module.mrmlScene() is slicer.mrmlScene, "setMRMLScene() failed with the application's scene")


def _check_widget(widget, check) -> None:
    from PySide6.QtWidgets import QApplication

    allowed = max(ALLOWED_WIDTH, int(QApplication.primaryScreen().size().width() * ALLOWED_PART))
    width = widget.minimumSizeHint.width()
    check(width <= allowed, f"the widget's smallest width is {width} px, wider than {allowed} px")
    widget.enter()
    widget.exit()
    widget.show()
    widget.enter()
    widget.exit()
    widget.hide()
