"""Objects of Qt and the wrappers under which Python sees them, back and forth.

The wrappers' class (pythonqt.py) is built upon this, and tells :func:`wraps` how it is found.
"""

import weakref

import shiboken6
from PySide6 import QtCore

from . import pythonqt_conversion as conversion

_WRAPPERS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # of living QObjects, by address
_class_of = None


def wraps(class_of):
    """Decorate the function that gives a Qt class's class of wrappers."""
    global _class_of
    _class_of = class_of
    return class_of


def bind(wrapper, qt_object) -> None:
    """Make a wrapper that of an object."""
    object.__setattr__(wrapper, "_pq_object", qt_object)
    pointer = shiboken6.getCppPointer(qt_object)[0]
    object.__setattr__(wrapper, "_pq_pointer", pointer)
    if isinstance(qt_object, QtCore.QObject):
        _WRAPPERS[pointer] = wrapper


def wrap(value):
    """The wrapper of an object of Qt, the same one as long as somebody holds it; other values come back as they are."""
    if not isinstance(value, shiboken6.Object):
        return value
    if not isinstance(value, QtCore.QObject):
        return _new_wrapper(value)
    shell_wrapper = getattr(value, "_pq_shell_wrapper", None)
    if shell_wrapper is not None:
        return shell_wrapper
    known = _WRAPPERS.get(shiboken6.getCppPointer(value)[0])
    return known if known is not None and unwrap(known) is not None else _new_wrapper(value)


def _new_wrapper(value):
    cls = _class_of(type(value))
    wrapper = cls.__new__(cls)
    bind(wrapper, value)
    return wrapper


def unwrap(wrapper):
    """The PySide object of a wrapper, None if it is destroyed; other values come back as they are."""
    qt_object = conversion.unwrapped(wrapper)
    if qt_object is conversion.NotWrapped:
        return wrapper
    if qt_object is not None and not shiboken6.isValid(qt_object):
        object.__setattr__(wrapper, "_pq_object", None)
        return None
    return qt_object


def to_python(value):
    """Convert what Qt returned as PythonQt does: tuples, ints for enumerations, wrappers."""
    return conversion.to_python(value, wrap)
