"""What a Qt class shows to Python, and the calling of its overloads, as PythonQt does both.

Follows commontk/PythonQt src/PythonQtClassInfo.cpp (member: property, then method, then enumeration, then a name less
its trailing underscore), PythonQtSlot.cpp (overloads: a strict pass, then a lax one, no keywords) and, for classes
that PythonQt knows by their QMetaObject only (ctk, qMRML), the rule that plain C++ methods are invisible.
"""

import enum
import inspect
import re
from dataclasses import dataclass, field

from PySide6 import QtCore, QtWidgets
from shibokensupport.signature import get_signature

from . import pythonqt_conversion as conversion

PUBLIC_METHOD_TYPES = (QtCore.QMetaMethod.MethodType.Method, QtCore.QMetaMethod.MethodType.Slot)
# C++ answers with the first of what PySide puts into a tuple
FIRST_OF_TUPLE = {
    (QtWidgets.QFileDialog, "getOpenFileName"),
    (QtWidgets.QFileDialog, "getOpenFileNames"),
    (QtWidgets.QFileDialog, "getSaveFileName"),
    *((QtWidgets.QInputDialog, name) for name in ("getText", "getInt", "getDouble", "getItem", "getMultiLineText")),
}
# what PySide adds to its classes and C++ does not have; and metaObject(): the object that PySide makes for it dies with
# the first widget that it was asked of, for the whole class
# checkStateChanged came with Qt 6.7: Slicer is built with Qt 5.15 or 6.8
NOT_CPP = {"checkStateChanged", "emit", "staticMetaObject", "metaObject", "isQmlExposed", "isQuickItemType", "toPython"}


@dataclass
class Member:
    """One name of a class: kind is property, slot, signal, enum_value, enum (its class) or class (a nested one)."""

    kind: str
    name: str
    value: object = None
    overloads: list = field(default_factory=list)


@dataclass
class CppMethod:
    """A slot or signal by its C++ signature, and the attribute of the Python class that carries it out."""

    signature: str
    attribute: str

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    @property
    def types(self) -> list[str]:
        inside = self.signature.partition("(")[2].rpartition(")")[0]
        return [part.strip() for part in inside.split(",")] if inside.strip() else []


def is_generated(cls: type) -> bool:
    """Whether PythonQt has generated wrappers of the class: Qt's own classes."""
    return cls.__module__.startswith("PySide6.")


def is_qobject(cls: type) -> bool:
    return issubclass(cls, QtCore.QObject)


def shown_class(qt_object) -> type:
    """The class under which an object is known: not the shell made for a class derived in Python."""
    cls = type(qt_object)
    return cls.__mro__[1] if getattr(qt_object, "_pq_shell_wrapper", None) is not None else cls


def normalized(signature: str) -> str:
    """Qt's normal form of a signature, "" for text that is none."""
    text = signature.strip()
    if not re.fullmatch(r"\w+\s*\(.*\)", text, re.DOTALL):
        return ""
    return bytes(QtCore.QMetaObject.normalizedSignature(text).data()).decode()


def cpp_methods(cls: type) -> list[CppMethod]:
    """All signals and public slots of a class, the class's own first, its parents' after, as PythonQt searches them.

    A class written in Python for this package gives C++'s signatures in SIGNATURES; they replace PySide's.
    """
    found = []
    renamed: set[str] = set()
    for base, meta in _metas(cls):
        own = vars(base).get("SIGNATURES", {})
        found += [CppMethod(normalized(signature), attribute) for signature, attribute in own.items()]
        renamed.update(own.values())
        found += [method for method in meta.methods if method.attribute not in renamed]
    return found


@dataclass
class _Meta:
    """What a class's own QMetaObject says, taken from it once."""

    properties: dict[str, QtCore.QMetaProperty]
    methods: list[CppMethod]


_METAS: dict[type, _Meta] = {}


def _own_meta(cls: type) -> _Meta:
    if cls not in _METAS:
        meta = cls.staticMetaObject
        properties = [meta.property(index) for index in range(meta.propertyOffset(), meta.propertyCount())]
        methods = [meta.method(index) for index in range(meta.methodOffset(), meta.methodCount())]
        shown = [_cpp_method(method) for method in methods if _is_shown(method)]
        _METAS[cls] = _Meta({each.name(): each for each in properties}, shown)
    return _METAS[cls]


def _is_shown(method: QtCore.QMetaMethod) -> bool:
    if bytes(method.name().data()).startswith(b"_"):
        return False
    public = method.access() == QtCore.QMetaMethod.Access.Public and method.methodType() in PUBLIC_METHOD_TYPES
    return public or method.methodType() == QtCore.QMetaMethod.MethodType.Signal


def _cpp_method(method: QtCore.QMetaMethod) -> CppMethod:
    signature = bytes(method.methodSignature().data()).decode()
    return CppMethod(signature, signature.partition("(")[0])


def _metas(cls: type) -> list[tuple[type, _Meta]]:
    bases = [base for base in cls.__mro__ if isinstance(base, type) and issubclass(base, QtCore.QObject)]
    return [(base, _own_meta(base)) for base in bases]


def is_signal(cls: type, attribute: str) -> bool:
    return isinstance(inspect.getattr_static(cls, attribute, None), QtCore.Signal)


