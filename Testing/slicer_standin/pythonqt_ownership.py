"""Objects whose class is written in Python, kept as long as their C++ object has a parent.

In C++ an object is one thing. In PySide the Python half of an object is dropped when nothing in Python refers to it any
more, and comes back without its attributes: a widget of ours in a form, a receiver of signals, or an object of a class
that a module derived would lose its state. PythonQt keeps the wrapper of such an object (passOwnershipToCPP).
"""

import shiboken6
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLayout

_KEPT: dict[int, QObject] = {}


def keep(qt_object: QObject) -> None:
    """Keep an object of a Python class until it is destroyed or released."""
    forget_destroyed()
    _KEPT[shiboken6.getCppPointer(qt_object)[0]] = qt_object


def forget_destroyed() -> None:
    """Let go of what C++ has destroyed; also done whenever something new is kept."""
    for pointer in [pointer for pointer, kept in _KEPT.items() if not shiboken6.isValid(kept)]:
        del _KEPT[pointer]


def release(qt_object: QObject) -> None:
    """Let an object go that has no parent any more: it lives as long as Python refers to it."""
    _KEPT.pop(shiboken6.getCppPointer(qt_object)[0], None)


def keep_adopted(*qt_objects) -> None:
    """Keep what a call has given a parent: its arguments, and what a layout among them brought along."""
    for qt_object in qt_objects:
        if isinstance(qt_object, QObject) and shiboken6.isValid(qt_object):
            widget = qt_object.parentWidget() if isinstance(qt_object, QLayout) else None
            for each in (qt_object, *qt_object.children(), *(widget.children() if widget else ())):
                if each.parent() is not None and not type(each).__module__.startswith("PySide6."):
                    keep(each)
