"""A comparison on disk: every method on the same folds, after nnU-Net's habit of one folder a run.

``RUN/config.json``, ``RUN/cohort.csv``, ``RUN/folds.csv``, ``RUN/cache/``, ``RUN/summary.json``, and one folder a job,
``RUN/<slug>/repeat_r/fold_k/{predictions.csv, history.csv, log.txt, job.json, model/}``, with ``error.json`` where a
job failed. A job is a method, a repeat and a fold. ``predictions.csv`` is written last: a job that has it is finished
and is never computed again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import csv_bytes, write_bytes, write_csv, write_json

from ..cohort.cohort import about_cohort, read_cohort, write_cohort
from ..cohort.folds import draw_folds, read_folds
from .options import OF_ALL, check_options, options_of_new
from .results import Job, RunFolder

if TYPE_CHECKING:
    from ..cohort.cases import Case
    from ..cohort.cohort import Patient
    from ..methods.base import Method
    from ..training.settings import Settings

KIND, SCHEMA_VERSION = "comparison", 2
DRAWN_FOLDS = 6  # the paper's
MOST = 1000  # repeats, and folds of one: the seed of a job has three digits for each
COLUMNS = ["patient_id", "repeat", "fold", "label", "risk", "threshold", "dice"]


@dataclass(frozen=True)
class Plan:
    """What a comparison is asked for; all of it goes into config.json.

    :param methods: the rows' names, in the order in which they are trained.
    :param device: "auto", "cpu", "cuda" or "cuda:n"; "auto" is decided where a job runs.
    :param threads: CPU threads of one job. Fixed for the run, since the last bits of a sum depend on it.
    :param precision: as in :class:`..training.settings.Settings`: one for all rows.
    :param options: method's name (or "*" for all) to that method's options.
    :param left_out: rows that were asked for and cannot be part of this table, with the reason.
    :param methods_folder: further methods, one file each, besides the installed ones.
    """

    methods: list[str]
    preset: str = "compact"
    repeats: int = 1
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    precision: str = "auto"
    options: dict = field(default_factory=dict)
    methods_folder: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)


class Comparison(RunFolder):
    """A comparison, opened from its folder. Every process that works on it opens its own."""

    def __init__(self, folder: Path, kept: dict | None = None):
        """Open a run.

        :raises BadInput: run_missing, run_damaged (the file is named), run_other_kind, and what is wrong with its
            cohort or folds.
        """
        super().__init__(folder, kept)
        self.config = _read_config(self.folder)
        self.patients: dict[str, Patient] = {one.patient_id: one for one in read_cohort(self.folder / "cohort.csv")}
        everyone = list(self.patients.values())
        try:
            self.plan = Plan(**self.config["plan"])
            self.folds = [read_folds(self.folder / "folds.csv", r, everyone) for r in range(self.plan.repeats)]
        except (KeyError, TypeError) as error:
            raise _damaged(self.folder / "config.json", error) from error

    @classmethod
    def create(cls, folder: Path, cohort: Path, folds: Path | None, plan: Plan) -> Comparison:
        """Make the run's folder and open it.

        :param folds: CSV of folds; None draws six a repeat, with equal shares of both outcomes.
        :raises BadInput: run_exists, repeats_unusable, preset_unknown, option_unknown, methods_left_out, and what is
            wrong with cohort or folds.
        """
        from ..training.settings import Settings

        folder = Path(folder)
        if (folder / "config.json").exists():
            hint = "Add --resume to go on with it, or choose another folder."
            raise BadInput("run_exists", f"There is a run in {folder} already.", hint)
        Settings(preset=plan.preset, precision=plan.precision)
        plan = without_unfit(plan)
        _check_options(plan.methods, plan.options, plan.methods_folder)
        _check_repeats(plan.repeats)
        patients = read_cohort(cohort)
        write_cohort(folder / "cohort.csv", patients, about_cohort(cohort))
        write_bytes(folder / "folds.csv", _folds(patients, folds, plan))
        config = {"kind": KIND, "schema_version": SCHEMA_VERSION, "cohort": str(Path(cohort).resolve())}
        config |= {"about": about_cohort(cohort), "plan": vars(plan)}
        write_json(folder / "config.json", config)  # last: it makes the folder a run
        return cls(folder)

    def extended(self, methods: list[str], repeats: int | None, options: dict | None = None) -> Comparison:
        """The same run with more methods or repeats; those that it has stay.

        :param options: of the methods that come in new; those that the run has keep theirs.
        :raises BadInput: repeats_unusable, folds_repeat, run_differs, option_unknown, methods_left_out.
        """
        told = Plan(**{**self.config["plan"], "methods": methods, "options": {**self.plan.options, **(options or {})}})
        chosen = without_unfit(told) if methods else told
        more = [name for name in chosen.methods if name not in self.plan.methods]
        left_out = {**self.plan.left_out, **chosen.left_out}
        options = self.plan.options | options_of_new(options or {}, more, self.plan.options, self.folder)
        most = max(self.plan.repeats, repeats or 0)
        if not more and most == self.plan.repeats and left_out == self.plan.left_out:
            return self
        _check_options([*self.plan.methods, *more], options, self.plan.methods_folder)
        _check_repeats(most)
        for repeat in range(self.plan.repeats, most):
            read_folds(self.folder / "folds.csv", repeat, list(self.patients.values()))
        plan = {**self.config["plan"], "methods": [*self.plan.methods, *more], "repeats": most, "options": options}
        plan["left_out"] = left_out
        write_json(self.folder / "config.json", {**self.config, "plan": plan})
        return Comparison(self.folder)

    @property
    def jobs(self) -> list[Job]:
        """All jobs in the order in which they are begun: a repeat is complete before the next one starts."""
        return [
            Job(method, repeat, fold)
            for repeat, folds in enumerate(self.folds)
            for method in self.plan.methods
            for fold in sorted(set(folds.values()))
        ]

    def held_out(self, job: Job) -> list[str]:
        """The patients that the job predicts."""
        return [name for name, fold in self.folds[job.repeat].items() if fold == job.fold]

    def cases(self, names: list[str]) -> list[Case]:
        """Patients of the run as methods take them."""
        from ..cohort.cases import cases_of

        return cases_of([self.patients[name] for name in names], self.folder / "cache")

    def parts(self, job: Job) -> tuple[list[Case], list[Case]]:
        """A job's training cases, and the cases that it predicts."""
        held_out = self.held_out(job)
        known = [name for name in self.folds[job.repeat] if name not in held_out]
        return self.cases(known), self.cases(held_out)

    def method_class(self, name: str) -> type[Method]:
        """The method of a row's name.

        :raises BadInput: method_unknown.
        """
        return find_methods(name, self.plan.methods_folder)[0]

    def settings(self, job: Job, device: str) -> Settings:
        """A job's settings. Its seed follows from the run's seed, repeat and fold, whichever worker runs it, and when;
        every method gets the same, so that those who split or shuffle patients do it alike.
        """
        from ..training.settings import Settings

        plan, options = self.plan, _options_of(self.plan, job.method)
        seed = (plan.seed * MOST + job.repeat) * MOST + job.fold
        return Settings(plan.preset, seed, device, plan.threads, plan.precision, options)

    def summarize(self) -> dict:
        """Write ``summary.json`` and the out-of-fold predictions of all finished jobs, ``tables/out_of_fold.csv``."""
        rows, methods, errors = [], {}, []
        for job in self.jobs:
            count = methods.setdefault(job.method, {"finished": 0, "damaged": 0, "failed": 0, "waiting": 0})
            state = self.state(job)
            count[state] += 1
            if state == "finished":
                rows += [[job.method, *(row.get(name, "") for name in COLUMNS)] for row in self.predictions(job)]
            elif state == "failed":
                errors.append(vars(job) | self.error(job) | {"traceback": None})
        total = {name: sum(count[name] for count in methods.values()) for name in next(iter(methods.values()))}
        summary = {"jobs": len(self.jobs), **total, "methods": methods, "errors": errors}
        write_csv(self.folder / "tables" / "out_of_fold.csv", ["method", *COLUMNS], rows)
        write_json(self.folder / "summary.json", summary)
        return summary


