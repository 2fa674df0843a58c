"""A prediction's files back into nodes of a MRML scene, and the results that a scene holds.

Results lie on the CT's own grid under the CT's own transform, so they stay on the CT when it is moved. They are saved
with the scene and found again by their attributes and references.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util import numpy_support

from ..errors import ChmflError
from ..reading.geometry import index_to_ras
from ..tumor.measurements import MEASUREMENTS
from .nodes import check_inputs, local_geometry, world_geometry

SEGMENT_ID, SEGMENT_NAME, SEGMENT_COLOR = "CFL_tumor", "Tumor (CFL)", (0.31, 0.85, 0.42)
TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^86049000^Neoplasm, Primary~^^~Anatomic codes - DICOM master list~^^~^^"
)
RELEVANCE_COLORS = "vtkMRMLPETProceduralColorNodePET-HotMetalBlue"
RELEVANCE_SHOWN_FROM = 0.2  # what matters little stays transparent over the CT
ROLE = "CHMFL.role"  # attribute: what a result node is; the node references CHMFL.PET and CHMFL.CT say of which pair
RESULT = "CHMFL.result"  # attribute of the table: the whole result.json
TIME = "CHMFL.time"  # attribute of the table: when the result came in, UTC, ISO 8601
PET, CT = "CHMFL.PET", "CHMFL.CT"
SEGMENT = "CHMFL.segment"  # attribute of the segmentation: ID of the result's segment
MADE = "CHMFL.made"  # attribute of the segmentation: digest of that segment as it was made
CLASSES = {
    "segmentation": "vtkMRMLSegmentationNode",
    "relevance": "vtkMRMLScalarVolumeNode",
    "table": "vtkMRMLTableNode",
    "box": "vtkMRMLMarkupsROINode",
    "report": "vtkMRMLTextNode",
}
NAMES = {"segmentation": "tumor", "relevance": "relevance", "table": "prediction", "box": "box", "report": "report"}
ALWAYS = ("table", "box")  # the roles that every prediction has
# title, path in result.json, unit (UCUM), description
COLUMNS = (
    ("Risk of DM", "risk", "1", "Calibrated probability of distant metastases"),
    ("Risk, low end", "risk_interval.0", "1", "Low end of the risk's interval"),
    ("Risk, high end", "risk_interval.1", "1", "High end of the risk's interval"),
    ("Baseline risk", "baseline_risk", "1", "Risk by the simple baseline, the uptake in the box alone"),
    ("Threshold", "threshold", "1", "Risk from which on the label changes"),
    ("Label", "label", "", "Risk compared with the threshold"),
    *((f"{one.title} [{one.unit}]", f"tumor.{key}", one.ucum, one.meaning) for key, one in MEASUREMENTS.items()),
)


def find_results(scene, pet_node, ct_node) -> dict:
    """The result nodes of a PET and CT that the scene holds already, by role (the keys of ``CLASSES``)."""
    found = {}
    for role, node in result_nodes(scene):
        if (node.GetNodeReference(PET), node.GetNodeReference(CT)) == (pet_node, ct_node):
            found.setdefault(role, node)
    return found


def result_nodes(scene):
    """Role and node of all result nodes, in the order in which they came into the scene."""
    for role, class_name in CLASSES.items():
        for node in slicer.util.getNodesByClass(class_name, scene):
            if node.GetAttribute(ROLE) == role:
                yield role, node


def results_of(scene) -> list[dict]:
    """Every prediction that the scene holds, after loading it too; the newest comes last.

    :return: for each the nodes by role (at least "table", whose content :func:`stored_result` gives), and under "pet"
        and "ct" the volumes that it was made from, None where one has left the scene.
    """
    found: dict[tuple, dict] = {}
    for role, node in result_nodes(scene):
        pair = node.GetNodeReferenceID(PET), node.GetNodeReferenceID(CT)
        volumes = {"pet": node.GetNodeReference(PET), "ct": node.GetNodeReference(CT)}
        found.setdefault(pair, volumes).setdefault(role, node)
    whole = [result for result in found.values() if "table" in result and result["table"].GetAttribute(RESULT)]
    return sorted(whole, key=lambda result: result["table"].GetAttribute(TIME) or "")


def stored_result(table_node) -> dict:
    """The content of ``result.json`` that a result table keeps."""
    return json.loads(table_node.GetAttribute(RESULT))


def stored_report(text_node) -> str:
    """The HTML page that a result's text node keeps."""
    return text_node.GetText() or ""


