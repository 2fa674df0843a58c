"""A check that a method learns from its training patients alone, whatever else it could lay its hands on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from CHMFLTrainingLib.cohort.cases import Case


class LeakFoundError(AssertionError):
    """What was fitted, or a patient's risk, depends on patients who were not trained on."""


def other_world(held_out: list[Case], strangers: list[Case]) -> list[Case]:
    """The held-out patients under their names, with the images, values and outcomes of other people, and the opposite
    label: nothing is left of them that a leak could find unchanged.
    """
    return [
        replace(stranger, patient_id=case.patient_id, label=1 - case.label, event=1 - case.event, cache=case.cache)
        for case, stranger in zip(held_out, strangers, strict=True)
    ]


def check(make, known: list[Case], held_out: list[Case], strangers: list[Case], folder) -> None:
    """Live a job's life twice, with the same training patients and with other held-out ones, and compare.

    All that is fitted (every saved byte, threshold and calibration too) must be the same, before and after predicting;
    and a held-out patient's risk must not depend on the label or on who else is predicted.

    :param make: gives a new, unfitted method.
    :param strangers: as many as ``held_out``, with other images and values.
    :raises LeakFoundError: it says what differs.
    """
    folder = Path(folder)
    _, fitted = _life(make(), known, held_out, folder / "one")
    method, other = _life(make(), known, other_world(held_out, strangers), folder / "other")
    names = sorted(name for name in fitted.keys() | other.keys() if fitted.get(name) != other.get(name))
    if names:
        raise LeakFoundError(f"what was fitted depends on patients who were not trained on: {', '.join(names)}")
    together = method.predict(held_out)
    alone = np.array([method.predict([replace(case, label=None, time=None, event=None)])[0] for case in held_out])
    if not np.allclose(together, alone, rtol=1e-9, atol=1e-12):  # a sum's last bits may depend on the batch
        raise LeakFoundError("a patient's risk depends on the label or on the patients beside")


def _life(method, known: list[Case], held_out: list[Case], folder: Path):
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
