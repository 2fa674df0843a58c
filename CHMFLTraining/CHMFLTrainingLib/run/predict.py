"""A patient from outside the cohort, judged by the models of a comparison: each fold's own risk, and their mean."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from CHMFLPredictorLib.errors import BadInput

from ..cohort.cohort import Patient
from .job_process import choose_device
from .run import Comparison, find_methods

MARKER_RADIUS_MM = 10.0
BOX_MM = (112.0, 112.0, 144.0)  # section II.A
_INPUTS = ("pet", "ct", "mask")


def predict(
    folder: Path,
    method: str,
    pet: Path | None,
    ct: Path | None,
    mask: Path | None = None,
    clinical: dict | None = None,
    device: str = "auto",
) -> dict:
    """Predict with every finished fold of a method.

    :param mask: of the tumor. Methods that need none take their box around it, or around the place found by uptake.
    :param clinical: column to text, as in the cohort's CSV.
    :returns: ``method``, ``risk`` (mean of the models'), ``threshold`` (mean), ``label``, ``found_by`` ("mask" or
        "automatic"), ``models`` (repeat, fold, risk, threshold each), ``trained_on`` (the models' "repeat r, fold k"
        whose training patients include these very files: their risk is no prediction).
    :raises BadInput: method_unknown, method_untrained, method_not_compared, input_needed, model_damaged.
    """
    run = Comparison(folder)
    chosen = find_methods(method, run.plan.methods_folder)
    if len(chosen) != 1 or chosen[0].NAME not in run.plan.methods:
        text = f"'{method}' is not one method of the run {folder}."
        raise BadInput("method_not_compared", text, f"Its methods are: {', '.join(run.plan.methods)}.")
    wanted = chosen[0]
    given = dict(zip(_INPUTS, (pet, ct, mask), strict=True))
    _check_inputs(wanted, given, clinical)
    jobs = [job for job in run.jobs if job.method == wanted.NAME and run.state(job) == "finished"]
    if not jobs:
        text = f"{wanted.NAME} has no finished fold in the run {folder}."
        raise BadInput("method_untrained", text, "Finish it with `compare --resume`.")
    with tempfile.TemporaryDirectory(prefix="chmfl-") as temporary:
        found_by = "mask"
        if mask is None and pet is not None and ct is not None:
            given["mask"], found_by = _marker(pet, ct, Path(temporary) / "place.nii.gz"), "automatic"
        case = _case(given, clinical or {}, Path(temporary))
        models, known = [], []
        for job in jobs:
            fitted = wanted.load(run.job_folder(job) / "model", choose_device(device))
            risk = float(np.asarray(fitted.predict([case]), dtype=float)[0])
            models.append({"repeat": job.repeat, "fold": job.fold, "risk": risk, "threshold": float(fitted.threshold)})
            if any(_same(run.patients[one.patient_id], given) for one in run.parts(job)[0]):
                known.append(f"repeat {job.repeat}, fold {job.fold}")
    risk, threshold = (float(np.mean([one[name] for one in models])) for name in ("risk", "threshold"))
    found = {"method": wanted.NAME, "risk": risk, "threshold": threshold, "label": int(risk >= threshold)}
    return found | {"found_by": found_by, "models": models, "trained_on": known}


def _check_inputs(method, given: dict, clinical: dict | None) -> None:
    needs = method.NEEDS_TO_PREDICT
    missing = [name for name in _INPUTS if name in needs and given[name] is None]
    missing += ["clinical"] if "clinical" in needs and not clinical else []
    if missing:
        text = f"{method.NAME} needs {', '.join(f'--{name}' for name in missing)}."
        raise BadInput("input_needed", text, "Give it, or choose another method.")
    if "mask" in method.NEEDS and given["mask"] is None and None in (given["pet"], given["ct"]):
        text = f"{method.NAME} needs --mask for the place of its box, or both --pet and --ct to find it."
        raise BadInput("input_needed", text, "Give the mask (any mark of the tumor's place will do), or both images.")
    absent = [path for path in given.values() if path is not None and not Path(path).exists()]
    if absent:
        raise BadInput("file_missing", f"There is no {absent[0]}.", "Correct the path.")


def _case(given: dict, clinical: dict, temporary: Path):
    from ..cohort.cases import cases_of

    files = {name: path and Path(path) for name, path in given.items()}
    return cases_of([Patient("patient", **files, label=None, clinical=clinical)], temporary / "cache")[0]


def _marker(pet: Path, ct: Path, path: Path) -> Path:
    """Write a small sphere where uptake says that the tumor is: it says where the box goes, nothing else."""
    import SimpleITK as sitk
    from CHMFLPredictorLib.reading import volumes
    from CHMFLPredictorLib.reading.geometry import flipped
    from CHMFLPredictorLib.tumor import location

    image = volumes.read_ct(ct).image
    place = location.find(volumes.read_pet(pet).image, image, BOX_MM)
    index = image.TransformPhysicalPointToContinuousIndex(flipped(place.center_ras).tolist())
    grids = np.meshgrid(*(np.arange(n) for n in image.GetSize()[::-1]), indexing="ij", sparse=True)
    axes = zip(grids[::-1], index, image.GetSpacing(), strict=True)
    sphere = sum(((grid - middle) * spacing) ** 2 for grid, middle, spacing in axes) <= MARKER_RADIUS_MM**2
    marker = sitk.GetImageFromArray(sphere.astype(np.uint8))
    marker.CopyInformation(image)
    sitk.WriteImage(marker, str(path))
    return path


def _same(patient: Patient, given: dict) -> bool:
    """Whether a patient of the cohort has one of these very images."""
    return any(
        given[name] is not None
        and getattr(patient, name) is not None
        and Path(given[name]).resolve() == Path(getattr(patient, name)).resolve()
        for name in ("pet", "ct")
    )
