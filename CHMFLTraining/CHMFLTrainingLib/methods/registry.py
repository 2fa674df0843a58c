"""The methods: every file of this folder that holds a subclass of :class:`..base.Method`, found by the listing."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import lru_cache
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput, MissingDependency

from .. import methods
from .base import GROUPS, Method


def all_methods() -> dict[str, type[Method]]:
    """All methods by the row's name, in the order of the paper's tables.

    :raises MissingDependency: method_dependency, where a method's file needs a package that is not installed.
    """
    return dict(_listed(tuple((info.module_finder.path, info.name) for info in pkgutil.iter_modules(methods.__path__))))


@lru_cache(maxsize=1)
def _listed(_: tuple) -> dict[str, type[Method]]:
    """What the files hold, once a process until a file or a folder is added."""
    found = [method for module in _modules() for method in _methods_in(module)]
    found.sort(key=lambda method: (GROUPS.index(method.GROUP), method.ROW, method.NAME))
    named = {method.NAME: method for method in found}
    if len(named) != len(found) or len({slug(name).lower() for name in named}) != len(found):
        raise ValueError(f"two methods share a name or a folder: {sorted(method.NAME for method in found)}")
    return named


def find(names: str) -> list[type[Method]]:
    """Methods by their rows' names.

    :param names: separated by commas, case does not matter; a folder's name (:func:`slug`) will do, and so will a
        table's ("Table I", "Figure 5", "baseline") for its rows, "all" for all that are listed, and "-" before a name
        to leave out: "all,-Figure 5". A method's file may know further rows by their names: its function ``named``
        gives the class, or None ("CHMFL w=0.3").
    :raises BadInput: method_unknown, with the names that are known.
    """
    known = all_methods()
    short = {key.lower(): [method] for name, method in known.items() for key in (name, slug(name))}
    short |= {group.lower(): [one for one in known.values() if one.GROUP == group] for group in GROUPS}
    short["all"] = list(known.values())
    chosen, unknown = {}, []
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        rows = short.get(name.lstrip("- ").lower()) or _further(name.lstrip("- "))
        unknown += [] if rows else [name]
        for row in rows:
            if name.startswith("-"):
                chosen.pop(row, None)
            else:
                chosen[row] = None
    if unknown or not chosen:
        text = f"There is no method called {', '.join(map(repr, unknown))}." if unknown else "No method is named."
        raise BadInput("method_unknown", text, f"Known are: {', '.join(known)}.")
    return list(chosen)


def methods_of(file: Path) -> list[type[Method]]:
    """The methods of one file, whose folder joins those that are listed.

    :raises BadInput: methods_file.
    """
    file = file.resolve()
    if file.is_file() and str(file.parent) not in methods.__path__:
        methods.__path__.append(str(file.parent))
    module = _module(file.stem) if file.is_file() and file.suffix == ".py" else None
    found = _methods_in(module) if module and Path(module.__file__) == file else []
    if not found:
        hint = "Name a Python file with a subclass of Method, under a name that no other methods' file has."
        raise BadInput("methods_file", f"There is no method in {file}.", hint)
    return found


def slug(name: str) -> str:
    """The name of a method's folder: "HC + RF" gives "HC_RF"."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_")


def _modules() -> list:
    return [_module(info.name) for info in pkgutil.iter_modules(methods.__path__) if not info.name.startswith("_")]


def _module(module_name: str):
    try:
        return importlib.import_module(f"{methods.__name__}.{module_name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("CHMFLTrainingLib", "CHMFLPredictorLib"):
            raise  # a defect of ours, not a package that the user can install
        text = f"The method in {module_name}.py needs the Python package '{error.name}'."
        raise MissingDependency("method_dependency", text, f"Install it: pip install {error.name}.") from error


def _further(name: str) -> list[type[Method]]:
    """A row that no listing has, because its name holds a number."""
    found = [module.named(name) for module in _modules() if hasattr(module, "named")]
    return [method for method in found if method is not None]


def _methods_in(module) -> list[type[Method]]:
    """The methods that a file defines: its classes, and those of the table ``ROWS``, where it has one."""
    values = [*vars(module).values(), *getattr(module, "ROWS", ())]
    classes = [value for value in values if isinstance(value, type) and issubclass(value, Method)]
    return [value for value in classes if value.__module__ == module.__name__ and value.NAME]
