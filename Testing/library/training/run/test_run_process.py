"""A comparison apart from its starter: it goes on without it, is found again, stops, resumes, and its end is told."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from CHMFLPredictorLib.files import write_json
from CHMFLTrainingLib.run import log, process
from CHMFLTrainingLib.run import owner as run_owner
from CHMFLTrainingLib.run.dask_jobs import job_event
from CHMFLTrainingLib.run.process import DetachedRun, is_at_work
from CHMFLTrainingLib.run.run import Comparison
from compared_run import EPOCHS, epoch_of, epochs_run, new_run, write_cohort

posix = pytest.mark.skipif(os.name != "posix", reason="signals and sessions are POSIX")
LIMIT_S = 300  # of a busy computer


def wait_for(condition):
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Start a script in place of the command line; what is left of it is ended after the test."""
    children = []

    def start(script, folder=tmp_path / "run"):
        def spawn(command, options):
            command = [sys.executable, "-u", "-c", script]
            children.append(subprocess.Popen(command, env=process.environment(), **options))
            return children[-1]

        monkeypatch.setattr(process, "_spawn", spawn)
        return process.start(folder, ["compare"])

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


def ended(run, finished=False):
    wait_for(lambda: not run.poll())
    return run.ending(finished)


@pytest.mark.slow
@posix
def test_run_is_apart_found_again_stopped_and_resumed(tmp_path):
    """The whole way with the real command line: what a panel does that was closed and opened again."""
    cohort, folder, hold = write_cohort(tmp_path), tmp_path / "run", tmp_path / "hold"
    hold.touch()  # the second job stays in its second epoch, with all of it written
    arguments = [*new_run(cohort, folder, "--option", f"Walk:hold={hold}"), "--progress", "json"]
    started = process.start(folder, arguments)
    wait_for(lambda: epoch_of(folder, 1) == 2 or not started.poll())
    assert os.getsid(started._child.pid) == started._child.pid != os.getsid(0)

    found = DetachedRun(folder)  # another Slicer: it knows the folder and nothing else
    assert found.alive() and is_at_work(folder) and found.exit_code is None
    found.stop()
    wait_for(lambda: not started.poll())
    assert not found.poll() and found.ending(False).kind == "stopped"
    assert not is_at_work(folder)
    assert epochs_run(folder, 1) == [1, 2]
    hold.unlink()

    resumed = process.start(folder, ["compare", "--output", folder, "--resume", "--no-report", "--jobs", 0])
    assert ended(resumed).kind == "finished"
    run = Comparison(folder)
    assert {run.state(job) for job in run.jobs} == {"finished"}
    assert epochs_run(folder, 1) == list(range(1, EPOCHS + 1))  # none taken twice


ERROR_LINE = 'print(\'{"event": "error", "code": "output_full", "message": "The disk is full.", "hint": "Free it."}\')'
CANCELED_LINE = 'print(\'{"event": "error", "code": "canceled", "message": "Canceled.", "hint": ""}\')'


@pytest.mark.parametrize(
    ("script", "kind", "code", "message", "hint"),
    [
        ("raise SystemExit(0)", "finished", "", "", ""),
        ("raise SystemExit(3)", "stopped", "", "", ""),
        (ERROR_LINE + "; raise SystemExit(2)", "failed", "output_full", "The disk is full.", "Free it."),
        (CANCELED_LINE + "; raise SystemExit(3)", "stopped", "", "", ""),
        ("raise ValueError('of all things')", "failed", "run_killed", "of all things", "Resume"),
    ],
)
def test_endings_are_told_apart(started, script, kind, code, message, hint):
    ending = ended(started(script))
    assert (ending.kind, ending.code) == (kind, code)
    assert message in ending.message and hint in ending.hint