def find_methods(names: str, folder: str | None) -> list[type[Method]]:
    """Methods by their rows' names, see :func:`..methods.registry.find`, with a folder of further methods.

    :raises BadInput: method_unknown, methods_folder.
    """
    from .. import methods
    from ..methods.registry import find

    if folder is not None and folder not in methods.__path__:
        if not Path(folder).is_dir():
            raise BadInput("methods_folder", f"There is no folder {folder} with methods.", "Correct --methods-folder.")
        methods.__path__.append(folder)
    return find(names)


def without_unfit(plan: Plan) -> Plan:
    """The plan without the rows that cannot be part of its table, which stand in ``left_out`` with the reason.

    :raises BadInput: methods_left_out, where no row is left.
    """
    from ..training.settings import Settings

    reasons = {}
    for name in plan.methods:
        settings = Settings(plan.preset, options=_options_of(plan, name))
        reason = find_methods(name, plan.methods_folder)[0](settings).left_out
        if reason is not None:
            reasons[name] = reason
    kept = [name for name in plan.methods if name not in reasons]
    if not kept:
        text = " ".join(f"{name} is left out. {reason}" for name, reason in reasons.items())
        raise BadInput("methods_left_out", text, "Take a larger preset, or the option box_voxels for all rows.")
    return replace(plan, methods=kept, left_out={**plan.left_out, **reasons})


