"""The command line: ``predict`` for one patient or a batch, ``card`` for a look at a model, ``devices`` for what can
compute.

The work runs in a thread of its own, and the main thread waits for a signal: so a run that sits in a native library for
seconds is canceled at once, too.
"""

import itertools
import logging
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from ..errors import BadInput, Canceled, ChmflError
from ..events import ROLES, Progress, error_event, risk_sentence
from ..failures import as_known
from ..predict.output_folder import discard_all
from ..protocol import make_progress
from .options import ENGINES, make_parser

EXIT_DONE, EXIT_DEFECT, EXIT_BAD_INPUT, EXIT_CANCELED = 0, 1, 2, 3
_GRACE_S = 1.0  # for the work to notice a cancel by itself
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_log = logging.getLogger("CHMFLPredictorLib")  # of every file of the library

__all__ = ["ENGINES", "main", "make_parser", "summary"]


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
    progress: Progress = make_progress("json" if wants_json(argv) else "none")
    verbose = False
    try:
        options = make_parser().parse_args(argv)
        if options.command == "card":
            from ..model.card import card_text

            print(card_text(options.model))
            return EXIT_DONE
        if options.command == "devices":
            return _devices(progress)
        verbose = options.verbose
        _set_up_log(verbose)
        progress = make_progress(options.progress)
        _check(options)
        return _watched(lambda canceled: _work(options, progress, canceled, started), progress, early_signals or [])
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except BaseException as error:
        return report_error(error, progress, verbose)


def wants_json(argv: list[str]) -> bool:
    """Whether a command line asks for JSON, also one that cannot be read."""
    return argv[:2] == ["devices", "--json"] or any(
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
    if options.batch and (options.pet or options.ct or options.study or options.center or options.segmentation):
        raise BadInput(
            "command_line",
            "--batch goes with no --pet, --ct, --study, --center or --segmentation.",
            "Put them into the CSV.",
        )
    if options.study and (options.pet or options.ct):
        text = "--study goes with no --pet and no --ct: it finds them."
        raise BadInput("command_line", text, "Give the one or the others.")
    if options.study:
        options.pet = options.ct = options.study  # one DICOM folder for both is a study
    missing = [name for name in ("pet", "ct") if not getattr(options, name) and not options.batch]
    if missing:
        names = " and ".join(f"--{name}" for name in missing)
        raise BadInput("command_line", f"{names} must be given.", "Give --pet and --ct, --study, or --batch.")


def _devices(progress: Progress) -> int:
    from ..network.devices import report, report_text

    found = report()
    progress.say({"event": "result", **found})
    if not progress.machine_reads:
        print(report_text(found))
    return EXIT_DONE


def _work(options, progress: Progress, canceled, started) -> int:
    from ..predict import prediction  # takes a while: SimpleITK, scipy

    if options.batch:
        return _batch(options, progress, canceled)
    names = {role: name for role in ROLES if (name := getattr(options, f"{role}_name"))}
    center = tuple(options.center) if options.center else None
    inputs = prediction.Inputs(options.pet, options.ct, center, options.segmentation, names)
    prediction.refuse_other_patient(prediction.describe_inputs(inputs), options.output)
    predictor = prediction.Predictor(options.model, options.device, options.engine, options.threads)
    result = predictor.predict(
        inputs, options.output, risk_only=options.risk_only, progress=progress, canceled=canceled, started=started
    )
    if not progress.machine_reads:
        print(f"{summary(result)}\nResults: {Path(options.output).absolute()}", flush=True)
    return EXIT_DONE


def _batch(options, progress: Progress, canceled) -> int:
    from ..predict.batch import RESULTS_FILE, batch_sentence, predict_batch, read_rows
    from ..predict.patients import as_csv
    from ..predict.prediction import Predictor

    left_out = []

    def leave_out(name: str, reason: str) -> None:
        left_out.append(name)
        progress.say({"event": "warning", "code": "batch_patient_left_out", "text": f"{name}: {reason}"})

    with tempfile.TemporaryDirectory(prefix="chmfl-", ignore_cleanup_errors=True) as folder:
        source = as_csv(options.batch, folder, leave_out, canceled)
        read_rows(source)  # a wrong CSV shows before the model is loaded
        predictor = Predictor(options.model, options.device, options.engine, options.threads)
        counts = predict_batch(
            source, options.output, predictor, risk_only=options.risk_only, progress=progress, canceled=canceled
        )
    counts["left_out"] = len(left_out)
    table = Path(options.output).absolute() / RESULTS_FILE
    progress.say({"event": "result", "output": str(table.parent), "files": {RESULTS_FILE: str(table)}, **counts})
    if not progress.machine_reads:
        print(batch_sentence(counts, options.output), flush=True)
    return EXIT_BAD_INPUT if counts["failed"] and not counts["done"] + counts["skipped"] else EXIT_DONE


def summary(result: dict) -> str:
    """Return a result in a few lines for people."""
    from ..tumor.measurements import MEASUREMENTS

    lines, tumor = [risk_sentence(result)], result["tumor"]
    if tumor and tumor["volume_ml"]:
        measured = [(one, tumor[key]) for key, one in MEASUREMENTS.items() if tumor[key] is not None]
        lines.append(", ".join(f"{one.title} {one.text(value)} {one.unit}" for one, value in measured) + ".")
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


def report_error(error: BaseException, progress: Progress, verbose: bool) -> int:
    """Say what went wrong, as an event and to people, and return the exit code."""
    known = Canceled() if isinstance(error, KeyboardInterrupt) else as_known(error)
    if known is None:
        trace = "".join(traceback.format_exception(error))
        message = f"{type(error).__name__}: {error}"
        known = ChmflError(
            "defect",
            f"This failed for a reason that it should not: {message}",
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
