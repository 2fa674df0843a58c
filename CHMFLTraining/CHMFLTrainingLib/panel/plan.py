"""From the panel's choices to the command line of ``compare``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CHMFLPredictorLib.files import write_csv

from ..cohort.cohort import read_cohort
from ..cohort.folds import draw_folds
from ..run.run import DRAWN_FOLDS, MOST

PAPER_PRESET = "paper"
PAPER_METHODS = ("HC + RF", "CNLPC", "MOR + 3D CNNs", "3DMCL", "Mask + HMFL", "CFL", "CHMFL")  # Table I
PAPER_W, PAPER_EPOCHS, PAPER_LEARNING_RATE, PAPER_BATCH, PAPER_FOLDS = 0.5, 200, 1e-4, 1, 6
GROUPS_WITH_W = ("Table I", "Table SII", "Table SIII")  # the rows of Figure 5 have a weight each


@dataclass(frozen=True)
class Choices:
    """What the user chose for a new run.

    :param methods: name to group of the methods that are ticked.
    :param folds: CSV of folds; empty: ``fold_count`` folds are drawn.
    :param epochs: 0 for the preset's; ``learning_rate`` likewise.
    :param scheduler: address of a Dask scheduler; empty for this computer.
    :param jobs: at once; 0 for as many as the computer takes.
    """

    cohort: str
    run: str
    methods: dict[str, str]
    folds: str = ""
    fold_count: int = PAPER_FOLDS
    repeats: int = 1
    preset: str = "paper"
    w: float = PAPER_W
    epochs: int = 0
    learning_rate: float = 0.0
    device: str = "auto"
    scheduler: str = ""
    jobs: int = 0
    despite_findings: bool = False


def new_run(choices: Choices) -> list[str]:
    """The arguments that begin a run. Draws the folds where there are not the usual six; writes them into the run.

    :raises BadInput: cohort_unreadable, cohort_columns, cohort_rows. OSError: the folder cannot be written to.
    """
    arguments = ["compare", "--output", choices.run, "--cohort", choices.cohort, "--methods", ",".join(choices.methods)]
    arguments += ["--preset", choices.preset, "--repeats", str(choices.repeats), "--device", choices.device]
    folds = choices.folds
    if not folds and choices.fold_count != DRAWN_FOLDS:
        folds = str(_drawn(choices))
    if folds:
        arguments += ["--folds", folds]
    if choices.despite_findings:
        arguments.append("--despite-findings")
    for option in _options(choices):
        arguments += ["--option", option]
    return [*arguments, *_where(choices.scheduler, choices.jobs)]


def resumed_run(run: str, scheduler: str = "", jobs: int = 0) -> list[str]:
    """The arguments that go on with a run."""
    return ["compare", "--output", run, "--resume", *_where(scheduler, jobs)]


def _where(scheduler: str, jobs: int) -> list[str]:
    arguments = ["--progress", "json"]
    if scheduler:
        arguments += ["--scheduler", scheduler]
    if jobs:
        arguments += ["--jobs", str(jobs)]
    return arguments


def _options(choices: Choices) -> list[str]:
    """What differs from the preset. The paper's weight is every preset's: naming it would change how "compact" trains,
    in two stages, to one.
    """
    options = []
    if choices.epochs:
        options.append(f"epochs={choices.epochs}")
    if choices.learning_rate:
        options.append(f"learning_rate={choices.learning_rate:g}")
    if abs(choices.w - PAPER_W) > 1e-9:
        names = [name for name, group in choices.methods.items() if group in GROUPS_WITH_W]
        options += [f"{name}:w={choices.w:g}" for name in names]
    return options


def _drawn(choices: Choices) -> Path:
    """The folds of all repeats, drawn as ``compare`` draws them."""
    patients, rows = read_cohort(Path(choices.cohort)), []
    for repeat in range(min(choices.repeats, MOST)):
        folds = draw_folds(patients, choices.fold_count, repeat)
        rows += [[repeat, name, fold] for name, fold in sorted(folds.items())]
    path = Path(choices.run) / "drawn_folds.csv"
    write_csv(path, ["repeat", "patient_id", "fold"], rows)
    return path