def import_results(scene, pet_node, ct_node, folder, result: dict, ct_place=None) -> dict:
    """Bring a prediction's files into the scene, into the nodes of the same PET and CT where there are some.

    Segments that the user added or corrected stay as they are; the new one comes beside them.

    :param folder: with segmentation.nii.gz and relevance.nii.gz, both missing after a risk-only run, and report.html.
    :param result: the content of result.json.
    :param ct_place: IJK to world RAS of the CT when it was read, 4x4; as it is now where None. The CT may have been
        moved since: the results lie on it all the same.
    :return: nodes by role; all that were new are gone again if one of them fails.
    :raises ChmflError: result_geometry, node_missing.
    """
    if ct_place is None or None in (pet_node.GetScene(), ct_node.GetScene()):
        check_inputs(pet_node, ct_node)
    ct_place = world_geometry(ct_node) if ct_place is None else ct_place
    contents = _read_files(Path(folder), ct_node, ct_place)  # everything is read before the scene is touched
    contents |= {"table": result, "box": result["box"] | {"to_ct": local_geometry(ct_node) @ np.linalg.inv(ct_place)}}
    nodes, created = find_results(scene, pet_node, ct_node), []
    try:
        for role in CLASSES:
            if role in contents and role not in nodes:
                nodes[role] = _new_node(scene, role, pet_node, ct_node)
                created.append(nodes[role])
        for role, content in contents.items():
            if nodes[role].IsA("vtkMRMLDisplayableNode") and role != "table":
                nodes[role].CreateDefaultDisplayNodes()  # somebody may have removed them
            _FILL[role](nodes[role], content, ct_node)
        for role in set(nodes) - set(contents):  # of an earlier, complete run: it would contradict the numbers
            _take_away(scene, role, nodes.pop(role))
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


# Inside --------------------------------------------------------------------------------------------------------------


def _read_files(folder: Path, ct_node, ct_place) -> dict:
    contents = {}
    for role, name, pixel_type in (
        ("segmentation", "segmentation.nii.gz", sitk.sitkUInt8),
        ("relevance", "relevance.nii.gz", sitk.sitkFloat32),
    ):
        if (folder / name).is_file():
            contents[role] = _read_on_grid(folder / name, ct_node, ct_place, pixel_type)
    if (folder / "report.html").is_file():
        contents["report"] = (folder / "report.html").read_bytes().decode("utf-8")
    return contents


def _read_on_grid(path: Path, ct_node, ct_place, pixel_type) -> np.ndarray:
    """The voxels (k, j, i) of a result file, once it is proven to lie on the CT's grid."""
    image = sitk.ReadImage(str(path), pixel_type)
    size, wanted = image.GetSize(), ct_node.GetImageData().GetDimensions()
    corner = np.array([*wanted, 1.0])
    shift = np.abs(index_to_ras(image) - ct_place) @ corner
    if tuple(size) != tuple(wanted) or shift.max() > 0.05:
        text = (
            f"{path.name} ({size} voxels) does not lie on the grid of the CT '{ct_node.GetName()}' ({wanted} voxels)."
        )
        raise ChmflError("result_geometry", text, "Was the CT changed during the prediction? Run it again.")
    return sitk.GetArrayFromImage(image)


def _new_node(scene, role: str, pet_node, ct_node):
    name = scene.GenerateUniqueName(f"{ct_node.GetName()} {NAMES[role]} (CFL)")
    node = scene.AddNewNodeByClass(CLASSES[role], name)
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID(PET, pet_node.GetID())
    node.SetNodeReferenceID(CT, ct_node.GetID())
    if node.IsA("vtkMRMLDisplayableNode") and role != "table":
        node.CreateDefaultDisplayNodes()
    if role == "segmentation":
        display = node.GetDisplayNode()
        display.SetOpacity2DFill(0.0)  # the outline alone: the uptake in the tumor stays visible
        display.SetSliceIntersectionThickness(3)
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


def tumor_segment(mask: np.ndarray, ijk_to_world: np.ndarray, name: str, color: tuple[float, float, float]):
    """A tumor's vtkSegment with a binary labelmap.

    :param mask: uint8 (Z, Y, X). :param ijk_to_world: 4x4, mm, RAS.
    """
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(mask.shape[::-1])
    scalars = numpy_support.numpy_to_vtk(mask.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_world))
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor(*color)
    segment.SetTerminology(TERMINOLOGY)
    segment.AddRepresentation("Binary labelmap", image)
    return segment


