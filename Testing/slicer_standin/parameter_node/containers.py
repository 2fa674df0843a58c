"""Lists and unions in a parameter node: several keys for one member.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/serializers.py: a list ``x`` is ``x.len`` and ``x.0``, ``x.1``,
...; a union ``x`` is the one key ``x.i`` of the alternative i that the value is of (``X | None``: a node under ``x.0``,
None as "True" under ``x.1``).
"""

import collections.abc
import logging
import typing

from .annotations import as_typing_union
from .serializers import (
    EnumSerializer,
    NoneSerializer,
    NumberSerializer,
    Serializer,
    ValidatedSerializer,
    createSerializerFromAnnotatedType,
    parameterNodeSerializer,
)


def _modifying(parameterNode):
    import slicer.util

    return slicer.util.NodeModify(parameterNode)


class ObservedList(collections.abc.MutableSequence):
    """The list that a member gives: changes go to the node at once; ``+`` and ``*`` are refused as in Slicer."""

    def __init__(self, parameterNode, listSerializer, name, startingValue):
        self._parameterNode = parameterNode
        self._serializer = listSerializer
        self._name = name
        self._list = startingValue

    def _changed(self) -> None:
        try:
            self._serializer.write(self._parameterNode, self._name, self._list)
        finally:
            # read back, so that lists put into the list are observed too
            self._list = self._serializer.read(self._parameterNode, self._name)._list

    def __repr__(self):
        return f"ObservedList({self._list})"

    def __eq__(self, other):
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __len__(self):
        return len(self._list)

    def __getitem__(self, index):
        return self._list[index]

    def __setitem__(self, index, item):
        self._list[index] = item
        self._changed()

    def __delitem__(self, index):
        del self._list[index]
        self._changed()

    def insert(self, index, item) -> None:
        self._list.insert(index, item)
        self._changed()

    def extend(self, values) -> None:
        self._list.extend(values)
        self._changed()

    def clear(self) -> None:
        self._list.clear()
        self._changed()

    def reverse(self) -> None:
        self._list.reverse()
        self._changed()

    def sort(self, *args, **kwargs) -> None:
        self._list.sort(*args, **kwargs)
        self._changed()

    def __iadd__(self, other):
        self.extend(other)
        return self

    def __imul__(self, count):
        self._list *= count
        self._changed()
        return self

    def _refuse(self, other):
        raise NotImplementedError("An ObservedList supports += and *=, not + and *.")

    __add__ = __radd__ = __mul__ = __rmul__ = _refuse


@parameterNodeSerializer
class ListSerializer(Serializer):
    """list[T]. A bare ``list`` would be a list of typing.Any, which the stand-in does not have."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is list or typing.get_origin(type_) is list

    @staticmethod
    def create(type_):
        arguments = typing.get_args(type_)
        if len(arguments) != 1:
            logging.warning("Unexpected list[] type arg length")
        return ListSerializer(createSerializerFromAnnotatedType(arguments[0] if arguments else typing.Any))

    def __init__(self, elementTypeSerializer):
        self._elementSerializer = elementTypeSerializer
        self._lenSerializer = NumberSerializer(int)

    def default(self):
        return []

    def isIn(self, parameterNode, name: str) -> bool:
        return self._lenSerializer.isIn(parameterNode, f"{name}.len")

    def _length(self, parameterNode, name: str) -> int:
        return self._lenSerializer.read(parameterNode, f"{name}.len") if self.isIn(parameterNode, name) else 0

    def write(self, parameterNode, name: str, values) -> None:
        with _modifying(parameterNode):
            before = self.read(parameterNode, name) if self.isIn(parameterNode, name) else None
            length_before = self._length(parameterNode, name)
            try:
                for index, value in enumerate(values):
                    self._elementSerializer.write(parameterNode, f"{name}.{index}", value)
                self._lenSerializer.write(parameterNode, f"{name}.len", len(values))
                for index in range(len(values), length_before):
                    self._elementSerializer.remove(parameterNode, f"{name}.{index}")
            except Exception:
                if before is None:
                    self.remove(parameterNode, name)
                else:
                    self.write(parameterNode, name, before)
                raise

    def read(self, parameterNode, name: str):
        indices = range(self._length(parameterNode, name))
        values = [self._elementSerializer.read(parameterNode, f"{name}.{index}") for index in indices]
        return ObservedList(parameterNode, self, name, values)

    def remove(self, parameterNode, name: str) -> None:
        with _modifying(parameterNode):
            for index in range(self._length(parameterNode, name)):
                self._elementSerializer.remove(parameterNode, f"{name}.{index}")
            self._lenSerializer.remove(parameterNode, f"{name}.len")

    def supportsCaching(self) -> bool:
        return self._elementSerializer.supportsCaching()


# the order of registration is the order in which serializers are asked
parameterNodeSerializer(NoneSerializer)


@parameterNodeSerializer
class UnionSerializer(Serializer):
    """typing.Union, typing.Optional and ``A | B``; ``X | None`` starts as None, others as their first type does."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return typing.get_origin(as_typing_union(type_)) is typing.Union

    @staticmethod
    def create(type_):
        return UnionSerializer([createSerializerFromAnnotatedType(part) for part in typing.get_args(type_)])

    def __init__(self, serializers):
        self._serializers = [ValidatedSerializer(serializer, []) for serializer in serializers]

    def default(self):
        optional = len(self._serializers) == 2 and type(self._serializers[1].serializer) is NoneSerializer
        return None if optional else self._serializers[0].default()

    def _alternatives(self, name: str):
        return [(serializer, f"{name}.{index}") for index, serializer in enumerate(self._serializers)]

    def _alternative_for(self, value, name: str):
        refusal = TypeError(f"Unable to write value '{value}' of type '{type(value)}'")
        for serializer, key in self._alternatives(name):
            if serializer.serializer.canSerialize(type(value)):
                try:
                    serializer.validate(value)
                    return serializer, key
                except Exception as error:
                    refusal = error
        raise refusal

    def isIn(self, parameterNode, name: str) -> bool:
        return any(serializer.isIn(parameterNode, key) for serializer, key in self._alternatives(name))

    def write(self, parameterNode, name: str, value) -> None:
        with _modifying(parameterNode):
            serializer, key = self._alternative_for(value, name)
            was_in = self.isIn(parameterNode, name)
            before = self.read(parameterNode, name) if was_in else None
            try:
                self.remove(parameterNode, name)
                serializer.write(parameterNode, key, value)
            except Exception:
                if was_in:
                    self.write(parameterNode, name, before)
                else:
                    self.remove(parameterNode, name)
                raise

    def read(self, parameterNode, name: str):
        for serializer, key in self._alternatives(name):
            if serializer.isIn(parameterNode, key):
                return serializer.read(parameterNode, key)
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, parameterNode, name: str) -> None:
        with _modifying(parameterNode):
            for serializer, key in self._alternatives(name):
                serializer.remove(parameterNode, key)

    def supportsCaching(self) -> bool:
        return all(serializer.supportsCaching() for serializer in self._serializers)


parameterNodeSerializer(EnumSerializer)
