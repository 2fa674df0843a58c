"""The command line: ``predict`` for one patient or a batch, ``card`` for a look at a model.

The work runs in a thread of its own, and the main thread waits for a signal: so a run that sits in a native library for
seconds is canceled at once, too.
"""

import argparse
import itertools
import logging
import re
import signal
import sys
import threading
import traceback
from pathlib import Path

from . import __version__
from .errors import BadInput, Canceled, ChmflError
from .failures import as_known
from .output import discard_all
from .protocol import ROLES, Progress, error_event, make_progress, risk_sentence

EXIT_DONE, EXIT_DEFECT, EXIT_BAD_INPUT, EXIT_CANCELED = 0, 1, 2, 3
ENGINES = ("auto", "eager", "torch", "openvino")  # those of backends.py, which loads torch
_GRACE_S = 1.0  # for the work to notice a cancel by itself
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_log = logging.getLogger(__package__)

_USAGE = """%(prog)s --pet PET --ct CT --output DIR [options]
       %(prog)s --batch CSV --output DIR [options]"""
_DESCRIPTION = """\
Predict the risk of distant metastases, segment the tumor and explain the risk. Writes result.json, segmentation.nii.gz
and relevance.nii.gz (both on the CT's grid) and report.html into the output folder."""
_EPILOG = """\
exit codes:
  0 done   2 bad input   3 canceled   4 out of memory   5 a package or the model is missing   1 a defect

examples:
  %(prog)s --pet PET.nii.gz --ct CT.nii.gz --output results
  %(prog)s --pet dicom/PT --ct dicom/CT --center -102.5 31 840 --output results
  %(prog)s --batch patients.csv --output results

batch: patients.csv has the columns patient_id, pet, ct and, where wanted, segmentation (a mask that places the box) or
center ("R A S" in mm); paths are relative to it. Each patient gets a folder in DIR, all get a row in DIR/results.csv. A
row that fails is reported there and skipped; the exit code is 0 unless every row failed. Run again, patients that are
finished are not computed again.

Research software, not for clinical use.
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like any other bad input."""

    def error(self, message):
        raise BadInput("command_line", f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="python -m CHMFLPredictorLib",
        description="Risk of distant metastases of soft-tissue sarcoma from FDG-PET-CT. Research software, not for "
        "clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"CHMFL {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="predict|card", parser_class=_Parser)
    predict = commands.add_parser(
        "predict",
        help="predict one patient, or a batch of them",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_predict_options(predict)
    card = commands.add_parser("card", help="show a model's card in short", description="Show a model's card in short.")
    card.add_argument("--model", metavar="BUNDLE", help="folder of a model (default: the one that comes with CHMFL)")
    return parser


def _add_predict_options(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("images")
    images.add_argument("--pet", metavar="PET", help="FDG-PET: NIfTI, NRRD, MHA, ... in SUV, or a DICOM folder")
    images.add_argument("--ct", metavar="CT", help="CT of the same examination: a file in HU, or a DICOM folder")
    images.add_argument("--batch", metavar="CSV", help="predict many patients, see below")
    images.add_argument(
        "--output", metavar="DIR", required=True, help="folder for the results, made if it is not there"
    )
    place = parser.add_argument_group(
        "the tumor's place (found automatically if none is given)"
    ).add_mutually_exclusive_group()
    place.add_argument("--center", nargs=3, type=float, metavar=("R", "A", "S"), help="a point in the tumor, RAS mm")
    place.add_argument("--segmentation", metavar="MASK", help="a mask of the tumor, to center the box on")
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="BUNDLE", help="folder of a model (default: the one that comes with CHMFL)")
    how.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda[:n]",
        help="where to compute (default: a GPU if there is one that can be used)",
    )
    how.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    how.add_argument(
        "--risk-only", action="store_true", help="only the risk: faster, no segmentation, relevance or measurements"
    )
    how.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="advanced: what computes the network (default: the fastest here; eager: plain PyTorch, the reference)",
    )
    talk = parser.add_argument_group("what it says")
    kinds = "bar: for a person, on standard error (default); json: one event a line on standard output, for a program"
    talk.add_argument("--progress", choices=("json", "bar", "none"), default="bar", help=kinds)
    talk.add_argument("-v", "--verbose", action="store_true", help="more on standard error, and the trace of a defect")
    for role in ROLES:  # for a program that hands over its own temporary files: what its user knows them by
        parser.add_argument(f"--{role}-name", metavar="NAME", help=argparse.SUPPRESS)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError(text)
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_positive.__name__, _device.__name__ = "number of threads", "device"  # argparse names them in its messages


