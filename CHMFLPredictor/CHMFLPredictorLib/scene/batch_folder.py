"""The patients of a folder or a CSV, predicted by one child process; see :mod:`.batch`."""

import csv
import io
import os
import tempfile
import threading
from pathlib import Path

from ..child.process import ChildProcess, Ended, Ending, launch
from ..errors import BadInput
from ..predict.batch import RESULTS_FILE, read_rows
from ..predict.patients import as_csv
from . import leftovers
from .batch_run import BatchRun
from .batch_table import LEFT_OUT, RUNNING, BatchTable, numbers_of
from .run import RunOptions


class FolderBatch(BatchRun):
    """Predicts the patients of a folder or a CSV in one child process; their images do not enter the scene.

    :param source: a folder with a subfolder for each patient, see :mod:`..predict.patients`, or a CSV, see
        :mod:`..predict.batch`.
    :param output: folder for ``results.csv`` and a folder for each patient; a batch that was stopped goes on there.
    """

    def __init__(self, source, output, options: RunOptions | None = None, scene=None, launcher=launch):
        super().__init__(options, scene, launcher)
        self.source, self.output = str(source or ""), str(output or "")
        self._search: _Search | None = None
        self._child: ChildProcess | None = None
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._patients: list[str] = []
        self._left_out = 0
        self._at, self._final, self._before = -1, None, None

    @property
    def log(self) -> str:
        """What the child wrote for people, capped."""
        return "\n".join(filter(None, (str(self._log), str(self._child.log) if self._child is not None else "")))

    def _begin(self) -> None:
        if not self.source:
            text = "No folder of patients and no CSV is chosen."
            raise BadInput("batch_source_missing", text, "Choose one of the two.")
        if not self.output:
            raise BadInput("batch_output_missing", "No folder for the results is chosen.", "Choose a folder.")

    def _step(self) -> Ended | None:
        if self._canceled and self._child is None:
            return self._canceled_ending() if self._search is None or self._search.finished else None
        if self._search is None:
            self._temporary = leftovers.temporary_folder()
            self._search = _Search(self.source, Path(self._temporary.name), lambda: self._canceled)
            self._tell({"event": "progress", "stage": "read", "fraction": 0.0, "text": "Looking for patients"})
            return None
        if self._child is None:
            return self._start_child() if self._search.finished else None
        ended = self._child.poll()
        return self._take(ended) if ended is not None else None

    def _stop(self) -> None:
        if self._child is not None:
            self._child.cancel()

    def _start_child(self) -> None:
        csv_path, self._patients, left_out = self._search.result()
        self._left_out = len(left_out)
        self._rows = BatchTable(self._scene, [*self._patients, *(name for name, _ in left_out)])
        for number, (name, reason) in enumerate(left_out, len(self._patients)):
            self._rows.set(number, status=LEFT_OUT, error=reason)
            self._log.add(f"Left out: {name}: {reason}")
            self._tell({"event": "warning", "code": "batch_patient_left_out", "text": f"{name}: {reason}"})
        arguments = ["predict", "--batch", csv_path, "--output", self.output, "--progress", "json"]
        arguments += ["--device", self.options.device]
        arguments += ["--model", self.options.model] if self.options.model is not None else []
        arguments += ["--risk-only"] if self.options.risk_only else []
        self._before = self._version_of_results()
        self._child = ChildProcess([str(argument) for argument in arguments], self._relay, self._launcher)
        self._child.start()

    def _relay(self, event: dict) -> None:
        if "patient" in event:
            number = int(event["patient"]) - 1
            if number != self._at:
                self._at = number
                os.utime(self._temporary.name)  # a long batch is no leftover
                self._read_results()
                self._rows.set(number, status=RUNNING)
            if event["event"] == "risk":
                self._rows.set(number, **numbers_of(event))
        elif event["event"] == "result":
            event = self._final = {**event, "left_out": self._left_out}
        self._tell(event)

    def _take(self, ended: Ended) -> Ended:
        self._read_results()
        if ended.ending is Ending.CANCELED:
            return self._canceled_ending()
        if self._final is not None and ended.exit_code in (0, BadInput.exit_code):
            return self._judge(self._final)
        return ended

    def _version_of_results(self):
        try:
            state = Path(self.output, RESULTS_FILE).stat()
            return state.st_mtime_ns, state.st_ino, state.st_size
        except OSError:
            return None

    def _read_results(self) -> None:
        """Bring ``results.csv`` into the table, if it is of this run; the child rewrites it after each patient."""
        if self._version_of_results() == self._before:
            return
        try:
            text = Path(self.output, RESULTS_FILE).read_text(encoding="utf-8")
            found = list(csv.DictReader(io.StringIO(text, newline="")))
        except (OSError, ValueError, csv.Error):
            return
        number = -1
        for cells in found:  # in the order of the batch, without those that are not finished yet
            number = next((n for n in range(number + 1, len(self._patients)) if self._is(n, cells)), None)
            if number is None:
                return
            error = f"{cells['error_message']} {cells['error_hint']}".strip()
            values = {key: cells.get(key) for key in numbers_of({})}
            if self._rows.rows[number]["status"] != cells["status"]:
                self._rows.set(number, status=cells["status"], error=error, **values)

    def _is(self, number: int, cells: dict) -> bool:
        return self._patients[number] == cells.get("patient_id")

    def _end(self, ended: Ended) -> None:
        super()._end(ended)
        if self._temporary is not None:
            self._temporary.cleanup()


class _Search:
    """Looks for the patients in a thread: a folder of DICOM has many thousand files."""

    def __init__(self, source: str, folder: Path, canceled):
        self._source, self._folder, self._canceled = source, folder, canceled
        self._found, self._error = None, None
        self._thread = threading.Thread(target=self._run, name="patients", daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> tuple[Path, list[str], list[tuple[str, str]]]:
        """The CSV, its patients, and who was left out and why."""
        if self._error is not None:
            raise self._error
        return self._found

    def _run(self) -> None:
        try:
            left_out = []
            path = as_csv(self._source, self._folder, lambda *one: left_out.append(one), self._canceled)
            self._found = path, [row.patient_id for row in read_rows(path)], left_out
        except BaseException as error:  # raised again where the result is asked for
            self._error = error
