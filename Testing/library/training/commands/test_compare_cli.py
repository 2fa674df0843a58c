"""``compare`` on Dask with workers and runs that are killed, ``status``, ``predict``, ``export --method``."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from compared_run import FOLDS, child, compare, epoch_of, epochs_run, new_run, numbers, read_json, write_cohort
from conftest import REPOSITORY

pytest.importorskip("distributed", reason="the jobs run on Dask, which is not installed")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """An undisturbed run, one job after the other in one process."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert compare(*new_run(cohort, folder)) == 0
    return folder


def wait_for(condition, program=None, seconds=400):
    """Until the condition holds, however busy the computer is; at once an error if the program ends before."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        assert program is None or program.poll() is None or condition(), program.communicate()[0]
        time.sleep(0.05)


def held_run(cohort, folder, tmp_path, *options):
    """A run as a program of its own whose second job stays in its second epoch as long as the file ``hold`` exists."""
    hold = tmp_path / "hold"
    hold.touch()
    program = child(new_run(cohort, folder, "--option", f"Walk:hold={hold}", *options))
    try:
        wait_for(lambda: epoch_of(folder, 1) == 2, program)
    except BaseException:
        program.kill()
        raise
    return program, hold


def group_members(group: int) -> list[int]:
    """Processes of a group, those apart that have ended and wait to be asked for their exit code."""
    found = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()[1:]]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]


@pytest.mark.slow
def test_killed_worker_is_replaced_and_its_job_goes_on(cohort, run, tmp_path, capsys, monkeypatch):
    """SIGKILL in the third epoch of fold 1, once: the job goes on from its checkpoint in another process, to the same
    numbers. SIGKILL at each start of fold 2: given up and recorded, and the jobs after it are done.
    """
    folder = tmp_path / "run"
    monkeypatch.setattr("CHMFLTrainingLib.run.dask_cluster.DEATHS_ALLOWED", 1)
    assert compare(*new_run(cohort, folder, "--jobs", 1, "--option", "Walk:disturb=kill")) == 1
    assert "worker_killed" in capsys.readouterr().err
    assert epochs_run(folder, 1) == [1, 2, 3, 4, 5]
    lines = (folder / "Walk" / "repeat_0" / "fold_1" / "epochs_run.txt").read_text().splitlines()
    assert len({line.split()[1] for line in lines}) == 2
    error = json.loads((folder / "Walk" / "repeat_0" / "fold_2" / "error.json").read_text())
    assert error["code"] == "worker_killed" and "memory" in error["hint"]
    missing = "Walk/repeat_0/fold_2/predictions.csv"
    assert numbers(folder) == {name: text for name, text in numbers(run).items() if name != missing}


def test_nanny_that_gave_up_is_replaced(monkeypatch):
    """As where a computer is so busy that a new process does not start in time: without it the jobs wait forever."""
    from CHMFLTrainingLib.run import dask_cluster

    monkeypatch.setattr(dask_cluster, "GONE_AFTER_S", 0.5)
    monkeypatch.setattr(dask_cluster, "LOOK_EVERY_S", 0.5)
    with dask_cluster.dask_settings(), dask_cluster.local_workers(1, 1) as workers:
        workers.client.sync(workers.client.cluster.workers[0].close)
        answer = workers.client.submit(sum, [1, 2])
        wait_for(lambda: workers.look_after() or answer.done())
        assert answer.result() == 3


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(cohort, run, tmp_path):
    """The program dies in the second job's epochs: its workers end with it, --resume gives the undisturbed numbers."""
    folder = tmp_path / "run"
    program, hold = held_run(cohort, folder, tmp_path, "--jobs", 1)
    try:
        wait_for((folder / "Walk" / "repeat_0" / "fold_0" / "predictions.csv").exists, program)
        found = json.loads(command("status", folder, "--json"))
        assert found["running"] and (found["finished"], len(found["now"])) == (1, 1)
        assert found["remaining_s"] is not None
        assert (found["now"][0]["fold"], found["now"][0]["epoch"], found["now"][0]["epochs"]) == (1, 2, 5)
        assert compare("compare", "--output", folder, "--resume") == 2  # run_in_use
        program.kill()
        program.wait(400)
        wait_for(lambda: not group_members(program.pid))
    finally:
        program.kill()
        program.stdout.close()
    hold.unlink()
    finished = folder / "Walk" / "repeat_0" / "fold_0" / "predictions.csv"
    before = finished.stat().st_mtime_ns
    assert not (folder / "Walk" / "repeat_0" / "fold_1" / "predictions.csv").exists()
    assert compare("compare", "--output", folder, "--resume", "--no-report", "--jobs", 0) == 0
    assert numbers(folder) == numbers(run) and finished.stat().st_mtime_ns == before
    assert epochs_run(folder, 1) == [1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGTERM, 0)])
def test_stopped_run_ends_cleanly_and_keeps_what_is_finished(cohort, run, tmp_path, number, jobs):
    """Ctrl-C goes to the whole process group, a batch system's SIGTERM to the program."""
    folder = tmp_path / "run"
    program, _ = held_run(cohort, folder, tmp_path, "--jobs", jobs)
    try:
        if number == signal.SIGINT:
            os.killpg(program.pid, number)
        else:
            program.send_signal(number)
        said, _ = program.communicate(timeout=400)
    finally:
        program.kill()
    assert program.returncode == 3, said
    assert "--resume" in said and "Traceback" not in said, said
    wait_for(lambda: not group_members(program.pid))
    name = "Walk/repeat_0/fold_0/predictions.csv"
    assert numbers(folder) == {name: numbers(run)[name]}
    assert not list(folder.rglob(".*"))  # neither locks nor half-written files
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["finished"], summary["failed"]) == (1, 0)
    assert "not running" in command("status", folder)


