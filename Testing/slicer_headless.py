"""A MRML scene and the module logics of Slicer without its application, from the slicer-core package.

What a Slicer application sets up at its start, no more: the scene, the logics that ``slicer.modules`` leads to, default
colors and the three slice views. Nothing in the product knows about this file.
"""

import atexit
import shutil
import sys
import tempfile
from types import SimpleNamespace

SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
# module name in slicer.modules: class of its logic
LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "tables": "vtkSlicerTablesLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "texts": "vtkSlicerTextsLogic",
    "transforms": "vtkSlicerTransformLogic",
}


def quiet() -> None:
    """Send VTK's messages nowhere: slicer-core lacks Slicer's share folder and says so at every start."""
    import vtk

    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    vtk.vtkObject.GlobalWarningDisplayOff()


def new_scene():
    """Make a fresh scene with its logics and make it Slicer's: ``slicer.mrmlScene`` and ``slicer.modules``."""
    quiet()
    import slicer

    scene = slicer.vtkMRMLScene()
    _add_cache(scene)
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics = {}
    for module, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application)
        if module == "colors":
            application.SetColorLogic(logic)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(module.capitalize(), logic)
        logics[module] = logic
    logics["colors"].AddDefaultColorNodes()
    for name, orientation in SLICE_VIEWS.items():
        _add_slice_view(scene, name, orientation)
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(
        **{name: SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    slicer.modules._application = application  # alive as long as the logics
    return scene


def load_volume(path, name: str, class_name: str = "vtkMRMLScalarVolumeNode"):
    """Load a file into the scene as Slicer's reader does, with a display node."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetSingleFile(1)
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(storage)
        slicer.mrmlScene.RemoveNode(node)
        raise OSError(f"'{path}' cannot be read as a volume.")
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    return node


def set_units(volume_node, ucum_code: str, meaning: str) -> None:
    """Say what a volume's values are, as Slicer's readers do that know it."""
    import slicer

    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(ucum_code, "UCUM", meaning)
    volume_node.SetVoxelValueUnits(entry)


def _add_cache(scene) -> None:
    """Give the scene the cache folder in which it unpacks .mrb files."""
    import slicer

    folder = tempfile.mkdtemp(prefix="slicer-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    cache.SetMRMLScene(scene)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _add_slice_view(scene, name: str, orientation: str) -> None:
    """Add the nodes of one slice view, so that a saved scene opens with the right volumes in it."""
    import slicer

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    view = scene.CreateNodeByClass("vtkMRMLSliceNode")  # one made directly would know no orientation's name
    view.UnRegister(None)
    view.SetName(name)
    view.SetLayoutName(name)
    view.SetSingletonTag(name)
    scene.AddNode(view)
    view.SetOrientation(orientation)
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetName(name)
    composite.SetLayoutName(name)
    composite.SetSingletonTag(name)
    scene.AddNode(composite)


if "slicer" in sys.modules and hasattr(sys.modules["slicer"], "app"):
    raise ImportError("slicer_headless stands in for Slicer's application; it has no place inside one.")