def main(argv: list[str] | None = None, started: float | None = None, early_signals: list[int] | None = None) -> int:
    """Run the command line and return the exit code.

    :param argv: arguments behind the program's name.
    :param started: ``time.perf_counter()`` when the program started, for the times.
    :param early_signals: signals that came before this call.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv:
        make_parser().print_help()
        return EXIT_BAD_INPUT
    progress: Progress = make_progress("json" if _wants_json(argv) else "none")
    verbose = False
    try:
        options = make_parser().parse_args(argv)
        if options.command == "card":
            from .model_card import card_text

            print(card_text(options.model))
            return EXIT_DONE
        verbose = options.verbose
        _set_up_log(verbose)
        progress = make_progress(options.progress)
        _check(options)
        return _watched(lambda canceled: _work(options, progress, canceled, started), progress, early_signals or [])
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except BaseException as error:
        return _report(error, progress, verbose)


def _wants_json(argv: list[str]) -> bool:
    return any(
        a == "--progress=json" or (a == "--progress" and b == "json") for a, b in itertools.zip_longest(argv, argv[1:])
    )


def _set_up_log(verbose: bool) -> None:
    _log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not _log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        _log.addHandler(handler)
        _log.propagate = False


def _check(options) -> None:
    if options.batch and (options.pet or options.ct or options.center or options.segmentation):
        raise BadInput(
            "command_line", "--batch goes with no --pet, --ct, --center or --segmentation.", "Put them into the CSV."
        )
    missing = [name for name in ("pet", "ct") if not getattr(options, name) and not options.batch]
    if missing:
        names = " and ".join(f"--{name}" for name in missing)
        raise BadInput("command_line", f"{names} must be given.", "Give --pet and --ct, or --batch.")


def _work(options, progress: Progress, canceled, started) -> int:
    from . import prediction  # takes a while: SimpleITK, scipy

    if options.batch:
        return _batch(options, progress, canceled)
    predictor = prediction.Predictor(options.model, options.device, options.engine, options.threads)
    center = tuple(options.center) if options.center else None
    names = {role: name for role in ROLES if (name := getattr(options, f"{role}_name"))}
    inputs = prediction.Inputs(options.pet, options.ct, center, options.segmentation, names)
    result = predictor.predict(
        inputs, options.output, risk_only=options.risk_only, progress=progress, canceled=canceled, started=started
    )
    if not progress.machine_reads:
        print(f"{summary(result)}\nResults: {Path(options.output).absolute()}", flush=True)
    return EXIT_DONE


def _batch(options, progress: Progress, canceled) -> int:
    from .batch import RESULTS_FILE, batch_sentence, predict_batch, read_rows
    from .prediction import Predictor

    read_rows(options.batch)  # a wrong CSV shows before the model is loaded
    predictor = Predictor(options.model, options.device, options.engine, options.threads)
    counts = predict_batch(
        options.batch, options.output, predictor, risk_only=options.risk_only, progress=progress, canceled=canceled
    )
    table = Path(options.output).absolute() / RESULTS_FILE
    progress.say({"event": "result", "output": str(table.parent), "files": {RESULTS_FILE: str(table)}, **counts})
    if not progress.machine_reads:
        print(batch_sentence(counts, options.output), flush=True)
    return EXIT_BAD_INPUT if counts["failed"] and not counts["done"] + counts["skipped"] else EXIT_DONE


def summary(result: dict) -> str:
    """Return a result in a few lines for people."""
    lines, tumor = [risk_sentence(result)], result["tumor"]
    if tumor and tumor["volume_ml"]:
        lines.append(
            f"Tumor {tumor['volume_ml']:.0f} ml, longest diameter {tumor['longest_diameter_mm']:.0f} mm"
            + (
                f", SUVmax {tumor['suv_max']:.1f}, TLG {tumor['tlg']:.0f} SUV ml"
                if tumor["suv_max"] is not None
                else ""
            )
        )
    times = result["timings_s"]
    lines.append(f"Risk after {times['to_risk']:.1f} s, all after {times['total']:.1f} s on {result['device']}.")
    lines.append("Not for clinical use.")
    return "\n".join(lines)


def _watched(work, progress: Progress, early_signals: list[int]) -> int:
    """Run ``work(canceled)`` in a thread; cancel it on a signal or when the program that listens is gone."""
    stop, ending = threading.Event(), {}

    def body() -> None:
        try:
            ending["code"] = work(stop.is_set)
        except BaseException as error:
            ending["error"] = error

    before = _listen(lambda number, frame: stop.set())
    if early_signals:
        stop.set()
    worker = threading.Thread(target=body, name="prediction", daemon=True)
    try:
        worker.start()
        while worker.is_alive() and not stop.is_set():
            worker.join(0.05)
            try:
                progress.check()
            except Canceled:
                stop.set()
        worker.join(_GRACE_S)
        if worker.is_alive():  # deep in a native library: undo its work under it
            discard_all()
            raise Canceled()
    finally:
        _listen(None, before)
    if "code" in ending:
        return ending["code"]
    raise Canceled() if stop.is_set() and not isinstance(ending["error"], Canceled) else ending["error"]


def _listen(handler, before: dict | None = None) -> dict:
    """Install a signal handler, or put back those from before; return the former ones. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = before or {getattr(signal, name): None for name in _SIGNALS if hasattr(signal, name)}
    return {number: signal.signal(number, handler or numbers[number] or signal.SIG_DFL) for number in numbers}


def _report(error: BaseException, progress: Progress, verbose: bool) -> int:
    """Say what went wrong, as an event and to people, and return the exit code."""
    known = Canceled() if isinstance(error, KeyboardInterrupt) else as_known(error)
    if known is None:
        trace = "".join(traceback.format_exception(error))
        message = f"{type(error).__name__}: {error}"
        known = ChmflError(
            "defect",
            f"The prediction failed for a reason that it should not: {message}",
            "Report it with the log (-v).",
        )
        if verbose or progress.machine_reads:
            _write_error(trace.rstrip())
    elif verbose:
        _write_error("".join(traceback.format_exception(error)).rstrip())
    try:
        progress.say(error_event(known))
    except Canceled:
        pass
    if not progress.machine_reads:
        prefix = f"Error ({known.code}): " if known.exit_code != EXIT_CANCELED else ""
        _write_error(f"{prefix}{known.message}\n{known.hint}".rstrip())
    return known.exit_code


def _write_error(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass
