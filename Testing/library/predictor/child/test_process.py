"""The child process: its events, its five endings, and that nothing of it stays behind. The child is a small script."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from CHMFLPredictorLib.child import process
from CHMFLPredictorLib.child.process import ChildProcess, Ending, Log
from CHMFLPredictorLib.protocol import parse_event

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX")


def run_script(script: str, on_event=None, **options) -> ChildProcess:
    """Start a child that runs ``script`` instead of the command line."""

    def launcher(command, environment):
        return process.launch([sys.executable, "-u", "-c", script, *command[4:]], environment)

    child = ChildProcess(["predict", "--pet", "a b ü.nrrd"], on_event, launcher, **options)
    child.start()
    return child


def wait_for(condition, timeout_s=20.0, child=None):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        if child is not None:
            child.poll()
        time.sleep(0.02)


def test_events_come_in_order_and_in_the_callers_thread():
    import threading

    seen = []
    script = """
import json, sys
print("some library's chatter")
for fraction in (0.1, 0.5):
    print(json.dumps({"event": "progress", "fraction": fraction}))
print("a human line, ü", file=sys.stderr)
print(json.dumps({"event": "result", "result": {"arguments": sys.argv[1:]}}))
"""
    child = run_script(script, lambda event: seen.append((event["event"], threading.current_thread())))
    ended = child.wait(30)
    assert ended.ending is Ending.DONE and ended.exit_code == 0
    assert [name for name, _ in seen] == ["progress", "progress", "result"]
    assert {thread for _, thread in seen} == {threading.current_thread()}
    assert ended.result["result"]["arguments"] == ["predict", "--pet", "a b ü.nrrd"]
    assert "chatter" in str(child.log) and "a human line, ü" in str(child.log)
    assert child.poll() is ended and not child.running


def test_poll_never_blocks():
    child = run_script("import time; time.sleep(1.0)")
    started = time.monotonic()
    assert child.poll() is None
    assert time.monotonic() - started < 0.3
    with pytest.raises(TimeoutError):
        child.wait(0.1)
    child.wait(30)


def test_a_child_that_cannot_start_is_an_outcome():
    child = ChildProcess(["predict"], launcher=lambda command, environment: subprocess.Popen(["/no/such/program"]))
    child.start()
    assert child.ended.ending is Ending.FAILED_TO_START
    assert child.ended.exit_code is None and child.ended.hint and "no/such" in child.ended.message
    assert child.wait() is child.ended
    with pytest.raises(RuntimeError):
        child.start()


ERROR_LINE = 'print(\'{"event": "error", "code": "%s", "message": "The PET is a CT.", "hint": "Swap them."}\')'


@pytest.mark.parametrize(
    ("script", "ending", "code"),
    [
        (ERROR_LINE % "swapped_pet_ct" + "; raise SystemExit(2)", Ending.ERROR, "swapped_pet_ct"),
        (ERROR_LINE % "model_missing" + "; raise SystemExit(5)", Ending.ERROR, "model_missing"),
        (ERROR_LINE % "gpu_memory" + "; raise SystemExit(4)", Ending.OUT_OF_MEMORY, "gpu_memory"),
        ("raise SystemExit(4)", Ending.OUT_OF_MEMORY, "out_of_memory"),
        ("raise SystemExit(3)", Ending.CANCELED, "canceled"),
        ("raise SystemExit(0)", Ending.ERROR, "no_result"),
        ("raise ValueError('of all things')", Ending.ERROR, "defect"),
        ('print(\'{"event": "result", "result": {}}\'); raise SystemExit(1)', Ending.ERROR, "defect"),
    ],
)
def test_endings_are_told_apart(script, ending, code):
    ended = run_script(script).wait(30)
    assert (ended.ending, ended.code) == (ending, code)
    assert ended.message and ended.hint and ended.result is None
    if code == "swapped_pet_ct":
        assert (ended.message, ended.hint) == ("The PET is a CT.", "Swap them.")
    if "of all things" in script:
        assert "of all things" in ended.message


@posix
@pytest.mark.parametrize(
    ("number", "ending", "code"),
    [("SIGKILL", Ending.OUT_OF_MEMORY, "out_of_memory"), ("SIGSEGV", Ending.ERROR, "killed")],
)
def test_a_child_killed_by_a_signal(number, ending, code):
    ended = run_script(f"import os, signal; os.kill(os.getpid(), signal.{number})").wait(30)
    assert (ended.ending, ended.code) == (ending, code)
    assert ended.exit_code == -getattr(signal, number)


@posix
@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_the_whole_tree(stubborn, monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_GRACE_S", 0.5)
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" if stubborn else ""
    pids = tmp_path / "pids"
    script = f"""
{ignore}
import os, pathlib, subprocess, sys, time
script = "{ignore} import time; print(1, flush=True); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
worker.stdout.readline()
path = pathlib.Path({str(pids)!r})
path.with_suffix(".new").write_text(f"{{os.getpid()}} {{worker.pid}}")
path.with_suffix(".new").rename(path)
time.sleep(60)
"""
    events = []
    child = run_script(script, events.append)
    wait_for(pids.exists, child=child)
    family = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    assert len(family) == 2
    child.cancel()
    child.cancel()
    ended = child.wait(20)
    assert ended.ending is Ending.CANCELED
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


@posix
def test_workers_that_outlive_the_child_are_ended(tmp_path):
    pid = tmp_path / "pid"
    script = f"""
