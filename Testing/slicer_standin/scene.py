"""The one MRML scene of the stand-in: logics, view nodes, and the subject hierarchy's own doings."""

import vtk

# modules that Slicer has and slicer_headless does not start; name in slicer.modules: (module name, logic class)
MORE_LOGICS = {
    "models": "vtkSlicerModelsLogic",
    "plots": "vtkSlicerPlotsLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "units": "vtkSlicerUnitsLogic",
    "cameras": "vtkSlicerCamerasModuleLogic",
    "cropvolume": "vtkSlicerCropVolumeLogic",
    "data": "vtkSlicerDataModuleLogic",
}
MODULE_NAMES = {
    "subjecthierarchy": "SubjectHierarchy",
    "cropvolume": "CropVolume",
}
# node classes that a subject hierarchy plugin claims (canAddNodeToSubjectHierarchy in
# Modules/Loadable/*/SubjectHierarchyPlugins) and the plugin that owns the item, most special first
PLUGINS = {
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
    "vtkMRMLFolderDisplayNode": "Folder",
}


def module_name(lowered: str) -> str:
    """Name of one of Slicer's modules, from what it is called in ``slicer.modules``."""
    return MODULE_NAMES.get(lowered, lowered.capitalize())


def add_logics(application: object, scene: object) -> dict[str, object]:
    """Start the logics of more of Slicer's modules; returns them by their name in ``slicer.modules``."""
    import slicer

    logics = {}
    for lowered, class_name in MORE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(module_name(lowered), logic)
        logics[lowered] = logic
    return logics


def add_views(application: object, scene: object) -> object:
    """Add the layout, a 3D view and its camera, and the logics of the slice views (qMRMLLayoutManager.cxx's work).

    Returns the layout logic, to be kept: it is Slicer's own, with the default layouts, and adds the node of a view,
    such as the plot view, when a layout with that view is chosen.
    """
    import slicer

    layouts = slicer.vtkMRMLLayoutLogic()
    layouts.SetMRMLApplicationLogic(application)
    view = slicer.vtkMRMLViewNode()
    view.SetName("View1")
    view.SetLayoutName("1")
    view.SetLayoutLabel("1")
    view.SetSingletonTag("1")
    scene.AddNode(view)
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera")
    camera.SetLayoutName("1")
    slices, views = vtk.vtkCollection(), vtk.vtkCollection()
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        logic.SetSliceNode(scene.GetNthNodeByClass(index, "vtkMRMLSliceNode"))
        slices.AddItem(logic)
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(scene)
    logic.AddViewNode("1")
    views.AddItem(logic)
    application.SetSliceLogics(slices)
    application.SetViewLogics(views)
    layouts.SetMRMLScene(scene)
    return layouts


class SubjectHierarchyPluginLogic:
    """Modules/Loadable/SubjectHierarchy/Widgets/qSlicerSubjectHierarchyPluginLogic.cxx

    Data nodes get their item when they are added, and lose it when they go; a loaded scene brings its own.
    The items of single segments are not made.
    """

    def __init__(self, scene: object) -> None:
        import slicer

        events = {
            slicer.vtkMRMLScene.NodeAddedEvent: self._node_added,
            slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent: self._node_about_to_be_removed,
            slicer.vtkMRMLScene.EndImportEvent: self._add_missing,
            slicer.vtkMRMLScene.EndCloseEvent: self._resolve,
            slicer.vtkMRMLScene.EndRestoreEvent: self._resolve,
            slicer.vtkMRMLScene.EndBatchProcessEvent: self._add_missing,
        }
        self._resolve(scene)
        for event, method in events.items():
            scene.AddObserver(event, method, 10.0)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_added(self, scene, _event, node) -> None:
        if scene.IsImporting() or node is None:
            return
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            self._resolve(scene)
        else:
            self._add(scene, node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_about_to_be_removed(self, scene, _event, node) -> None:
        if scene.IsClosing() or node is None or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = self._resolve(scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _add_missing(self, scene, _event) -> None:
        self._resolve(scene)
        for index in range(scene.GetNumberOfNodes()):
            self._add(scene, scene.GetNthNode(index))

    def _add(self, scene, node) -> None:
        if node.GetHideFromEditors():
            return
        plugin = next((plugin for kind, plugin in PLUGINS.items() if node.IsA(kind)), None)
        if plugin is None:
            return
        hierarchy = self._resolve(scene)
        if not hierarchy.GetItemByDataNode(node):
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
            hierarchy.SetItemOwnerPluginName(item, plugin)

    @staticmethod
    def _resolve(scene, _event=None):
        import slicer

        return slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
