"""The module ``qt`` as CTK's PythonQt modules make it: all classes of QtCore, QtGui, QtWidgets in one namespace.

Follows commontk/CTK Libs/Scripting/Python/Core/Python/qt/__init__.py.in (one flat module) and
ctkAbstractPythonManager.cpp. Names that Qt 6 dropped are missing here, and names that only PySide has are hidden.
"""

import types

from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets

from .pythonqt import expose, wrap

_SOURCES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg)
# PySide's own tools, which no C++ class stands behind
_NOT_QT = {"Signal", "Slot", "Property", "ClassInfo", "SignalInstance", "QEnum", "QFlag"}


class QtModule(types.ModuleType):
    """Classes are wrapped when they are asked for: there are some eight hundred."""

    def __getattr__(self, name):
        qt_class = None if name in _NOT_QT else _find(name)
        if qt_class is None:
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        value = expose(qt_class)
        setattr(self, name, value)
        return value

    def __dir__(self):
        return sorted({name for source in _SOURCES for name in vars(source) if _find(name) and name not in _NOT_QT})


def _find(name: str) -> type | None:
    if not name.startswith("Q"):
        return None
    found = next((getattr(source, name) for source in _SOURCES if hasattr(source, name)), None)
    return found if isinstance(found, type) else None


def build() -> types.ModuleType:
    """Make the module ``qt``; the caller puts it into sys.modules."""
    module = QtModule("qt", __doc__)
    module.SIGNAL = lambda text: "2" + text
    module.SLOT = lambda text: "1" + text
    return module


def application() -> object:
    """Make Qt's application if there is none yet, and give its wrapper."""
    return wrap(QtWidgets.QApplication.instance() or QtWidgets.QApplication([]))
