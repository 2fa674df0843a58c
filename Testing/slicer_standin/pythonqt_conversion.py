"""Values on their way between Python and Qt, converted as laxly, and as narrowly, as PythonQt converts them.

Follows commontk/PythonQt src/PythonQtConversion.cpp: PyObjGetString, PyObjGetBool, PyObjGetInt, PyObjGetDouble,
PyObjToStringList, PyObjToQVariant, ConvertPythonToQt and its strict and lax passes.
"""

import collections.abc
import enum
import inspect
import math
import types
import typing

from PySide6 import QtCore, QtGui

_ENUM_WRAPPERS: dict[type, type] = {}
INT_RANGE = (-(2**31), 2**31 - 1)


class NoConversion(Exception):
    """A Python value cannot become the wanted C++ type."""


class NotWrapped:
    """What ``unwrapped`` answers for a value that is no wrapper."""


def unwrapped(value):
    """Give a wrapper's Qt object (None if it is destroyed), or NotWrapped for everything else."""
    if isinstance(value, type):
        return NotWrapped
    try:
        return object.__getattribute__(value, "_pq_object")
    except AttributeError:
        return NotWrapped


def enum_wrapper(enum_class: type) -> type:
    """PythonQt's class of an enumeration: a bare subclass of int without names (createNewPythonQtEnumWrapper)."""
    wrapper = _ENUM_WRAPPERS.get(enum_class)
    if wrapper is None:
        wrapper = type(enum_class.__name__, (int,), {"__module__": enum_class.__module__, "_pq_enum": enum_class})
        _ENUM_WRAPPERS[enum_class] = wrapper
    return wrapper


def enum_value(member: enum.Enum) -> int:
    return enum_wrapper(type(member))(member.value)


def from_python(value):
    """Unwrap a value, and what is in a list, tuple or dict, for a QVariant."""
    if isinstance(value, enum.Enum):
        return value
    if hasattr(type(value), "_pq_enum"):
        return int(value)
    qt_object = unwrapped(value)
    if qt_object is not NotWrapped:
        return qt_object
    if isinstance(value, list | tuple):
        return [from_python(item) for item in value]
    if isinstance(value, dict):
        return {to_string(key): from_python(item) for key, item in value.items()}
    return value


def to_string(value, strict: bool = False) -> str:
    if isinstance(value, str):
        return str(value)
    if strict:
        raise NoConversion
    return str(value)


def to_bool(value, strict: bool = False) -> bool:
    if value is True or value is False:
        return value
    if strict:
        raise NoConversion
    return bool(value)


def to_int(value, strict: bool = False) -> int:
    if type(value) is int:
        return value
    if strict:
        raise NoConversion
    if type(value) is float:
        if not math.isfinite(value):
            raise NoConversion
        return math.floor(value)
    try:
        return int(value.__index__())
    except (AttributeError, TypeError):
        raise NoConversion from None


def to_c_int(value, strict: bool = False) -> int:
    number = to_int(value, strict)
    if not INT_RANGE[0] <= number <= INT_RANGE[1]:
        raise NoConversion
    return number


def to_double(value, strict: bool = False) -> float:
    if type(value) is float:
        return value
    if strict or isinstance(value, str | bytes):
        raise NoConversion
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NoConversion from None


def _is_sequence(value) -> bool:
    return hasattr(type(value), "__getitem__") and hasattr(type(value), "__len__") and not isinstance(value, dict)


def to_string_list(value, strict: bool = False) -> list[str]:
    """A list of strings; without strictness, a str becomes its characters."""
    if (strict and isinstance(value, str | bytes)) or not _is_sequence(value):
        raise NoConversion
    return [to_string(value[index]) for index in range(len(value))]


def to_bytes(value, strict: bool = False) -> QtCore.QByteArray:
    qt_object = unwrapped(value)
    if isinstance(qt_object, QtCore.QByteArray):
        return qt_object
    if isinstance(value, bytes):
        return QtCore.QByteArray(value)
    if isinstance(value, str) and not strict:
        return QtCore.QByteArray(value.encode())
    raise NoConversion


