"""PythonQt's way of showing Qt to Python, put over PySide6.

Every object of Qt that a module sees is a PythonQtInstanceWrapper. Follows commontk/PythonQt:
src/PythonQtInstanceWrapper.cpp (objects), PythonQtClassWrapper.cpp (classes), PythonQt.cpp (wrapQObject, wrapPtr).
"""

import shiboken6
from PySide6 import QtCore

from . import pythonqt_attributes as attributes
from . import pythonqt_conversion as conversion
from .pythonqt_conversion import from_python
from .pythonqt_members import (
    ClassInfo,
    Member,
    class_info,
    constructor_signatures,
    is_generated,
    is_qobject,
    match_signature,
    no_keywords,
    wrong_arguments,
)
from .pythonqt_methods import BoundMethod, BoundSignal, UnboundMethod
from .pythonqt_objects import QOBJECT_METHODS
from .pythonqt_ownership import forget_destroyed, keep_adopted
from .pythonqt_signals import call_slot, connect, connect_objects, disconnect, report_error, slot_errors
from .pythonqt_wrapping import bind, to_python, unwrap, wrap, wraps

__all__ = [
    "PythonQtClassWrapper",
    "PythonQtInstanceWrapper",
    "call_slot",
    "connect",
    "connect_objects",
    "disconnect",
    "expose",
    "from_python",
    "report_error",
    "slot_errors",
    "to_python",
    "unwrap",
    "wrap",
]

_CLASSES: dict[type, type] = {}
_OPERATORS = "add sub mul truediv and or xor neg invert len getitem contains iter lt le gt ge".split()


class PythonQtClassWrapper(type):
    """The type of all classes in ``qt``, ``ctk`` and of Slicer's widgets; PythonQtClassWrapper.cpp."""

    def __getattr__(cls, name):
        info = _info(cls)
        if info is None or name.startswith("_"):
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        member = _member(info, name)
        if member is None or member.kind == "property":
            raise attributes.no_attribute(info, name)
        if member.kind in ("enum_value", "enum"):
            return member.value
        if member.kind == "class":
            return expose(member.value)
        return UnboundMethod(info, member)

    def __dir__(cls):
        info = _info(cls)
        return sorted({*super().__dir__(), *(info.names() if info else ())})


def _info(cls: type) -> ClassInfo | None:
    return next((vars(base)["_pq_info"] for base in cls.__mro__ if "_pq_info" in vars(base)), None)


def _member(info: ClassInfo, name: str) -> Member | None:
    if name in QOBJECT_METHODS and is_qobject(info.cls):
        return Member("slot", name, value=QOBJECT_METHODS[name])
    return info.member(name)


class PythonQtInstanceWrapper(metaclass=PythonQtClassWrapper):
    """The only base of every class of Qt; PythonQtInstanceWrapper.cpp."""

    __slots__ = ("__weakref__", "_pq_object", "_pq_pointer")

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        object.__setattr__(self, "_pq_object", None)
        object.__setattr__(self, "_pq_pointer", 0)
        return self

    def __init__(self, *args, **kwargs):
        info = _info(type(self))
        no_keywords(f"new_{info.cls.__name__}", kwargs)
        bind(self, _construct(info, type(self), args, self))

    def __getattr__(self, name):
        info = _info(type(self))
        member = None if name.startswith("_") else _member(info, name)
        if member is not None:
            return _member_value(self, info, member)
        qt_object = unwrap(self)
        if attributes.is_dynamic(qt_object, name):
            return to_python(qt_object.property(name))
        child = attributes.child_named(qt_object, name)
        if child is None:
            raise attributes.no_attribute(info, name)
        return wrap(child)

    def __setattr__(self, name, value):
        info = _info(type(self))
        qt_object = unwrap(self)
        member = None if name.startswith("_") else _member(info, name)
        if member is not None and member.kind == "property":
            if qt_object is None:
                raise AttributeError(f"Trying to set property '{name}' on a destroyed {info.cls.__name__} object")
            attributes.write_property(qt_object, member.name, value, type(self).__name__)
        elif member is not None:
            kind = attributes.OVERWRITE[member.kind]
            raise AttributeError(f"{kind} '{name}' can not be overwritten on {type(self).__name__} object")
        elif attributes.is_dynamic(qt_object, name):
            attributes.write_dynamic(qt_object, name, value)
        elif _is_derived(type(self)):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is not"
                " allowed"
            )

    def __dir__(self):
        return sorted({*super().__dir__(), *_info(type(self)).names()})

    def __bool__(self):
        return unwrap(self) is not None

    def __eq__(self, other):
        mine = unwrap(self)
        if other is None:
            return mine is None
        theirs = conversion.unwrapped(other)
        if theirs is conversion.NotWrapped:
            return NotImplemented
        if mine is not None and not isinstance(mine, QtCore.QObject):
            return mine is theirs or (type(mine).__eq__ is not object.__eq__ and bool(mine == theirs))
        return mine is theirs

    def __hash__(self):
        return hash(self._pq_pointer)

    def __repr__(self):
        return f"{type(self).__name__} ({_info(type(self)).cls.__name__} at: {self._pq_pointer:#x})"

    def className(self):
        return type(self).__name__

    def inherits(self, name):
        return any(base.__name__ == name for base in _info(type(self)).cls.__mro__)

    def delete(self):
        qt_object = unwrap(self)
        if qt_object is not None:
            shiboken6.delete(qt_object)
            del qt_object
            forget_destroyed()
        object.__setattr__(self, "_pq_object", None)

    def help(self):
        print("\n".join(_info(type(self)).names()))


