"""The command ``compare``: begin a comparison or go on with it, see its jobs through, and say how they ended."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput, ChmflError
from CHMFLPredictorLib.protocol import Progress

from ..training.settings import PRECISIONS, PRESETS, Settings
from .progress import talking

_LOG = logging.getLogger(__name__)


def add_compare(commands) -> None:
    """Add the command to the parser of ``python -m CHMFLTrainingLib``."""
    compare = commands.add_parser("compare", parents=[talking()], help="train and compare methods on the same folds")
    compare.add_argument("--methods", metavar="NAMES", help='rows of the tables, "CHMFL,HC + RF", or all')
    add_run_options(compare)
    compare.add_argument("--no-report", action="store_true", help="leave tables, figures and report.html for `report`")
    compare.set_defaults(run=_compare)


def add_run_options(compare) -> None:
    """The options that ``compare`` and ``reproduce`` share."""
    compare.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run's folder")
    compare.add_argument("--resume", action="store_true", help="go on with the run in RUN; --methods, --repeats add")
    compare.add_argument("--cohort", type=Path, metavar="CSV", help="needed for a new run")
    compare.add_argument(
        "--folds", type=Path, metavar="CSV", help="columns repeat, patient_id, fold (default: six folds are drawn)"
    )
    compare.add_argument("--preset", metavar="|".join(PRESETS), help="default compact")
    compare.add_argument("--precision", choices=PRECISIONS, help="of a training: default auto, float32 on a CPU")
    compare.add_argument("--repeats", type=int, metavar="N", help="default 1")
    compare.add_argument("--seed", type=int, help="default 0")
    compare.add_argument(
        "--option", action="append", default=[], metavar="[METHOD:]NAME=VALUE", help="of one method or of all; JSON"
    )
    compare.add_argument("--methods-folder", type=Path, metavar="FOLDER", help="with methods of your own, a file each")
    compare.add_argument("--jobs", type=int, metavar="N", help="at once; default by GPUs, cores, memory; 0: no Dask")
    compare.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler instead of this computer")
    compare.add_argument("--threads", type=int, metavar="N", help="CPU threads of one job")
    compare.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    compare.add_argument(
        "--despite-findings", action="store_true", help="train although patients cannot be read or used as they are"
    )


def _compare(arguments, progress: Progress) -> None:
    with stopped_by_terminate():
        run_comparison(arguments, progress.say)


def run_comparison(arguments, say, before: Callable | None = None) -> None:
    """See a comparison through, with its report.

    :param before: called with the run, the jobs that are waiting and how many run at once, before the first begins.
    :raises ChmflError: jobs_failed, and what is wrong with the options, the cohort or the run.
    """
    from ..run.dask_jobs import run_here, run_jobs
    from ..run.owner import RunOwner

    run = _open(arguments)
    if arguments.jobs is not None and arguments.jobs < 0:
        raise BadInput("jobs_unusable", f"{arguments.jobs} jobs at once are not possible.", "Give 0 or more.")
    with RunOwner(run.folder) as owner:
        run = _extend(run, arguments)
        for name, reason in run.plan.left_out.items():
            say({"event": "warning", "code": "method_left_out", "text": f"{name} is left out. {reason}"})
        waiting = []
        for job in run.jobs:
            state = run.state(job)
            if state == "damaged":
                text = f"{run.job_folder(job) / 'predictions.csv'} or its model is damaged: {job} is run again."
                say({"event": "warning", "code": "job_damaged", "text": text})
            if state != "finished":
                waiting.append(job)
        _LOG.info("%s: %d jobs, %d of them finished", run.folder, len(run.jobs), len(run.jobs) - len(waiting))
        at_once = arguments.jobs or (None if arguments.scheduler else _default_jobs(run))
        if before is not None and waiting:
            before(run, waiting, 1 if arguments.jobs == 0 else at_once or 1)
        try:
            if arguments.jobs == 0 and not arguments.scheduler:
                outcomes = run_here(run, waiting, owner, say)
            else:
                outcomes = run_jobs(run, waiting, owner, at_once, arguments.scheduler, say)
        finally:
            _summarize(run, say)
        if not arguments.no_report:
            _try_report(run, say)
    _judge(run, outcomes, say)


def _default_jobs(run) -> int:
    from ..run.dask_jobs import default_jobs

    return default_jobs(run.plan.preset, run.plan.device)


def _open(arguments):
    """The run to work on: an old one with --resume, else a new one."""
    from ..cohort.findings import write_findings
    from ..run.run import Comparison, Plan

    if arguments.resume and (arguments.output / "config.json").exists():
        return Comparison(arguments.output)
    if arguments.cohort is None:
        raise BadInput("cohort_needed", f"There is no run in {arguments.output} yet.", "Give --cohort to start one.")
    chosen = {
        name: getattr(arguments, name) for name in ("preset", "repeats", "seed", "device", "threads", "precision")
    }
    plan = {name: value for name, value in chosen.items() if value is not None}
    Settings(preset=plan.get("preset", "compact"))  # refuses one that there is not
    plan |= {"options": _options(arguments), "methods_folder": _methods_folder(arguments)}
    plan["methods"] = _methods(arguments.methods or "all", plan["methods_folder"])
    if "threads" not in plan:
        plan["threads"] = _default_threads(arguments, plan)
    findings = _check(arguments, plan)
    run = Comparison.create(arguments.output, arguments.cohort, arguments.folds, Plan(**plan))
    write_findings(run.folder / "cohort_findings.csv", findings)
    return run


def _check(arguments, plan: dict) -> list:
    """What is wrong with the cohort, told before anything trains.

    :raises BadInput: cohort_findings, unless --despite-findings.
    """
    from ..cohort.findings import as_text, refuse_errors
    from ..run.run import find_methods
    from .cohort import check

    methods = [find_methods(name, plan["methods_folder"])[0] for name in plan["methods"]]
    _, findings = check(arguments.cohort, arguments.folds, plan.get("preset", "compact"), methods)
    if findings:
        _LOG.info("The cohort's findings:\n%s", as_text(findings))
    if not arguments.despite_findings:
        refuse_errors(findings)
    return findings


def _extend(run, arguments):
    """A resumed run keeps its settings; it can get more methods and repeats. Anything else that differs is refused."""
    if not arguments.resume:
        return run
    for name in ("preset", "seed", "device", "threads", "precision"):
        value, own = getattr(arguments, name), getattr(run.plan, name)
        if value is not None and value != own:
            text = f"The run {run.folder} has --{name} {own}, not {value}."
            raise BadInput("run_differs", text, "Leave the option out to go on, or start a run in another folder.")
    methods = _methods(arguments.methods, run.plan.methods_folder) if arguments.methods else []
    return run.extended(methods, arguments.repeats, _options(arguments))


def _methods(names: str, folder: str | None) -> list[str]:
    from ..run.run import find_methods

    return [method.NAME for method in find_methods(names, folder)]


def _methods_folder(arguments) -> str | None:
    return str(arguments.methods_folder.resolve()) if arguments.methods_folder else None


def _options(arguments) -> dict:
    """``--option`` as method (or "*") to name to value."""
    options: dict[str, dict] = {}
    for text in arguments.option:
        # a method's name may hold "=", as in CHMFL w=0.25:epochs=5, and a value ":"
        found = re.fullmatch(r"()(\w+)=(.*)", text) or re.fullmatch(r"(.+?):(\w+)=(.*)", text)
        if not found:
            raise BadInput("option_unreadable", f"--option {text!r} is not NAME=VALUE.", "As in --option w=0.5.")
        method, name, value = found.groups()
        try:
            value = json.loads(value)
        except ValueError:
            pass  # a word or a path
        if method:
            method = _methods(method, _methods_folder(arguments))[0]
        options.setdefault(method or "*", {})[name] = value
    return options


def _default_threads(arguments, plan: dict) -> int:
    """Cores for each job; fixed with the run, since the last bits of sums depend on it. Elsewhere, one."""
    import os

    from ..run.dask_jobs import default_jobs

    if arguments.scheduler:
        return 1
    jobs = arguments.jobs
    if jobs is None:
        jobs = default_jobs(plan.get("preset", "compact"), plan.get("device", "auto"))
    return max(1, (os.cpu_count() or 1) // max(1, jobs))


def _summarize(run, say) -> None:
    """Tables of what is finished, also after Ctrl-C. A full disk must not hide how the jobs ended."""
    try:
        run.summarize()
    except OSError as error:
        say({"event": "warning", "code": "output_full", "text": f"summary.json cannot be written: {error}."})


def _try_report(run, say) -> None:
    """The report belongs to a run's end, but a run does not fail by it."""
    from CHMFLPredictorLib.failures import as_known

    from ..report.report import write_report

    try:
        path = write_report(run.folder)
        say({"event": "progress", "stage": "report", "fraction": 1.0, "text": f"report: {path}", "path": str(path)})
    except (ChmflError, OSError, ImportError) as error:
        known = as_known(error)
        text = f"{known or error} `report {run.folder}` tries it again."
        say({"event": "warning", "code": known.code if known else "output_full", "text": text})


def _judge(run, outcomes: list[dict], say) -> None:
    """The result where every job is finished; otherwise the error that tells which are not."""
    failed = [one for one in outcomes if one["state"] != "finished"]
    if not failed:
        say({"event": "result", "run": str(run.folder), "jobs": len(run.jobs)})
        return
    codes = [one.get("exit_code", 3) for one in failed]
    text = f"{len(failed)} of {len(run.jobs)} jobs are not finished: "
    text += "; ".join(f"{_name(one)} ({_why(one)})" for one in failed[:5])
    text += f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
    hint = f"`status {run.folder}` lists them, error.json beside each has the whole; --resume tries them again."
    error = ChmflError("jobs_failed", f"{text}.", hint)
    error.exit_code = 1 if 1 in codes else codes[0]  # a defect weighs more than what the user can mend
    raise error


def _name(outcome: dict) -> str:
    return f"{outcome['method']}, repeat {outcome['repeat']}, fold {outcome['fold']}"


def _why(outcome: dict) -> str:
    return f"{outcome['code']}: {outcome['message']}" if "code" in outcome else outcome["state"]


@contextmanager
def stopped_by_terminate():
    """SIGTERM, as the panel or a batch system sends it, stops like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
