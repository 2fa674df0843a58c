"""A small cohort, two tiny methods of the test's own, and the command line on them."""

import csv
import json
import os
import sys
from pathlib import Path

from CHMFLTrainingLib.cohort.planted import planted_cases
from conftest import REPOSITORY

PATIENTS, FOLDS, EPOCHS = 12, 3, 5
METHODS = "Walk,Uptake sum"
# As a user would add them: a file each in a folder, given with --methods-folder.
WALK = '''
"""A random walk towards the patients' mean uptake: an epoch a step, a checkpoint after each, noise of three kinds."""
import json, os, signal, time
from pathlib import Path
import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_json
from CHMFLTrainingLib.methods.base import Method


def mean_suv(case):
    pet, mask = (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (case.paths.pet, case.paths.mask))
    return np.array([float(pet[mask > 0].mean())])


class Walk(Method):
    NAME = "Walk"
    OPTIONS = frozenset({"disturb", "hold", "step"})
    NEEDS = frozenset({"pet", "mask"})

    def prepare(self, case):
        case.features("mean_suv", mean_suv)

    def fit(self, cases, folder, on_progress=None):
        options, path = self.settings.options, Path(folder) / "checkpoint_latest.json"
        values = [float(case.features("mean_suv", mean_suv)[0]) for case in cases]
        state = {"epoch": 0, "place": 0.0}
        if path.exists():
            try:
                state = json.loads(path.read_text())
            except ValueError as error:
                raise BadInput("checkpoint_damaged", f"The checkpoint {path} cannot be read.", "Delete it.") from error
        if options.get("disturb") == "kill" and Path(folder).name == "fold_2":
            os.kill(os.getpid(), signal.SIGKILL)
        while state["epoch"] < EPOCHS:
            random = self.settings.random(state["epoch"])
            state["place"] += (np.mean(values) - state["place"]) * random.uniform(0.3, 0.7)
            state["epoch"] += 1
            write_json(path, state)
            with open(Path(folder) / "epochs_run.txt", "a") as log:
                print(state["epoch"], os.getpid(), file=log)
            row = {"epoch": state["epoch"], "epochs": EPOCHS, "loss": abs(np.mean(values) - state["place"])}
            on_progress(row)
            if Path(folder).name == "fold_1" and state["epoch"] == 2 and Path(options.get("hold", "none")).exists():
                time.sleep(1.1)  # longer than between two rows of the progress: this one is told for certain
                on_progress(row)
                while Path(options["hold"]).exists():  # without writing anything: it may be killed now
                    time.sleep(0.05)
            self._disturb(state["epoch"], Path(folder))
        self.place, self.jitter = state["place"], float(np.random.uniform())

    def _disturb(self, epoch, folder):
        wanted, marker = self.settings.options.get("disturb"), folder / "disturbed"
        if epoch != 3 or folder.name != "fold_1" or not wanted:
            return
        if wanted == "kill" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if wanted == "defect":
            raise ZeroDivisionError("planted defect")
        if wanted == "refuse":
            raise BadInput("planted_refusal", "This fold is refused.", "Do something else.")
        if wanted == "full":
            raise OSError(28, "No space left on device")
        if wanted == "memory":
            raise MemoryError

    def predict(self, cases):
        values = np.array([case.features("mean_suv", mean_suv)[0] for case in cases])
        return 1 / (1 + np.exp(self.place - values - 0.01 * self.jitter))

    def state(self, folder):
        return {"place": self.place, "jitter": self.jitter}

    def restore(self, state, folder):
        self.place, self.jitter = state["place"], state["jitter"]
'''.replace("EPOCHS", str(EPOCHS))
UPTAKE_SUM = '''
"""No mask, nothing learned but the middle; segments by a threshold."""
import numpy as np
import SimpleITK as sitk
from CHMFLPredictorLib.network.preprocessing import Preprocessing
from CHMFLTrainingLib.methods.base import Method
from CHMFLTrainingLib.cohort.crops import MARGIN


class UptakeSum(Method):
    NAME = "Uptake sum"
    NEEDS = frozenset({"pet", "ct"})
    preprocessing = Preprocessing(6.0, (16, 16, 16))

    def _sums(self, cases):
        return np.array([np.log1p(case.crop(self.preprocessing).suv.astype(float).clip(0).sum()) for case in cases])

    def fit(self, cases, folder, on_progress=None):
        self.middle = float(np.median(self._sums(cases)))

    def predict(self, cases):
        return 1 / (1 + np.exp(self.middle - self._sums(cases)))

    def segment(self, case):
        return (case.crop(self.preprocessing).suv[(slice(MARGIN, -MARGIN),) * 3] > 2).astype(np.uint8)

    def embedding(self, cases):
        suv = [case.crop(self.preprocessing).suv.astype(float) for case in cases]
        return np.array([[one.mean(), one.std(), one.max()] for one in suv])

    def relevance(self, case):
        suv = case.crop(self.preprocessing).suv[(slice(MARGIN, -MARGIN),) * 3].astype(np.float32)
        return suv / suv.max()

    def state(self, folder):
        return {"middle": self.middle}

    def restore(self, state, folder):
        self.middle = state["middle"]
'''


