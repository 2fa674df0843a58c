"""The command line of training: ``python -m CHMFLTrainingLib cohort | train | export | compare | status | report |
predict``.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.failures import as_known

from .cli_cohort import add_cohort
from .cli_compare import add_compare
from .cli_run import add_run_commands, export_method


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 2 bad input, 3 canceled, 4 out of memory, 5 missing dependency, 1
    a defect).
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, datefmt="%H:%M:%S")
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("Canceled. Finished epochs are kept; --resume goes on from them.", file=sys.stderr)
        return 3
    except Exception as error:
        known = as_known(error)
        if known is None:
            raise
        print(f"Error ({known.code}): {known.message}\n{known.hint}".rstrip(), file=sys.stderr)
        return known.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m CHMFLTrainingLib", description="Train predictors of distant metastases fold by fold."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_cohort(commands)
    train = commands.add_parser("train", help="train the folds of a run")
    train.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run's folder")
    train.add_argument("--resume", action="store_true", help="go on with the run in RUN, with its own settings")
    train.add_argument("--cohort", type=Path, metavar="CSV", help="needed for a new run")
    train.add_argument(
        "--folds", type=Path, metavar="CSV", help="columns repeat, patient_id, fold (default: six folds are drawn)"
    )
    train.add_argument("--preset", default="compact", choices=["paper", "paper_suv", "compact", "smoke"])
    train.add_argument("--voxel-mm", type=float, help="voxel side in mm instead of the preset's")
    train.add_argument("--fold", type=int, action="append", metavar="K", help="only this fold (can be given again)")
    train.add_argument("--repeat", type=int, default=0, help="which repeat of the folds file (default 0)")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument("--epochs", type=int, help="instead of the preset's")
    train.add_argument("--threads", type=int, help="CPU threads of this process")
    train.set_defaults(run=_train)

    add_compare(commands)
    add_run_commands(commands)
    export = commands.add_parser("export", help="make a model bundle of a finished run")
    export.add_argument("run_folder", type=Path, metavar="RUN", help="of train, or with --method of compare")
    export.add_argument("--method", metavar="NAME", help="of a run of compare; only CHMFL can be exported")
    export.add_argument("--repeat", type=int, default=0, help="of a run of compare: which repeat (default 0)")
    export.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    export.add_argument("--name", default="sts-dm", help="the model's name")
    export.add_argument("--version", default="0.1.0")
    export.set_defaults(run=_export)
    return parser


def _train(arguments) -> None:
    import torch

    from .experiment import Run

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if arguments.device == "auto" else arguments.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput("gpu_absent", f"There is no GPU for --device {device}.", "Leave out --device, or give cpu.")
    if arguments.resume and (arguments.output / "config.json").exists():
        run = Run(arguments.output)
    elif arguments.cohort is None:
        raise BadInput("cohort_needed", f"There is no run in {arguments.output} yet.", "Give --cohort to start one.")
    else:
        changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
        places = (arguments.output, arguments.cohort, arguments.folds)
        run = Run.create(*places, arguments.preset, arguments.repeat, arguments.voxel_mm, **changes)
    run.train(arguments.fold, device)


def _export(arguments) -> None:
    if arguments.method is not None:
        where = (arguments.run_folder, arguments.method, arguments.repeat)
        export_method(*where, arguments.output, arguments.name, arguments.version)
        return
    from .export import export

    export(arguments.run_folder, arguments.output, arguments.name, arguments.version)
