#!/usr/bin/env python3
"""The list of messages in CHMFLPredictor/README.md, read from the places in the sources that give them.

    python3 Testing/troubleshooting.py            # writes the list anew
    python3 Testing/troubleshooting.py --check    # exit code 1 where it is not what the sources say

Nothing of the product is run or imported, so any Python will do. Of a code that several places give, the list has the
message with the fewest gaps and every hint. A gap, "…", is what only a run knows: a file, a number, a name.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "CHMFLPredictor" / "README.md"
BEGIN, END = "<!-- messages: written by Testing/troubleshooting.py -->", "<!-- end of messages -->"
ERRORS = {"ChmflError", "BadInput", "OutOfMemory", "MissingDependency", "MissingModel"}
ENDED, WARNING = "Ended", "warning"
CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+|canceled|defect|files|horizon|killed|sheared|spacing|unreadable")
GAP = "…"
# What stands in a gap of a code: the words themselves, or the dictionary of the same file whose keys they are.
IN_CODES = {"role.lower()": ("pet", "ct"), "what": ("cohort", "outcomes"), "name": "_QUANTITIES"}
ADVICE = ("TODO", "TODO_OUT_OF_RANGE")  # in report/words.py: what a page or panel adds to a warning
DEPTH = 4  # names that stand for names that stand for ...


class Message(NamedTuple):
    """What one place in the sources says."""

    code: str
    text: str
    hint: str
    warns: bool
    library: str


@dataclass(frozen=True)
class Place:
    """A node of a file, with the function that holds it."""

    source: "Source"
    function: ast.FunctionDef | None
    node: ast.AST

    def at(self, node: ast.AST) -> "Place":
        return Place(self.source, self.function, node)


class Source:
    """A file, and what its names stand for."""

    def __init__(self, path: Path):
        self.path = path
        self.library = path.relative_to(REPOSITORY).parts[0]
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))

    @cached_property
    def places(self) -> list[Place]:
        """Every node with its innermost function."""
        found = []

        def walk(node, function):
            found.append(Place(self, function, node))
            inner = node if isinstance(node, ast.FunctionDef) else function
            for child in ast.iter_child_nodes(node):
                walk(child, inner)

        walk(self.tree, None)
        return found

    @cached_property
    def constants(self) -> dict[str, Place]:
        """What is assigned at file scope."""
        return {name: Place(self, None, value) for value, name, _ in _assigned(self.tree.body)}


class Sources:
    """All files of both libraries."""

    def __init__(self):
        folders = (REPOSITORY / name for name in ("CHMFLPredictor", "CHMFLTraining"))
        self.files = [Source(path) for folder in folders for path in sorted(folder.rglob("*.py"))]

    @cached_property
    def constants(self) -> dict[str, Place]:
        """What is assigned at file scope anywhere, for names that are imported."""
        return {name: place for source in self.files for name, place in source.constants.items()}

    @cached_property
    def calls(self) -> dict[str, list[Place]]:
        """Calls by the name of what is called."""
        found = defaultdict(list)
        for source in self.files:
            for place in source.places:
                if isinstance(place.node, ast.Call):
                    found[_called(place.node)].append(place)
        return found

    def messages(self) -> list[Message]:
        """Every message with a code, in the order of the files."""
        return [message for source in self.files for place in source.places for message in self._said(place)]

    def _said(self, place: Place) -> Iterator[Message]:
        code, text, hint, warns = _parts(place.node)
        if code is None:
            return
        for name in self.codes(place.at(code)):
            if CODE.fullmatch(name):
                words = (self.text(place.at(part)) if part is not None else "" for part in (text, hint))
                yield Message(name, *words, warns, place.source.library)

    def codes(self, place: Place) -> list[str]:
        """The codes that an expression can be; none where only a run knows."""
        node, source = place.node, place.source
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.IfExp):
            return self.codes(place.at(node.body)) + self.codes(place.at(node.orelse))
        if isinstance(node, ast.Call) and isinstance(getattr(node.func, "value", None), ast.Dict):
            values = [*node.func.value.values, *node.args[1:]]  # {...}.get(key, default)
            return [code for value in values for code in self.codes(place.at(value))]
        if isinstance(node, ast.JoinedStr):
            return self._filled(place)
        if isinstance(node, ast.Name):
            if listed := _looped_over(place):
                return [code for value in listed for code in self.codes(place.at(value))]
            meant = _last_assigned(place) or source.constants.get(node.id)
            return self.codes(meant) if meant else []
        return []

    def _filled(self, place: Place) -> list[str]:
        codes = [""]
        for part in place.node.values:
            words = [part.value] if isinstance(part, ast.Constant) else IN_CODES[ast.unparse(part.value)]
            if isinstance(words, str):
                words = [key.value for key in place.source.constants[words].node.keys]
            codes = [code + word for code in codes for word in words]
        return codes

    def text(self, place: Place, depth: int = DEPTH) -> str:
        """The words of an expression, with gaps for what only a run knows."""
        node = place.node
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(self.text(place.at(part), depth) for part in node.values)
        if isinstance(node, ast.FormattedValue):
            return self._word(place.at(node.value), depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.text(place.at(node.left), depth) + self.text(place.at(node.right), depth)
        if isinstance(node, ast.IfExp):
            return self.text(place.at(node.body), depth)
        if isinstance(node, ast.BoolOp):
            return self.text(place.at(node.values[-1]), depth)  # what the child said, or else these words
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("format", "strip")
        ):
            return re.sub(r"{\w*}", GAP, self.text(place.at(node.func.value), depth))
        if isinstance(node, ast.Name) and depth:
            meant = self._meant(place)
            return self.text(meant, depth - 1) if meant else GAP
        return GAP

    def _word(self, place: Place, depth: int) -> str:
        """A part of a sentence: other words, but not what a file, a number or a name was set to."""
        name = getattr(place.node, "id", "")
        return self.text(place, depth) if name.isupper() or name.endswith(("hint", "text", "message")) else GAP

    def _meant(self, place: Place) -> Place | None:
        name = place.node.id
        known = _last_assigned(place) or self._argument(place)
        return known or place.source.constants.get(name) or self.constants.get(name)

    def _argument(self, place: Place) -> Place | None:
        """What the first caller of the function gives for one of its parameters."""
        if place.function is None:
            return None
        names = [argument.arg for argument in place.function.args.args]
        if place.node.id not in names:
            return None
        position = names.index(place.node.id) - (names[0] in ("self", "cls"))
        for call in self.calls[place.function.name]:
            given = {word.arg: word.value for word in call.node.keywords}
            if place.node.id in given:
                return call.at(given[place.node.id])
            if 0 <= position < len(call.node.args):
                return call.at(call.node.args[position])
        return None


def _parts(node) -> tuple:
    """Where code, text and hint of a message stand in a node, and whether it is a warning."""
    if isinstance(node, ast.Call) and _called(node) in {*ERRORS, ENDED, WARNING}:
        words = {word.arg: word.value for word in node.keywords}
        given = [*node.args[_called(node) == ENDED :], words.get("hint")]
        return *(given + [None] * 3)[:3], _called(node) == WARNING
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
        if all(isinstance(part, ast.Constant | ast.JoinedStr | ast.Name) for part in node.value.elts):
            return *node.value.elts, False
    if isinstance(node, ast.Dict):
        words = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        return words.get("code"), words.get("message", words.get("text")), words.get("hint"), "text" in words
    return None, None, None, False


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _assigned(statements) -> Iterator[tuple]:
    """Value, name and line of every assignment to a name, and of what is added to it."""
    for node in statements:
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield ast.copy_location(ast.BinOp(node.target, node.op, node.value), node), node.target.id, node.lineno
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield node.value, target.id, node.lineno
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for value, one in zip(node.value.elts, target.elts, strict=True):
                        yield value, getattr(one, "id", ""), node.lineno


def _last_assigned(place: Place) -> Place | None:
    """The value that was given to a name last, above the place that uses it in the function."""
    if place.function is None:
        return None
    found = [
        (line, value)
        for value, name, line in _assigned(ast.walk(place.function))
        if name == place.node.id and line < place.node.lineno
    ]
    return place.at(max(found, key=lambda one: one[0])[1]) if found else None


def _looped_over(place: Place) -> list:
    """The values of a name that a loop takes from a table in the source."""
    for node in ast.walk(place.function) if place.function else ():
        if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple) and isinstance(node.iter, ast.Tuple):
            names = [getattr(one, "id", "") for one in node.target.elts]
            if place.node.id in names:
                return [row.elts[names.index(place.node.id)] for row in node.iter.elts]
    return []


def table(messages: list[Message], titles: tuple[str, str]) -> list[str]:
    """Lines of Markdown: one row a code, in the order of the alphabet."""
    by_code = defaultdict(list)
    for message in messages:
        by_code[message.code].append(message)
    lines = [f"| {' | '.join(('code', *titles))} |", "| --- | --- | --- |"]
    for code, same in sorted(by_code.items()):
        text = min((one.text for one in same), key=_gaps)
        hints = dict.fromkeys(one.hint for one in same if one.hint not in ("", GAP))
        lines.append(f"| `{code}` | {_cell(text)} | {_cell('<br>'.join(hints))} |")
    return lines


def _gaps(text: str) -> tuple[bool, float]:
    words = text.split()
    return text == GAP, sum(GAP in word for word in words) / max(len(words), 1)


def _cell(text: str) -> str:
    text = re.sub(rf"{GAP}(\W?{GAP})+", GAP, text)
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def written() -> str:
    """The list as it belongs into the README."""
    sources = Sources()
    messages = sources.messages()
    todo, out_of_range = (sources.constants[name].node for name in ADVICE)
    advice, out_of_range = ast.literal_eval(todo), ast.literal_eval(out_of_range)
    errors = [one for one in messages if not one.warns]
    predictor = [one for one in errors if one.library == "CHMFLPredictor"]
    known = {one.code for one in predictor}
    training = [one for one in errors if one.library == "CHMFLTraining" and one.code not in known]
    warnings = [
        one._replace(hint=out_of_range if one.code.endswith("_outside_range") else advice.get(one.code, ""))
        for one in messages
        if one.warns
    ]
    errors_titles, warnings_titles = ("what it says", "what to do"), ("what it says", "what the pages add")
    parts = (
        ("Errors of reading and predicting", predictor, errors_titles),
        ("Errors of training", training, errors_titles),
        ("Warnings", warnings, warnings_titles),
    )
    lines = [BEGIN]
    for title, some, titles in parts:
        lines += ["", f"### {title}", "", *table(some, titles)]
    return "\n".join([*lines, "", END])


def main(arguments: list[str]) -> int:
    """Write the list, or tell whether it is up to date."""
    before = README.read_text(encoding="utf-8")
    start, end = before.index(BEGIN), before.index(END) + len(END)
    after = before[:start] + written() + before[end:]
    if "--check" not in arguments:
        README.write_text(after, encoding="utf-8", newline="\n")
    elif before != after:
        print("CHMFLPredictor/README.md is behind the sources: python3 Testing/troubleshooting.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
