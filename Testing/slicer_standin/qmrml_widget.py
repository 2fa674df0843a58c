"""qMRMLWidget, the container of a module's panel: Libs/MRML/Widgets/qMRMLWidget.cxx."""

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from .qmrml_vtk import vtk_argument


class qMRMLWidget(QWidget):
    """A widget that passes its MRML scene on to the MRML widgets in it (Libs/MRML/Widgets/qMRMLWidget.h).

    Not covered: pixmapFromIcon and the application's initialization.
    """

    SIGNATURES = {
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
        "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
    }
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._mrmlSceneOfWidget = None  # a smart pointer in Slicer too: keeps the scene

    @Slot(result=object)
    def mrmlScene(self):
        return self._mrmlSceneOfWidget

    @Slot(object)
    def setMRMLScene(self, scene) -> None:
        vtk_argument(scene, "vtkMRMLScene")
        if scene is self._mrmlSceneOfWidget:
            return
        self._mrmlSceneOfWidget = scene
        self.mrmlSceneChanged.emit(scene)
