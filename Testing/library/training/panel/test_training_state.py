"""The panel's training without its panel: states, command line, what the watcher says, known runs."""

import csv
import json
import os
import re
import subprocess
import sys

import pytest
from CHMFLTrainingLib.cohort.findings import together
from CHMFLTrainingLib.commands.cli import make_parser
from CHMFLTrainingLib.panel.plan import PAPER_METHODS, Choices, new_run, resumed_run
from CHMFLTrainingLib.panel.state import Phase, TrainingState
from CHMFLTrainingLib.run import known
from CHMFLTrainingLib.run import watch as run_watch
from CHMFLTrainingLib.run.process import RunEnding
from compared_run import METHODS, child, compare, write_cohort
from compared_run import new_run as whole_run
from conftest import REPOSITORY

COUNTS = {"finished": 1, "running": 1, "waiting": 2, "failed": 0, "damaged": []}
STATUS = {"event": "status", "jobs": 4, **COUNTS, "now": [{"epoch": 5, "epochs": 10}], "errors": [], "grid": []}
DONE = {**STATUS, "finished": 4, "now": []}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two methods on three folds."""
    folder = tmp_path_factory.mktemp("panel")
    write_cohort(folder)
    assert compare(*whole_run(folder, folder / "run_1")) == 0
    return folder / "run_1"


# The state ---------------------------------------------------------------------------------------------------------


def test_from_check_to_finish():
    state = TrainingState()
    state.check()
    assert state.phase is Phase.CHECKING and not state.busy
    state.checked(True)
    assert state.phase is Phase.READY
    state.run()
    state.take(STATUS)
    assert state.busy and state.jobs == (1, 4) and state.fraction == pytest.approx(1.5 / 4)
    state.take(DONE)
    assert state.complete and state.fraction == 1.0 and state.busy  # its report may still be written
    state.end(RunEnding("finished"))
    assert state.phase is Phase.FINISHED


@pytest.mark.parametrize(("stop", "kind", "phase"), [(False, "stopped", "paused"), (True, "finished", "finished")])
def test_pause_and_stop(stop, kind, phase):
    state = TrainingState()
    state.run()
    state.leave(stop)
    assert state.phase is Phase.STOPPING and state.busy
    state.end(RunEnding(kind))
    assert state.phase == phase and state.stop is stop
    state.run()
    assert state.phase is Phase.RUNNING and not state.stop and state.ending is None


def test_failure_keeps_its_words_until_the_next_attempt():
    state = TrainingState()
    state.run()
    ending = RunEnding("failed", "run_killed", "Killed.", "Click Resume.")
    state.end(ending)
    row = ["TLG", 0, 1]
    state.take({**STATUS, "grid": [[*row, "running", "5/10"]]})  # what the watcher says for a while afterwards
    assert state.grid == [[*row, "waiting", ""]]
    assert state.phase is Phase.FAILED and state.ending is ending
    state.run()
    assert state.ending is None


def test_what_cannot_follow_is_refused():
    state = TrainingState()
    for call in (lambda: state.leave(True), lambda: state.end(RunEnding("finished")), lambda: state.checked(True)):
        with pytest.raises(RuntimeError):
            call()
    state.run()
    with pytest.raises(RuntimeError):
        state.check()


def test_run_found_on_disk_shows_as_its_files_say():
    state = TrainingState()
    state.open("a")
    state.take(STATUS)
    assert state.phase is Phase.PAUSED
    state.check()
    state.take(STATUS)
    assert state.phase is Phase.CHECKING
    state.checked(True)
    assert state.phase is Phase.PAUSED  # a checked cohort does not hide the run
    state.take({"event": "problem", "code": "run_damaged", "message": "m", "hint": "h"})
    state.open("b")
    assert state.status is None and state.problem == ("", "", "") and state.phase is Phase.NOTHING
    state.take(DONE)
    assert state.phase is Phase.FINISHED


# The command line --------------------------------------------------------------------------------------------------


def parsed(arguments):
    """The arguments as the command line understands them."""
    return make_parser().parse_args([str(argument) for argument in arguments])


def test_paper_protocol_on_the_command_line():
    methods = dict.fromkeys(PAPER_METHODS, "Table I")
    choices = Choices("c.csv", "run", methods, epochs=200, learning_rate=1e-4)
    asked = parsed(new_run(choices))
    assert asked.methods.split(",") == list(PAPER_METHODS) and asked.preset == "paper" and asked.repeats == 1
    assert asked.option == ["epochs=200", "learning_rate=0.0001"]  # w is the preset's
    assert asked.folds is None and asked.progress == "json" and not asked.resume


def test_weight_goes_to_those_who_have_none_of_their_own():
    methods = {"CHMFL": "Table I", "CHMFL (w = 0.25)": "Figure 5", "TLG": "baseline", "CHMFL + GN_c4": "Table SIII"}
    asked = parsed(new_run(Choices("c.csv", "run", methods, w=0.3, preset="compact")))
    assert asked.option == ["CHMFL:w=0.3", "CHMFL + GN_c4:w=0.3"]


def test_other_folds_are_drawn_for_every_repeat(tmp_path):
    cohort = write_cohort(tmp_path) / "cohort.csv"
    asked = parsed(new_run(Choices(str(cohort), str(tmp_path / "new"), {"TLG": "baseline"}, fold_count=4, repeats=2)))
    with open(asked.folds) as stream:
        rows = list(csv.DictReader(stream))
    assert {row["repeat"] for row in rows} == {"0", "1"} and {row["fold"] for row in rows} == {"0", "1", "2", "3"}
    folds = [[row["fold"] for row in rows if row["repeat"] == repeat] for repeat in "01"]
    assert len(folds[0]) == 12 and folds[0] != folds[1]


def test_where_it_runs():
    choices = Choices("c.csv", "run", {"TLG": "baseline"}, "f.csv", 9, device="cuda", scheduler="tcp://a:1", jobs=3)
    asked = parsed(new_run(choices))
    assert (asked.device, asked.scheduler, asked.jobs, str(asked.folds)) == ("cuda", "tcp://a:1", 3, "f.csv")
    asked = parsed(resumed_run("run", "tcp://b:2", 0))
    assert asked.resume and asked.scheduler == "tcp://b:2" and asked.jobs is None and asked.cohort is None


# The watcher -------------------------------------------------------------------------------------------------------


def test_watcher_says_what_is_new_and_no_more(run):
    said = []
    watch = run_watch.RunWatch(run, said.append)
    watch.look()
    events = [event["event"] for event in said]
    assert events.count("status") == 1 and events.count("curves") == 2 and events.count("results") == 1
    said = [json.loads(json.dumps(event, default=float)) for event in said]  # as it comes through the pipe
    status = next(event for event in said if event["event"] == "status")
    assert len(status["grid"]) == 6 and {row[3] for row in status["grid"]} == {"finished"} and not status["running"]
    walk = next(event for event in said if event.get("method") == "Walk")
    curves = run_watch.curves_of(walk)
    assert [curve.fold for curve in curves] == [0, 1, 2] and curves[0].loss.shape == curves[0].epochs.shape == (5,)
    results = next(event for event in said if event["event"] == "results")
    assert [row["method"] for row in results["rows"]] == METHODS.split(",")
    fpr, tpr, area, count = run_watch.rocs_of(results)["Walk"]
    assert fpr[0] == tpr[0] == 0 and fpr[-1] == tpr[-1] == 1 and 0 <= area <= 1 and count == 12
    said.clear()
    watch._say = said.append
    watch.look()
    assert not said


def test_watcher_waits_for_the_run_and_tells_of_damage(tmp_path, run):
    said = []
    watch = run_watch.RunWatch(tmp_path, said.append)
    watch.look()
    assert not said
    (tmp_path / "config.json").write_text("{")
    watch.look()
    watch.look()
    assert [(event["event"], event["code"]) for event in said] == [("problem", "run_damaged")]
    for name in ("config.json", "folds.csv", "cohort.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    watch.look()
    assert said[1] == {"event": "problem", "code": "", "message": "", "hint": ""}
    assert {row[3] for row in said[2]["grid"]} == {"waiting"}


def test_watcher_tells_what_each_job_does(run, tmp_path):
    import shutil

    from CHMFLTrainingLib.run.owner import RunOwner

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    jobs = [folder / "Walk" / "repeat_0" / f"fold_{fold}" for fold in range(3)]
    (jobs[0] / "predictions.csv").write_text("nothing")
    for job in jobs[1:]:
        (job / "predictions.csv").unlink()
    error = {"code": "output_full", "message": "Full.", "hint": "Free some.", "exit_code": 2}
    (jobs[1] / "error.json").write_text(json.dumps(error))
    said = []
    with RunOwner(folder) as owner:
        (jobs[2] / "progress.json").write_text(json.dumps({"token": owner.token, "epoch": 2, "epochs": 5}))
        run_watch.RunWatch(folder, said.append).look()
    grid = [row[2:] for row in said[0]["grid"] if row[0] == "Walk"]
    assert grid == [[0, "damaged", ""], [1, "failed", "Full. (output_full) Free some."], [2, "running", "2/5"]]
    assert said[0]["running"] is True


# Runs and tasks ----------------------------------------------------------------------------------------------------


def test_known_runs_in_brief(run, tmp_path):
    found = known.look_at(str(run))
    assert (found["finished"], found["jobs"], found["running"], found["problem"]) == (6, 6, False, "")
    assert known.look_at(str(tmp_path / "gone"))["problem"] and known.look_at(str(tmp_path))["problem"]
    assert known.free_folder(str(run.parent)) == str(run.parent / "run_2")
    assert known.same_folder(f"{run}/.", str(run)) and not known.same_folder("", str(run))


def task(capsys, *arguments):
    """What a command of the panel's child says: its code, the events before the last, and the last."""
    code = compare(*arguments, "--progress", "json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, lines[:-1], lines[-1]


def check(capsys, cohort, *options):
    """Code, steps, what was found, and the last event of ``cohort check``."""
    code, events, last = task(capsys, "cohort", "check", cohort, "--preset", "smoke", *options)
    return code, events[:-1], events[-1], last


def test_cohort_is_checked(run, capsys, tmp_path):
    cohort = run.parent / "cohort.csv"
    code, steps, found, result = check(capsys, cohort, "--fold-count", 3)
    assert code == 0 and [step["event"] for step in steps] == ["progress"] * 12 and steps[0]["of"] == 12
    assert [step["fraction"] for step in steps] == sorted(step["fraction"] for step in steps)
    assert found["event"] == "findings" and found["cohort"] == result["cohort"] == str(cohort)
    assert found["usable"] == 12 and found["counts"]["error"] == 0 and result["event"] == "result"
    assert {patient["label"] for patient in found["patients"]} == {0, 1}
    assert all(os.path.exists(patient["files"]["pet"]) for patient in found["patients"])
    broken = tmp_path / "broken.csv"
    broken.write_text(cohort.read_text().replace("P00_pet.nii", "absent.nii"))
    code, _, found, error = check(capsys, broken)
    assert (code, error["event"], error["code"], error["exit_code"]) == (2, "error", "cohort_findings", 2)
    assert found["counts"]["error"] > 0 and found["findings"][0]["severity"] == "error"
    one_modality = tmp_path / "pet_alone.csv"
    one_modality.write_text(re.sub(r"[^,]*P00_ct\.nii", "", cohort.read_text()))
    counts = [
        check(capsys, one_modality, "--methods", names)[2]["counts"]["error"]
        for names in ("", "2D-CNN-PET", "2D-CNN-PET,CHMFL")
    ]
    assert counts == [0, 0, 1]
    code, _, error = task(capsys, "cohort", "check", tmp_path / "absent.csv")
    assert code == 2 and error["code"] == "cohort_unreadable" and error["hint"]


def test_findings_of_making_and_of_checking_are_shown_together():
    def finding(severity, name):
        return {"severity": severity, "patient_id": name, "code": "c", "text": "t", "hint": "", "line": None}

    made = {"cohort": "made.csv", "findings": [finding("error", "A"), finding("note", "B")]}
    found = together([made, {"cohort": "made.csv", "usable": 1, "findings": [finding("warning", "B")]}])
    assert [one["severity"] for one in found["findings"]] == ["error", "warning", "note"]
    assert found["counts"] == {"error": 1, "warning": 1, "note": 1} and found["usable"] == 1


def test_runs_side_by_side(run, capsys):
    code, _, result = task(capsys, "metrics", run, run)
    assert code == 0 and [row["run"] for row in result["rows"]] == ["run_1"] * 4
    assert task(capsys, "metrics", run, run.parent)[2]["code"] == "run_missing"
    assert compare("metrics", run) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and said[1].split()[:2] == ["run_1", "Walk"] and f"{result['rows'][0]['auc']:.3f}" in said[1]


def test_every_command_ends_with_one_event_and_its_code(run, capsys, tmp_path):
    for arguments, code in (
        (("status", run), 0),
        (("methods",), 0),
        (("report", tmp_path), "run_missing"),
        (("export", run, "--output", tmp_path / "bundle"), "method_not_compared"),
        (("predict", run, "--method", "TLG"), "method_not_compared"),
        (("cohort",), "command_line"),
        (("compare", "--output", tmp_path, "--colour", "red"), "command_line"),
        (("cohort", "check", run / "cohort.csv", "--table", tmp_path), "file_unusable"),
    ):
        exit_code, _, last = task(capsys, *arguments)
        if code == 0:
            assert exit_code == 0 and last["event"] == "result", arguments
        else:
            assert (exit_code, last["event"], last["code"], last["exit_code"]) == (2, "error", code, 2), arguments
            assert last["message"] and last["hint"]


def test_watch_tells_a_program_and_ends_with_it(run):
    watched = child(["status", run, "--watch", "--progress", "json"], stderr=subprocess.DEVNULL)
    try:
        first = json.loads(watched.stdout.readline())
        assert first["event"] == "status" and first["finished"] == 6
        watched.stdout.close()
        assert watched.wait(60) == 3
    finally:
        watched.kill()


ABSENT = ("torch", "dask", "distributed", "sklearn", "mirp", "monai", "matplotlib", "safetensors", "pydicom", "PIL")
LISTING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from CHMFLTrainingLib.commands import cli
sys.exit(cli.main(["methods", "--progress", "json"]))
"""


def test_methods_are_listed_where_nothing_is_installed():
    """What training needs is asked for when it starts; before, a panel shows every method."""
    paths = [str(REPOSITORY / "CHMFLPredictor"), str(REPOSITORY / "CHMFLTraining")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", LISTING.format(names=ABSENT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    methods = {one["name"]: one for one in json.loads(done.stdout)["methods"]}
    assert set(PAPER_METHODS) <= set(methods) and methods["CHMFL"]["paper"]["auc"] == 0.873
    assert all(one["source"] and one["open"] and one["needs"] for one in methods.values())
