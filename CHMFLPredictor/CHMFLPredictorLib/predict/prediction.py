"""One prediction from files to results: read, locate, preprocess, model, risk, segmentation, relevance, write.

The model loads in a thread of its own while the images are read, and the risk is out before the decoder runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import SimpleITK as sitk

from ..errors import BadInput, Canceled, ChmflError
from ..events import Progress
from ..model import warnings as model_warnings
from ..model.baseline import baseline_risk, uptake
from ..model.bundle import Bundle, load_bundle
from ..model.calibration import risk as calibrated_risk
from ..model.loader import ModelLoader, require_packages
from ..network.preprocessing import NetworkInput, Preprocessing, mask_to_grid, prepare
from ..reading import volumes
from ..reading.geometry import flipped
from ..reading.part_files import write_part
from ..tumor import location
from ..tumor.measurements import MEASUREMENTS, measure
from ..tumor.segmentation import around, on_reference, segment
from .inputs import Inputs, describe_inputs, software
from .output_folder import OutputFolder, output_error, refuse_other_patient, refuse_to_replace, writing_error

RESULT_SCHEMA_VERSION = 1
PICTURED_MM = 350.0  # around the box: more than the pictures' widest field, wherever in the box it lies
UNITS = {  # of the numbers in the result, by their key
    "risk": "1",
    **{key: one.unit for key, one in MEASUREMENTS.items()},
    "center_ras_mm": "mm RAS",
    "size_mm": "mm",
    "timings_s": "s",
}
_log = logging.getLogger(__name__)


def predict(pet, ct, output, *, center=None, segmentation=None, model=None, device="auto", engine="auto", threads=None,
            risk_only=False, progress=None, canceled=None, started=None) -> dict:  # fmt: skip
    """Predict the risk of distant metastases of one patient and write the results.

    :param pet: path of the PET: any file that SimpleITK reads, or a DICOM folder.
    :param ct: path of the CT, likewise.
    :param output: folder for ``result.json``, ``segmentation.nii.gz``, ``relevance.nii.gz`` and ``report.html``.
    :param center: a point in the tumor, RAS mm; with neither it nor a segmentation the tumor is looked for.
    :param segmentation: path of a mask of the tumor, to place the box.
    :param model: folder of a model bundle; None for the one that ships with the extension.
    :param device: "auto", "cpu", "cuda" or "cuda:n".
    :param engine: "auto", "eager", "torch" or "openvino".
    :param threads: CPU threads, or None for all.
    :param risk_only: stop after the risk: no segmentation, no relevance map, no measurements.
    :param progress: a :class:`~..events.Progress`; None says nothing.
    :param canceled: called often; returning True stops the run.
    :param started: ``time.perf_counter()`` when the program started, for the times.
    :return: the content of ``result.json``.
    :raises ChmflError: :class:`BadInput`, :class:`Canceled`, :class:`OutOfMemory`, :class:`MissingDependency`,
        :class:`MissingModel`.
    """
    predictor = Predictor(model, device, engine, threads)
    point = None if center is None else tuple(map(float, center))
    inputs = Inputs(str(pet), str(ct), point, None if segmentation is None else str(segmentation))
    refuse_other_patient(describe_inputs(inputs), output)
    return predictor.predict(inputs, output, risk_only=risk_only, progress=progress, canceled=canceled, started=started)


class Predictor:
    """A model, ready for one patient after another. Making one checks the model and begins to load it in the
    background.

    :raises MissingModel: the model cannot be used.
    :raises MissingDependency: a package is not installed.
    """

    def __init__(self, model=None, device="auto", engine="auto", threads=None):
        require_packages()
        self.bundle: Bundle = load_bundle(model)
        self.preprocessing: Preprocessing = self.bundle.preprocessing
        self.loader = ModelLoader(self.bundle, device, engine, threads)

    def predict(self, inputs: Inputs, output, *, risk_only=False, progress=None, canceled=None, started=None) -> dict:
        """Predict one patient; see :func:`predict`."""
        run = _Run(self, inputs, progress or Progress(), canceled or (lambda: False), started)
        try:
            refuse_to_replace((inputs.pet, inputs.ct, inputs.segmentation), output)
            with OutputFolder(output, run.canceled) as folder:
                return run.run(folder, risk_only)
        except ChmflError as error:
            error.message, error.hint = inputs.in_words(error.message), inputs.in_words(error.hint)
            raise

    def ready(self, check: Callable[[], None]):
        """Wait until the model is loaded; return its networks and engine."""
        return self.loader.wait(check)


@dataclass
class _Run:
    """What is known of one prediction while it runs."""

    predictor: Predictor
    inputs: Inputs
    progress: Progress
    canceled: Callable[[], bool]
    started: float | None
    warnings: list[dict] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    no_data: sitk.Image | None = None  # see volumes.Volume

    def __post_init__(self):
        self._begin = self.started if self.started is not None else time.perf_counter()
        self._stage, self._stage_begin = "start", self._begin

    def run(self, folder: OutputFolder, risk_only: bool) -> dict:
        card = self.predictor.bundle.card
        self.enter("read")
        pet, ct, mask = self._read()
        self.enter("locate")
        place = self._locate(pet, ct, mask)
        self.enter("preprocess")
        network_input = prepare(pet, ct, place.center_ras, self.predictor.preprocessing, self.no_data)
        self._require_data(network_input, place)
        observed = model_warnings.observe(pet, ct, network_input)
        frame = _Frame.around(network_input.grid, ct)
        ct = around(network_input.grid, ct, PICTURED_MM)[0]  # a whole body is not needed any more
        inputs = self._network_inputs(network_input, mask)
        self.enter("model")
        networks, engine = self.predictor.ready(self.check)
        self.warn(engine.warnings)
        self.enter("risk")
        result = self._risk(card, network_input, engine, inputs)
        self.warn(model_warnings.disagreement(result["risk"], result["threshold"], result["baseline_risk"]))
        result |= self._about(card, network_input, place, engine)
        segmentation = relevance = None
        if not risk_only:
            segmentation = self._segment(engine, inputs, network_input, pet, frame.part, mask, result, observed)
            self.enter("relevance")
            relevance = self._relevance(networks, inputs, network_input, frame.part)
        elif mask is not None:
            self.warn(model_warnings.judge_mask(mask, None, network_input))
        self.warn(model_warnings.outside_ranges(observed, card["input_ranges"]))
        self.enter("write")
        files = self._write(folder, result, card, pet, ct, frame, segmentation, relevance, place)
        with contextlib.suppress(Canceled):  # the results are there, whether or not somebody still listens
            self.progress.say({"event": "result", "output": str(folder.folder), "files": files, "result": result})
        return result

    def enter(self, stage: str) -> None:
        """Begin a stage: note how long the last one took, say so, and stop here if the run was canceled."""
        self._clock()
        self._stage = stage
        self.check()
        self.progress.stage(stage)

    def check(self) -> None:
        """Raise :class:`Canceled` if the user, or the program that listens, wants no more; or what made loading the
        model fail.
        """
        if self.canceled():
            raise Canceled()
        self.progress.check()
        self.predictor.loader.check()

    def warn(self, found: list[dict]) -> None:
        """Keep warnings and say them, each once."""
        said = {one["code"] for one in self.warnings} & model_warnings.SAID_ONCE
        for one in ({**one, "text": self.inputs.in_words(one["text"])} for one in found):
            if one not in self.warnings and one["code"] not in said:
                self.warnings.append(one)
                self.progress.say({"event": "warning", **one})

    def _clock(self) -> None:
        now = time.perf_counter()
        self.timings[self._stage] = round(self.timings.get(self._stage, 0.0) + now - self._stage_begin, 3)
        _log.info("%s: %.2f s", self._stage, now - self._stage_begin)
        self._stage_begin = now

    def _read(self):
        pet, ct, found = volumes.read_pair(self.inputs.pet, self.inputs.ct)
        self.warn(found)
        self.check()
        self.no_data, mask = ct.no_data, None
        if self.inputs.segmentation is not None:
            volume = volumes.read_mask(self.inputs.segmentation)
            self.warn(volume.warnings + volumes.check_mask(volume, ct))
            mask, found = location.one_piece(volume.image, self.predictor.preprocessing.size_mm)
            self.warn(found)
        return pet.image, ct.image, mask

    def _locate(self, pet, ct, mask):
        if mask is not None:
            place = location.from_mask(mask)
        elif self.inputs.center is not None:
            place = location.from_point(self.inputs.center, ct)
        else:
            place = location.find(pet, ct, self.predictor.preprocessing.size_mm)
        self.warn(place.warnings)
        return place

    @staticmethod
    def _require_data(network_input: NetworkInput, place) -> None:
        if not network_input.inside.any():
            center = ", ".join(f"{c:.1f}" for c in place.center_ras)
            message = f"PET and CT do not reach into the model's box around ({center}) mm RAS."
            raise BadInput("box_outside_images", message, "Choose a point inside both images.")

    def _network_inputs(self, network_input: NetworkInput, mask) -> np.ndarray:
        """The input of the networks (channels, X, Y, Z); Mask + HMFL models see the tumor label beside each image."""
        if self.predictor.bundle.card["network"].get("branch_inputs", 1) == 1:
            return network_input.inputs
        if mask is None:
            message = f"The model {self.predictor.bundle.card['name']} needs a mask of the tumor."
            raise BadInput("segmentation_needed", message, "Give one with --segmentation, or choose another model.")
        label = mask_to_grid(mask, network_input.grid).astype(np.float32)
        return np.stack([network_input.inputs[0], label, network_input.inputs[1], label])

    def _risk(self, card: dict, network_input: NetworkInput, engine, inputs) -> dict:
        log_odds = engine.log_odds(inputs)
        value, members, interval = calibrated_risk(log_odds, card)
        threshold = float(card["threshold"]["value"])
        numbers = {
            "risk": round(value, 6),
            "risk_interval": [round(limit, 6) for limit in interval],
            "members": [round(member, 6) for member in members],
            "baseline_risk": round(baseline_risk(card, uptake(network_input.suv, network_input.grid.voxel_ml)), 6),
            "threshold": threshold,
            "label": "high" if value >= threshold else "low",
        }
        self.timings["to_risk"] = round(time.perf_counter() - self._begin, 3)
        self.progress.say({"event": "risk", **numbers, "elapsed_s": self.timings["to_risk"]})
        return {"schema_version": RESULT_SCHEMA_VERSION, **numbers}

    def _about(self, card: dict, network_input: NetworkInput, place, engine) -> dict:
        center = [round(float(c), 3) for c in place.center_ras]
        return {
            "created": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
            "tumor": None,
            "box": {
                "center_ras_mm": center,
                "size_mm": list(self.predictor.preprocessing.size_mm),
                "found_by": place.found_by,
                "candidates": place.candidates,
            },
            "model": {"name": card["name"], "version": card["version"], "sha256": card["weights_sha256"]},
            "device": engine.device,
            "engine": engine.name,
            "inputs": describe_inputs(self.inputs),
            "units": dict(UNITS),
            "timings_s": self.timings,
            "warnings": self.warnings,
            "software": software(),
        }

    def _segment(self, engine, inputs, network_input, pet, ct, mask, result, observed):
        self.enter("segmentation")

        def on_member(done: int, count: int) -> None:
            self.check()
            self.progress.stage("segmentation", done / count)

        probability = engine.tumor_probability(inputs, on_member)
        if probability is None:  # a Mask + HMFL model has no decoder: the given mask is the tumor
            probability = mask_to_grid(mask, network_input.grid).astype(np.float32)
        image, tumor = segment(probability, network_input, ct)
        self.timings["to_segmentation"] = round(time.perf_counter() - self._begin, 3)
        result["tumor"] = measure(image, pet) | {"center_ras_mm": _middle_of(tumor, network_input)}
        observed |= model_warnings.observe_tumor(result["tumor"])
        self.warn(model_warnings.judge_segmentation(tumor, network_input))
        if mask is not None:
            self.warn(model_warnings.judge_mask(mask, tumor, network_input))
        return image

    def _relevance(self, networks, inputs, network_input: NetworkInput, ct: sitk.Image) -> sitk.Image:
        from ..network.relevance import relevance_map

        values = np.where(network_input.inside, relevance_map(networks, inputs), np.float32(0))
        return on_reference(
            np.round(values * 255) / np.float32(255), network_input.grid, ct
        )  # rounded: compresses far better

    def _write(self, folder: OutputFolder, result, card, pet, ct, frame, segmentation, relevance, place) -> dict:
        from ..report.pictures import relevance_picture, slices_picture
        from ..report.report import write_report

        try:
            if segmentation is not None:
                for image, name in ((segmentation, "segmentation.nii.gz"), (relevance, "relevance.nii.gz")):
                    write_part(image, frame.first_index, frame.size, folder.path(name))
                    self.check()
            pictures = {"slices": slices_picture(pet, ct, segmentation, center_ras=place.center_ras)}
            if relevance is not None:
                pictures["relevance"] = relevance_picture(ct, relevance, segmentation, place.center_ras)
            self.progress.stage("write", 0.7)
            self.check()
            self._clock()
            self.timings["total"] = round(time.perf_counter() - self._begin, 3)
            write_report(folder.path("report.html"), result, card, pictures)
            text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            folder.path("result.json").write_text(text, encoding="utf-8")
            self.check()
        except OSError as error:
            raise output_error(folder.folder, error) from error
        except BadInput as error:
            raise writing_error(folder.folder, error) from error
        return {name: str(path) for name, path in folder.commit().items()}


@dataclass(frozen=True)
class _Frame:
    """The CT's voxels around the box, which is all that the results fill, and where they lie in the CT."""

    part: sitk.Image
    first_index: list[int]
    size: tuple[int, int, int]

    @classmethod
    def around(cls, grid, ct: sitk.Image) -> _Frame:
        part, first_index = around(grid, ct)
        return cls(part, first_index, ct.GetSize())


def _middle_of(tumor: np.ndarray, network_input: NetworkInput) -> list[float] | None:
    """Where the lesion lies that was measured: its center of mass, RAS mm; None without any."""
    if not tumor.any():
        return None
    index = np.argwhere(tumor).mean(axis=0)
    lps = np.array(network_input.grid.origin_lps) + index * network_input.grid.spacing
    return [round(float(value), 1) for value in flipped(lps)]
