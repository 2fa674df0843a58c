"""The runs that the panel knows: a look at each that costs next to nothing, and a free folder for the next one."""

from __future__ import annotations

import json
from pathlib import Path

from .process import is_at_work
from .run import is_comparison


def look_at(folder: str) -> dict:
    """A run in brief: ``folder``, ``name``, ``running``, ``finished``, ``failed``, ``jobs`` (as of its last summary),
    ``problem`` (why it cannot be shown; empty if it can).
    """
    path = Path(folder)
    found = {"folder": folder, "name": path.name or folder, "running": False, "finished": 0, "failed": 0, "jobs": 0}
    if not path.is_dir():
        return {**found, "problem": "its folder is gone"}
    running = is_at_work(path)
    if not running and not is_comparison(path):
        return {**found, "problem": "no run yet"}
    try:
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        found |= {name: int(summary[name]) for name in ("finished", "failed", "jobs")}
    except (OSError, ValueError, KeyError, TypeError):
        pass  # written at the end of an attempt: until then nothing is known
    return {**found, "running": running, "problem": ""}


def free_folder(parent: str) -> str:
    """A folder for a new run below ``parent`` that does not exist yet: run_1, run_2, ..."""
    number = 1
    while (Path(parent) / f"run_{number}").exists():
        number += 1
    return str(Path(parent) / f"run_{number}")


def same_folder(one: str, other: str) -> bool:
    """Whether two paths are one folder, there or not."""
    return bool(one) and bool(other) and Path(one).absolute() == Path(other).absolute()
