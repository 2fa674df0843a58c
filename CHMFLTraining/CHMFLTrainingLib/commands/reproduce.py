"""The command ``reproduce``: the paper's rows by ``compare``, and the paper's figures beside this run's."""

from __future__ import annotations

from CHMFLPredictorLib.protocol import Progress

from .compare import add_run_options, run_comparison, stopped_by_terminate
from .progress import talking

TABLES = "Table I,Table II,Table SII,Table SIII,Table SIV,Figure 5"
BESIDE = "Volume + SUVmax,Uptake"  # the numbers that every row of the paper has to beat


def add_reproduce(commands) -> None:
    """Add the command to the parser of ``python -m CHMFLTrainingLib``."""
    reproduce = commands.add_parser(
        "reproduce", parents=[talking()], help="train the rows of the paper's tables and set its figures beside them"
    )
    reproduce.add_argument("--tables", default=TABLES, metavar="NAMES", help=f"of the paper (default {TABLES})")
    add_run_options(reproduce)
    reproduce.set_defaults(run=_reproduce, no_report=False, methods=None)


def _reproduce(arguments, progress: Progress) -> None:
    from ..report.reproduction import write_reproduction

    arguments.methods = f"{arguments.tables},{BESIDE}"
    if arguments.preset is None and not arguments.resume:
        arguments.preset = _affordable()

    def before(run, waiting, at_once: int) -> None:
        from ..run.forecast import forecast, in_words

        text = in_words(forecast(run, waiting), at_once)
        progress.say({"event": "progress", "stage": "forecast", "fraction": 0.0, "text": text})

    with stopped_by_terminate():
        try:
            run_comparison(arguments, progress.say, before)
        finally:
            if (arguments.output / "config.json").exists():
                path = write_reproduction(arguments.output)
                text = f"the paper's figures and this run's: {path}"
                progress.say({"event": "progress", "stage": "report", "fraction": 1.0, "text": text, "path": str(path)})


def _affordable() -> str:
    """The paper's network with kernels of 3 where there is a GPU, else what a CPU can train."""
    from ..run.job_process import choose_device

    return "compact" if choose_device("auto") == "cpu" else "paper_k3"
