"""``slicer.app.coreIOManager()``: how slicer.util loads and saves. The files are read and written by Slicer's own
storage nodes and logics; what is written here is which of them Slicer takes for a file.
"""

import re
from pathlib import Path

import vtk
from PySide6.QtCore import QObject, Signal, Slot

# file type: file name endings its reader accepts (extensions() of the readers in Modules/Loadable)
VOLUME_ENDINGS = (
    ".hdr .nhdr .nrrd .mhd .mha .mnc .nii .nii.gz .mgh .mgz .mgh.gz .img .img.gz .pic "
    ".dcm .ima .png .tif .tiff .jpg .jpeg"
).split()
READABLE = {
    "VolumeFile": VOLUME_ENDINGS,
    "SegmentationFile": ".seg.nrrd .seg.nhdr .seg.vtm .nrrd .nhdr .vtm .nii.gz .nii .hdr .stl .obj".split(),
    "MarkupsFile": ".mrk.json .json .fcsv".split(),
    "ModelFile": ".vtk .vtp .vtu .g .byu .stl .ply .orig .inflated .sphere .white .smoothwm .pial .obj".split(),
    "TransformFile": ".h5 .tfm .mat .txt".split(),
    "TableFile": ".tsv .csv .txt .db .db3 .sqlite .sqlite3".split(),
    "TextFile": ".txt .xml .json".split(),
    "SceneFile": ".mrml .mrb .zip .xar".split(),
}
# node class: file type of its writer (the qSlicerNodeWriters that the modules register)
WRITERS = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTextNode": "TextFile",
    "vtkMRMLColorNode": "ColorTableFile",
}
# names of loadVolume's properties and the bits of vtkSlicerVolumesLogic::LoadingOptions
VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
LARGE_READ = 800  # characters in which a segmentation's header betrays itself