def to_chars(value, strict: bool = False) -> bytes:
    """A ``const char*``; a QByteArray is none."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and not strict:
        return value.encode()
    raise NoConversion


def to_enum(value, enum_class: type, strict: bool = False):
    if type(value) is _ENUM_WRAPPERS.get(enum_class):
        return enum_class(int(value))
    if strict:
        raise NoConversion
    try:
        return enum_class(to_int(value))
    except ValueError:
        raise NoConversion from None


def _auto_conversion(value, wanted: type):
    """PythonQtConv::handlePythonToQtAutoConversion: pens, brushes, colors and cursors from enumerations and colors."""
    qt_enum = getattr(type(value), "_pq_enum", None)
    if wanted is QtGui.QCursor and qt_enum is QtCore.Qt.CursorShape:
        return QtGui.QCursor(qt_enum(int(value)))
    color = unwrapped(value) if isinstance(unwrapped(value), QtGui.QColor) else None
    if qt_enum is QtCore.Qt.GlobalColor:
        color = QtGui.QColor(qt_enum(int(value)))
    if color is not None and wanted in (QtGui.QPen, QtGui.QBrush, QtGui.QColor):
        return wanted(color)
    raise NoConversion


def to_qt_class(value, wanted: type, strict: bool = False):
    """An object of a Qt class; None is the null pointer where the class goes by pointer."""
    qt_object = unwrapped(value)
    if qt_object is not NotWrapped:
        if qt_object is None or isinstance(qt_object, wanted):
            return qt_object
        if strict:
            raise NoConversion
        return _auto_conversion(value, wanted)
    if value is None and not _goes_by_value(wanted):
        return None
    if not strict and hasattr(type(value), "_pq_enum"):
        return _auto_conversion(value, wanted)
    raise NoConversion


def _goes_by_value(qt_class: type) -> bool:
    """Whether C++ copies objects of this class: a class that can be copied and is no QObject, item or event."""
    return not issubclass(qt_class, QtCore.QObject | QtCore.QEvent) and hasattr(qt_class, "__copy__")


def to_annotation(value, annotation, strict: bool):
    """Convert an argument to what PySide's signature wants, by the rules of PythonQt; raises NoConversion."""
    wanted = _first_of_union(annotation)
    if wanted in _SCALARS:
        return _SCALARS[wanted](value, strict)
    if wanted in (typing.Any, object, inspect.Parameter.empty):
        return from_python(value)
    origin = typing.get_origin(wanted) or wanted
    if origin is collections.abc.Callable:
        if not callable(value):
            raise NoConversion
        return value
    if origin in (collections.abc.Sequence, collections.abc.Iterable, list):
        return _to_list(value, typing.get_args(wanted), strict)
    if origin in (dict, collections.abc.Mapping) or not isinstance(wanted, type):
        return from_python(value)
    if issubclass(wanted, enum.Enum):
        return to_enum(value, wanted, strict)
    if hasattr(wanted, "__module__") and wanted.__module__.startswith("PySide6"):
        return to_qt_class(value, wanted, strict)
    return from_python(value)


def _to_list(value, item_types: tuple, strict: bool) -> list:
    if item_types == (str,):
        return to_string_list(value, strict)
    if (strict and isinstance(value, str | bytes)) or not _is_sequence(value):
        raise NoConversion
    item = item_types[0] if item_types else typing.Any
    return [to_annotation(value[index], item, False) for index in range(len(value))]


def _first_of_union(annotation):
    """PySide names the C++ type first; the others are conversions of its own that PythonQt does not make."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(item for item in typing.get_args(annotation) if item is not type(None))
    return annotation


_SCALARS = {
    str: to_string,
    bool: to_bool,
    int: to_int,
    float: to_double,
    bytes: to_chars,
    bytearray: to_chars,
    QtCore.QByteArray: to_bytes,
}
_CPP_SCALARS = {
    "bool": to_bool,
    "int": to_c_int,
    "uint": to_c_int,
    "long": to_int,
    "qlonglong": to_int,
    "float": to_double,
    "double": to_double,
    "QString": to_string,
    "QStringList": to_string_list,
    "QByteArray": to_bytes,
}


def to_cpp_type(value, type_name: str, strict: bool = False):
    """Convert a value to a C++ type given by its name, as in ``setCurrentNode(vtkMRMLNode*)``; raises NoConversion."""
    name = type_name.removeprefix("const ").rstrip("&").strip()
    if name in _CPP_SCALARS:
        return _CPP_SCALARS[name](value, strict)
    if name.endswith("*") and name.startswith("vtk"):
        return _to_vtk(value, name.rstrip("*").strip(), strict)
    if name.endswith("*"):
        return _to_qobject(value, name.rstrip("*").strip())
    qt_class = getattr(QtGui, name, None) or getattr(QtCore, name, None)
    if isinstance(qt_class, type):
        return to_qt_class(value, qt_class, strict)
    return from_python(value)


def _to_vtk(value, class_name: str, strict: bool):
    """ctkVTKPythonQtWrapperFactory::unwrap asks VTK's Python layer, which refuses objects of other classes."""
    if value is None or (not strict and type(value) is int and value == 0):
        return None
    if hasattr(value, "IsA") and value.IsA(class_name):
        return value
    raise NoConversion


def _to_qobject(value, class_name: str):
    if value is None:
        return None
    qt_object = unwrapped(value)
    if qt_object is not NotWrapped and any(cls.__name__ == class_name for cls in type(qt_object).__mro__):
        return qt_object
    raise NoConversion


def to_python(value, wrap):
    """Convert what Qt returned: lists are tuples, enumerations ints, every object of Qt a wrapper made by ``wrap``."""
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, enum.Enum):
        return enum_value(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return tuple(to_python(item, wrap) for item in value)
    if isinstance(value, dict):
        return {key: to_python(item, wrap) for key, item in value.items()}
    return wrap(value)