def command(*arguments) -> str:
    """What a command prints, in a program of its own."""
    program = child(arguments)
    said, _ = program.communicate(timeout=400)
    assert program.returncode == 0, said
    return said


@pytest.fixture
def scheduler(tmp_path):
    """A Dask scheduler and one worker as a lab would start them; gives its address."""
    paths = [str(REPOSITORY / "CHMFLPredictor"), str(REPOSITORY / "CHMFLTraining")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    address = tmp_path / "scheduler.json"
    own = ["--scheduler-file", str(address)]
    options = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = "import sys; from distributed.cli.dask_{0} import main; main(sys.argv[1:])"
    ports = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    commands = ([sys.executable, "-c", start.format("scheduler"), *own, *ports],)
    commands += ([sys.executable, "-c", start.format("worker"), *own, "--nthreads", "1", "--no-nanny"],)
    running = []
    try:
        for one in commands:
            running.append(subprocess.Popen([*one, *(["--no-dashboard"] if "worker" in one[2] else [])], **options))
            wait_for(lambda: read_json(address), running[-1])
        yield read_json(address)["address"]
    finally:
        for program in reversed(running):
            program.kill()
        for program in running:
            program.wait(400)


@pytest.mark.slow
def test_any_scheduler_by_its_address(cohort, run, tmp_path, scheduler):
    assert compare(*new_run(cohort, tmp_path / "run", "--scheduler", scheduler)) == 0
    assert numbers(tmp_path / "run") == numbers(run)


def test_scheduler_that_is_not_there(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("CHMFLTrainingLib.run.dask_cluster._CONNECT_S", 1)
    assert compare(*new_run(cohort, tmp_path / "run", "--scheduler", "tcp://127.0.0.1:9")) == 2
    assert "scheduler_unreachable" in capsys.readouterr().err


def test_job_that_nobody_wants_any_more_stops(cohort, tmp_path):
    """A worker elsewhere whose program is gone: the run has another token, so the job ends and leaves no result."""
    from CHMFLTrainingLib.run.jobs import run_job
    from CHMFLTrainingLib.run.owner import RunOwner
    from CHMFLTrainingLib.run.run import Comparison

    assert compare(*new_run(cohort, tmp_path / "run", "--methods", "Uptake sum")) == 0
    Comparison(tmp_path / "run").extended(["Walk"], None)
    with RunOwner(tmp_path / "run") as owner:
        assert run_job(str(tmp_path / "run"), "Walk", 0, 0, "of a program that was killed")["state"] == "canceled"
        assert run_job(str(tmp_path / "run"), "Walk", 0, 1, owner.token)["state"] == "finished"
    assert sorted(numbers(tmp_path / "run"))[-1] == "Walk/repeat_0/fold_1/predictions.csv"


def test_status_tells_of_failures(cohort, tmp_path, capsys):
    assert compare(*new_run(cohort, tmp_path / "run", "--option", "Walk:disturb=refuse")) == 2
    capsys.readouterr()
    assert compare("status", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "5 of 6 jobs finished, not running" in said
    assert "failed: Walk, repeat 0, fold 1: This fold is refused. (planted_refusal) Do something else." in said


def test_predict_is_the_mean_of_the_folds(cohort, run, capsys, tmp_path):
    """A patient of the cohort: the model that did not train on it says what its predictions.csv says."""
    with open(cohort / "cohort.csv") as stream:
        name, pet, ct, mask = stream.read().splitlines()[1].split(",")[:4]
    files = ("--pet", pet, "--ct", ct, "--mask", mask)
    assert compare("predict", run, "--method", "walk", *files, "--output", tmp_path / "p.json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "p.json").read_text())
    fold = next(f for f in range(FOLDS) if name in numbers(run)[f"Walk/repeat_0/fold_{f}/predictions.csv"])
    table = numbers(run)[f"Walk/repeat_0/fold_{fold}/predictions.csv"].splitlines()
    stated = next(line for line in table if line.startswith(name))
    assert repr(found["models"][fold]["risk"]) == stated.split(",")[4]
    assert found["risk"] == pytest.approx(sum(one["risk"] for one in found["models"]) / FOLDS)
    assert found["trained_on"] == [f"repeat 0, fold {f}" for f in range(FOLDS) if f != fold]


def test_predict_without_a_mask_finds_the_place(phantom, run, capsys):
    files = ("--pet", phantom / "PET.nii.gz", "--ct", phantom / "CT.nii.gz")
    assert compare("predict", run, "--method", "Uptake sum", *files) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["found_by"] == "automatic" and 0 <= found["risk"] <= 1
    assert compare("predict", run, "--method", "Walk", *files) == 2
    assert "input_needed" in capsys.readouterr().err
    assert compare("predict", run, "--method", "all", *files) == 2
    assert "method_not_compared" in capsys.readouterr().err


def test_only_chmfl_is_exported(run, tmp_path, capsys):
    assert compare("export", run, "--method", "Walk", "--output", tmp_path / "bundle") == 2
    assert "export_method" in capsys.readouterr().err
    assert compare("export", run, "--method", "CHMFL", "--output", tmp_path / "bundle") == 2
    assert "method_not_compared" in capsys.readouterr().err and not (tmp_path / "bundle").exists()
