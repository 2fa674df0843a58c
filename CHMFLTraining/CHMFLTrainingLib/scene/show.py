"""A row of the cohort in Slicer's views: PET over CT and the outline of the tumor, read as training reads them."""

from __future__ import annotations

import SimpleITK as sitk
import slicer
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.reading.geometry import index_to_ras
from CHMFLPredictorLib.scene.results import remove_node, tumor_segment
from CHMFLPredictorLib.scene.show import center_slices, show_in_slices
from CHMFLPredictorLib.tumor import location

from .plots import ROLE

SHOWN = "patient"  # of the attribute CHMFLTraining.Role, followed by pet, ct or segmentation
SEGMENT_ID, SEGMENT_COLOR = "GTV", (0.2, 0.9, 1.0)  # PET's heat colors have no cyan
UCUM = {"pet": ("{SUVbw}g/ml", "Standardized Uptake Value body weight"), "ct": ("[hnsf'U]", "Hounsfield unit")}


def show_patient(scene, patient) -> dict:
    """Load a cohort row's PET (SUV), CT and mask and show them in the slice views, in place of the last patient's.

    :param patient: a :class:`..cohort.cohort.Patient`; ``pet``, ``ct`` or ``mask`` may be None.
    :return: nodes under "pet", "ct" and "segmentation", as far as the patient has the files.
    :raises ChmflError: what :func:`.volumes.read_pet`, ``read_ct`` and ``read_mask`` raise; the scene is as it was
        then.
    """
    readers = {"pet": volumes.read_pet, "ct": volumes.read_ct, "mask": volumes.read_mask}
    images = {
        name: read(getattr(patient, name)).image
        for name, read in readers.items()
        if getattr(patient, name, None) is not None
    }
    earlier = _shown(scene)
    nodes = {}
    try:
        for name in ("pet", "ct"):
            if name in images:
                nodes[name] = _volume_node(scene, name, f"{patient.patient_id} {name.upper()}", images[name])
        if "mask" in images:
            nodes["segmentation"] = _segmentation_node(scene, f"{patient.patient_id} GTV", images["mask"], nodes)
    except BaseException:
        for node in nodes.values():
            remove_node(scene, node)
        raise
    for node in earlier:
        remove_node(scene, node)
    _show(scene, nodes, images.get("mask"))
    return nodes


def remove_patient(scene) -> None:
    """Take the patient that is shown out of the scene."""
    for node in _shown(scene):
        remove_node(scene, node)


def _shown(scene) -> list:
    found = []
    for class_name in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"):
        nodes = slicer.util.getNodesByClass(class_name, scene)
        found += [node for node in nodes if (node.GetAttribute(ROLE) or "").startswith(f"{SHOWN} ")]
    return found


def _volume_node(scene, kind: str, name: str, image: sitk.Image):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAttribute(ROLE, f"{SHOWN} {kind}")
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(index_to_ras(image)))
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning(UCUM[kind][0], "UCUM", UCUM[kind][1])
    node.SetVoxelValueUnits(units)
    node.CreateDefaultDisplayNodes()
    return node


def _segmentation_node(scene, name: str, image: sitk.Image, volume_nodes: dict):
    """The mask as one segment on its own grid, drawn as an outline."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAttribute(ROLE, f"{SHOWN} segmentation")
    segment = tumor_segment(sitk.GetArrayFromImage(image), index_to_ras(image), SEGMENT_ID, SEGMENT_COLOR)
    node.GetSegmentation().AddSegment(segment, SEGMENT_ID)
    reference = volume_nodes.get("ct") or volume_nodes.get("pet")
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)  # what is under the mask is what one wants to see
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    return node


def _show(scene, nodes: dict, mask: sitk.Image | None) -> None:
    """PET over CT, or the one that there is; the whole image, moved to the tumor."""
    pet, ct = nodes.get("pet"), nodes.get("ct")
    if pet is not None and ct is not None:
        show_in_slices(pet, ct)
    else:
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
            composite.SetBackgroundVolumeID((ct or pet).GetID())
            composite.SetForegroundVolumeID(None)
    application = slicer.modules.volumes.logic().GetMRMLApplicationLogic()
    if application is not None:
        application.FitSliceToAll()
    if mask is not None:
        center_slices(scene, location.from_mask(mask).center_ras)
