"""The READMEs keep what they promise: an entry for every message, files and headings that exist."""

import ast
import re

import pytest
from conftest import REPOSITORY

READMES = {
    name: (REPOSITORY / name).read_text(encoding="utf-8")
    for name in ("README.md", "CHMFLTraining/README.md", "Resources/Reproduction/README.md")
}
SOURCES = [path for part in ("CHMFLPredictor", "CHMFLTraining") for path in (REPOSITORY / part).rglob("*.py")]
RAISED = {"BadInput", "ChmflError", "MissingDependency", "MissingModel", "OutOfMemory", "altered", "warning"}
CODE = re.compile(r"[a-z]+(_[a-z]+)+|defect|files|killed|spacing|sheared|unreadable")
# words of a signature, not codes: the message of CHMFL's errors comes second
NOT_CODES = {"out_of_fold"}


def codes_in(tree) -> set[str]:
    """The codes that a file names when it raises an error, gives a warning or judges how a run ended."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            position = 1 if name == "Outcome" else 0
            if (name in RAISED or name == "Outcome") and len(node.args) > position:
                found |= _texts(node.args[position])
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    found |= _texts(value)
    return {code for code in found if CODE.fullmatch(code)} - NOT_CODES


def _texts(node) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_message_has_an_entry():
    lists = [text[text.index("## Troubleshooting") :] for text in READMES.values() if "## Troubleshooting" in text]
    known = set(re.findall(r"`([a-z_]+)`", "".join(lists)))
    codes = set().union(*(codes_in(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES))
    assert len(codes) > 100  # the search finds what it looks for
    assert codes - known == set()


@pytest.mark.parametrize("name", READMES)
def test_every_file_it_names_exists(name):
    folder = (REPOSITORY / name).parent
    links = set(re.findall(r"\]\((?!http|#)([^)#\s]+)", READMES[name]))
    assert links
    assert not {link for link in links if not (folder / link).exists()}


@pytest.mark.parametrize("name", READMES)
def test_every_heading_it_links_to_exists(name):
    headings = {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in _headings(READMES[name])}
    assert set(re.findall(r"\]\(#([^)]+)\)", READMES[name])) <= headings


def _headings(text):
    return [line.lstrip("#") for line in text.splitlines() if line.startswith("#")]
