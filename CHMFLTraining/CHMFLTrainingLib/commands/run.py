"""The commands around runs: ``methods``, ``status``, ``metrics``, ``report``, ``predict``, ``export``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.protocol import Progress

from .progress import counted, talking


def add_run_commands(commands) -> None:
    """Add the commands to the parser of ``python -m CHMFLTrainingLib``."""
    talk = [talking()]
    listed = commands.add_parser("methods", parents=talk, help="the methods, with what the paper reports of them")
    listed.add_argument("--check", type=Path, metavar="FILE", help="try the methods of a file on made patients")
    listed.set_defaults(run=_methods)

    status = commands.add_parser("status", parents=talk, help="where a comparison is")
    status.add_argument("run_folder", type=Path, metavar="RUN")
    said = "one event on standard output, for a program; --progress json means the same"
    status.add_argument("--json", dest="progress", action="store_const", const="json", help=said)
    status.add_argument("--watch", action="store_true", help="go on and tell what changes, until it is stopped")
    status.set_defaults(run=_status)

    metrics = commands.add_parser("metrics", parents=talk, help="what the methods of runs reach, side by side")
    metrics.add_argument("run_folders", type=Path, nargs="+", metavar="RUN")
    metrics.set_defaults(run=_metrics)

    report = commands.add_parser("report", parents=talk, help="tables, figures and report.html of a comparison")
    report.add_argument("run_folder", type=Path, metavar="RUN")
    report.set_defaults(run=_report)
    _add_predict(commands, talk)
    _add_export(commands, talk)


def _add_predict(commands, talk: list) -> None:
    predict = commands.add_parser("predict", parents=talk, help="judge a patient by a compared method's models")
    predict.add_argument("run_folder", type=Path, metavar="RUN")
    predict.add_argument("--method", required=True, metavar="NAME")
    for name in ("pet", "ct", "mask"):
        predict.add_argument(f"--{name}", type=Path, metavar="FILE")
    predict.add_argument("--clinical", action="append", default=[], metavar="COLUMN=VALUE")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument("--output", type=Path, metavar="JSON", help="write it there too")
    predict.set_defaults(run=_predict)


def _add_export(commands, talk: list) -> None:
    export = commands.add_parser("export", parents=talk, help="make a model bundle of a comparison's CHMFL")
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("--method", default="CHMFL", metavar="NAME", help="only CHMFL, the default, can be exported")
    export.add_argument("--repeat", type=int, default=0, help="which repeat (default 0)")
    export.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    export.add_argument("--name", default="sts-dm", help="the model's name")
    export.add_argument("--version", default="0.1.0")
    export.set_defaults(run=_export)


def _methods(arguments, progress: Progress) -> int:
    from ..methods import registry

    if arguments.check:
        return _check(arguments.check, progress)
    listed = [
        {
            "name": name,
            "group": method.GROUP,
            "paper": method.PAPER,
            "dice": (method.PAPER_SEGMENTATION or {}).get("dice"),
            "source": method.SOURCE,
            "open": method.OPEN,
            "needs": sorted(method.NEEDS),
        }
        for name, method in registry.all_methods().items()
    ]
    progress.say({"event": "result", "methods": listed})
    if not progress.machine_reads:
        print("\n".join(f"{one['group']:12} {one['name']}  ({', '.join(one['needs'])})" for one in listed))
    return 0


def _check(file: Path, progress: Progress) -> int:
    """Tell what holds of a file's methods; 2 where something does not."""
    from ..methods.check import check_method
    from ..methods.registry import methods_of

    findings = [(method.NAME, found) for method in methods_of(file) for found in check_method(method)]
    progress.say({"event": "result", "findings": [{"method": name, **asdict(found)} for name, found in findings]})
    if not progress.machine_reads:
        for name, found in findings:
            print(f"{name} {found.check}: {'yes' if found.holds else f'NO: {found.reason}'}")
    return 0 if all(found.holds for _, found in findings) else 2


def _status(arguments, progress: Progress) -> None:
    from ..run.status import as_text, status
    from ..run.watch import watch

    def show(event: dict) -> None:
        progress.say(event)
        if not progress.machine_reads and event["event"] in ("status", "result"):
            print(as_text(event), flush=True)

    if arguments.watch:
        watch(arguments.run_folder, show, progress.check)
    else:
        show({"event": "result", **status(arguments.run_folder)})


def _metrics(arguments, progress: Progress) -> None:
    from ..run.watch import metrics_as_text, metrics_of

    rows = metrics_of(arguments.run_folders)
    progress.say({"event": "result", "rows": rows})
    if not progress.machine_reads:
        print(metrics_as_text(rows))


def _report(arguments, progress: Progress) -> None:
    from ..report.report import write_report
    from ..run.run import Comparison

    Comparison(arguments.run_folder).summarize()
    path = write_report(arguments.run_folder)
    progress.say({"event": "result", "path": str(path)})
    if not progress.machine_reads:
        print(path)


def _predict(arguments, progress: Progress) -> None:
    from CHMFLPredictorLib.files import write_json

    from ..run.predict import predict

    pairs = [text.partition("=") for text in arguments.clinical]
    wrong = [name for name, separator, _ in pairs if not separator or not name]
    if wrong:
        raise BadInput("option_unreadable", f"--clinical {wrong[0]!r} is not COLUMN=VALUE.", "As in --clinical age=61.")
    clinical = {name: value for name, _, value in pairs}
    files = (arguments.pet, arguments.ct, arguments.mask)
    found = predict(arguments.run_folder, arguments.method, *files, clinical, arguments.device)
    if found["trained_on"]:
        text = f"These images trained {len(found['trained_on'])} of the models: their risk is no prediction."
        progress.say({"event": "warning", "code": "patient_trained_on", "text": text})
    if arguments.output:
        write_json(arguments.output, found)
    progress.say({"event": "result", "result": found})
    if not progress.machine_reads:
        print(json.dumps(found, indent=2))


def _export(arguments, progress: Progress) -> None:
    from ..run.export import export

    places = (arguments.run_folder, arguments.method, arguments.repeat, arguments.output)
    found = export(*places, arguments.name, arguments.version, counted(progress, "patient"))
    progress.say({"event": "result", "bundle": str(arguments.output), "metrics": found})
    if not progress.machine_reads:
        own, simple = found["out_of_fold"], found["baseline"]
        interval = f"({own['auc_ci'][0]:.2f} to {own['auc_ci'][1]:.2f})"
        print(f"{arguments.output}: out-of-fold AUC {own['auc']:.3f} {interval}, baseline {simple['auc']:.3f}")