def _overloads(methods: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """C++ signatures of methods whose arguments after "[" may be left out."""
    signatures = {}
    for name, types in methods.items():
        needed = types.index("[") if "[" in types else len(types)
        given = [each for each in types if each != "["]
        for count in range(needed, len(given) + 1):
            signatures[f"{name}({','.join(given[:count])})"] = name
    return signatures


class qSlicerIOManager(QObject):
    """Base/QTCore/qSlicerCoreIOManager.h and Base/QTGUI/qSlicerIOManager.h, for the file types in READABLE."""

    SIGNATURES = _overloads(
        {
            "loadNodes": ("QString", "QVariantMap", "[", "vtkCollection*", "vtkMRMLMessageCollection*"),
            "loadScene": ("QString", "[", "bool", "vtkMRMLMessageCollection*"),
            "loadFile": ("QString", "[", "vtkMRMLMessageCollection*"),
            "saveNodes": ("QString", "QVariantMap", "[", "vtkMRMLMessageCollection*", "vtkMRMLScene*"),
            "exportNodes": ("QStringList", "QStringList", "QVariantMap", "bool", "[", "vtkMRMLMessageCollection*"),
            "fileWriterFileType": ("vtkObject*", "[", "QString"),
            "fileWriterExtensions": ("vtkObject*",),
            "extractKnownExtension": ("QString", "vtkObject*"),
            "createAndAddDefaultStorageNode": ("vtkMRMLStorableNode*",),
        }
    )
    newFileLoaded = Signal("QVariantMap")
    fileSaved = Signal("QVariantMap")

    def __init__(self, logics: dict[str, object], app_logic: object, scene: object, parent: QObject) -> None:
        super().__init__(parent)
        self._logics, self._app_logic, self._scene = logics, app_logic, scene

    @Slot(str, result=str)
    def fileType(self, path: str) -> str:
        candidates = [(_confidence(kind, path), kind) for kind in READABLE]
        confidence, kind = max(candidates, key=lambda candidate: candidate[0])
        return kind if confidence > 0 else "NoFile"

    @Slot(object, str, result=str)
    def fileWriterFileType(self, node: object, extension: str = "") -> str:
        return next((kind for name, kind in WRITERS.items() if node.IsA(name)), "NoFile")

    @Slot(object, result="QStringList")
    def fileWriterExtensions(self, node: object) -> list[str]:
        return _write_formats(node)

    @Slot(str, object, result=str)
    def extractKnownExtension(self, path: str, node: object) -> str:
        endings = [_ending(text) for text in _write_formats(node)]
        return max((ending for ending in endings if path.lower().endswith(ending)), key=len, default="")

    @Slot(object, result=object)
    def createAndAddDefaultStorageNode(self, node: object) -> object:
        return node.GetStorageNode() if node.AddDefaultStorageNode() else None

    @Slot(str, object, object, object, result=bool)
    def loadNodes(self, kind: str, properties: dict, loaded: object = None, messages: object = None) -> bool:
        import slicer

        path = properties["fileName"]
        messages = messages or slicer.vtkMRMLMessageCollection()
        before = messages.GetNumberOfMessages()
        nodes = None
        if kind in READABLE and _confidence(kind, path) > 0:
            nodes = getattr(self, f"_load_{kind}")(path, properties, messages)
        if nodes is None and messages.GetNumberOfMessages() == before:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"Loading {path} -  load failed.")
        identifiers = [node.GetID() for node in nodes or ()]
        self.newFileLoaded.emit({**properties, "fileType": kind, "nodeIDs": identifiers})
        for node in nodes or ():
            if loaded is not None:
                loaded.AddItem(node)
        return nodes is not None

    @Slot(str, bool, object, result=bool)
    def loadScene(self, path: str, clear: bool = True, messages: object = None) -> bool:
        return self.loadNodes("SceneFile", {"fileName": path, "clear": clear}, None, messages)

    @Slot(str, object, result=bool)
    def loadFile(self, path: str, messages: object = None) -> bool:
        return self.loadNodes(self.fileType(path), {"fileName": path}, None, messages)

    @Slot(str, object, object, object, result=bool)
    def saveNodes(self, kind: str, properties: dict, messages: object = None, scene: object = None) -> bool:
        import slicer

        path = properties.get("fileName")
        if not isinstance(path, str) or not path:
            return False  # a pathlib.Path is no QString: C++ refuses it
        messages = messages or slicer.vtkMRMLMessageCollection()
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        if kind == "SceneFile":
            saved = self._save_scene(path, messages)
        else:
            saved = _save_node((scene or self._scene).GetNodeByID(properties["nodeID"]), path, properties, messages)
        if saved:
            self.fileSaved.emit(dict(properties))
        else:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"Saving failed for file '{path}' of type '{kind}'.")
        return saved

    @Slot("QStringList", "QStringList", object, bool, object, result=bool)
    def exportNodes(
        self, identifiers: list[str], paths: list[str], properties: dict, world: bool, messages: object = None
    ) -> bool:
        """Save copies, so that the nodes keep the files that they have in the scene."""
        import slicer

        if len(identifiers) != len(paths) or "fileFormat" not in properties:
            return False
        scene = slicer.vtkMRMLScene()
        self._scene.CopyDefaultNodesToScene(scene)
        self._scene.CopyRegisteredNodesToScene(scene)
        self._scene.CopySingletonNodesToScene(scene)
        scene.SetDataIOManager(self._scene.GetDataIOManager())
        saved = True
        for identifier, path in zip(identifiers, paths, strict=True):
            node = self._scene.GetNodeByID(identifier)
            copy = scene.AddNewNodeByClass(node.GetClassName())
            copy.CopyContent(node, world)
            if world and node.IsA("vtkMRMLTransformableNode") and node.GetParentTransformNode():
                copy.ApplyTransform(_to_world(node))
            parameters = {**properties, "nodeID": copy.GetID(), "fileName": path}
            saved = self.saveNodes(self.fileWriterFileType(node), parameters, messages, scene) and saved
        return saved

    def _load_VolumeFile(self, path: str, properties: dict, _messages: object) -> list | None:
        name = properties.get("name", Path(path).name.split(".")[0])
        options = sum(bit for key, bit in VOLUME_OPTIONS.items() if properties.get(key))
        files = None
        if "fileNames" in properties:
            files = vtk.vtkStringArray()
            for file in properties["fileNames"]:
                files.InsertNextValue(file)
        node = self._logics["volumes"].AddArchetypeVolume(path, name, options, files)
        if node is None:
            return None
        if properties.get("colorNodeID") and node.GetVolumeDisplayNode():
            node.GetVolumeDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            self._show(node)
        return [node]

    def _show(self, node: object) -> None:
        selection = self._app_logic.GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        self._app_logic.PropagateVolumeSelection()

    def _load_SegmentationFile(self, path: str, properties: dict, messages: object) -> list | None:
        colors = self._scene.GetNodeByID(properties.get("colorNodeID", ""))
        node = self._logics["segmentations"].LoadSegmentationFromFile(
            path, bool(properties.get("autoOpacities", True)), properties.get("name", ""), colors, messages
        )
        return None if node is None else [node]

    def _load_MarkupsFile(self, path: str, properties: dict, messages: object) -> list | None:
        identifiers = self._logics["markups"].LoadMarkups(path, properties.get("name", ""), messages)
        return [self._scene.GetNodeByID(one) for one in identifiers.split(",")] if identifiers else None

    def _load_ModelFile(self, path: str, properties: dict, messages: object) -> list | None:
        import slicer

        system = properties.get("coordinateSystem", slicer.vtkMRMLStorageNode.CoordinateSystemLPS)
        node = self._logics["models"].AddModel(path, system, messages)
        return None if node is None else [node]

    def _load_TransformFile(self, path: str, _properties: dict, messages: object) -> list | None:
        node = self._logics["transforms"].AddTransform(path, self._scene, messages)
        return None if node is None else [node]

    def _load_TableFile(self, path: str, properties: dict, messages: object) -> list | None:
        name = self._scene.GetUniqueNameByString(properties.get("name", Path(path).name.split(".")[0]))
        node = self._logics["tables"].AddTable(path, name, True, "", messages)
        return None if node is None else [node]

    def _load_TextFile(self, path: str, _properties: dict, messages: object) -> list | None:
        storage = self._scene.AddNewNodeByClass("vtkMRMLTextStorageNode")
        node = self._scene.AddNewNodeByClass("vtkMRMLTextNode", self._scene.GetUniqueNameByString(Path(path).stem))
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(path)
        if storage.ReadData(node) == 1:
            return [node]
        messages.AddMessages(storage.GetUserMessages())
        self._scene.RemoveNode(node)
        self._scene.RemoveNode(storage)
        return None

    def _load_SceneFile(self, path: str, properties: dict, messages: object) -> list | None:
        """qSlicerSceneReader.cxx and qSlicerSceneBundleReader.cxx; a .mrml reports no nodes, as there."""
        clear = bool(properties.get("clear", False))
        if path.lower().endswith(".mrml"):
            self._scene.SetURL(path)
            read = self._scene.Connect(messages) if clear else self._scene.Import(messages)
            return [] if read else None
        before = {node.GetAddressAsString("") for node in self._nodes()}
        if not self._scene.ReadFromMRB(str(Path(path).resolve()), clear, messages):
            return None
        return [node for node in self._nodes() if node.GetAddressAsString("") not in before]

    def _nodes(self) -> list:
        return [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]

    def _save_scene(self, path: str, messages: object) -> bool:
        full = Path(path).resolve()
        if full.suffix not in (".mrml", ".mrb"):
            full.mkdir(parents=True, exist_ok=True)
            if any(full.iterdir()):
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"'{full}' is not empty.")
                return False
            return bool(self._app_logic.SaveSceneToSlicerDataBundleDirectory(str(full), None))
        self._scene.SetURL(str(full))
        self._scene.SetRootDirectory(str(full.parent))
        if full.suffix == ".mrml":
            return bool(self._scene.Commit())
        saved = bool(self._scene.WriteToMRB(str(full), None, messages))
        if saved:
            self._scene.SetStorableNodesModifiedSinceRead()
        return saved


