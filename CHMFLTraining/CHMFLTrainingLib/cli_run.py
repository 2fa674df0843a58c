"""Commands on the run of a comparison: ``status``, ``report``, ``predict``, and ``export --method``."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput

_LOG = logging.getLogger(__name__)


def add_run_commands(commands) -> None:
    """Add the commands to the parser of ``python -m CHMFLTrainingLib``."""
    status = commands.add_parser("status", help="where a comparison is")
    status.add_argument("run_folder", type=Path, metavar="RUN")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    report = commands.add_parser("report", help="tables, figures and report.html of a comparison")
    report.add_argument("run_folder", type=Path, metavar="RUN")
    report.set_defaults(run=_report)

    predict = commands.add_parser("predict", help="judge a patient by a compared method's models")
    predict.add_argument("run_folder", type=Path, metavar="RUN")
    predict.add_argument("--method", required=True, metavar="NAME")
    for name in ("pet", "ct", "mask"):
        predict.add_argument(f"--{name}", type=Path, metavar="FILE")
    predict.add_argument("--clinical", action="append", default=[], metavar="COLUMN=VALUE")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument("--output", type=Path, metavar="JSON", help="write it there too")
    predict.set_defaults(run=_predict)


def _status(arguments) -> None:
    from .run_status import as_text, status

    found = status(arguments.run_folder)
    print(json.dumps(found, indent=2) if arguments.json else as_text(found))


def _report(arguments) -> None:
    from .comparison import Comparison
    from .run_report import write_report

    Comparison(arguments.run_folder).summarize()
    print(write_report(arguments.run_folder))


def _predict(arguments) -> None:
    from CHMFLPredictorLib.files import write_json

    from .compared_prediction import predict

    pairs = [text.partition("=") for text in arguments.clinical]
    wrong = [name for name, separator, _ in pairs if not separator or not name]
    if wrong:
        raise BadInput("option_unreadable", f"--clinical {wrong[0]!r} is not COLUMN=VALUE.", "As in --clinical age=61.")
    clinical = {name: value for name, _, value in pairs}
    files = (arguments.pet, arguments.ct, arguments.mask)
    found = predict(arguments.run_folder, arguments.method, *files, clinical, arguments.device)
    if found["trained_on"]:
        _LOG.warning("These images trained %d of the models: their risk is no prediction.", len(found["trained_on"]))
    if arguments.output:
        write_json(arguments.output, found)
    print(json.dumps(found, indent=2), file=sys.stdout)


def export_method(folder: Path, method: str, repeat: int, output: Path, name: str, version: str) -> None:
    """A bundle for the predictor from a comparison. Its format holds CHMFL's network, so only CHMFL can be exported.

    :raises BadInput: export_method, run_unfinished, folds_repeat.
    """
    from .comparison import Comparison
    from .export import export
    from .train_view import EXPORTED, write_train_run

    if method.strip().lower() != EXPORTED.lower():
        text = f"A model bundle of {method!r} cannot be made."
        raise BadInput("export_method", text, f"Only {EXPORTED} runs in the predictor; others: `predict RUN --method`.")
    with tempfile.TemporaryDirectory(prefix="chmfl-") as temporary:
        write_train_run(Comparison(folder), repeat, Path(temporary))
        export(Path(temporary), output, name, version)
