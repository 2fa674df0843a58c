"""What has to hold of every method, tried on made patients: :func:`check_method`. Whoever writes a method calls it, or
``python -m CHMFLTrainingLib methods --check FILE``; so do the tests of the methods here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput

from ..cohort.cases import Case
from ..cohort.planted import planted_cases
from ..statistics.auc import auc
from ..training.settings import Settings
from .base import GROUPS, Method
from .permuted_labels import deal

KNOWN, NEW = 20, 24  # patients to learn from and to judge by, half of each with the event
LEARNED = 0.9  # least AUC where the outcome is planted: it is easy to find
CHANCE = (0.15, 0.85)  # AUC where there is nothing to find; its standard error with 12 and 12 patients is 0.12
SEED = 5
SAVED = {".json", ".npz", ".safetensors"}  # none of them can run code as it is read
OF_THE_RUN = {"relevance_patients"}  # an option that a run reads of every method's settings


class NotSoError(Exception):
    """A check does not hold; the text says what was found instead."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    :param check: its name, one of :data:`CHECKS`. :param reason: why it does not hold; empty where it does.
    """

    check: str
    holds: bool
    reason: str = ""


def check_method(
    method: type[Method],
    settings: Settings | None = None,
    checks: Iterable[str] | None = None,
    folder: Path | None = None,
) -> list[Finding]:
    """Try a method on small phantoms whose outcome is known: 24 x 24 x 24 voxels of 6 mm with PET, CT, mask, the
    clinical columns age, sex, grade and treatment, and follow-up.

    :param settings: how it is made; by default the preset ``smoke`` without options.
    :param checks: which of :data:`CHECKS`; all by default, which fit the method four times.
    :param folder: for images, cache and jobs; by default a temporary one.
    :returns: one finding a check. A check in which the method fails with an error does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="chmfl-check-") as temporary:
        trial = _Trial(method, settings or Settings("smoke"), Path(folder or temporary))
        return [_tried(name, trial) for name in checks or CHECKS]


def _tried(name: str, trial: _Trial) -> Finding:
    try:
        CHECKS[name](trial)
    except NotSoError as found:
        return Finding(name, False, str(found))
    except Exception as error:  # whatever a method that is being written does
        return Finding(name, False, f"{type(error).__name__}: {error}")
    return Finding(name, True)


