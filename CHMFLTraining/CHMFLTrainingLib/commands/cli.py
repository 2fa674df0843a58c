"""The command line of training: ``python -m CHMFLTrainingLib cohort | methods | compare | reproduce | status |
metrics | report | predict | export``.
"""

from __future__ import annotations

import logging
import sys

from CHMFLPredictorLib.commands.cli import report_error, wants_json
from CHMFLPredictorLib.commands.options import CommandParser
from CHMFLPredictorLib.errors import BadInput, Canceled
from CHMFLPredictorLib.failures import as_known
from CHMFLPredictorLib.protocol import Progress

from .cohort import add_cohort
from .compare import add_compare
from .progress import make_progress
from .reproduce import add_reproduce
from .run import add_run_commands


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 2 bad input, 3 canceled, 4 out of memory, 5 missing dependency, 1
    a defect).
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    progress = make_progress("json" if wants_json(argv) else "none")
    try:
        arguments = make_parser().parse_args(argv)
        progress = make_progress(arguments.progress)
        level = logging.WARNING if arguments.progress == "none" else logging.INFO
        logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr, datefmt="%H:%M:%S")
        return arguments.run(arguments, progress) or 0
    except SystemExit as leaving:  # --help
        return int(leaving.code or 0)
    except BaseException as error:
        return _end(error, progress)


def make_parser() -> CommandParser:
    """The parser of the whole command line."""
    parser = CommandParser(
        prog="python -m CHMFLTrainingLib", description="Train and compare predictors of an outcome, fold by fold."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_cohort(commands)
    add_compare(commands)
    add_reproduce(commands)
    add_run_commands(commands)
    return parser


def _end(error: BaseException, progress: Progress) -> int:
    """Say how it ended, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = Canceled(hint="Finished epochs are kept; --resume goes on from them.")
    elif isinstance(error, OSError) and as_known(error) is None:
        error = BadInput("file_unusable", f"{error}.", "Check the file or folder and its permissions.")
    defect = isinstance(error, Exception) and as_known(error) is None
    return report_error(error, progress, verbose=defect)
