"""Follows a run from a timer, so that Slicer stays responsive: a prediction or a batch, from the panel or a script."""

import qt

from ..scene.batch_run import ended_by

INTERVAL_MS = 100


class RunFollower:
    """Starts a run and asks it every tenth of a second what is new, until it has ended.

    The timer keeps the follower alive; nobody has to hold it.

    :param run: with ``start(on_event)``, ``poll()``, ``cancel()`` and ``wait()``, such as a ``PredictionRun``.
    :param onEvent: called with each event (a dict).
    :param onEnd: called once with the ending.
    """

    def __init__(self, run, onEvent=None, onEnd=None):
        self.run = run
        self._onEnd = onEnd
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)
        run.start(onEvent)
        self._timer.start()

    def cancel(self) -> None:
        """Ask the run to stop; ``onEnd`` is told when it has."""
        self.run.cancel()

    def abandon(self) -> None:
        """Stop the run now and wait until it is gone; ``onEnd`` is not called any more."""
        self._onEnd = None
        self._release()
        self.run.cancel()
        if self.run.running:
            self.run.wait()

    def _tick(self) -> None:
        try:
            ended = self.run.poll()
        except BaseException as error:
            self._finish(self.run.ended or ended_by(error))
            raise
        if ended is not None:
            self._finish(ended)

    def _finish(self, ended) -> None:
        self._release()
        onEnd, self._onEnd = self._onEnd, None
        if onEnd is not None:
            onEnd(ended)

    def _release(self) -> None:
        self._timer.stop()
        self._timer.disconnect("timeout()", self._tick)