def _fill_segmentation(node, mask: np.ndarray, ct_node) -> None:
    """Put the mask into the segment of ours if it is as we made it, else into one beside it."""
    segmentation, modified = node.GetSegmentation(), node.StartModify()
    segment_id = _own_segment(node)
    segment = tumor_segment(mask, local_geometry(ct_node), SEGMENT_NAME, SEGMENT_COLOR)
    node.SetAndObserveTransformNodeID(ct_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct_node)
    node.RemoveClosedSurfaceRepresentation()
    if segment_id is not None:  # its name, color and visibility are the user's
        segmentation.SeparateSegmentLabelmap(segment_id)
        image, segment = segment.GetRepresentation("Binary labelmap"), segmentation.GetSegment(segment_id)
        segment.AddRepresentation("Binary labelmap", image)
        segment.SetLabelValue(1)
    else:
        segment_id, number = SEGMENT_ID, 1
        while segmentation.GetSegment(segment_id) is not None:
            number += 1
            segment_id = f"{SEGMENT_ID}_{number}"
        if number > 1:
            segment.SetName(f"{SEGMENT_NAME} {number}")
        segmentation.AddSegment(segment, segment_id)
    node.CreateClosedSurfaceRepresentation()
    node.EndModify(modified)
    node.SetAttribute(SEGMENT, segment_id)
    node.SetAttribute(MADE, _digest(node, segment_id))


def _own_segment(node) -> str | None:
    """ID of the result's segment, if its voxels are those that we made; None where the user has changed them."""
    segment_id = node.GetAttribute(SEGMENT)
    if not segment_id or node.GetSegmentation().GetSegment(segment_id) is None:
        return None
    return segment_id if _digest(node, segment_id) == node.GetAttribute(MADE) else None


def _digest(node, segment_id: str) -> str:
    """Of the segment's voxels and their place: saving, loading and sharing a labelmap do not change it."""
    image, to_world = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return ""
    mask = numpy_support.vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]) > 0
    places = np.argwhere(mask)
    if not len(places):
        return ""
    first, last = places.min(axis=0), places.max(axis=0) + 1
    image.GetImageToWorldMatrix(to_world)
    matrix = slicer.util.arrayFromVTKMatrix(to_world)
    corner = matrix @ [*(first[::-1] + image.GetExtent()[::2]), 1.0]
    place = np.round([*matrix[:3, :3].ravel(), *corner[:3]], 2) + 0.0  # mm; no minus zero
    cut = mask[tuple(map(slice, first, last))]
    return hashlib.sha256(place.tobytes() + np.packbits(cut).tobytes() + str(cut.shape).encode()).hexdigest()


def _take_away(scene, role: str, node) -> None:
    """Remove a result's node; of a segmentation that the user worked on only what is still ours."""
    if role == "segmentation":
        segment_id = _own_segment(node)
        if segment_id is not None:
            node.GetSegmentation().RemoveSegment(segment_id)
        if node.GetSegmentation().GetNumberOfSegments():
            for attribute in (ROLE, SEGMENT, MADE):
                node.RemoveAttribute(attribute)  # from now on it is the user's
            return
    remove_node(scene, node)


def _fill_relevance(node, array: np.ndarray, ct_node) -> None:
    display = node.GetDisplayNode()  # told first: a window found automatically costs a second in a large volume
    display.SetAutoWindowLevel(False)
    display.SetAndObserveColorNodeID(RELEVANCE_COLORS)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetThreshold(RELEVANCE_SHOWN_FROM, 1.0)
    display.SetApplyThreshold(True)
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(local_geometry(ct_node)))
    node.SetAndObserveTransformNodeID(ct_node.GetTransformNodeID())


def _fill_table(node, result: dict, _ct_node=None) -> None:
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
    node.SetAttribute(TIME, datetime.now(UTC).isoformat(timespec="microseconds"))
    node.EndModify(modified)


def _fill_box(node, box: dict, ct_node) -> None:
    """Lay the box under the CT's transform, straight in the world as it was when the CT was read."""
    place = np.eye(4)
    place[:3, 3] = box["center_ras_mm"]
    place = box["to_ct"] @ place
    scale = np.linalg.norm(place[:3, :3], axis=0)
    place[:3, :3] /= scale
    node.SetAndObserveTransformNodeID(ct_node.GetTransformNodeID())
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(place))
    node.SetSize([float(side) for side in scale * box["size_mm"]])
    display = node.GetDisplayNode()
    display.SetFillOpacity(0.0)
    display.SetHandlesInteractive(False)  # it says where the box was
    display.SetPropertiesLabelVisibility(False)  # neither name nor center must cover the tumor
    display.SetPointLabelsVisibility(False)
    display.SetLineThickness(0.15)
    node.SetLocked(True)
    for index in range(node.GetNumberOfControlPoints()):
        node.SetNthControlPointVisibility(index, False)


def _fill_report(node, html: str, _ct_node=None) -> None:
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)  # never as an attribute in the scene's XML
    node.SetText(html, vtk.VTK_ENCODING_UTF_8)


_FILL = {
    "segmentation": _fill_segmentation,
    "relevance": _fill_relevance,
    "table": _fill_table,
    "box": _fill_box,
    "report": _fill_report,
}


def _at(result: dict, path: str):
    for key in path.split("."):
        result = (result or {}).get(key) if not isinstance(result, list) else result[int(key)]
    return result
