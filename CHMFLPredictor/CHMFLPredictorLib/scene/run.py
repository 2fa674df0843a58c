"""One prediction on nodes of a scene, from the click to the result nodes: what a panel's button and a script call.

Blocking::

    prediction = predict_in_scene(pet_node, ct_node)
    print(prediction.result["risk"], prediction.nodes["segmentation"].GetName())

From a panel, without freezing it::

    run = PredictionRun(pet_node, ct_node, RunOptions(device="cpu"))
    run.start(on_event)                 # on_event(dict): progress, warning, risk
    timer.connect("timeout()", tick)    # def tick(): if run.poll(): timer.stop(); show(run.ended, run.prediction)
    ...
    run.cancel()
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..child.process import ChildProcess, Ended, Ending, launch
from ..errors import BadInput, Canceled, ChmflError, MissingModel, OutOfMemory
from . import leftovers, suv
from .nodes import check_inputs, world_geometry, write_segment, write_volume
from .pairs import pair_warnings
from .results import import_results

_DISK_HINT = "Free space on the disk of the temporary folder, or choose another one (environment variable TMPDIR)."


@dataclass(frozen=True)
class RunOptions:
    """What the user may choose.

    :ivar model: folder of a model bundle; None is the one that ships.
    :ivar device: "auto", "cpu", "cuda" or "cuda:n".
    :ivar center_ras: center of the box in world RAS mm.
    :ivar segmentation_node: with ``segment_id``: the tumor as it is known already; the box goes around it.
    :ivar risk_only: no segmentation, no relevance map.
    :ivar output: folder that gets the files too (result.json, report.html, ...); files of these names are replaced.
    """

    model: str | os.PathLike | None = None
    device: str = "auto"
    center_ras: tuple[float, float, float] | None = None
    segmentation_node: object = None
    segment_id: str = ""
    risk_only: bool = False
    output: str | os.PathLike | None = None


@dataclass
class Prediction:
    """What a run that is done leaves.

    :ivar result: the content of result.json.
    :ivar nodes: by role, the keys of ``scene.CLASSES``; without segmentation and relevance after a risk-only run.
    :ivar report: the HTML page.
    :ivar files: of ``RunOptions.output``, by name; empty without it.
    """

    result: dict
    nodes: dict
    report: str = ""
    files: dict[str, Path] = field(default_factory=dict)


class PredictionRun:
    """A prediction that can be watched and canceled. It changes the scene only at its good end.

    :ivar ended: None until it has ended, then how (:class:`..child.process.Ended`).
    :ivar prediction: the result nodes and numbers, once it is done.
    """

    def __init__(self, pet_node, ct_node, options: RunOptions | None = None, scene=None, launcher=launch):
        self.pet_node, self.ct_node = pet_node, ct_node
        self.options = options or RunOptions()
        self.ended: Ended | None = None
        self.prediction: Prediction | None = None
        self._scene = scene
        self._launcher = launcher
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._child: ChildProcess | None = None
        self._on_event = lambda event: None
        self._warnings: list[dict] = []  # of this side: what the files do not tell
        self._told = False
        self._ct_place = None

    @property
    def running(self) -> bool:
        """Whether it has started and its ending is not known yet."""
        return self._temporary is not None and self.ended is None

    @property
    def log(self) -> str:
        """What the child wrote for people, capped."""
        return str(self._child.log) if self._child is not None else ""

    def start(self, on_event=None) -> None:
        """Write the nodes and start the child. Whatever is wrong with the input becomes an ending, not an exception.

        :param on_event: called with each event, a dict (see ``events.py``), in :meth:`poll` and :meth:`wait`.
        """
        if self._temporary is not None or self.ended is not None:
            raise RuntimeError("A PredictionRun runs once; make another one.")
        try:
            check_inputs(self.pet_node, self.ct_node)
            self._scene = self._scene or self.ct_node.GetScene()
            self._temporary = leftovers.temporary_folder()
            self._on_event = on_event or self._on_event
            self._child = ChildProcess(self._write_inputs(), self._pass_on, self._launcher)
            self._child.start()
        except Exception as error:
            self._end(_failed(error))
        except BaseException:
            self._clean()
            raise

    def poll(self) -> Ended | None:
        """Hand out new events; at the end bring in the results and return the ending. To be called from a timer."""
        if self.running:
            try:
                self._tell_warnings()
                ended = self._child.poll()
            except BaseException:  # an exception of on_event must not leave a child or files behind
                self._abandon()
                raise
            if ended is not None:
                self._end(ended)
        return self.ended

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Block until the end and return the ending.

        :raises TimeoutError: it still runs after ``timeout_s``; it is left running.
        """
        if self.running:
            try:
                self._tell_warnings()
                self._end(self._child.wait(timeout_s))
            except TimeoutError:
                raise
            except BaseException:  # Ctrl-C, or an exception of on_event
                self._abandon()
                raise
        if self.ended is None:
            raise RuntimeError("Not started.")
        return self.ended

    def cancel(self) -> None:
        """Ask it to stop; :meth:`poll` tells when it has."""
        if self.running:
            self._child.cancel()

    # Inside ---------------------------------------------------------------------------------------------------------

    def _write_inputs(self) -> list[str]:
        """Write the nodes to files and return the child's arguments."""
        options, folder = self.options, Path(self._temporary.name)
        conversion = suv.conversion(self.pet_node)
        self._warnings = pair_warnings(self.pet_node, self.ct_node) + (conversion.warnings if conversion else [])
        write_volume(self.pet_node, folder / "PET.nrrd", "PT", conversion, self._warnings)
        write_volume(self.ct_node, folder / "CT.nrrd", "CT")
        self._ct_place = world_geometry(self.ct_node)
        arguments = ["predict", "--pet", folder / "PET.nrrd", "--ct", folder / "CT.nrrd", "--output", folder / "output"]
        arguments += [f"--pet-name={self.pet_node.GetName() or 'PET'}", f"--ct-name={self.ct_node.GetName() or 'CT'}"]
        arguments += ["--progress", "json", "--device", options.device]
        if options.model is not None:
            arguments += ["--model", options.model]
        if options.center_ras is not None:
            arguments += ["--center", *(f"{float(value):.6f}" for value in options.center_ras)]
        elif options.segmentation_node is not None:
            mask = folder / "tumor.nrrd"
            segmentation, segment_id = options.segmentation_node, options.segment_id
            write_segment(segmentation, segment_id, self.ct_node, mask)
            segment_name = segmentation.GetSegmentation().GetSegment(segment_id).GetName()
            name = f"{segmentation.GetName()}, segment {segment_name}"
            arguments += ["--segmentation", mask, f"--segmentation-name={name}"]
        if options.risk_only:
            arguments += ["--risk-only"]
        return [str(argument) for argument in arguments]

    def _tell_warnings(self) -> None:
        """Hand out the warnings of this side, once."""
        if not self._told:
            self._told = True
            for one in self._warnings:
                self._on_event({"event": "warning", **one})

    def _pass_on(self, event: dict) -> None:
        """Hand out an event of the child, but for the warnings that it only repeats from its input's header."""
        said = {"code": event.get("code"), "text": event.get("text")}
        if event.get("event") != "warning" or said not in self._warnings:
            self._on_event(event)

    def _end(self, ended: Ended) -> None:
        """Bring in the results of a run that is done, clean up and keep the ending."""
        try:
            if ended.ending is Ending.DONE:
                self.prediction = self._take_results(ended)
        except Exception as error:
            ended = self._kept(_failed(error))
        finally:
            self._clean()
        self.ended = ended

    def _take_results(self, ended: Ended) -> Prediction:
        folder, result = Path(self._temporary.name, "output"), ended.result["result"]
        said = result.setdefault("warnings", [])
        said[:0] = [one for one in self._warnings if one not in said]
        report = folder / "report.html"
        text = report.read_text(encoding="utf-8") if report.is_file() else ""
        files = _copy_files(folder, Path(self.options.output)) if self.options.output is not None else {}
        nodes = import_results(self._scene, self.pet_node, self.ct_node, folder, result, self._ct_place)
        return Prediction(result, nodes, text, files)

    def _kept(self, ended: Ended) -> Ended:
        """What was computed stays on the disk when it cannot be brought in, and the ending says where."""
        folder = leftovers.keep(Path(self._temporary.name, "output"))
        if folder is None:
            return ended
        return replace(ended, hint=f"{ended.hint} What was computed is kept in '{folder}'.".strip())

    def _abandon(self) -> None:
        self._child.cancel()
        self._end(self._child.wait())

    def _clean(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()


def predict_in_scene(
    pet_node, ct_node, options: RunOptions | None = None, on_event=None, scene=None, launcher=launch
) -> Prediction:
    """Predict and wait.

    :param pet_node: vtkMRMLScalarVolumeNode in body-weight SUV.
    :param ct_node: vtkMRMLScalarVolumeNode in HU.
    :param on_event: see :meth:`PredictionRun.start`.
    :return: numbers and nodes.
    :raises ChmflError: with the code, message and hint of what went wrong; :class:`Canceled`, :class:`OutOfMemory`,
        :class:`BadInput` and :class:`MissingModel` where the child ended with their exit codes.
    """
    run = PredictionRun(pet_node, ct_node, options, scene, launcher)
    run.start(on_event)
    ended = run.wait()
    if ended.ending is not Ending.DONE:
        raise error_of(ended)
    return run.prediction


def error_of(ended: Ended) -> ChmflError:
    """The exception for an ending that is not done."""
    if ended.ending is Ending.CANCELED:
        return Canceled(ended.message, ended.hint)
    kinds = {BadInput.exit_code: BadInput, MissingModel.exit_code: MissingModel}
    kind = OutOfMemory if ended.ending is Ending.OUT_OF_MEMORY else kinds.get(ended.exit_code, ChmflError)
    return kind(ended.code, ended.message, ended.hint)


def _failed(error: Exception) -> Ended:
    """The ending of something that went wrong on this side."""
    if isinstance(error, ChmflError):
        return Ended(Ending.ERROR, error.code, error.message, error.hint, exit_code=error.exit_code)
    if isinstance(error, MemoryError):
        hint = "Close other programs or images."
        return Ended(Ending.OUT_OF_MEMORY, "out_of_memory", "The memory is exhausted.", hint)
    if isinstance(error, OSError | RuntimeError):  # SimpleITK says RuntimeError when a disk is full
        return Ended(Ending.ERROR, "files", f"The volumes cannot be handed over as files: {error}", _DISK_HINT)
    return Ended(Ending.ERROR, "defect", f"{type(error).__name__}: {error}", "Copy the log and report it.", exit_code=1)


def _copy_files(folder: Path, target: Path) -> dict[str, Path]:
    """Copy the result files; each appears complete or not at all."""
    copied = {}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source in sorted(path for path in folder.iterdir() if path.is_file()):
            unfinished = target / f".{source.name}.{os.getpid()}.part"
            try:
                shutil.copyfile(source, unfinished)
                os.replace(unfinished, target / source.name)
            finally:
                unfinished.unlink(missing_ok=True)
            copied[source.name] = target / source.name
    except OSError as error:
        text = f"The results cannot be written to '{target}': {error}."
        raise BadInput("output_unwritable", text, "Choose another folder.") from error
    return copied