def _options_of(plan: Plan, method: str) -> dict:
    return plan.options.get(OF_ALL, {}) | plan.options.get(method, {})


def _check_options(methods: list[str], options: dict, folder: str | None) -> None:
    check_options(options, [find_methods(name, folder)[0] for name in methods])


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds a comparison."""
    try:
        return json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def _folds(patients: list[Patient], path: Path | None, plan: Plan) -> bytes:
    """The content of the run's folds.csv: the file as it is, or folds drawn here."""
    if path is not None:
        for repeat in range(plan.repeats):
            read_folds(path, repeat, patients)
        return Path(path).read_bytes()
    rows = []
    for repeat in range(plan.repeats):
        folds = draw_folds(patients, DRAWN_FOLDS, plan.seed * MOST + repeat)
        rows += [[repeat, name, fold] for name, fold in sorted(folds.items())]
    return csv_bytes(["repeat", "patient_id", "fold"], rows)


def _check_repeats(repeats: int) -> None:
    if not 1 <= repeats <= MOST:
        raise BadInput("repeats_unusable", f"{repeats} repeats are not possible.", f"Give a number from 1 to {MOST}.")


def _read_config(folder: Path) -> dict:
    path = folder / "config.json"
    if not path.exists():
        raise BadInput("run_missing", f"There is no run in {folder}: config.json is missing.", "Begin with `compare`.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(config, dict) or config.get("kind") != KIND:
        text = f"The run in {folder} is not one of `compare`."
        raise BadInput("run_other_kind", text, "Train it anew: `compare --methods CHMFL` gives the same network.")
    if config.get("schema_version") == 1:
        text = f"The run in {folder} was made by version 0.1, whose presets were other networks under the same names."
        hint = "Its report.html stays readable. Start a new run in another folder; --cohort and --folds take its files."
        raise BadInput("run_old", text, hint)
    if config.get("schema_version") != SCHEMA_VERSION:
        raise _damaged(path, ValueError(f"schema_version is {config.get('schema_version')!r}, not {SCHEMA_VERSION}"))
    return config


def _damaged(path: Path, error: Exception) -> BadInput:
    hint = "Put the file back from a copy, or start a new run in another folder."
    return BadInput("run_damaged", f"The run's file {path} cannot be used: {error!r}.", hint)
