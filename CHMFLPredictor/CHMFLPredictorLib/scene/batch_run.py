"""What the batch over a scene and the batch over a folder have in common: the interface of a run, and how it ends."""

import time
from dataclasses import replace

import slicer

from ..child.process import Ended, Ending, Log
from ..errors import BadInput, Canceled
from ..failures import as_known
from .batch_table import DONE, FAILED, BatchTable
from .run import RunOptions

_POLL_S = 0.05


class BatchRun:
    """A batch that can be watched and canceled.

    :ivar ended: None until it has ended, then how; the message of a good end counts the patients.
    """

    def __init__(self, options: RunOptions | None, scene, launcher):
        # a place of the tumor is one patient's
        self.options = replace(options or RunOptions(), center_ras=None, segmentation_node=None, segment_id="")
        self.ended: Ended | None = None
        self._scene, self._launcher = scene, launcher
        self._started = self._canceled = self._listener_failed = False
        self._on_event = None
        self._rows: BatchTable | None = None
        self._log = Log()

    @property
    def running(self) -> bool:
        """Whether it has started and its ending is not known yet."""
        return self._started and self.ended is None

    @property
    def table(self):
        """The vtkMRMLTableNode with a row a patient; None until the patients are known, or if it left the scene."""
        node = self._rows.node if self._rows is not None else None
        return node if node is not None and node.GetScene() is not None else None

    @property
    def log(self) -> str:
        """What the children wrote for people, capped."""
        return str(self._log)

    def start(self, on_event=None) -> None:
        """Begin. Whatever is wrong with the input becomes an ending, not an exception.

        :param on_event: called with each event, a dict, in :meth:`poll` and :meth:`wait`.
        """
        if self._started:
            raise RuntimeError("A batch runs once; make another one.")
        self._started, self._on_event = True, on_event
        self._scene = self._scene or slicer.mrmlScene
        try:
            self._begin()
        except Exception as error:
            self._end(ended_by(error))

    def poll(self) -> Ended | None:
        """Hand out new events and go on with the next patient; the ending at the end. To be called from a timer."""
        if self.running:
            try:
                ended = self._step()
            except BaseException as error:  # nothing may leave a child or files behind
                ours = isinstance(error, Exception) and not self._listener_failed
                self._abandon(ended_by(error) if ours else None)
                if not ours:
                    raise
                return self.ended
            if ended is not None:
                self._end(ended)
        return self.ended

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Block until the end and return the ending.

        :raises TimeoutError: it still runs after ``timeout_s``; it is left running.
        """
        if not self._started:
            raise RuntimeError("Not started.")
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while (ended := self.poll()) is None:
                if until is not None and time.monotonic() > until:
                    raise TimeoutError(f"Still running after {timeout_s} s.")
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            self._abandon()
            raise
        return ended

    def cancel(self) -> None:
        """Ask it to stop; :meth:`poll` tells when it has. Finished patients keep their results."""
        if self.running and not self._canceled:
            self._canceled = True
            self._stop()

    # Inside ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Refuse what cannot be begun.

        :raises ChmflError: it becomes the ending.
        """
        raise NotImplementedError

    def _step(self) -> Ended | None:
        """Go on without blocking; the ending at the end."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Ask the child at hand to stop."""
        raise NotImplementedError

    def _tell(self, event: dict) -> None:
        if self._on_event is None or self._canceled:
            return
        try:
            self._on_event(event)
        except BaseException:
            self._listener_failed = True
            raise

    def _abandon(self, ending: Ended | None = None) -> None:
        """Stop now and wait until the child is gone; end as told, or canceled."""
        self.cancel()
        while self.running:
            try:
                ended = self._step()
            except Exception as error:
                ended = ended_by(error)
            if ended is not None:
                self._end(ending or ended)
            else:
                time.sleep(_POLL_S)

    def _end(self, ended: Ended) -> None:
        if self._rows is not None:
            self._rows.close("" if ended.ending is Ending.CANCELED else f"{ended.message} {ended.hint}".strip())
        self.ended = ended

    def _canceled_ending(self) -> Ended:
        hint = "Nothing was changed."
        if self._rows is not None:
            hint = f"{self._rows.count(DONE)} of {len(self._rows.rows)} patients are finished and keep their results."
        return Ended(Ending.CANCELED, "canceled", "Canceled.", hint)

    def _judge(self, final: dict) -> Ended:
        """The ending of a batch that came to its end."""
        if final["done"] or final["skipped"]:
            return Ended(Ending.DONE, message=_counts_in_words(final), result=final, exit_code=0)
        reasons = [row["error"] for row in self._rows.rows if row.get("error") and row["status"] == FAILED]
        text = f"None of the {final['failed']} patients could be predicted. The first: {reasons[0] if reasons else '?'}"
        hint = "The table of the batch says for each patient why."
        return Ended(Ending.ERROR, "batch_all_failed", text, hint, exit_code=BadInput.exit_code)


def _counts_in_words(final: dict) -> str:
    words = [f"{final['done']} predicted"]
    for key, verb in (("skipped", "finished before"), ("failed", "failed"), ("left_out", "left out")):
        words += [f"{final[key]} {verb}"] if final[key] else []
    return f"{', '.join(words)}."


def ended_by(error: Exception) -> Ended:
    """The ending of something that went wrong on this side."""
    known = as_known(error)
    if known is None and isinstance(error, OSError):
        text, hint = f"The patients cannot be handed over as files: {error}", "Free space on the disk."
        return Ended(Ending.ERROR, "files", text, hint)
    if known is None:
        hint = "Copy the log and report it."
        return Ended(Ending.ERROR, "defect", f"{type(error).__name__}: {error}", hint, exit_code=1)
    ending = Ending.OUT_OF_MEMORY if known.code == "out_of_memory" else Ending.ERROR
    ending = Ending.CANCELED if isinstance(known, Canceled) else ending
    return Ended(ending, known.code, known.message, known.hint, exit_code=known.exit_code)
