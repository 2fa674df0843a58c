"""SUV of a PET that Slicer's DICOM module loaded: in scanner units, with its files known to the DICOM database.

Slicer applies each slice's rescale slope while it reads, so the factors of :mod:`..reading.suv` apply to the node's
voxels as they are. The node is never changed: the copy that is written for a prediction is converted.
"""

import os
import warnings as python_warnings
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import slicer

from ..errors import BadInput, MissingDependency
from ..reading.checks import HIGHEST_SUV_P99, LOWEST_BQML_P99
from ..reading.geometry import flipped
from ..reading.suv import suv_factors
from .nodes import coded_units, instance_uids, local_geometry, pet_in_bqml

CONVERTED = "pet_converted_to_suv"  # code of the warning that says so
REAL_WORLD_VALUE = "DICOM.RWV.instanceUID"  # the PET DICOM extension's mark on volumes that it has converted
SAMPLE_VOXELS = 50_000
_POSITION_MM = 0.5


@dataclass(frozen=True)
class Conversion:
    """How a PET's voxels become body-weight SUV.

    :ivar factors: SUV (g/ml) per unit of the voxels: one, or one for each slice k.
    :ivar note: dose and weight used, for people; empty where the voxels are SUV already.
    :ivar warnings: ``{"code", "text"}`` each: the note (pet_converted_to_suv) and what :mod:`..reading.suv` found.
    """

    factors: np.ndarray
    note: str = ""
    warnings: list[dict] = field(default_factory=list)

    def applied_to(self, voxels_kji: np.ndarray) -> np.ndarray:
        """The voxels (k, j, i) in SUV; the same array where nothing is to be done."""
        if np.all(self.factors == 1.0):
            return voxels_kji
        return voxels_kji.astype(np.float32) * self.factors.astype(np.float32).reshape(-1, 1, 1)


def conversion(pet_node, database=None) -> Conversion | None:
    """How to convert a PET, by the tags of all its DICOM files.

    :param pet_node: vtkMRMLScalarVolumeNode.
    :param database: with ``fileForInstance(uid)``; default: Slicer's own DICOM database.
    :return: None where there is nothing to convert by: units are coded as SUV, or it is not from DICOM.
    :raises BadInput: suv_files_missing, suv_slices_unclear, pet_in_bqml, and the suv_* codes of
        :func:`..reading.suv.suv_factors`.
    :raises MissingDependency: pydicom_missing.
    """
    return _conversion(pet_node, database, instance_uids(pet_node))


