"""Nodes of a MRML scene into files for a prediction, and its files back into nodes.

Files are in world space: a linear parent transform is hardened into the written copy, never into the node. Results lie
on the CT's own grid under the CT's own transform, so they stay on the CT when it is moved.
"""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util import numpy_support

from .errors import BadInput, ChmflError

SEGMENT_ID, SEGMENT_NAME, SEGMENT_COLOR = "CFL_tumor", "Tumor (CFL)", (0.31, 0.85, 0.42)
TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^86049000^Neoplasm, Primary~^^~Anatomic codes - DICOM master list~^^~^^"
)
RELEVANCE_COLORS = "vtkMRMLPETProceduralColorNodePET-HotMetalBlue"
RELEVANCE_SHOWN_FROM = 0.2  # what matters little stays transparent over the CT
ROLE = "CHMFL.role"  # attribute: what a result node is; the node references CHMFL.PET and CHMFL.CT say of which pair
RESULT = "CHMFL.result"  # attribute of the table: the whole result.json
CLASSES = {
    "segmentation": "vtkMRMLSegmentationNode",
    "relevance": "vtkMRMLScalarVolumeNode",
    "table": "vtkMRMLTableNode",
    "box": "vtkMRMLMarkupsROINode",
}
NAMES = {"segmentation": "tumor", "relevance": "relevance", "table": "prediction", "box": "box"}
# title, path in result.json, unit (UCUM but for TLG, whose g would hide the SUV), description
COLUMNS = (
    ("Risk of DM", "risk", "1", "Calibrated probability of distant metastases"),
    ("Risk, low end", "risk_interval.0", "1", "Low end of the risk's interval"),
    ("Risk, high end", "risk_interval.1", "1", "High end of the risk's interval"),
    ("Baseline risk", "baseline_risk", "1", "Risk by the simple baseline, the uptake in the box alone"),
    ("Threshold", "threshold", "1", "Risk from which on the label changes"),
    ("Label", "label", "", "Risk compared with the threshold"),
    ("Tumor volume [ml]", "tumor.volume_ml", "ml", "Volume of the segmented tumor"),
    ("SUVmax [g/ml]", "tumor.suv_max", "{SUVbw}g/ml", "Highest body-weight SUV in the tumor"),
    ("SUVmean [g/ml]", "tumor.suv_mean", "{SUVbw}g/ml", "Mean body-weight SUV in the tumor"),
    ("TLG [SUV ml]", "tumor.tlg", "SUV ml", "Total lesion glycolysis: volume times mean SUV"),
    ("Longest diameter [mm]", "tumor.longest_diameter_mm", "mm", "Longest straight line in the tumor"),
)
UNITS = {"{SUVbw}g/ml": "SUV", "[hnsf'U]": "HU", "Bq/ml": "BQML"}
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


# Nodes to files ------------------------------------------------------------------------------------------------------


def check_inputs(pet_node, ct_node) -> None:
    """Refuse what cannot be a PET and a CT without looking at a voxel.

    :raises BadInput: node_missing, not_a_volume, volume_empty, same_volume, pet_not_suv, pet_in_bqml, and those of
        :func:`world_geometry`.
    """
    for role, node in (("PET", pet_node), ("CT", ct_node)):
        if node is None or node.GetScene() is None:
            raise BadInput(
                "node_missing", f"No {role} volume is chosen, or it has left the scene.", f"Choose a {role}."
            )
        if node.GetClassName() != "vtkMRMLScalarVolumeNode":
            kind = node.GetNodeTagName()
            text = f"The {role} '{node.GetName()}' is a {kind}, not a scalar volume."
            raise BadInput("not_a_volume", text, f"Choose the {role} itself.")
        image = node.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            raise BadInput("volume_empty", f"The {role} '{node.GetName()}' has no voxels.", "Load it again.")
        world_geometry(node)
    if pet_node is ct_node:
        text = f"PET and CT are the same volume '{pet_node.GetName()}'."
        raise BadInput("same_volume", text, "Choose the other one of the two.")
    units = coded_units(pet_node)
    if units == "BQML":
        text = f"The PET '{pet_node.GetName()}' is in Bq/ml."
        raise BadInput(
            "pet_in_bqml", text, "Load it with the PET DICOM extension, which converts it to body-weight SUV."
        )
    if units not in ("SUV", None):
        text = f"The PET '{pet_node.GetName()}' is in {units}, not in body-weight SUV."
        raise BadInput("pet_not_suv", text, "Convert it to body-weight SUV ({SUVbw}g/ml).")


def coded_units(volume_node) -> str | None:
    """The volume's units: "SUV" (body weight), "HU", "BQML", another code as it is, or None if it has none."""
    entry = volume_node.GetVoxelValueUnits()
    code = entry.GetCodeValue() if entry is not None else None
    return UNITS.get(code, code) if code else None


