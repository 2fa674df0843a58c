"""Stopped at any moment, a run leaves nothing behind, quickly, even from deep inside a native library."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from CHMFLPredictorLib.events import STAGES
from CHMFLPredictorLib.predict.output_folder import LOCK_FILE, OutputFolder
from conftest import REPOSITORY
from small_patient import predict_arguments, run, small  # noqa: F401

LIBRARY = REPOSITORY / "CHMFLPredictor"
# What each stage calls; the child sleeps there like a library that does not look at signals.
CALLS = {
    "read": "reading.volumes:read_pair",
    "locate": "tumor.location:find",
    "preprocess": "predict.prediction:prepare",
    "model": "model.bundle:Bundle.networks",
    "risk": "predict.prediction:calibrated_risk",
    "segmentation": "predict.prediction:segment",
    "relevance": "network.relevance:relevance_map",
    "write": "report.pictures:slices_picture",
}
CODE = """
import importlib, sys, time
import CHMFLPredictorLib.__main__ as program
module, _, name = sys.argv.pop(1).partition(":")
owner = importlib.import_module("CHMFLPredictorLib." + module)
while "." in name:
    part, _, name = name.partition(".")
    owner = getattr(owner, part)
def sleep(*arguments, **options):
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(300)
setattr(owner, name, sleep)
program.run()
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


class Child:
    """The program, asleep in one stage."""

    def __init__(self, call: str, arguments: list[str]):
        environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", CODE, call, *arguments, "--progress", "json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self.errors = queue.Queue()
        threading.Thread(target=self._hear, daemon=True).start()
        heard = []
        try:
            while "asleep\n" not in heard:
                heard.append(self.errors.get(timeout=100))
                if heard[-1] is None:
                    raise queue.Empty
        except queue.Empty:
            self.process.kill()
            pytest.fail(f"the child never got to {call}: {heard}")

    def _hear(self) -> None:
        for line in self.process.stderr:
            self.errors.put(line)
        self.errors.put(None)

    def end(self) -> tuple[int, float]:
        """Wait for the end; return the exit code and how long it took."""
        begin = time.monotonic()
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
        return code, time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(STAGES))
def test_interrupted_at_every_stage(small, tiny_bundle, tmp_path, stage):  # noqa: F811
    child = Child(CALLS[stage], predict_arguments(small, tiny_bundle, tmp_path / "new" / "out"))
    assert any(path.name.startswith(".chmfl") for path in (tmp_path / "new" / "out").iterdir())
    os.kill(child.process.pid, signal.SIGTERM if stage in ("locate", "write") else signal.SIGINT)
    code, seconds = child.end()
    events = [json.loads(line) for line in child.process.stdout.read().splitlines()]
    assert code == 3 and events[-1]["code"] == "canceled"
    assert seconds < 20  # about one on an idle computer
    assert list(tmp_path.iterdir()) == []
    assert ("risk" in [e["event"] for e in events]) == (list(STAGES).index(stage) > list(STAGES).index("risk"))


@pytest.mark.slow
def test_parent_that_vanishes_ends_the_child(small, tiny_bundle, tmp_path):  # noqa: F811
    child = Child(CALLS["preprocess"], predict_arguments(small, tiny_bundle, tmp_path / "out"))
    child.process.stdout.close()
    assert child.end()[0] == 3
    assert not (tmp_path / "out").exists()


def test_interrupt_while_the_libraries_load(tmp_path):
    code = (
        "import os, signal, CHMFLPredictorLib.__main__ as p; p._install(); os.kill(os.getpid(), signal.SIGINT); p.run()"
    )
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    arguments = ["predict", "--pet", "a", "--ct", "b", "--output", str(tmp_path / "out"), "--progress", "json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr  # 2: the missing files may be noticed first
    assert not (tmp_path / "out").exists()


def test_killed_run_is_swept_up_and_its_lock_taken_over(small, tiny_bundle, tmp_path, capsys):  # noqa: F811
    arguments = predict_arguments(small, tiny_bundle, tmp_path / "out")
    child = Child(CALLS["preprocess"], arguments)
    busy, events = run(capsys, *arguments)
    assert busy == 2 and events[-1]["code"] == "output_in_use"
    assert f"process {child.process.pid}" in events[-1]["message"]
    child.process.send_signal(signal.SIGKILL)
    child.end()
    assert (tmp_path / "out" / LOCK_FILE).exists()
    assert run(capsys, *arguments, "--risk-only")[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "result.json"]


def test_two_runs_in_one_process_keep_out_of_each_other(tmp_path):
    from CHMFLPredictorLib.errors import BadInput

    with OutputFolder(tmp_path / "out") as first:
        first.path("result.json").write_text("{}")
        with pytest.raises(BadInput, match="Another prediction"):
            OutputFolder(tmp_path / "out").__enter__()
        first.commit()
    with OutputFolder(tmp_path / "out") as third:
        assert third.folder == tmp_path / "out"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["result.json"]


def test_many_runs_at_once_one_wins(tmp_path):
    """Hammer the lock from many threads: never two inside, never an error but output_in_use."""
    from CHMFLPredictorLib.errors import BadInput

    inside, most, wrong, entered = [], [], [], []

    def visit():
        mine, until = 0, time.monotonic() + 60
        while mine < 5 and time.monotonic() < until:
            try:
                with OutputFolder(tmp_path) as folder:
                    inside.append(folder)
                    most.append(len(inside))
                    mine += 1
                    inside.remove(folder)
            except BadInput as error:
                if error.code != "output_in_use":
                    wrong.append(error)
            time.sleep(0.001)
        entered.append(mine)

    threads = [threading.Thread(target=visit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and max(most) == 1 and entered == [5] * 6
    assert list(tmp_path.iterdir()) == []


def test_cancel_while_the_folder_is_being_made_leaves_nothing(tmp_path, monkeypatch):
    from CHMFLPredictorLib.errors import Canceled
    from CHMFLPredictorLib.predict import output_folder

    stopped, real = threading.Event(), output_folder._lock

    def canceled_meanwhile(path):
        descriptor = real(path)
        stopped.set()
        ending.start()
        ending.join(0.2)  # it waits until the folder is complete
        return descriptor

    ending = threading.Thread(target=output_folder.discard_all)
    monkeypatch.setattr(output_folder, "_lock", canceled_meanwhile)
    with OutputFolder(tmp_path / "new" / "out", stopped.is_set) as folder:
        ending.join()
        with pytest.raises(Canceled):
            folder.path("result.json")
    with pytest.raises(Canceled):
        OutputFolder(tmp_path / "new" / "out", stopped.is_set).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_failed_move_puts_everything_back(tmp_path, monkeypatch):
    from CHMFLPredictorLib.errors import BadInput

    for name in ("result.json", "report.html", "relevance.nii.gz"):
        (tmp_path / name).write_text(f"old {name}")
    real, calls = os.replace, []

    def failing(source, target):
        if Path(source).parent != tmp_path and Path(target).name == "report.html" and not calls:
            calls.append(1)
            raise OSError(5, "Input/output error")
        real(source, target)

    with OutputFolder(tmp_path) as folder:
        for name in ("result.json", "report.html"):
            folder.path(name).write_text("new")
        monkeypatch.setattr(os, "replace", failing)
        with pytest.raises(BadInput, match="cannot be written"):
            folder.commit()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        name: f"old {name}" for name in ("result.json", "report.html", "relevance.nii.gz")
    }
