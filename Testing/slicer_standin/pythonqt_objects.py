"""What PythonQt adds to every QObject (src/PythonQtStdDecorators.cpp), written for PySide objects."""

from PySide6 import QtCore

from . import pythonqt_conversion as conversion
from .pythonqt_attributes import read_property
from .pythonqt_members import ClassInfo, class_info, shown_class, wrong_arguments
from .pythonqt_ownership import keep_adopted, release
from .pythonqt_signals import call_slot, connect, connect_objects, disconnect
from .pythonqt_wrapping import to_python, unwrap, wrap


def _text(value, name: str) -> str:
    """A QByteArray argument: bytes or text, nothing else."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    raise wrong_arguments(name, (value,), [f"{name}(QByteArray signal, PyObject* callable)"])


def connect_method(sender, *args) -> bool:
    """connect(signal, callable), connect(signal, receiver, slot) and connect(sender, signal, slot)."""
    if len(args) == 2:
        return connect(sender, _text(args[0], "connect"), args[1])
    if len(args) in (3, 4) and isinstance(unwrap(args[0]), QtCore.QObject):
        return connect_objects(unwrap(args[0]), _text(args[1], "connect"), sender, _text(args[2], "connect"))
    if len(args) in (3, 4) and isinstance(unwrap(args[1]), QtCore.QObject):
        return connect_objects(sender, _text(args[0], "connect"), unwrap(args[1]), _text(args[2], "connect"))
    raise wrong_arguments("connect", args, ["connect(signal, callable)", "connect(signal, receiver, slot)"])


def disconnect_method(sender, *args) -> bool:
    if len(args) not in (1, 2):
        raise wrong_arguments("disconnect", args, ["disconnect(signal, callable)"])
    return disconnect(sender, _text(args[0], "disconnect"), *args[1:])


def single_shot(milliseconds, function) -> None:
    """QTimer.singleShot(ms, callable) keeps the callable alive until it was called."""
    QtCore.QTimer.singleShot(conversion.to_c_int(milliseconds), lambda: call_slot(function, ()))


def _matches(child, kind) -> bool:
    if isinstance(kind, str):
        return any(base.__name__ == kind for base in type(child).__mro__)
    info = getattr(kind if isinstance(kind, type) else type(kind), "_pq_info", None)
    return isinstance(info, ClassInfo) and isinstance(child, info.cls)


def find_child(parent, kind, name=None):
    for child in parent.children():
        if (name is None or child.objectName() == name) and _matches(child, kind):
            return wrap(child)
    for child in parent.children():
        found = find_child(child, kind, name)
        if found is not None:
            return found
    return None


def find_children(parent, kind, name=None) -> tuple:
    found = []
    for child in parent.children():
        if name is not None and child.objectName() != name:
            continue  # PythonQt does not look below a child of another name
        if _matches(child, kind):
            found.append(wrap(child))
        found.extend(find_children(child, kind, name))
    return tuple(found)


def set_parent(qt_object, parent, *flags) -> None:
    parent_object = unwrap(parent)
    if parent_object is not None and not isinstance(parent_object, QtCore.QObject):
        raise wrong_arguments("setParent", (parent,), ["setParent(QObject* parent)"])
    qt_object.setParent(parent_object, *(QtCore.Qt.WindowType(int(flag)) for flag in flags))
    if parent_object is None:
        release(qt_object)
    else:
        keep_adopted(qt_object)


def parent_of(qt_object):
    return wrap(qt_object.parent())


def children(qt_object) -> tuple:
    return tuple(wrap(child) for child in qt_object.children())


def get_property(qt_object, name):
    if str(name) in class_info(shown_class(qt_object)).properties:
        return read_property(qt_object, str(name))
    return to_python(qt_object.property(str(name)))


def set_property(qt_object, name, value) -> bool:
    return qt_object.setProperty(str(name), conversion.from_python(value))


def translate(_object, text, _context="", _n=-1) -> str:
    return str(text)


QOBJECT_METHODS = {
    "connect": connect_method,
    "disconnect": disconnect_method,
    "parent": parent_of,
    "setParent": set_parent,
    "children": children,
    "findChild": find_child,
    "findChildren": find_children,
    "property": get_property,
    "setProperty": set_property,
    "tr": translate,
}