class ClassInfo:
    """The members of one class, found by name and remembered (PythonQtClassInfo)."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._members: dict[str, Member | None] = {}
        self.methods = cpp_methods(cls)
        self.properties = {name: prop for _, meta in reversed(_metas(cls)) for name, prop in meta.properties.items()}

    def member(self, name: str) -> Member | None:
        if name not in self._members:
            self._members[name] = self._find(name)
        return self._members[name]

    def _find(self, name: str) -> Member | None:
        if name.startswith("_") or name in NOT_CPP:
            return None
        found = self._property(name) or self._method(name) or self._enumeration(name)
        if found is None and len(name) > 2 and name.endswith("_") and name[-2] != "_":
            found = self._method(name[:-1])
        return found

    def _property(self, name: str) -> Member | None:
        # PythonQt leaves QTimer's property out, or singleShot() could not be called
        if name == "singleShot" and issubclass(self.cls, QtCore.QTimer):
            return None
        real = "objectName" if name == "name" else name
        for candidate in (name, real):
            if candidate in self.properties:
                return Member("property", candidate)
        return None

    def _method(self, name: str) -> Member | None:
        cpp = [method for method in self.methods if method.name == name]
        if cpp and is_signal(self.cls, cpp[0].attribute):
            return Member("signal", name, overloads=cpp)
        own = [method for method in cpp if not is_generated(self._definer(method.attribute))]
        if own:
            return Member("slot", name, overloads=own)
        if not self._generated_definers(name):
            return None
        return Member("slot", name)

    def _definer(self, attribute: str) -> type:
        return next((base for base in self.cls.__mro__ if attribute in vars(base)), object)

    def _generated_definers(self, name: str) -> list[type]:
        bases = [base for base in self.cls.__mro__ if is_generated(base) and name in vars(base)]
        return [base for base in bases if callable(getattr(base, name)) and not isinstance(getattr(base, name), type)]

    def _enumeration(self, name: str) -> Member | None:
        for base in self.cls.__mro__:
            value = getattr(base, name, None) if is_generated(base) else vars(base).get(name)
            if isinstance(value, enum.Enum):
                return Member("enum_value", name, conversion.enum_value(value))
            if isinstance(value, type) and issubclass(value, enum.Enum):
                return Member("enum", name, conversion.enum_wrapper(value))
            if isinstance(value, type) and is_generated(value):
                return Member("class", name, value)
            for nested in vars(base).values() if not is_generated(base) else ():
                if isinstance(nested, type) and issubclass(nested, enum.Enum) and name in nested.__members__:
                    return Member("enum_value", name, conversion.enum_value(nested[name]))
        return None

    def signatures(self, name: str) -> list[inspect.Signature]:
        """PySide's signatures of a method of Qt's own classes, of all classes that define it."""
        return [each for base in self._generated_definers(name) for each in _signatures(getattr(base, name))]

    def names(self) -> list[str]:
        """Names for dir(): properties, slots, signals and methods of Qt's own classes."""
        names = {*self.properties, *(method.name for method in self.methods)}
        names.update(name for base in self.cls.__mro__ if is_generated(base) for name in vars(base))
        return sorted(name for name in names if not name.startswith("_") and name not in NOT_CPP)


_CLASS_INFOS: dict[type, ClassInfo] = {}


def class_info(cls: type) -> ClassInfo:
    """The one ClassInfo of a PySide class."""
    if cls not in _CLASS_INFOS:
        _CLASS_INFOS[cls] = ClassInfo(cls)
    return _CLASS_INFOS[cls]


_SIGNATURES: dict[object, list[inspect.Signature]] = {}


def _signatures(function) -> list[inspect.Signature]:
    if function not in _SIGNATURES:
        found = get_signature(function)
        _SIGNATURES[function] = found if isinstance(found, list) else [found] if found else []
    return _SIGNATURES[function]


def constructor_signatures(cls: type) -> list[inspect.Signature]:
    return _signatures(cls)


def no_keywords(name: str, kwargs: dict) -> None:
    if kwargs:
        raise ValueError(f"Called {name}() with keyword arguments, but called slot does not support kwargs.")


def match_signature(signatures: list[inspect.Signature], args: tuple) -> list | None:
    """Convert the arguments for the first overload that takes them, strictly first; None if none does."""
    for strict in (True, False):
        for signature in signatures:
            converted = _convert(signature, args, strict)
            if converted is not None:
                return converted
    return None


def _convert(signature: inspect.Signature, args: tuple, strict: bool) -> list | None:
    parameters = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    needed = sum(p.default is p.empty for p in parameters)
    if not needed <= len(args) <= len(parameters):
        return None
    try:
        return [
            conversion.to_annotation(arg, parameter.annotation, strict)
            for arg, parameter in zip(args, parameters, strict=False)
        ]
    except conversion.NoConversion:
        return None


def match_cpp(overloads: list[CppMethod], args: tuple) -> tuple[CppMethod, list] | None:
    """Find the overload, by C++ signature, that takes the arguments, with the arguments converted."""
    for strict in (True, False):
        for method in overloads:
            if len(method.types) != len(args):
                continue
            try:
                converted = [conversion.to_cpp_type(a, t, strict) for a, t in zip(args, method.types, strict=True)]
            except conversion.NoConversion:
                continue
            return method, converted
    return None


def wrong_arguments(name: str, args: tuple, available: list) -> ValueError:
    lines = "\n".join(str(each) for each in available)
    return ValueError(
        f"Could not find matching overload of {name}() for given arguments:\n{args}\n"
        f" The following slots are available:\n{lines}\n"
    )
