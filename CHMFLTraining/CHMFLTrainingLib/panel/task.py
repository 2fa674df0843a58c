"""Something slow done in a child process while the panel stays alive."""

import qt
from CHMFLPredictorLib.child.process import ChildProcess

from ..run import process

INTERVAL_MS = 100


class Task:
    """One child at a time, asked every tenth of a second what is new; starting another ends it."""

    def __init__(self):
        self.child, self._onEnd = None, None
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    @property
    def running(self) -> bool:
        """Whether its end is still to come."""
        return self._onEnd is not None

    def start(self, arguments, onEvent=None, onEnd=None) -> None:
        """Start ``python -m CHMFLTrainingLib ARGUMENTS --progress json``.

        :param onEvent: called with each event of the child protocol.
        :param onEnd: called once with the ``process.Ended``; not if the task is stopped.
        """
        self.stop()
        spoken = [*arguments, "--progress", "json"]
        self.child = ChildProcess(spoken, onEvent, process.launch, "CHMFLTrainingLib")
        self._onEnd = onEnd or (lambda ended: None)
        self.child.start()
        self._timer.start()

    def stop(self) -> None:
        """End the child, which has nothing to undo, and forget it."""
        self._timer.stop()
        self._onEnd = None
        if self.child is not None and self.child.running:
            self.child.kill()
            self.child.wait()
        self.child = None

    def _tick(self) -> None:
        child = self.child
        ended = child.poll()
        if ended is None or child is not self.child:  # an event may have stopped the task
            return
        self._timer.stop()
        onEnd, self._onEnd = self._onEnd, None
        onEnd(ended)
