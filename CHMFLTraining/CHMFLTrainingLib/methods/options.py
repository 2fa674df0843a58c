"""Options that a user may set of a method: a dataclass a family, which declares names, types and limits once; a
method's values are read into it once, as the method is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

from CHMFLPredictorLib.errors import BadInput


@dataclass(frozen=True)
class Options:
    """The options of a method. A family's are a subclass, whose fields are made by :func:`numeric`, :func:`choice`,
    :func:`string`, :func:`several`, :func:`sides` and :func:`table`; None stands for what is left out.
    """

    @classmethod
    def names(cls) -> frozenset[str]:
        """What the options are called."""
        return frozenset(one.name for one in fields(cls))

    @classmethod
    def read(cls, values: dict[str, Any], wanted: frozenset[str], method: str) -> Self:
        """The options of a method.

        :param values: by name, as JSON has them; those of other methods may be among them.
        :param wanted: names of the options that this method reads.
        :param method: its name, for the message.
        :raises BadInput: method_option.
        """
        given = [one for one in fields(cls) if one.name in wanted and values.get(one.name) is not None]
        return cls(**{one.name: _read(one, values[one.name], method) for one in given})

    def given(self, recipe: type) -> dict[str, Any]:
        """The options that are set, of those that are fields of another dataclass too, to replace its values."""
        names = self.names() & {one.name for one in fields(recipe)}
        return {name: getattr(self, name) for name in sorted(names) if getattr(self, name) is not None}


def numeric(kind: type[int] | type[float], least: float, most: float, default: float | None = None) -> Any:
    """A field that holds a number, within its limits."""

    def read(value: Any) -> float:
        plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not plain or kind(value) != value or not least <= value <= most:
            raise ValueError(value)
        return kind(value)

    what = "a whole number" if kind is int else "a number"
    return _field(f"{what} from {least:g} to {most:g}", read, default)


def choice(*known: str, default: str | None = None) -> Any:
    """A field that holds one of some words."""
    return _field(f"one of {', '.join(known)}", lambda value: known[known.index(value)], default)


def string(default: str | None = None) -> Any:
    """A field that holds a name or a path."""
    return _field("text", lambda value: _of(str, value), default)


def several(*known: str, default: tuple[str, ...]) -> Any:
    """A field that holds words: a list, or text with commas.

    :param known: those that are allowed; none for any.
    """

    def read(value: Any) -> tuple[str, ...]:
        found = [word.strip() for word in value.split(",")] if isinstance(value, str) else list(value)
        if not found or not all(isinstance(word, str) and (not known or word in known) for word in found):
            raise ValueError(value)
        return tuple(found)

    return _field("a list of words" + (f" of {', '.join(known)}" if known else ""), read, default)


def sides() -> Any:
    """A field that holds three counts of voxels: a list, or text with commas."""

    def read(value: Any) -> tuple[int, ...]:
        found = [int(part) for part in value.split(",")] if isinstance(value, str) else list(value)
        if len(found) != 3 or not all(type(side) is int and 16 <= side <= 1024 for side in found):
            raise ValueError(value)
        return tuple(found)

    return _field("three whole numbers from 16 to 1024", read)


def table() -> Any:
    """A field that holds values by their names; empty where it is left out."""
    return _field("a table of names and values", lambda value: _of(dict, value), default_factory=dict)


def _field(what: str, read: Callable[[Any], Any], default: Any = None, **more: Any) -> Any:
    return field(**(more or {"default": default}), metadata={"what": what, "read": read})


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


def _read(one, value: Any, method: str) -> Any:
    try:
        return one.metadata["read"](value)
    except (TypeError, ValueError) as error:
        said = f"The option {one.name} of {method} is {value!r}; it must be {one.metadata['what']}."
        raise BadInput("method_option", said, "Change the option, or leave it out for the preset's value.") from error


@dataclass(frozen=True)
class TrainedOptions(Options):
    """What all methods that train a network let a user set.

    :param voxel_mm: side of a voxel, which changes the box's side and keeps the count.
    :param box_voxels: voxels along each axis, "112,112,144", which changes the count.
    """

    epochs: int | None = numeric(int, 1, 1e6)
    batch_size: int | None = numeric(int, 1, 1e4)
    learning_rate: float | None = numeric(float, 1e-9, 10)
    voxel_mm: float | None = numeric(float, 0.5, 20)
    box_voxels: tuple[int, int, int] | None = sides()