def world_geometry(volume_node) -> np.ndarray:
    """IJK to world RAS in mm, 4x4, the linear parent transforms included.

    :raises BadInput: transform_not_linear, sheared.
    """
    name, transform = volume_node.GetName(), volume_node.GetParentTransformNode()
    matrix = _local_geometry(volume_node)
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            text = f"'{name}' lies under the non-linear transform '{transform.GetName()}', which would bend its voxels."
            hint = "Harden the transform on a copy, or take the volume out of it."
            raise BadInput("transform_not_linear", text, hint)
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        matrix = slicer.util.arrayFromVTKMatrix(to_world) @ matrix
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.all(np.isfinite(matrix)) or lengths.min() <= 0:
        text = f"'{name}' has a voxel size of {_listed(lengths)} mm."
        raise BadInput("spacing", text, "Load it again, or correct its spacing.")
    axes = matrix[:3, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4:
        text = f"The axes of '{name}' are not at right angles, by its own directions or by its transform."
        raise BadInput("sheared", text, "Resample it to a straight grid (module Resample Scalar/Vector/DWI Volume).")
    return matrix


def write_volume(volume_node, path, modality: str | None = None) -> None:
    """Write a volume in world space, uncompressed, with its modality ("PT", "CT") and its units as header fields.

    :param path: of a .nrrd file.
    :raises BadInput: see :func:`world_geometry`.
    """
    image = _to_image(slicer.util.arrayFromVolume(volume_node), world_geometry(volume_node))
    for key, value in (("chmfl_modality", modality), ("chmfl_units", coded_units(volume_node))):
        if value:
            image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=False)


def write_segment(segmentation_node, segment_id: str, ct_node, path) -> None:
    """Write a segment as a uint8 mask on the CT's grid, in world space.

    :raises BadInput: segment_missing, segment_empty.
    """
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        text = f"'{segmentation_node.GetName()}' has no segment '{segment_id}'."
        raise BadInput("segment_missing", text, "Choose one of its segments.")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, ct_node)
    if mask is None or not mask.any():
        text = f"The segment '{segment.GetName()}' is empty on the CT '{ct_node.GetName()}'."
        raise BadInput("segment_empty", text, "Choose the segment that holds the tumor.")
    sitk.WriteImage(_to_image((mask > 0).astype(np.uint8), world_geometry(ct_node)), str(path), useCompression=False)


# Files to nodes ------------------------------------------------------------------------------------------------------


def find_results(scene, pet_node, ct_node) -> dict:
    """The result nodes of a PET and CT that the scene holds already, by role (the keys of ``CLASSES``)."""
    found = {}
    for role, class_name in CLASSES.items():
        for node in slicer.util.getNodesByClass(class_name, scene):
            pair = (node.GetNodeReference("CHMFL.PET"), node.GetNodeReference("CHMFL.CT"))
            if node.GetAttribute(ROLE) == role and pair == (pet_node, ct_node):
                found[role] = node
                break
    return found


def stored_result(table_node) -> dict:
    """The content of ``result.json`` that a result table keeps."""
    return json.loads(table_node.GetAttribute(RESULT))


def import_results(scene, pet_node, ct_node, folder, result: dict) -> dict:
    """Bring a prediction's files into the scene, into the nodes of the same PET and CT where there are some.

    :param folder: with segmentation.nii.gz and relevance.nii.gz; both are missing after a risk-only run.
    :param result: the content of result.json.
    :return: nodes by role; all that were new are gone again if one of them fails.
    :raises ChmflError: result_geometry, node_missing.
    """
    check_inputs(pet_node, ct_node)
    arrays = {}  # everything is read before the scene is touched
    for role, name, pixel_type in (
        ("segmentation", "segmentation.nii.gz", sitk.sitkUInt8),
        ("relevance", "relevance.nii.gz", sitk.sitkFloat32),
    ):
        path = Path(folder) / name
        if path.is_file():
            arrays[role] = _read_on_grid(path, ct_node, pixel_type)
    nodes, created = find_results(scene, pet_node, ct_node), []
    try:
        for role in CLASSES:
            if role not in nodes and (role in arrays or role in ("table", "box")):
                nodes[role] = _new_node(scene, role, pet_node, ct_node)
                created.append(nodes[role])
        if "segmentation" in arrays:
            _fill_segmentation(nodes["segmentation"], arrays["segmentation"], ct_node)
        if "relevance" in arrays:
            _fill_relevance(nodes["relevance"], arrays["relevance"], ct_node)
        _fill_table(nodes["table"], result)
        _fill_box(nodes["box"], result["box"])
        for role in set(nodes) - set(arrays) - {"table", "box"}:
            remove_node(scene, nodes.pop(role))  # of an earlier, complete run: it would contradict the numbers
    except BaseException:
        for node in created:
            remove_node(scene, node)
        raise
    return nodes


def remove_node(scene, node) -> None:
    """Remove a node with its display and storage nodes."""
    attached = []
    if node.IsA("vtkMRMLDisplayableNode"):
        attached += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    attached += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for other in attached:
        if other is not None and other.GetScene() is not None:
            scene.RemoveNode(other)


