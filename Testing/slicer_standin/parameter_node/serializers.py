"""How one value is kept in a vtkMRMLScriptedModuleNode: key, text, node reference.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/serializers.py. Numbers are ``str(value)``, booleans "True" and
"False", enumerations their member's name, paths ``str(path)``; a node is a node reference plus an empty parameter of
the same name that says "written".
"""

import abc
import enum
import logging
import pathlib

from .annotations import IsInstance, IsNone, NotNone, Validator, split, splitAnnotations

_registered = []
PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Serializer(abc.ABC):
    """Base class of Slicer's serializers: constant objects that read and write values of one type under a name."""

    @staticmethod
    @abc.abstractmethod
    def canSerialize(type_) -> bool: ...

    @staticmethod
    @abc.abstractmethod
    def create(type_): ...

    @abc.abstractmethod
    def default(self): ...

    @abc.abstractmethod
    def isIn(self, parameterNode, name: str) -> bool: ...

    @abc.abstractmethod
    def write(self, parameterNode, name: str, value) -> None: ...

    @abc.abstractmethod
    def read(self, parameterNode, name: str): ...

    @abc.abstractmethod
    def remove(self, parameterNode, name: str) -> None: ...

    @staticmethod
    def supportsCaching() -> bool:
        return False


class ValidatedSerializer(Serializer):
    """Runs validators before another serializer writes; one around another becomes one with the validators of both."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return False

    @staticmethod
    def create(type_):
        raise Exception("ValidatedSerializer does not support create!")

    def __init__(self, serializer, validators):
        inner = serializer if isinstance(serializer, ValidatedSerializer) else None
        self.serializer = inner.serializer if inner else serializer
        self.validators = (inner.validators if inner else []) + list(validators or [])

    def default(self):
        return self.serializer.default()

    def validate(self, value):
        for validator in self.validators:
            validator.validate(value)

    def isIn(self, parameterNode, name):
        return self.serializer.isIn(parameterNode, name)

    def write(self, parameterNode, name, value):
        self.validate(value)
        self.serializer.write(parameterNode, name, value)

    def read(self, parameterNode, name):
        return self.serializer.read(parameterNode, name)

    def remove(self, parameterNode, name):
        self.serializer.remove(parameterNode, name)

    def supportsCaching(self) -> bool:
        return self.serializer.supportsCaching()


def parameterNodeSerializer(classtype=None):
    """Class decorator: the serializer is asked, in the order of registration, whether it can serialize a type."""

    def register(cls):
        if not issubclass(cls, Serializer):
            raise Exception("Must be a serializer type.")
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createSerializer(type_, annotations):
    """Return (serializer of a type with the annotated validators, annotations that are neither)."""
    validators, annotations = split(annotations, Validator)
    given, annotations = split(annotations, Serializer)
    if len(given) > 1:
        raise Exception("Multiple serializers found")
    return ValidatedSerializer(given[0] if given else _serializer_of(type_), validators), annotations


def createSerializerFromAnnotatedType(annotatedType):
    serializer, unused = createSerializer(*splitAnnotations(annotatedType))
    if unused:
        logging.warning(f"Unused annotations: {unused}")
    return serializer


def _serializer_of(type_):
    for factory in _registered:
        if factory.canSerialize(type_):
            return factory.create(type_)
    raise Exception(f"Unable to create serializer for type: {type_}")


class _TextSerializer(Serializer):
    """What the serializers of plain values share: one parameter, its text ``str(value)``, cached."""

    def isIn(self, parameterNode, name: str) -> bool:
        return parameterNode.HasParameter(name)

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, str(value))

    def read(self, parameterNode, name: str):
        return parameterNode.GetParameter(name)

    def remove(self, parameterNode, name: str) -> None:
        parameterNode.UnsetParameter(name)

    def supportsCaching(self) -> bool:
        return True


@parameterNodeSerializer
class NumberSerializer(_TextSerializer):
    """int and float; an int may be stored as float, a bool passes as int as in Python."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ in (int, float)

    @staticmethod
    def create(type_):
        allowed = (int, float) if type_ is float else int
        return ValidatedSerializer(NumberSerializer(type_), [NotNone(), IsInstance(allowed)])

    def __init__(self, type):
        self.type = type

    def default(self):
        return 0

    def read(self, parameterNode, name: str):
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class StringSerializer(_TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is str

    @staticmethod
    def create(type_):
        return ValidatedSerializer(StringSerializer(), [NotNone(), IsInstance(str)])

    def default(self):
        return ""


@parameterNodeSerializer
class PathSerializer(_TextSerializer):
    """pathlib's types; the default ``Path()`` is stored as "."."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ in PATHS

    @staticmethod
    def create(type_):
        return ValidatedSerializer(PathSerializer(type_), [NotNone(), IsInstance(type_)])

    def __init__(self, pathtype):
        self.type = pathtype

    def default(self):
        return self.type()

    def read(self, parameterNode, name: str):
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class BoolSerializer(_TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is bool

    @staticmethod
    def create(type_):
        return ValidatedSerializer(BoolSerializer(), [NotNone(), IsInstance(bool)])

    def default(self):
        return False

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, "True" if value else "False")

    def read(self, parameterNode, name: str) -> bool:
        return parameterNode.GetParameter(name) == "True"


@parameterNodeSerializer
class NodeSerializer(Serializer):
    """A node of the scene, or None. The reference follows the node's ID when a scene is saved and loaded."""

    @staticmethod
    def canSerialize(type_) -> bool:
        import slicer

        return isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(NodeSerializer(), [IsInstance(type_)])

    def default(self):
        return None

    def isIn(self, parameterNode, name: str) -> bool:
        return parameterNode.HasParameter(name)

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, "")
        parameterNode.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, parameterNode, name: str):
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode, name: str) -> None:
        parameterNode.UnsetParameter(name)
        parameterNode.RemoveNodeReferenceIDs(name)

    def supportsCaching(self) -> bool:
        return True


class NoneSerializer(_TextSerializer):
    """None as a member of a union: the text "True" under the union's own key. Registered after lists, as in Slicer."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is type(None) or type_ is object

    @staticmethod
    def create(type_):
        return ValidatedSerializer(NoneSerializer(), [IsNone()])

    def default(self):
        return {}

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, "True")

    def read(self, parameterNode, name: str):
        return None


class EnumSerializer(_TextSerializer):
    """An enum.Enum by its member's name; the first one is the default. None passes validation and fails in writing."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return isinstance(type_, type) and issubclass(type_, enum.Enum)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(EnumSerializer(type_), [IsInstance(type_)])

    def __init__(self, enum_):
        if len(enum_) == 0:
            raise ValueError("Cannot serialize empty Enum.")
        self.enum = enum_

    def default(self):
        return next(iter(self.enum))

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, value.name)

    def read(self, parameterNode, name: str):
        key = parameterNode.GetParameter(name)
        try:
            return self.enum[key]
        except KeyError as error:
            raise ValueError(f"The parameter node holds {key!r}, which is no name in {self.enum!r}") from error
