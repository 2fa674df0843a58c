"""The words of the panel: how a run stands, why something cannot be done, how long it takes."""

from CHMFLPredictorLib.child.process import Ending
from slicer.i18n import tr as _

from .state import Phase, TrainingState

COLORS = {"error": "#b3261e", "warning": "#a15c00", "note": "#5f6b76"}  # legible on light rows
STATE_COLORS = {"finished": "#2e7d32", "running": "#1565c0", "failed": "#b3261e", "damaged": "#a15c00"}
STATE_SIGNS = {
    "finished": "\N{CHECK MARK}",
    "running": "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}",
    "waiting": "\N{MIDDLE DOT}",
    "failed": "\N{BALLOT X}",
    "damaged": "!",
}
MOST_FAILURES = 5  # named one by one


def stateWord(state: str) -> str:
    """The state of a job."""
    return {
        "finished": _("finished"),
        "running": _("running"),
        "waiting": _("waiting"),
        "failed": _("failed"),
        "damaged": _("damaged: run again by Resume"),
    }.get(state, state)


def statusText(state: TrainingState, prepared: tuple[int, int] | None = None) -> str:
    """The line under the progress bar.

    :param prepared: patients prepared and all, where the run has got to that and no further.
    """
    done, jobs = state.jobs
    count = _("{done} of {jobs} jobs finished").format(done=done, jobs=jobs) if jobs else ""
    if state.phase is Phase.RUNNING:
        if prepared is not None:
            return _("Preparing the patients: {done} of {all}...").format(done=prepared[0], all=prepared[1])
        if not jobs:
            return _("Starting: the cohort is read and checked...")
        if not state.status["now"]:
            return _("{count}. The next job is being started...").format(count=count)
        return _("{count}. Now: {now}").format(count=count, now=", ".join(map(jobText, state.status["now"])))
    if state.phase is Phase.STOPPING:
        return _("Stopping: every job ends at its next checkpoint...")
    words = {
        Phase.PAUSED: _("Stopped. {count}.") if state.stop else _("Paused. {count}."),
        Phase.FINISHED: _("Finished. {count}."),
        Phase.FAILED: _("Not finished. {count}."),
    }
    if state.phase not in words:
        return _("No run yet.")
    return words[state.phase].format(count=count or _("No job finished"))


def jobText(job: dict) -> str:
    """A job under way."""
    name = _("{method}, fold {fold}").format(method=job["method"], fold=job["fold"])
    if job["repeat"]:
        name += _(" of repeat {repeat}").format(repeat=job["repeat"])
    if "epoch" in job:
        name += _(" (epoch {epoch} of {epochs})").format(epoch=job["epoch"], epochs=job.get("epochs", "?"))
    return name


def remainingText(state: TrainingState) -> str:
    """How long the run still takes, by the jobs that are finished."""
    if not state.busy or state.status is None or state.complete:
        return ""
    seconds = state.status["remaining_s"]
    if seconds is None:
        return _("Remaining time: known when the first job is finished.")
    return _("Remaining time: about {time}, by the jobs finished so far.").format(time=durationText(seconds))


def durationText(seconds: float) -> str:
    """A duration in the largest unit that suits it."""
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 90 * 60:
        return _("{count} min").format(count=round(seconds / 60))
    if seconds < 48 * 3600:
        return _("{count} h").format(count=round(seconds / 3600))
    return _("{count} days").format(count=round(seconds / 86400))


def messageText(state: TrainingState) -> str:
    """What went wrong and what to do: the program's end, files that cannot be read, jobs that failed."""
    lines = []
    if state.problem[0]:
        lines.append(errorText(*state.problem))
    if state.ending is not None and state.ending.kind == "failed":
        # the command line's list of jobs is told below, with hints
        if state.ending.code != "jobs_failed" or not state.failures:
            lines.append(errorText(state.ending.code, state.ending.message, state.ending.hint))
    failures = state.failures
    if failures:
        lines.append(_("{count} jobs failed; Resume tries them again:").format(count=len(failures)))
        lines += [failureText(one) for one in failures[:MOST_FAILURES]]
        if len(failures) > MOST_FAILURES:
            more = _("and {count} more: point at a fold in the table.")
            lines.append(more.format(count=len(failures) - MOST_FAILURES))
    damaged = state.status["damaged"] if state.status else []
    if damaged:
        lines.append(_("Damaged, run again by Resume: {files}").format(files=", ".join(damaged)))
    return "\n".join(lines)


def failureText(job: dict) -> str:
    """A job that failed."""
    why = errorText(job["code"], job["message"], job["hint"])
    return _("{method}, repeat {repeat}, fold {fold}: {why}").format(
        method=job["method"], repeat=job["repeat"], fold=job["fold"], why=why
    )


def errorText(code: str, message: str, hint: str = "") -> str:
    """An error with its code, by which the list of messages knows it."""
    return _("Error ({code}): {details}").format(code=code, details=f"{message} {hint}".strip())


def endingText(ended) -> str:
    """How a child process ended that did not end well."""
    if ended.ending is Ending.CANCELED:
        return _("Canceled.")
    return errorText(ended.code, ended.message, ended.hint)


def findingText(finding: dict) -> str:
    """A finding of the cohort's check."""
    return f"{finding['severity']}: {finding['text']} {finding['hint']}".strip() + f" [{finding['code']}]"


def runText(run: dict) -> str:
    """A known run in the list."""
    if run["problem"]:
        return _("{name}: {problem}").format(name=run["name"], problem=run["problem"])
    words = _("{name}: {done} of {jobs} jobs").format(name=run["name"], done=run["finished"], jobs=run["jobs"])
    if run["running"]:
        words = _("{name}: running").format(name=run["name"])
    return words + (_(", {failed} failed").format(failed=run["failed"]) if run["failed"] else "")