import pathlib, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path({str(pid)!r}).write_text(str(worker.pid))
print('{{"event": "result", "result": {{}}}}')
"""
    ended = run_script(script).wait(20)
    assert ended.ending is Ending.DONE
    number = int(pid.read_text())
    wait_for(lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE)


def test_events_after_cancel_are_not_handed_out():
    seen = []
    script = """
import signal, sys, time
def late(*_):
    print('{"event": "risk", "risk": 0.5}', flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, late)
print('{"event": "progress"}', flush=True)
time.sleep(60)
"""
    child = run_script(script, seen.append)
    wait_for(lambda: seen, child=child)
    child.cancel()
    assert child.wait(20).ending is Ending.CANCELED
    assert [event["event"] for event in seen] == ["progress"]


def test_output_that_is_not_utf8_and_much_output_do_no_harm():
    script = """
import sys
sys.stdout.buffer.write(b"\\xff\\xfe broken\\n")
for _ in range(20000):
    print("x" * 100)
    print("y" * 100, file=sys.stderr)
print('{"event": "result", "result": {}}')
"""
    child = run_script(script, log_limit=5000)
    assert child.wait(60).ending is Ending.DONE
    assert len(str(child.log)) < 5200 and str(child.log).startswith("[older lines removed]")


def test_the_environment_is_a_copy(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "kept")
    before = dict(os.environ)
    environment = process.child_environment()
    assert dict(os.environ) == before
    folders = environment["PYTHONPATH"].split(os.pathsep)
    assert folders[1:] == ["kept"]
    assert os.path.isfile(os.path.join(folders[0], "CHMFLPredictorLib", "__main__.py"))


def test_slicers_python_is_preferred(monkeypatch, tmp_path):
    assert process.python_executable() == sys.executable
    python = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    python.write_text("")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert process.python_executable() == str(python)


def test_log_keeps_the_newest():
    log = Log(limit=30)
    for number in range(10):
        log.add(f"line {number}")
    assert log.cut and str(log).splitlines()[-1] == "line 9" and len(str(log)) < 60
    log.add("z" * 1000)
    assert str(log).endswith("z" * 30) and len(str(log)) < 60


@pytest.mark.parametrize("line", ["", "text", "[1]", "{broken", '{"no": "event"}', '{"event": 3}', "{}"])
def test_chatter_is_no_event(line):
    assert parse_event(line) is None
