"""Qt's .ui files as Slicer loads them, and the helpers of slicer.util for what was loaded.

Follows Base/Python/slicer/util.py (loadUI, childWidgetVariables, findChild, findChildren) and Qt's QUiLoader, which
does the building here as well. Done by hand are the custom widgets, their enumerations, and <connections>: those go by
exact C++ signatures, which PySide does not know. As in Qt, an undeclared property becomes a dynamic one; ``stdset``
counts for uic only, which would not compile the file without it.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from PySide6.QtCore import QBuffer, QDir, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader

from .pythonqt import connect_objects, expose, wrap
from .pythonqt_ownership import keep, release

_WIDGETS: dict[str, type] = {}


def register_widget(cls: type) -> type:
    """Make a widget class known to the loader under its name; can be used as a decorator."""
    _WIDGETS[cls.__name__] = cls
    return cls


def _register_own() -> None:
    """Register the widgets of this package: Slicer's widgets plugins are there for every .ui file."""
    from . import ctk_widgets, qmrml_widgets

    for widget in (*ctk_widgets.WIDGETS, *qmrml_widgets.WIDGETS):
        register_widget(widget)


class _Loader(QUiLoader):
    """Builds custom widgets from the registry; a class that nobody registered is an error, not a plain QWidget."""

    def __init__(self, custom: set[str]) -> None:
        super().__init__()
        self._custom = custom
        self.unknown: list[str] = []

    def createWidget(self, class_name, parent=None, name=""):
        if class_name in _WIDGETS:
            widget = _WIDGETS[class_name](parent)
            widget.setObjectName(name)
            keep(widget)
            return widget
        if class_name in self._custom:
            self.unknown.append(class_name)
        return super().createWidget(class_name, parent, name)


def loadUI(path):
    """Load a .ui file and return the wrapper of its top widget.

    Raises RuntimeError where the file is missing or makes no widget, as in Slicer, and for a custom widget that this
    package does not have.
    """
    file = Path(str(path))
    if not file.exists():
        raise RuntimeError(f"Could not load UI file: file not found {path}\n\n")
    try:
        root = ET.fromstring(file.read_bytes())
    except ET.ParseError as error:
        raise RuntimeError(f"Could not load UI file: {path}\n\n{error}") from error
    _check_qt5(root, path)
    _register_own()
    enumerations = _take_enumerations(root)
    connections = _take_connections(root)
    loader = _Loader({each.text for each in root.iterfind("customwidgets/customwidget/class")})
    widget = _build(loader, root, path)
    if loader.unknown:
        raise RuntimeError(f"The widgets {sorted(set(loader.unknown))} of {path} have no stand-in.")
    for name, prop, value in enumerations:
        setattr(_named(widget, name), prop, value)
    for connection in connections:
        _connect(widget, *connection)
    release(widget)
    return wrap(widget)


def _build(loader: _Loader, root: ET.Element, path):
    buffer = QBuffer()
    buffer.setData(ET.tostring(root))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    loader.setWorkingDirectory(QDir(str(Path(str(path)).parent)))
    try:
        widget = loader.load(buffer)
    except RuntimeError as error:
        raise RuntimeError(f"Could not load UI file: {path}\n\n{error}") from error
    if widget is None:
        raise RuntimeError(f"Could not load UI file: {path}\n\n{loader.errorString()}")
    return widget


def _take_enumerations(root: ET.Element) -> list[tuple[str, str, int]]:
    """Take out the <enum> and <set> properties of custom widgets' own enumerations, for PySide knows none of them."""
    found = []
    for widget in root.iter("widget"):
        cls = _WIDGETS.get(widget.get("class", ""))
        for prop in list(widget.findall("property")) if cls is not None else ():
            text = next((each.text or "" for each in prop if each.tag in ("enum", "set")), "")
            names = [part.strip() for part in text.split("|")]
            if text and all(name.startswith(f"{cls.__name__}::") for name in names):
                found.append((widget.get("name"), prop.get("name"), _combined(cls, names)))
                widget.remove(prop)
    return found


def _combined(cls: type, names: list[str]) -> int:
    value = 0
    for name in names:
        member = getattr(expose(cls), name.rpartition("::")[2], None)
        if member is None:
            raise RuntimeError(f"{name} is no value of {cls.__name__}.")
        value |= int(member)
    return value


def _check_qt5(root: ET.Element, path) -> None:
    """Slicer is built with Qt 5 or 6; Qt 5 reads no enumeration with its class in it: Qt::Orientation::Vertical."""
    for element in (*root.iter("enum"), *root.iter("set")):
        if any(part.count("::") > 1 for part in (element.text or "").split("|")):
            raise RuntimeError(f"Could not load UI file: {path}\n\nQt 5 does not know {element.text}.")


def _take_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    section = root.find("connections")
    if section is None:
        return []
    root.remove(section)
    tags = ("sender", "signal", "receiver", "slot")
    return [tuple((each.findtext(tag) or "").strip() for tag in tags) for each in section.iterfind("connection")]


def _named(widget, name: str) -> QObject | None:
    return widget if widget.objectName() == name else widget.findChild(QObject, name)


def _connect(widget, sender: str, signal: str, receiver: str, slot: str) -> None:
    objects = _named(widget, sender), _named(widget, receiver)
    if None in objects:
        print(f"QFormBuilder: no object for the connection {sender} -> {receiver}", file=sys.stderr)
        return
    connect_objects(objects[0], signal, objects[1], slot)


def findChildren(widget, name="", text="", title="", className=""):
    """Everything below a widget, and the widget itself, whose attributes match; as slicer.util.findChildren."""
    import fnmatch

    wanted = {key: value for key, value in (("name", name), ("text", text), ("title", title)) if value}
    found, waiting = [], [widget]
    while waiting:
        child = waiting.pop()
        if not child or not hasattr(child, "children"):
            continue
        waiting += child.children()
        values = {key: getattr(child, key, None) for key in wanted}
        matches = all(isinstance(values[key], str) and fnmatch.fnmatchcase(values[key], wanted[key]) for key in wanted)
        if matches and (not className or fnmatch.fnmatchcase(child.className(), className)):
            found.append(child)
    return found


def findChild(widget, name, properties=None):
    """The first child of that name and these dynamic properties, as in slicer.util; RuntimeError if there is none."""
    found = findChildren(widget, name=name) if name else findChildren(widget)
    if properties is not None:
        found = [each for each in found if all(each.property(key) == value for key, value in properties.items())]
    if not found:
        raise RuntimeError(f"Widget with name={name!r}, properties={properties} does not exist.")
    return found[0]


def childWidgetVariables(widget):
    """An object with an attribute for every named object in a widget, as slicer.util.childWidgetVariables."""
    ui = type("", (), {})()
    for child in findChildren(widget):
        if hasattr(child, "name") and child.name:
            setattr(ui, child.name, child)
    return ui