def write_cohort(folder: Path) -> Path:
    """Write cohort.csv, folds.csv (two repeats of three folds) and methods/; return the folder."""
    cases = planted_cases(PATIENTS, True, 0, folder)
    rows = [[case.patient_id, *case.paths, case.label, case.time, case.event, case.clinical["age"]] for case in cases]
    order = {label: [case.patient_id for case in cases if case.label == label] for label in (0, 1)}
    folds = [
        [repeat, name, (position + repeat * position // FOLDS) % FOLDS]
        for repeat in (0, 1)
        for label in (0, 1)
        for position, name in enumerate(order[label])
    ]
    for name, header, content in (
        ("cohort.csv", ["patient_id", "pet", "ct", "mask", "label", "time", "event", "age"], rows),
        ("folds.csv", ["repeat", "patient_id", "fold"], folds),
    ):
        with open(folder / name, "w", newline="") as stream:
            csv.writer(stream).writerows([header, *content])
    (folder / "methods").mkdir()
    for name, text in (("walk_of_the_test", WALK), ("uptake_sum_of_the_test", UPTAKE_SUM)):
        (folder / "methods" / f"{name}.py").write_text(text)
    return folder


def new_run(cohort: Path, run: Path, *options) -> list[str]:
    """The arguments of a new run of both methods, one job after the other in this process unless told otherwise."""
    files = ["--cohort", cohort / "cohort.csv", "--folds", cohort / "folds.csv", "--methods-folder", cohort / "methods"]
    fixed = ["--methods", METHODS, "--preset", "smoke", "--device", "cpu", "--threads", 1, "--output", run]
    fixed.append("--no-report")
    chosen = options if "--jobs" in options or "--scheduler" in options else (*options, "--jobs", 0)
    return ["compare", *map(str, (*files, *fixed, *chosen))]


def compare(*arguments) -> int:
    """Run the command line in this process."""
    from CHMFLTrainingLib.commands import cli

    return cli.main([str(argument) for argument in arguments])


def child(arguments, **options):
    """The command line as a program of its own, in a process group of its own."""
    import subprocess

    paths = [str(REPOSITORY / "CHMFLPredictor"), str(REPOSITORY / "CHMFLTraining")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "CHMFLTrainingLib", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


def numbers(run: Path) -> dict[str, str]:
    """All that the run's jobs predicted, bit for bit: file to text."""
    files = sorted(run.glob("*/repeat_*/fold_*/predictions.csv"))
    return {str(path.relative_to(run)): path.read_text() for path in files}


def epochs_run(run: Path, fold: int, repeat: int = 0) -> list[int]:
    """The epochs that the walk took in one fold, over all attempts."""
    text = (run / "Walk" / f"repeat_{repeat}" / f"fold_{fold}" / "epochs_run.txt").read_text()
    return [int(line.split()[0]) for line in text.splitlines()]


def read_json(path: Path) -> dict | None:
    """A file that another program writes; None while it is absent or not whole."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def epoch_of(run: Path, fold: int, repeat: int = 0) -> int | None:
    """The epoch that the walk says to be in; None while it says nothing."""
    return (read_json(run / "Walk" / f"repeat_{repeat}" / f"fold_{fold}" / "progress.json") or {}).get("epoch")


def written_run(folder: Path, cohort: Path, methods: list[str], folds: Path | None = None, epochs: int = 0):
    """A finished run of installed methods without any training: risks that know the label a little, for the report.

    :param epochs: length of each job's history; 0: none.
    """
    import numpy as np
    from CHMFLPredictorLib.files import write_bytes, write_csv
    from CHMFLTrainingLib.run.run import COLUMNS, Comparison, Plan

    run = Comparison.create(folder, cohort, folds, Plan(methods, preset="smoke", device="cpu"))
    for job in run.jobs:
        random = np.random.default_rng([run.plan.methods.index(job.method), job.fold])
        place, rows = run.job_folder(job), []
        for name in run.held_out(job):
            label = run.patients[name].label
            risk = 1 / (1 + np.exp(-random.normal(1.6 * (label - 0.5), 1.0)))
            rows.append([name, job.repeat, job.fold, label, repr(float(risk)), 0.5, ""])
        if epochs:
            losses = [[epoch, 1 / epoch + random.uniform(0, 0.1), 1.0] for epoch in range(1, epochs + 1)]
            write_csv(place / "history.csv", ["epoch", "loss", "seconds"], losses)
        write_bytes(place / "model" / "method.json", b"{}")
        write_csv(place / "predictions.csv", COLUMNS, rows)
    return run