def check_convertible(pet_node, database=None) -> Conversion | None:
    """The same by one file alone: quick enough for a panel, right but for tags in which the slices differ."""
    uids = instance_uids(pet_node)
    return _conversion(pet_node, database, uids[len(uids) // 2 :][:1])


def sample(volume_node) -> np.ndarray:
    """About 50 000 finite voxel values, evenly taken, as floats: enough to tell what a volume is, at any size."""
    values = slicer.util.arrayFromVolume(volume_node).ravel()
    step = max(1, values.size // SAMPLE_VOXELS)
    taken = values[:: step + 1 - step % 2].astype(float)  # odd, so that columns do not alias
    return taken[np.isfinite(taken)]


# Inside --------------------------------------------------------------------------------------------------------------


def _conversion(pet_node, database, uids: list[str]) -> Conversion | None:
    units = coded_units(pet_node)
    if units not in (None, "BQML") or not uids or pet_node.GetAttribute(REAL_WORLD_VALUE):
        return None
    files = _files(database, uids)
    values = sample(pet_node)
    p99 = float(np.percentile(values, 99)) if values.size else 0.0
    if not all(files):
        if units is None and p99 <= HIGHEST_SUV_P99:
            return None  # converted by somebody: the prediction judges the values and says what it took them for
        raise _files_missing(pet_node, files, p99)
    name = f"PET '{pet_node.GetName()}'"
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # pydicom's complaints about harmless values
        headers = [_header(file, name) for file in files]
        if str(headers[0].get("Modality", "")) != "PT":
            return None
        if units is None and p99 <= HIGHEST_SUV_P99 and str(headers[0].get("Units", "")).upper() == "BQML":
            return None  # likewise: no Bq/ml is that low
        found = suv_factors(headers, name)
        factors = _by_slice(pet_node, headers, np.asarray(found.factors, float), name)
        note = _note(headers[0], found.rule, factors)
    said = [{"code": CONVERTED, "text": note}] if note else []
    return Conversion(factors, note, said + found.told(_highest(pet_node, factors) if found.doubts else 0.0))


def _highest(pet_node, factors: np.ndarray) -> float:
    """The highest finite SUV of the voxels."""
    by_slice = np.nanmax(slicer.util.arrayFromVolume(pet_node), axis=(1, 2))
    return float(np.nanmax(by_slice * factors))


def _files(database, uids: list[str]) -> list[str]:
    """The path of each instance, "" where the database does not know it."""
    database = database or getattr(slicer, "dicomDatabase", None)
    return [database.fileForInstance(uid) or "" if database is not None else "" for uid in uids]


def _files_missing(pet_node, files: list[str], p99: float) -> BadInput:
    if not any(files) and p99 >= LOWEST_BQML_P99:
        return pet_in_bqml(pet_node, f" by its values (99th percentile {p99:.4g})")
    text = (
        f"SUV of the PET '{pet_node.GetName()}' cannot be computed: {files.count('')} of its {len(files)} DICOM files "
        "are not in Slicer's DICOM database."
    )
    hint = "Import the DICOM series into the DICOM module and load it again, or load the PET in body-weight SUV."
    return BadInput("suv_files_missing", text, hint)


def _header(path: str, name: str):
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        hint = "Install it in Slicer's Python console: slicer.util.pip_install('pydicom')."
        raise MissingDependency("pydicom_missing", "Reading DICOM needs the Python package pydicom.", hint) from error
    try:
        return _read(path, os.stat(path).st_mtime_ns)
    except Exception as error:  # a file that was moved, and the many kinds that pydicom raises on damaged ones
        text = f"The DICOM file '{path}' of the {name} cannot be read: {error}."
        raise BadInput("suv_files_missing", text, "Import the DICOM series into the DICOM module again.") from error


@lru_cache(maxsize=8)  # a panel asks for the same one at every click
def _read(path: str, changed_ns: int):
    import pydicom

    return pydicom.dcmread(path, stop_before_pixels=True, force=True)


def _by_slice(pet_node, headers: list, factors: np.ndarray, name: str) -> np.ndarray:
    """One factor where all are the same, else one for each slice k, at the slice's position."""
    if np.ptp(factors) <= 1e-9 * np.abs(factors).max():
        return factors[:1]
    slices = pet_node.GetImageData().GetDimensions()[2]
    if len(factors) != slices:
        text = (
            f"The {name} has {slices} slices of {len(factors)} DICOM files whose factors to SUV differ: "
            "it was cropped or resampled after loading."
        )
        raise BadInput("suv_slices_unclear", text, "Choose the PET as the DICOM module loaded it.")
    return factors[::-1] if _listed_backwards(pet_node, headers) else factors


def _listed_backwards(pet_node, headers: list) -> bool:
    """Whether the files' positions fit the slices from the last to the first only, as a reader may have turned them."""
    positions = [header.get("ImagePositionPatient") for header in headers]
    if not all(positions):
        return False
    given = flipped([[float(value) for value in position] for position in positions])
    matrix, count = local_geometry(pet_node), len(positions)
    slices = matrix[:3, 3] + np.outer(np.arange(count), matrix[:3, 2])
    off = np.abs(given - slices).max(), np.abs(given[::-1] - slices).max()
    return off[1] < _POSITION_MM < off[0]  # neither fits: somebody moved the volume; the order is trusted


def _note(header, rule: str, factors: np.ndarray) -> str:
    if rule == "GML":
        return ""
    kind = "counts" if rule.startswith("CNTS") else "Bq/ml"
    used, injections = [], header.get("RadiopharmaceuticalInformationSequence") or [{}]
    if "SUV Scale Factor" not in rule:
        used.append(f"dose {float(injections[0].get('RadionuclideTotalDose')) / 1e6:.4g} MBq")
        used.append(f"weight {float(header.get('PatientWeight')):.4g} kg")
    used.append(rule)
    return (
        f"The PET was loaded in {kind} and converted to body-weight SUV by its DICOM tags: {', '.join(used)}; "
        f"SUV 1 is {1 / float(np.median(factors)):.5g} {kind}."
    )
