"""Notices what happens to the nodes that the user chose: a point placed, a box dragged, a volume moved or removed."""

import qt
from slicer.util import VTKObservationMixin

DELAY_MS = 30  # a node that is dragged says so many times a second


class NodeWatcher(VTKObservationMixin):
    """Calls back once, a moment after something happened to a watched node.

    :param onChange: called without arguments.
    """

    def __init__(self, onChange):
        super().__init__()
        self._nodes = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", onChange)

    def watch(self, nodes) -> None:
        """Watch these nodes and no others; None among them is nothing."""
        nodes = list(dict.fromkeys(node for node in nodes if node is not None))  # PET and CT may be the same one
        if nodes == self._nodes:
            return
        self.stop()
        self._nodes = nodes
        for node in nodes:
            for event in self._events(node):
                self.addObserver(node, event, self._onEvent)

    def stop(self) -> None:
        """Watch nothing."""
        self._timer.stop()
        self.removeObservers()
        self._nodes = []

    def _onEvent(self, caller, event) -> None:
        self._timer.start()

    @staticmethod
    def _events(node):
        yield node.TransformModifiedEvent
        if node.IsA("vtkMRMLMarkupsNode"):
            yield from (node.PointPositionDefinedEvent, node.PointPositionUndefinedEvent)
            yield from (node.PointRemovedEvent, node.PointModifiedEvent)
        if node.IsA("vtkMRMLVolumeNode"):
            yield node.ImageDataModifiedEvent
