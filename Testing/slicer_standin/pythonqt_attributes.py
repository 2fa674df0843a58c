"""Reading and writing attributes of a wrapper: PythonQtInstanceWrapper_getattro and _setattro of commontk/PythonQt."""

import inspect

from PySide6 import QtCore

from . import pythonqt_conversion as conversion
from .pythonqt_members import ClassInfo, class_info, is_generated, shown_class
from .pythonqt_wrapping import to_python

OVERWRITE = {"slot": "Slot", "signal": "Signal", "enum_value": "EnumValue", "enum": "Enum", "class": "Nested class"}


def no_attribute(info: ClassInfo, name: str) -> AttributeError:
    return AttributeError(f"{info.cls.__name__} has no attribute named '{name}'")


def is_dynamic(qt_object, name: str) -> bool:
    """Whether the object carries a dynamic property of this name."""
    if not isinstance(qt_object, QtCore.QObject):
        return False
    return name in (bytes(each.data()).decode() for each in qt_object.dynamicPropertyNames())


def child_named(qt_object, name: str):
    if not isinstance(qt_object, QtCore.QObject):
        return None
    return next((child for child in qt_object.children() if child.objectName() == name), None)


def _of_python(qt_object, name: str) -> bool:
    """Whether the property belongs to a class of ours, whose Python getter and setter do the work."""
    if isinstance(inspect.getattr_static(type(qt_object), name, None), QtCore.Property):
        return not is_generated(next(base for base in type(qt_object).__mro__ if name in vars(base)))
    return False


def read_property(qt_object, name: str):
    """Read a property of a PySide object as PythonQt hands it to Python."""
    if _of_python(qt_object, name):
        return to_python(getattr(qt_object, name))
    return to_python(qt_object.property(name))


def write_property(qt_object, name: str, value, type_name: str) -> None:
    """Write a property with PythonQt's conversions; raises AttributeError where C++ does not accept the value."""
    prop = class_info(shown_class(qt_object)).properties[name]
    if not prop.isWritable():
        raise AttributeError(f"Property '{name}' of {type_name} object is not writable")
    refused = AttributeError(
        f"Property '{name}' of type '{prop.typeName()}' does not accept an object of type "
        f"{type(value).__name__} ({value!r})"
    )
    try:
        if prop.isEnumType():
            converted = value if isinstance(value, str) else conversion.to_int(value)
        else:
            converted = conversion.to_cpp_type(value, prop.typeName())
    except conversion.NoConversion:
        raise refused from None
    if _of_python(qt_object, name):
        setattr(qt_object, name, converted)
    elif converted is None or not prop.write(qt_object, converted):
        raise refused


def write_dynamic(qt_object, name: str, value) -> None:
    if value is None:
        raise AttributeError(f"Dynamic property '{name}' does not accept an object of type NoneType (None)")
    qt_object.setProperty(name, conversion.from_python(value))