@posix
def test_killed_program_is_called_so(started, tmp_path):
    ending = ended(started("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert (ending.kind, ending.code) == ("failed", "run_killed")
    assert "SIGKILL" in ending.message and "Resume" in ending.hint


def test_error_of_an_earlier_attempt_is_not_told_again(started):
    assert ended(started(ERROR_LINE + "; raise SystemExit(2)")).code == "output_full"
    assert ended(started("raise SystemExit(9)")).code == "run_killed"


@posix
def test_stubborn_program_and_its_workers_are_ended(started, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "GRACE_S", 0.0)
    worker = tmp_path / "worker"
    script = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"open({str(worker)!r}, 'w').write(f'{{child.pid}}\\n'); time.sleep(1000)"
    )
    run = started(script)
    wait_for(lambda: worker.exists() and worker.read_text().endswith("\n"))
    run.stop()
    assert ended(run).kind == "stopped"
    assert run.exit_code == -signal.SIGKILL
    wait_for(lambda: not _lives(int(worker.read_text())))


def _lives(pid):
    """Whether a process runs; one that is dead and not buried does not."""
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stop_takes_the_token_that_jobs_ask_for(tmp_path):
    with run_owner.RunOwner(tmp_path) as owner:
        run = DetachedRun(tmp_path)
        run._here = False  # works on another computer: no signal reaches it
        run._identify = lambda: None
        run.stop()
        assert run_owner.token_of(tmp_path) is None != owner.token
        assert run.asked


def test_who_works_on_a_run(tmp_path):
    path = tmp_path / run_owner.OWNER_FILE
    assert not is_at_work(tmp_path)
    write_json(path, {"token": "t", "pid": os.getpid(), "host": process.socket.gethostname()})
    assert is_at_work(tmp_path)
    os.utime(path, (1, 1))  # not heard of for long
    assert not is_at_work(tmp_path)
    write_json(path, {"token": "t", "pid": 1, "host": "another"})
    assert is_at_work(tmp_path)
    write_json(path, {"token": None, "pid": os.getpid(), "host": "another"})
    assert not is_at_work(tmp_path)
    path.write_text("{")
    assert not is_at_work(tmp_path)


@posix
def test_dead_owner_is_known_at_once(started, tmp_path):
    """Not only once its file has grown old."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    write_json(tmp_path / "owner.json", {"token": "t", "pid": child.pid, "host": process.socket.gethostname()})
    assert not is_at_work(tmp_path) and not DetachedRun(tmp_path).alive()


def test_without_psutil_a_run_lives_as_long_as_it_is_heard_of(tmp_path, monkeypatch):
    """A panel looks at runs before anything is installed."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert not process.is_running(os.getpid(), tmp_path)
    with run_owner.RunOwner(tmp_path):
        assert is_at_work(tmp_path) and process.is_running(os.getpid(), tmp_path)
        os.utime(tmp_path / run_owner.OWNER_FILE, (1, 1))
        assert not is_at_work(tmp_path)


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(process.BadInput) as refused:
        process.start(tmp_path / "file" / "run", ["compare"])
    assert refused.value.code == "output_unwritable"


def test_program_that_cannot_be_started(tmp_path, monkeypatch):
    monkeypatch.setattr(process.process, "python_executable", lambda: str(tmp_path / "absent"))
    with pytest.raises(process.BadInput) as refused:
        process.start(tmp_path, ["compare"])
    assert refused.value.code == "child_not_started" and "absent" in refused.value.message


def test_log_in_words(tmp_path):
    job = {"method": "TLG", "repeat": 0, "fold": 1, "state": "finished", "seconds": 0.5}
    error = {"state": "failed", "code": "output_full", "message": "Full.", "hint": "Free some.", "traceback": "..."}
    prepared = {"event": "progress", "stage": "prepare", "fraction": 0.025, "text": "3 of 12", "done": 3, "of": 12}
    events = [prepared, job_event(job, 2, 9), job_event(job | error, 3, 9), {"event": "result"}]
    lines = ["> python -m CHMFLTrainingLib", *map(json.dumps, events), "a library's words"]
    (tmp_path / log.LOG_FILE).write_text("\n".join(lines))
    said = log.log_tail(tmp_path).splitlines()
    assert said[1:3] == ["3 of 12", "2/9 TLG, repeat 0, fold 1 finished, 0.5 s"]
    assert "Full. (output_full) Free some." in said[3] and said[4] == "a library's words"
    assert log.prepared(tmp_path) == (3, 12) and log.last_error(tmp_path) is None
    assert "traceback" not in events[2] and events[1]["fraction"] < events[2]["fraction"] < 1


def test_long_log_is_cut_at_a_line(tmp_path):
    (tmp_path / log.LOG_FILE).write_text("".join(f"line {number}\n" for number in range(50_000)))
    said = log.log_tail(tmp_path).splitlines()
    assert said[-1] == "line 49999" and said[0].startswith("line ") and len(said) < 20_000