def show_in_slices(pet_node, ct_node) -> None:
    """Show the PET (heat colors, half transparent) over the CT (soft-tissue window) in the slice views."""
    ct_display, pet_display = ct_node.GetDisplayNode(), pet_node.GetDisplayNode()
    if ct_display is not None:
        ct_display.SetAutoWindowLevel(False)
        ct_display.SetWindowLevelMinMax(-160, 240)
    if pet_display is not None:
        pet_display.SetAndObserveColorNodeID("vtkMRMLPETProceduralColorNodePET-Heat")
        pet_display.SetAutoWindowLevel(False)
        pet_display.SetWindowLevelMinMax(0, 10)
    slicer.util.setSliceViewerLayers(background=ct_node, foreground=pet_node, foregroundOpacity=0.4)


# Inside --------------------------------------------------------------------------------------------------------------


def _local_geometry(volume_node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _to_image(array_kji: np.ndarray, ijk_to_ras: np.ndarray) -> sitk.Image:
    matrix = _TO_LPS @ ijk_to_ras
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array_kji)
    image.SetSpacing(lengths.tolist())
    image.SetDirection((matrix[:3, :3] / lengths).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image


def _read_on_grid(path: Path, ct_node, pixel_type) -> np.ndarray:
    """The voxels (k, j, i) of a result file, once it is proven to lie on the CT's grid."""
    image = sitk.ReadImage(str(path), pixel_type)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    size, wanted = image.GetSize(), ct_node.GetImageData().GetDimensions()
    corner = np.array([*wanted, 1.0])
    shift = np.abs(_TO_LPS @ matrix - world_geometry(ct_node)) @ corner
    if tuple(size) != tuple(wanted) or shift.max() > 0.05:
        text = (
            f"{path.name} ({size} voxels) does not lie on the grid of the CT '{ct_node.GetName()}' ({wanted} voxels)."
        )
        raise ChmflError("result_geometry", text, "Was the CT moved or changed during the prediction? Run it again.")
    return sitk.GetArrayFromImage(image)


def _new_node(scene, role: str, pet_node, ct_node):
    name = scene.GenerateUniqueName(f"{ct_node.GetName()} {NAMES[role]} (CFL)")
    node = scene.AddNewNodeByClass(CLASSES[role], name)
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID("CHMFL.PET", pet_node.GetID())
    node.SetNodeReferenceID("CHMFL.CT", ct_node.GetID())
    if node.IsA("vtkMRMLDisplayableNode") and role != "table":
        node.CreateDefaultDisplayNodes()
    _place_beside(scene, node, ct_node)
    return node


def _place_beside(scene, node, ct_node) -> None:
    """Put a node where the CT is in the subject hierarchy (patient, study), if the CT is there at all."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    ct_item = hierarchy.GetItemByDataNode(ct_node) if hierarchy is not None else 0
    if ct_item:
        parent, item = hierarchy.GetItemParent(ct_item), hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, parent)
        else:
            hierarchy.CreateItem(parent, node)


def _fill_segmentation(node, mask: np.ndarray, ct_node) -> None:
    """Put the mask into the segment of ours; segments that the user added stay."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(mask.shape[::-1])
    scalars = numpy_support.numpy_to_vtk(mask.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(_local_geometry(ct_node)))
    segment = slicer.vtkSegment()
    segment.SetName(SEGMENT_NAME)
    segment.SetColor(*SEGMENT_COLOR)
    segment.SetTerminology(TERMINOLOGY)
    segment.AddRepresentation("Binary labelmap", image)
    modified = node.StartModify()
    node.SetAndObserveTransformNodeID(ct_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct_node)
    node.RemoveClosedSurfaceRepresentation()
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(SEGMENT_ID) is not None:
        segmentation.RemoveSegment(SEGMENT_ID)
    segmentation.AddSegment(segment, SEGMENT_ID)
    node.CreateClosedSurfaceRepresentation()
    node.EndModify(modified)


def _fill_relevance(node, array: np.ndarray, ct_node) -> None:
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_local_geometry(ct_node)))
    node.SetAndObserveTransformNodeID(ct_node.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(RELEVANCE_COLORS)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetThreshold(RELEVANCE_SHOWN_FROM, 1.0)
    display.SetApplyThreshold(True)


def _fill_table(node, result: dict) -> None:
    """One row, a column for each number with its unit: the tables of several patients fit below each other."""
    modified = node.StartModify()
    node.RemoveAllColumns()
    for title, path, unit, description in COLUMNS:
        value = _at(result, path)
        column = vtk.vtkStringArray() if path == "label" else vtk.vtkDoubleArray()
        column.SetName(title)
        column.InsertNextValue(str(value) if path == "label" else float("nan" if value is None else value))
        node.AddColumn(column)
        node.SetColumnUnitLabel(title, unit)
        node.SetColumnDescription(title, description)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.SetAttribute(RESULT, json.dumps(result))
    node.EndModify(modified)


def _fill_box(node, box: dict) -> None:
    node.SetCenter(box["center_ras_mm"])
    node.SetSize(box["size_mm"])
    node.GetDisplayNode().SetFillOpacity(0.0)


def _at(result: dict, path: str):
    for key in path.split("."):
        result = (result or {}).get(key) if not isinstance(result, list) else result[int(key)]
    return result


def _listed(numbers) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
