"""What may stand in ``Annotated[type, ...]``: defaults, validators, hints for spin boxes.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/default.py, validators.py and util.py, and the two hints of
guiConnectors.py.
"""

import dataclasses
import types
import typing


class Default:
    """The value of a parameter that the node does not hold yet (default.py): one value, or one made at each request."""

    def __init__(self, value=None, *, generator=None):
        self._value = value
        self._generator = generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value

    def __eq__(self, other):
        return isinstance(other, Default) and (self._value, self._generator) == (other._value, other._generator)

    __hash__ = None

    def __repr__(self):
        return f"Default(value={self._value}, generator={self._generator})"


@dataclasses.dataclass
class Decimals:
    """Digits after the point in a spin box (guiConnectors.py)."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Step of a spin box or slider (guiConnectors.py)."""

    value: float


class Validator:
    """A check that runs before a value is written (validators.py); ``validate`` raises if it must not be stored."""

    def validate(self, value) -> None:
        raise NotImplementedError("validate is not implemented")


class IsNone(Validator):
    def validate(self, value) -> None:
        if value is not None:
            raise ValueError(f"Only None can be stored here, not {value!r}")


class NotNone(Validator):
    def validate(self, value) -> None:
        if value is None:
            raise ValueError("None cannot be stored here")


class IsInstance(Validator):
    """None passes: whether None is allowed is NotNone's question."""

    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} of {type(value)} is not of {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is outside [{self.minimum}, {self.maximum}]")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is one of the excluded {self.excludedValues}")


class RangeBounds(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        if not (self.minimum <= value.minimum and value.maximum <= self.maximum):
            raise ValueError(f"[{value.minimum}, {value.maximum}] is outside [{self.minimum}, {self.maximum}]")


def splitAnnotations(possiblyAnnotatedType):
    """Return (type, annotations) of a type with or without ``Annotated``."""
    if typing.get_origin(possiblyAnnotatedType) is typing.Annotated:
        actual, *extra = typing.get_args(possiblyAnnotatedType)
        return actual, tuple(extra)
    return possiblyAnnotatedType, ()


def unannotatedType(possiblyAnnotatedType):
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList, annotationType):
    return next((one for one in annotationsList if isinstance(one, annotationType)), None)


def split(annotations, kind):
    """Separate annotations that are of a kind (instances or, as Slicer allows, subclasses) from the others."""

    def is_kind(one):
        return isinstance(one, kind) or (isinstance(one, type) and issubclass(one, kind))

    return [one for one in annotations if is_kind(one)], [one for one in annotations if not is_kind(one)]


def extract_default(annotations):
    """Return (the only Default or None, the other annotations)."""
    defaults = [one for one in annotations if isinstance(one, Default)]
    if len(defaults) > 1:
        raise Exception("Multiple defaults found")
    return (defaults[0] if defaults else None), [one for one in annotations if not isinstance(one, Default)]


def as_typing_union(type_):
    """``A | B`` as ``typing.Union[A, B]``: Slicer's checks know only the latter."""
    return typing.Union[typing.get_args(type_)] if isinstance(type_, types.UnionType) else type_  # noqa: UP007


def _is_node_class(type_) -> bool:
    import slicer

    return type(type_) is type and issubclass(type_, slicer.vtkMRMLNode)


def isNodeOrUnionOfNodes(datatype) -> bool:
    actual = unannotatedType(datatype)
    if _is_node_class(actual):
        return True
    if typing.get_origin(actual) is not typing.Union:
        return False
    parts = [unannotatedType(part) for part in typing.get_args(actual)]
    return all(part is type(None) or _is_node_class(part) for part in parts)


def getNodeTypes(datatype):
    """Class names of the nodes that a type allows."""
    actual = unannotatedType(datatype)
    if _is_node_class(actual):
        return (actual().GetClassName(),)
    if typing.get_origin(actual) is typing.Union:
        parts = [unannotatedType(part) for part in typing.get_args(actual)]
        return tuple(part().GetClassName() for part in parts if _is_node_class(part))
    raise TypeError(f"Cannot handle type {datatype}")