def _confidence(kind: str, path: str) -> float:
    """qSlicerFileReader::canLoadFileConfidence: longer endings win; 0 if the reader cannot read the file."""
    ending = max((end for end in READABLE[kind] if path.lower().endswith(end)), key=len, default="")
    if not ending or not Path(path).is_file():
        return 0.0
    if kind == "SegmentationFile" and ending in (".nrrd", ".nhdr"):
        with open(path, encoding="latin-1") as file:
            header = file.read(LARGE_READ)
        return 0.6 if "Segment0_ID:=" in header or "Segmentation_" in header else 0.4
    return 0.5 + 0.01 * len(ending)


def _write_formats(node: object) -> list[str]:
    """Texts such as "NRRD (.nrrd)" of the formats that a node's storage node can write."""
    if not node.AddDefaultStorageNode() or node.GetStorageNode() is None:
        return []
    types = node.GetStorageNode().GetSupportedWriteFileTypes()
    return [types.GetValue(index) for index in range(types.GetNumberOfValues())]


def _ending(format_text: str) -> str:
    found = re.search(r"\(\*?(\.[^)]+)\)\s*$", format_text)
    return found.group(1).lower() if found else ""


def _save_node(node: object, path: str, properties: dict, messages: object) -> bool:
    """qSlicerNodeWriter::write with the storage node that the node has or by default gets."""
    if node is None or not any(path.lower().endswith(_ending(text) or "\0") for text in _write_formats(node)):
        return False
    storage = node.GetStorageNode()
    if storage.IsA("vtkMRMLSegmentationStorageNode"):
        storage.SetCropToMinimumExtent(bool(properties.get("cropToMinimumExtent", False)))
    storage.SetFileName(path)
    if properties.get("fileFormat"):
        storage.SetWriteFileFormat(properties["fileFormat"])
    storage.SetURI(None)
    if "useCompression" in properties:
        storage.SetUseCompression(int(properties["useCompression"]))
    saved = bool(storage.WriteData(node))
    messages.AddMessages(storage.GetUserMessages())
    return saved


def _to_world(node: object) -> object:
    transform = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(transform)
    return transform
