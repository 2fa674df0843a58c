"""The command line of training: ``python -m CHMFLTrainingLib cohort | train | export``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from CHMFLPredictorLib.errors import ChmflError

from .cohort import sts_cohort, write_cohort

_LOG = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 2 bad input, 3 canceled, 4 out of memory, 5 missing dependency, 1
    a defect).
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, datefmt="%H:%M:%S")
    try:
        arguments.run(arguments)
        return 0
    except ChmflError as error:
        print(f"{error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"The Python package {error.name} is not installed.\nInstall it: pip install {error.name}", file=sys.stderr
        )
        return 5
    except KeyboardInterrupt:
        print("Canceled. Finished epochs are kept; --resume goes on from them.", file=sys.stderr)
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m CHMFLTrainingLib", description="Train predictors of distant metastases fold by fold."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    cohort = commands.add_parser("cohort", help="write cohort.csv for the public soft-tissue-sarcoma data")
    cohort.add_argument(
        "--sts", type=Path, required=True, metavar="FOLDER", help="folder with clinical.csv and images/"
    )
    cohort.add_argument("--output", type=Path, required=True, metavar="CSV")
    cohort.set_defaults(run=_cohort)

    train = commands.add_parser("train", help="train the folds of a run")
    train.add_argument("--cohort", type=Path, required=True, metavar="CSV")
    train.add_argument("--folds", type=Path, required=True, metavar="CSV", help="columns repeat, patient_id, fold")
    train.add_argument("--preset", default="compact", choices=["paper", "paper_suv", "compact", "smoke"])
    train.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run's folder")
    train.add_argument("--fold", type=int, action="append", metavar="K", help="only this fold (can be given again)")
    train.add_argument("--repeat", type=int, default=0, help="which repeat of the folds file (default 0)")
    train.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument("--epochs", type=int, help="instead of the preset's")
    train.add_argument("--threads", type=int, help="CPU threads of this process")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="make a model bundle of a finished run")
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    export.add_argument("--name", default="sts-dm", help="the model's name")
    export.add_argument("--version", default="0.1.0")
    export.set_defaults(run=_export)
    return parser


def _cohort(arguments) -> None:
    patients = sts_cohort(arguments.sts)
    write_cohort(arguments.output, patients)
    labels = [patient.label for patient in patients]
    _LOG.info(
        "%s: %d patients, %d with and %d without DM", arguments.output, len(patients), labels.count(1), labels.count(0)
    )


def _train(arguments) -> None:
    import torch

    from .experiment import Run

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if arguments.device == "auto" else arguments.device
    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    run = Run.create(
        arguments.output,
        arguments.cohort,
        arguments.folds,
        arguments.preset,
        arguments.repeat,
        arguments.resume,
        **changes,
    )
    run.train(arguments.fold, device)


def _export(arguments) -> None:
    from .export import export

    export(arguments.run_folder, arguments.output, arguments.name, arguments.version)