def _member_value(wrapper, info: ClassInfo, member: Member):
    if member.kind == "property":
        qt_object = unwrap(wrapper)
        if qt_object is None:
            raise ValueError(f"Trying to read property '{member.name}' from a destroyed {info.cls.__name__} object")
        return attributes.read_property(qt_object, member.name)
    if member.kind == "slot":
        return BoundMethod(wrapper, info, member)
    if member.kind == "signal":
        return BoundSignal(wrapper, info, member)
    if member.kind == "class":
        return expose(member.value)
    return member.value


@wraps
def expose(qt_class: type, *, generated: bool | None = None) -> type:
    """The class under which Python sees a Qt class, always the same one; it can be called and derived from.

    ``generated`` says whether PythonQt shows all public methods (Qt's own classes) or the meta object only (ctk,
    qMRML). It follows from where the class comes from; a wrong value raises TypeError.
    """
    if generated is not None and generated != is_generated(qt_class):
        raise TypeError(f"{qt_class.__name__} is not a class that PythonQt shows in this way.")
    if qt_class not in _CLASSES:
        names = {
            "__slots__": (),
            "__module__": qt_class.__module__.replace("PySide6.", "PythonQt."),
            "__doc__": qt_class.__doc__,
            "_pq_info": class_info(qt_class),
            **_operators(qt_class),
        }
        _CLASSES[qt_class] = PythonQtClassWrapper(qt_class.__name__, (PythonQtInstanceWrapper,), names)
    return _CLASSES[qt_class]


def _operators(qt_class: type) -> dict:
    """Operators of value classes, such as the length of a QByteArray or the sum of two QPoints."""
    if is_qobject(qt_class):
        return {}
    names = [f"__{name}__" for name in _OPERATORS]
    own = {name for base in qt_class.__mro__ if base.__module__.startswith("PySide6.") for name in vars(base)}
    return {name: _operator(name) for name in names if name in own}


def _operator(name: str):
    def call(self, *args):
        result = getattr(unwrap(self), name)(*(from_python(arg) for arg in args))
        return result if result is NotImplemented else to_python(result)

    call.__name__ = name
    return call


def _is_derived(cls: type) -> bool:
    """Whether the class was derived in Python: only objects of those take new attributes."""
    return "_pq_info" not in vars(cls)


def _construct(info: ClassInfo, cls: type, args: tuple, wrapper):
    qt_class = info.cls
    if is_generated(qt_class):
        available = constructor_signatures(qt_class)
        converted = match_signature(available, args)
    else:
        # CMake/ctkWrapPythonQt.py of CTK wraps the one constructor that takes a parent
        available = [f"{qt_class.__name__}(QWidget* parent = 0)"]
        converted = _parent_only(args)
    if converted is None:
        raise wrong_arguments(qt_class.__name__, args, available)
    derived = _is_derived(cls)
    try:
        qt_object = (_shell(qt_class, cls) if derived else qt_class)(*converted)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(f"No constructors available for {qt_class.__name__}: {error}") from error
    if derived:
        qt_object._pq_shell_wrapper = wrapper
    if isinstance(qt_object, QtCore.QObject):
        keep_adopted(qt_object)
    return qt_object


def _parent_only(args: tuple) -> list | None:
    try:
        return [conversion.to_cpp_type(arg, "QWidget*") for arg in args] if len(args) <= 1 else None
    except conversion.NoConversion:
        return None


def _shell(qt_class: type, cls: type) -> type:
    """PythonQt's shell class: virtual methods that the Python class overrides are called there."""
    shell = vars(cls).get("_pq_shell")
    if shell is None:
        python_classes = cls.__mro__[: cls.__mro__.index(expose(qt_class))]
        names = {name for base in python_classes for name, value in vars(base).items() if callable(value)}
        overridden = {n: _forward(n) for n in names if not n.startswith("_") and callable(getattr(qt_class, n, None))}
        shell = type(qt_class)(qt_class.__name__, (qt_class,), {**overridden, "__module__": qt_class.__module__})
        type.__setattr__(cls, "_pq_shell", shell)
    return shell


def _forward(name: str):
    def call(self, *args):
        try:
            return from_python(getattr(self._pq_shell_wrapper, name)(*(to_python(arg) for arg in args)))
        except Exception:
            report_error()
            return None

    call.__name__ = name
    return call
