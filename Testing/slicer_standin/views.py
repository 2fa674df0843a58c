"""Slice and 3D views without windows, drawn by Slicer's own slice logic and displayable managers.

Real: what is drawn (slicer-core's displayable managers). Stands in: the Qt widget around it, qMRMLSliceView
(Libs/MRML/Widgets/qMRMLSliceView.cxx) and qMRMLThreeDView.cxx, which only pass sizes, clicks and the renderer on, and
CTK's vtkLightBoxRendererManager.cpp, which puts the slice's image behind the actors.
"""

import slicer
import vtk

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
)


class View:
    """A render window nobody sees, and the displayable managers of one view node.

    :param size: width and height in pixels.
    """

    def __init__(self, node, size, factory_class, managers, application_logic):
        self.node, self.size = node, size
        self.renderer, self.window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        factory = factory_class.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)
        self.managers.SetMRMLDisplayableNode(node)

    def save(self, path) -> None:
        """Render and write a PNG."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()


class SliceView(View):
    """The slice view of a slice node: volumes, segment outlines, markups. Follows qMRMLSliceView.cxx.

    :param name: "Red", "Green" or "Yellow".
    """

    def __init__(self, name: str, size=(400, 400)):
        application_logic = slicer.app.applicationLogic()
        node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSliceNode(node)
        super().__init__(node, size, factory, SLICE_MANAGERS, application_logic)
        self.logic.ResizeSliceNode(*size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        mapper = vtk.vtkImageMapper()  # the blended slice is RGBA already, 0 to 255
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.image = vtk.vtkActor2D()
        self.image.SetMapper(mapper)
        self.image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self.image)

    def fit(self) -> None:
        """Show the whole background volume, as Slicer's button does."""
        self.logic.FitSliceToBackground()


class ThreeDView(View):
    """The 3D view: segmentation surfaces and markups. Follows qMRMLThreeDView.cxx."""

    def __init__(self, size=(400, 400)):
        node = slicer.mrmlScene.GetSingletonNode("1", "vtkMRMLViewNode")
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory
        super().__init__(node, size, factory, THREE_D_MANAGERS, slicer.app.applicationLogic())
        self.renderer.SetUseDepthPeeling(True)

    def look_at_all(self, from_direction=(0.0, 1.0, 0.15)) -> None:
        """Turn the camera so that everything visible fits.

        :param from_direction: where the camera stands, seen from the middle, in RAS.
        """
        box, labels = self.node.GetBoxVisible(), self.node.GetAxisLabelsVisible()
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.window.Render()
        camera = self.renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*from_direction)
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCamera()
        self.node.SetBoxVisible(box)
        self.node.SetAxisLabelsVisible(labels)
