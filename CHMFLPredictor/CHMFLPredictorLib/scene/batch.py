"""Many patients from a scene or from a folder, with one table of results in the scene.

Both classes have the interface of a :class:`.run.PredictionRun`. Events come as those of the child's batch, with
``patient_id``, ``patient`` (its number, from 1) and ``patients`` (how many); a patient that cannot be predicted is a
``warning`` event and a row that says why. The last event of a batch that came to its end is ``{"event": "result",
"output", "files", "done", "failed", "skipped", "left_out"}``: numbers of patients; skipped are those that an earlier
run had finished in the same folder, left out those that a folder holds incompletely.

The ending is done also when some patients failed, with that event as its result. It is an error when all of them
failed, or when something stops every patient (no model, a full disk); canceled keeps what was finished before.
"""

from dataclasses import replace
from pathlib import Path

from ..child.process import Ended, Ending, launch
from ..errors import BadInput, MissingModel
from ..files import write_bytes
from ..predict.batch import RESULTS_FILE, STOPS_ALL, Row, error_cells, result_cells, results_csv
from .batch_folder import FolderBatch
from .batch_run import BatchRun
from .batch_table import DONE, FAILED, RUNNING, BatchTable, numbers_of
from .run import PredictionRun, RunOptions, error_of

__all__ = ["FolderBatch", "SceneBatch"]


class SceneBatch(BatchRun):
    """Predicts pairs of nodes one after another; each patient's nodes appear as it finishes.

    :param pairs: objects with ``name``, ``pet`` and ``ct`` (vtkMRMLScalarVolumeNode), see ``pairs.pairs``.
    :param options: model, device and risk_only; with ``output`` each patient's files go into a folder of its own
        there, and ``results.csv`` beside them.
    :ivar predictions: by number of the patient, from 0, those that are done.
    """

    def __init__(self, pairs, options: RunOptions | None = None, scene=None, launcher=launch):
        super().__init__(options, scene, launcher)
        self.pairs = list(pairs)
        self.predictions: dict[int, object] = {}
        self._number, self._run, self._names = -1, None, []
        self._cells: list[dict] = []

    def _begin(self) -> None:
        if not self.pairs:
            text = "The scene holds no pair of a PET and a CT."
            raise BadInput("batch_no_pairs", text, "Load the PET and the CT of at least one patient.")
        self._names = _distinct([pair.name for pair in self.pairs])
        self._rows = BatchTable(self._scene, self._names)

    def _step(self) -> Ended | None:
        if self._run is not None:
            ended = self._run.poll()
            return self._take(ended) if ended is not None else None
        if self._canceled:
            return self._canceled_ending()
        self._number += 1
        if self._number == len(self.pairs):
            return self._finish()
        self._rows.set(self._number, status=RUNNING)
        pair, output = self.pairs[self._number], self.options.output
        folder = Path(output, _folder_name(self._names[self._number])) if output is not None else None
        self._log.add(f"{self._names[self._number]}:")
        self._run = PredictionRun(pair.pet, pair.ct, replace(self.options, output=folder), self._scene, self._launcher)
        self._run.start(self._relay)
        return None

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()

    def _fields(self) -> dict:
        name = self._names[self._number]
        return {"patient_id": name, "patient": self._number + 1, "patients": len(self.pairs)}

    def _relay(self, event: dict) -> None:
        if event["event"] == "risk":
            self._rows.set(self._number, **numbers_of(event))
        if event["event"] != "error":  # of one patient; to who listens it would be the end of all
            self._tell({**event, **self._fields()})

    def _take(self, ended: Ended) -> Ended | None:
        """Note how one patient ended; the ending of all if that stops the others too."""
        run, self._run = self._run, None
        for line in run.log.splitlines():
            self._log.add(line)
        if ended.ending is Ending.CANCELED:
            return self._canceled_ending()
        if ended.ending is Ending.DONE:
            self.predictions[self._number] = run.prediction
            self._rows.set(self._number, status=DONE, **numbers_of(run.prediction.result))
            self._keep(lambda folder: result_cells(run.prediction.result, folder))
            return None
        error = error_of(ended)
        self._rows.set(self._number, status=FAILED, error=str(error), **numbers_of({}))
        stops_all = ended.exit_code == MissingModel.exit_code or ended.code in STOPS_ALL
        if stops_all or ended.ending is Ending.FAILED_TO_START:
            return ended
        text = f"{self._names[self._number]}: {error}"
        self._tell({"event": "warning", "code": error.code, "text": text, **self._fields()})
        self._keep(lambda folder: error_cells(error))
        return None

    def _keep(self, cells) -> None:
        """Rewrite ``results.csv`` with one more patient, if there is an output folder."""
        if self.options.output is None:
            return
        output, name = Path(self.options.output), self._names[self._number]
        self._cells.append({"patient_id": name, **cells(output / _folder_name(name))})
        try:
            output.mkdir(parents=True, exist_ok=True)
            write_bytes(output / RESULTS_FILE, results_csv(self._cells), make_folder=False)
        except OSError as error:
            text = f"The results cannot be written to '{output}': {error.strerror or error}."
            raise BadInput("output_unwritable", text, "Choose another folder.") from error

    def _finish(self) -> Ended:
        files, output = {}, self.options.output
        if output is not None:
            files = {RESULTS_FILE: str(Path(output, RESULTS_FILE))}
        counts = {"done": self._rows.count(DONE), "failed": self._rows.count(FAILED), "skipped": 0, "left_out": 0}
        final = {"event": "result", "output": str(output) if output is not None else None, "files": files, **counts}
        self._tell(final)
        return self._judge(final)


def _folder_name(patient: str) -> str:
    return Row({"patient_id": patient}, 0, Path()).folder


def _distinct(names: list[str]) -> list[str]:
    """The names, numbered where two would have the same folder."""
    taken, distinct = set(), []
    for name in names:
        candidate, number = name, 1
        while _folder_name(candidate).casefold() in taken:
            number += 1
            candidate = f"{name} ({number})"
        taken.add(_folder_name(candidate).casefold())
        distinct.append(candidate)
    return distinct
