"""Methods and signals as Python gets them from an object or a class: PythonQtSlot.cpp, PythonQtSignal.cpp."""

import inspect

from PySide6 import QtCore

from . import pythonqt_conversion as conversion
from .pythonqt_members import (
    FIRST_OF_TUPLE,
    ClassInfo,
    Member,
    match_cpp,
    match_signature,
    no_keywords,
    wrong_arguments,
)
from .pythonqt_objects import single_shot
from .pythonqt_ownership import keep_adopted
from .pythonqt_signals import connect, disconnect
from .pythonqt_wrapping import to_python, unwrap


class BoundMethod:
    """A method of an object, called without keywords; built anew at every look-up, equal if it is the same."""

    def __init__(self, wrapper, info: ClassInfo, member: Member) -> None:
        self.__self__ = wrapper
        self._info = info
        self._member = member
        self.__name__ = member.name.removesuffix("_")

    def __call__(self, *args, **kwargs):
        qt_object = unwrap(self.__self__)
        if qt_object is None:
            raise ValueError(f"Trying to call '{self.__name__}' on a destroyed {self._info.cls.__name__} object")
        no_keywords(self.__name__, kwargs)
        if self._member.value is not None:
            return _call_python(self._member, qt_object, args)
        if self._member.overloads:
            return _call_cpp(qt_object, self._member, args)
        return _call_generated(self._info, getattr(qt_object, self.__name__), self.__name__, args)

    def __eq__(self, other):
        return isinstance(other, BoundMethod) and (self.__self__, self.__name__) == (other.__self__, other.__name__)

    def __hash__(self):
        return hash((self.__self__, self.__name__))

    def __repr__(self):
        return f"<built-in qt slot {self.__name__} of {type(self.__self__).__name__} object>"


def _call_python(member: Member, qt_object, args: tuple):
    try:
        inspect.signature(member.value).bind(qt_object, *args)
    except TypeError:
        raise wrong_arguments(member.name, args, [member.name]) from None
    return member.value(qt_object, *args)


def _call_cpp(qt_object, member: Member, args: tuple):
    matched = match_cpp(member.overloads, args)
    if matched is None:
        raise wrong_arguments(member.name, args, [each.signature for each in member.overloads])
    method, converted = matched
    return to_python(getattr(qt_object, method.attribute)(*converted))


def _call_generated(info: ClassInfo, function, name: str, args: tuple):
    signatures = info.signatures(name)
    converted = match_signature(signatures, args) if signatures else [conversion.from_python(arg) for arg in args]
    if converted is None:
        raise wrong_arguments(name, args, signatures)
    try:
        result = function(*converted)
    except OverflowError:
        raise wrong_arguments(name, args, signatures) from None
    except TypeError as error:
        raise ValueError(f"Called {name} with wrong arguments: {args} ({error})") from error
    if any(isinstance(arg, QtCore.QObject) for arg in converted):
        keep_adopted(getattr(function, "__self__", None), *converted)
    if isinstance(result, tuple) and any(issubclass(info.cls, cls) and name == each for cls, each in FIRST_OF_TUPLE):
        result = result[0]
    return to_python(result)


class UnboundMethod:
    """A method taken from its class: static ones are called, others want an instance first."""

    def __init__(self, info: ClassInfo, member: Member) -> None:
        self._info = info
        self._member = member
        self.__name__ = member.name.removesuffix("_")

    def __call__(self, *args, **kwargs):
        no_keywords(self.__name__, kwargs)
        cls, name = self._info.cls, self.__name__
        if name == "singleShot" and cls is QtCore.QTimer:
            return single_shot(*args)
        static = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if isinstance(static, staticmethod) and self._member.value is None:
            return _call_generated(self._info, getattr(cls, name), name, args)
        if not args or not isinstance(unwrap(args[0]), cls):
            raise ValueError(f"slot {name}() requires {cls.__name__} instance as first argument.")
        if self._member.value is not None or self._member.overloads:
            return BoundMethod(args[0], self._info, self._member)(*args[1:])
        # the class's own method, not what a Python class made of it
        function = getattr(cls, name).__get__(unwrap(args[0]))
        return _call_generated(self._info, function, name, args[1:])


class BoundSignal:
    """A signal of an object; ``connect`` takes the first overload."""

    def __init__(self, wrapper, info: ClassInfo, member: Member) -> None:
        self.__self__ = wrapper
        self._member = member
        self.__name__ = member.overloads[0].signature

    def _object(self):
        qt_object = unwrap(self.__self__)
        if qt_object is None:
            raise SystemError(f"signal {self.__name__} of a destroyed object: returned NULL without an exception set")
        return qt_object

    def connect(self, *args):
        if len(args) != 1:
            raise ValueError("Called connect with wrong number of arguments")
        return connect(self._object(), self.__name__, args[0])

    def disconnect(self, *args):
        if len(args) > 1:
            raise ValueError("Called disconnect with wrong number of arguments")
        return disconnect(self._object(), self.__name__, *args)

    def emit(self, *args):
        matched = match_cpp(self._member.overloads, args)
        if matched is None:
            raise wrong_arguments(self._member.name, args, [each.signature for each in self._member.overloads])
        getattr(self._object(), matched[0].attribute).emit(*matched[1])

    def __call__(self, *args):
        self.emit(*args)

    def __repr__(self):
        return f"<qt signal {self._member.name} of {type(self.__self__).__name__} instance>"
