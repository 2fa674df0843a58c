"""The scene's parameter nodes behind Slicer's wrapper, whatever version of Slicer or of this extension wrote them."""

import logging
from dataclasses import dataclass


def parameters_of(node, wrapper):
    """A scene's parameter node in its wrapper; what it holds that cannot be read becomes the default.

    :param node: vtkMRMLScriptedModuleNode.
    :param wrapper: a class that ``slicer.parameterNodeWrapper`` made.
    """
    for name, parameter in wrapper.allParameters.items():
        try:
            if parameter.serializer.isIn(node, name):
                parameter.serializer.read(node, name)
        except (KeyError, TypeError, ValueError):  # such as a choice of a later version
            logging.warning("Unknown here: %s is '%s' in '%s'.", name, node.GetParameter(name), node.GetName())
            parameter.serializer.write(node, name, parameter.default.value)
    return wrapper(node)


@dataclass
class Connection:
    """A parameter node's wrapper and the widgets that follow it, until :meth:`end`.

    Slicer 5.10 leaves its observer of the node when widgets are disconnected. Nothing but the wrapper holds what that
    one calls, and Slicer crashed when the wrapper had gone: so observers are noted here and removed with the widgets.
    """

    parameters: object
    gui: object

    def __post_init__(self):
        self._observers = []
        self.parameters.AddObserver = self._observe  # of this one wrapper, while it connects
        try:
            self._tag = self.parameters.connectGui(self.gui)
        finally:
            del self.parameters.AddObserver

    def _observe(self, event, callback, priority=0.0):
        self._observers.append(self.parameters.parameterNode.AddObserver(event, callback, priority))
        return self._observers[-1]

    def end(self) -> None:
        """Disconnect the widgets."""
        self.parameters.disconnectGui(self._tag)
        for tag in self._observers:
            self.parameters.parameterNode.RemoveObserver(tag)