@dataclass
class _Trial:
    """A method on trial, with its patients: what several checks need is made once."""

    method: type[Method]
    settings: Settings
    folder: Path

    def make(self, **options) -> Method:
        """A new method, with further options."""
        return self.method(replace(self.settings, options=self.settings.options | options))

    @cached_property
    def planted(self) -> tuple[list[Case], list[Case]]:
        """Patients whose outcome shows in images and clinical columns: to learn from, and new ones."""
        return halves(planted_cases(KNOWN + NEW, True, SEED, self.folder), KNOWN // 2)

    @cached_property
    def permuted(self) -> tuple[list[Case], list[Case]]:
        """The same patients with their outcomes dealt out anew."""
        return permuted(self.planted[0], 1), permuted(self.planted[1], 2)

    @cached_property
    def trained(self) -> Method:
        """Trained where there is something to learn, with its eyes on its options."""
        watched = replace(self.settings, options=_Asked(self.settings.options))
        return self.fitted(self.method(watched), self.planted[0], "planted")

    def fitted(self, method: Method, cases: list[Case], job: str) -> Method:
        """The method, trained."""
        method.check_inputs(cases)
        method.fit(cases, self.job(job))
        return method

    def job(self, name: str) -> Path:
        """A new folder, as a run makes one for each job."""
        folder = self.folder / "jobs" / name
        folder.mkdir(parents=True)
        return folder


def halves(cases: list[Case], each: int) -> tuple[list[Case], list[Case]]:
    """So many of each outcome, and the others."""
    by_label = [[case for case in cases if case.label == label] for label in (0, 1)]
    return [case for part in by_label for case in part[:each]], [case for part in by_label for case in part[each:]]


def permuted(cases: list[Case], seed: int) -> list[Case]:
    """The patients with outcomes dealt out anew, to half of either kind of tumor. What follows the outcome goes with
    it: time and event, and the clinical columns of treatment and outcome.
    """
    donors = deal(np.array([case.label for case in cases]), np.random.default_rng(seed))
    followed = ("treatment", "outcome")
    return [
        replace(
            case.relabeled(cases[donor].label, cases[donor].time, cases[donor].event),
            clinical=case.clinical | {name: cases[donor].clinical[name] for name in followed},
        )
        for case, donor in zip(cases, donors, strict=True)
    ]


# What is checked ------------------------------------------------------------------------------------------------------


def _describes_itself(trial: _Trial) -> None:
    method, known = trial.method, {"pet", "ct", "mask", "clinical"}
    if not method.NAME or set(method.NAME) & {",", "/", "\\"}:
        raise NotSoError(f"NAME is {method.NAME!r}; it must be a name without comma and slash")
    if not method.SOURCE.strip():
        raise NotSoError("SOURCE is empty; say where the method comes from")
    if method.GROUP not in GROUPS:
        raise NotSoError(f"GROUP is {method.GROUP!r}; it must be one of {', '.join(GROUPS)}")
    if not method.NEEDS_TO_PREDICT or not method.NEEDS_TO_PREDICT <= method.NEEDS <= known:
        raise NotSoError("NEEDS must name some of pet, ct, mask, clinical, and NEEDS_TO_PREDICT some of NEEDS")


def _learns(trial: _Trial) -> None:
    found = _judged(trial.trained, trial.planted[1])
    if found <= LEARNED:
        raise NotSoError(f"the AUC of new patients is {found:.2f} where the outcome is planted, not above {LEARNED}")


def _stays_at_chance(trial: _Trial) -> None:
    known, new = trial.permuted
    found = _judged(trial.fitted(trial.make(), known, "permuted"), new)
    if not CHANCE[0] < found < CHANCE[1]:
        raise NotSoError(f"the AUC of new patients is {found:.2f} on permuted labels, where there is nothing to learn")


def _judged(method: Method, cases: list[Case]) -> float:
    """AUC of patients whom it has not seen."""
    risks = method.predict(cases)
    if np.shape(risks) != (len(cases),) or not (np.isfinite(risks).all() and np.min(risks) >= 0 <= 1 - np.max(risks)):
        raise NotSoError(f"predict must give one risk from 0 to 1 for each of the {len(cases)} patients")
    if not 0 <= method.threshold <= 1:
        raise NotSoError(f"the threshold is {method.threshold}, not from 0 to 1")
    return auc([case.label for case in cases], risks)


def _survives_saving(trial: _Trial) -> None:
    cases, folder = trial.planted[1], trial.job("saved")
    trial.trained.save(folder)
    strangers = sorted({path.suffix for path in folder.rglob("*") if path.is_file()} - SAVED)
    if strangers:
        raise NotSoError(f"it saves files {', '.join(strangers)}; only {', '.join(sorted(SAVED))} are read back safely")
    loaded = trial.method.load(folder)
    if not np.allclose(loaded.predict(cases), trial.trained.predict(cases), rtol=1e-6, atol=1e-7):
        raise NotSoError("restored from its files it gives other risks")
    if loaded.threshold != trial.trained.threshold:
        raise NotSoError(f"restored, its threshold is {loaded.threshold}, not {trial.trained.threshold}")


def _reads_its_options_only(trial: _Trial) -> None:
    """An option that is not declared never reaches a method from a run, and a value without sense must not either."""
    unknown = sorted(trial.trained.settings.options.names - trial.method.OPTIONS - OF_THE_RUN)
    if unknown:
        raise NotSoError(f"it reads the options {', '.join(unknown)}, which OPTIONS does not name: a run refuses them")
    for name in sorted(trial.method.OPTIONS):
        try:
            trial.make(**{name: object()})
        except BadInput:
            continue
        raise NotSoError(f"the option {name} may be anything; declare its type and limits in Options")


class _Asked(dict):
    """Options that note which of them are asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        self.names.add(name)
        return super().__contains__(name)


def _sees_training_patients_only(trial: _Trial) -> None:
    # permuted: what is learned by chance is another chance where others take part
    known, (new, others) = halves(trial.permuted[0], 5)[0], halves(trial.permuted[1], 3)
    check_leaks(trial.make, known, new, halves(others, 3)[0], trial.job("leaks"))


def check_leaks(make: Callable[[], Method], known: list[Case], held_out: list[Case], strangers: list[Case], folder):
    """Live a job's life twice, with the same training patients and with other held-out ones, and compare.

    All that is fitted (every saved byte, threshold and calibration too) must be the same, before and after predicting;
    and a held-out patient's risk must not depend on the label or on who else is predicted.

    :param make: gives a new, unfitted method.
    :param strangers: as many as ``held_out``, with other images and values.
    :raises NotSoError: it says what differs.
    """
    folder = Path(folder)
    _, fitted = _life(make(), known, held_out, folder / "one")
    method, other = _life(make(), known, other_world(held_out, strangers), folder / "other")
    names = sorted(name for name in fitted.keys() | other.keys() if fitted.get(name) != other.get(name))
    if names:
        raise NotSoError(f"what was fitted depends on patients who were not trained on: {', '.join(names)}")
    together = method.predict(held_out)
    alone = np.array([method.predict([replace(case, label=None, time=None, event=None)])[0] for case in held_out])
    if not np.allclose(together, alone, rtol=1e-9, atol=1e-12):  # a sum's last bits may depend on the batch
        raise NotSoError("a patient's risk depends on the label or on the patients beside")


def other_world(held_out: list[Case], strangers: list[Case]) -> list[Case]:
    """The held-out patients under their names, with the images, values and outcomes of other people, and the opposite
    label: nothing is left of them that a leak could find unchanged.
    """
    return [
        replace(stranger, patient_id=case.patient_id, label=1 - case.label, event=1 - case.event, cache=case.cache)
        for case, stranger in zip(held_out, strangers, strict=True)
    ]


def _life(method: Method, known: list[Case], held_out: list[Case], folder: Path) -> tuple[Method, dict[str, bytes]]:
    """What a job does, in its order; returns the method and all saved bytes, before and after predicting."""
    for case in sorted(known + held_out, key=lambda case: case.patient_id):  # a run prepares everyone beforehand
        method.prepare(case)
    method.fit(known, folder / "job")
    saved = {}
    for moment in ("before", "after"):
        method.save(folder / moment)
        files = [path for path in (folder / moment).rglob("*") if path.is_file()]
        saved |= {str(path.relative_to(folder)): path.read_bytes() for path in files}
        method.predict(held_out)
    return method, saved


CHECKS: dict[str, Callable[[_Trial], None]] = {
    "describes itself": _describes_itself,
    "learns a planted signal": _learns,
    "stays at chance on permuted labels": _stays_at_chance,
    "survives save and restore": _survives_saving,
    "refuses unknown options": _reads_its_options_only,
    "sees only training patients": _sees_training_patients_only,
}
