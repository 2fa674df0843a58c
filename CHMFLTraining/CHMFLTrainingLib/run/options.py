"""Options of a run's methods: an option that no method reads is a slip of the pen, and is refused before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from CHMFLPredictorLib.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from ..methods.base import Method

OF_ALL = "*"
OF_EVERY_METHOD = frozenset({"relevance_patients"})  # read by the run, not by the method
MOVED = {
    "preset": "All rows of a run have the run's preset: give --preset, or start another run.",
    "inner_folds": "The report calibrates all rows alike, by the other folds' out-of-fold log-odds.",
}


def check_options(options: dict[str, dict], methods: list[type[Method]]) -> None:
    """Refuse options that would change nothing.

    :param options: method's name, or "*" for all, to name to value. One of all must be read by one method at least.
    :raises BadInput: option_unknown, with the options that there are.
    """
    read = {method.NAME: method.OPTIONS | OF_EVERY_METHOD for method in methods}
    read[OF_ALL] = frozenset().union(*read.values())
    for name, values in options.items():
        if name not in read:
            hint = f"Add {name} to --methods, or leave its options out."
            raise BadInput("option_unknown", f"There are options of {name}, which is not in the run.", hint)
        unknown = sorted(values.keys() - read[name])
        if unknown:
            who = "No method of the run" if name == OF_ALL else name
            text = f"{who} has {'the options' if len(unknown) > 1 else 'an option'} {', '.join(unknown)}."
            if name != OF_ALL:
                text = text.replace(" has ", " does not have ", 1)
            text += "".join(f" {MOVED[one]}" for one in unknown if one in MOVED)
            raise BadInput("option_unknown", text, f"There are: {', '.join(sorted(read[name]))}.")


def options_of_new(options: dict[str, dict], new: list[str], known: dict[str, dict], run: Path) -> dict[str, dict]:
    """The options of methods that come new into a run.

    :param known: the options that the run has; they may be named again, not changed.
    :raises BadInput: run_differs.
    """
    old = {name: values for name, values in options.items() if name not in new}
    if any(known.get(name) != values for name, values in old.items()):
        text = f"The run {run} has other options for {', '.join(old).replace(OF_ALL, 'all methods')}."
        hint = "Leave --option out for what the run has; name the method (METHOD:NAME=VALUE) for what is new."
        raise BadInput("run_differs", text, hint)
    return {name: values for name, values in options.items() if name in new}
