"""Where a comparison is: how many jobs of each method are finished, failed, running, and what remains."""

from __future__ import annotations

from pathlib import Path

from . import owner
from .results import Job
from .run import Comparison

STATES = ("finished", "running", "waiting", "failed", "damaged")


def status(folder: Path) -> dict:
    """The state of a run, from its files alone.

    :returns: ``running`` (whether a program works on it), ``jobs`` and a count for each of :data:`STATES`,
        ``methods`` (name to the counts, ``seconds`` of a finished job, mean), ``now`` (jobs under way, with epoch,
        epochs, loss), ``errors`` (failed jobs: code, message, hint), ``damaged`` (files), ``remaining_s`` (None:
        nothing to judge by).
    :raises BadInput: run_missing, run_damaged, run_other_kind.
    """
    return status_of(Comparison(folder))


def status_of(run: Comparison) -> dict:
    """:func:`status` of a run that is open."""
    token = owner.token_of(run.folder) if owner.is_alive(run.folder) else None
    methods: dict[str, dict] = {}
    now, errors, damaged, seconds = [], [], [], {}
    for job in run.jobs:
        count = methods.setdefault(job.method, dict.fromkeys(STATES, 0))
        state = run.state(job, token)
        count[state] += 1
        if state == "running":
            now.append({**vars(job), **(run.progress(job, token) or {})})
        elif state == "failed":
            errors.append({**vars(job), **run.error(job), "traceback": None})
        elif state == "damaged":
            damaged.append(str(run.job_folder(job) / "predictions.csv"))
        elif state == "finished":
            seconds.setdefault(job.method, []).append(run.seconds(job))
    for name, count in methods.items():
        known = [value for value in seconds.get(name, []) if value is not None]
        count["seconds"] = round(sum(known) / len(known), 1) if known else None
    total = {state: sum(count[state] for count in methods.values()) for state in STATES}
    found = {"run": str(run.folder), "jobs": len(run.jobs), **total, "running": token is not None}
    found |= {"methods": methods, "now": now, "errors": errors, "damaged": damaged}
    return found | {"remaining_s": _remaining(methods, len(now))}


def as_text(found: dict) -> str:
    """A status for people."""
    working = "running" if found["running"] else "not running"
    lines = [f"{found['run']}: {found['finished']} of {found['jobs']} jobs finished, {working}"]
    width = max(map(len, found["methods"]), default=0)
    for name, count in found["methods"].items():
        states = [f"{count[state]} {state}" for state in STATES if count[state]]
        lines.append(f"  {name:<{width}}  {', '.join(states)}")
    for job in found["now"]:
        epoch = f", epoch {job['epoch']} of {job.get('epochs', '?')}" if "epoch" in job else ""
        lines.append(f"  now: {_name(job)}{epoch}")
    for job in found["errors"]:
        lines.append(f"  failed: {_name(job)}: {job['message']} ({job['code']}) {job['hint']}".rstrip())
    lines += [f"  damaged: {path}; the job is run again with --resume" for path in found["damaged"]]
    if found["remaining_s"] is not None and found["finished"] < found["jobs"]:
        lines.append(f"  about {found['remaining_s'] / 60:.0f} min of work remain, by the jobs finished so far")
    return "\n".join(lines)


def _name(job: dict) -> str:
    return str(Job(job["method"], job["repeat"], job["fold"]))


def _remaining(methods: dict[str, dict], at_once: int) -> float | None:
    """Seconds, if every job of a method takes as long as its finished ones; of methods without any, the mean."""
    known = [count["seconds"] for count in methods.values() if count["seconds"] is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    left = sum(
        sum(count[state] for state in ("running", "waiting", "damaged"))
        * (mean if count["seconds"] is None else count["seconds"])
        for count in methods.values()
    )
    return round(left / max(1, at_once), 1)
