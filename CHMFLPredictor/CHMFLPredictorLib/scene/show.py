"""What the views show: PET over CT, the relevance map over the CT, the tumor in 3D, the slices at its place.

Only nodes of the scene are touched (composite, slice, camera and display nodes), so all of it works without a window.
"""

import numpy as np
import slicer

from ..errors import ChmflError
from .nodes import coded_units
from .results import result_nodes
from .suv import check_convertible

PET_COLORS = "vtkMRMLPETProceduralColorNodePET-Heat"
PET_OPACITY, RELEVANCE_OPACITY = 0.4, 0.6
HIGHEST_SUV_SHOWN = 10.0
SOFT_TISSUE_HU = (-160.0, 240.0)
HIDDEN = "CHMFL.hidden"  # attribute of a display node: hidden here, not by the user


def show_in_slices(pet_node, ct_node) -> None:
    """Show the PET (heat colors, half transparent, SUV 0 to 10) over the CT (soft-tissue window) in the slice views.

    A PET in Bq/ml gets the same window in its own units, by its DICOM tags.
    """
    ct_display, pet_display = ct_node.GetDisplayNode(), pet_node.GetDisplayNode()
    if ct_display is not None:
        ct_display.SetAutoWindowLevel(False)
        ct_display.SetWindowLevelMinMax(*SOFT_TISSUE_HU)
    if pet_display is not None:
        pet_display.SetAndObserveColorNodeID(PET_COLORS)
        factor = _suv_factor(pet_node)
        pet_display.SetAutoWindowLevel(factor == 0)
        if factor > 0:
            pet_display.SetWindowLevelMinMax(0, HIGHEST_SUV_SHOWN / factor)
    for composite in _nodes(ct_node.GetScene(), "vtkMRMLSliceCompositeNode"):
        _show_over_ct(composite, ct_node, pet_node, PET_OPACITY)


def show_relevance(ct_node, relevance_node, pet_node, shown: bool) -> None:
    """Lay the relevance map over the CT in the slice views, or take it away again where it is shown.

    :param pet_node: comes back over the CT when the map goes; None leaves the CT alone.
    """
    for composite in _nodes(ct_node.GetScene(), "vtkMRMLSliceCompositeNode"):
        if shown:
            _show_over_ct(composite, ct_node, relevance_node, RELEVANCE_OPACITY)
        elif relevance_node is not None and composite.GetForegroundVolumeID() == relevance_node.GetID():
            _show_over_ct(composite, ct_node, pet_node, PET_OPACITY)


def relevance_shown(relevance_node) -> bool:
    """Whether a slice view shows the relevance map."""
    composites = _nodes(relevance_node.GetScene(), "vtkMRMLSliceCompositeNode")
    return any(one.GetForegroundVolumeID() == relevance_node.GetID() for one in composites)


def shown_in_slices(ct_node) -> bool:
    """Whether a slice view shows the CT below everything else."""
    composites = _nodes(ct_node.GetScene(), "vtkMRMLSliceCompositeNode")
    return any(one.GetBackgroundVolumeID() == ct_node.GetID() for one in composites)


def show_results_of(scene, nodes: dict) -> None:
    """Hide the outlines and boxes of all other pairs' results, and show these again if it was this that hid them.

    :param nodes: a pair's result nodes by role; none hides all.
    """
    for role, node in result_nodes(scene):
        display = node.GetDisplayNode() if role in ("segmentation", "box") else None
        if display is None:
            continue
        if nodes.get(role) is node:
            if display.GetAttribute(HIDDEN):
                display.SetVisibility(True)
            display.RemoveAttribute(HIDDEN)
        elif display.GetVisibility():
            display.SetVisibility(False)
            display.SetAttribute(HIDDEN, "1")


def center_slices(scene, ras) -> None:
    """Move every slice view to a place, and turn the 3D views about it.

    :param ras: world RAS, mm.
    """
    for view in _nodes(scene, "vtkMRMLSliceNode"):
        view.JumpSliceByCentering(*map(float, ras))
    for camera in _nodes(scene, "vtkMRMLCameraNode"):
        eye = np.array(camera.GetPosition()) - camera.GetFocalPoint() + ras
        camera.SetFocalPoint(*map(float, ras))
        camera.SetPosition(*map(float, eye))
        camera.ResetClippingRange()


def show_3d(segmentation_node, shown: bool) -> None:
    """Show or hide a segmentation's surface in the 3D views; the slices keep it."""
    segmentation_node.CreateDefaultDisplayNodes()
    if shown:
        segmentation_node.CreateClosedSurfaceRepresentation()
        segmentation_node.GetDisplayNode().SetVisibility(True)
    segmentation_node.GetDisplayNode().SetVisibility3D(shown)


# Inside --------------------------------------------------------------------------------------------------------------


def _nodes(scene, class_name: str):
    return slicer.util.getNodesByClass(class_name, scene)


def _show_over_ct(composite, ct_node, foreground_node, opacity: float) -> None:
    modified = composite.StartModify()
    composite.SetBackgroundVolumeID(ct_node.GetID())
    composite.SetForegroundVolumeID(None if foreground_node is None else foreground_node.GetID())
    composite.SetForegroundOpacity(opacity)
    composite.EndModify(modified)


def _suv_factor(pet_node) -> float:
    """SUV per unit of the voxels; 0 where the PET is in Bq/ml and nothing tells how to convert it."""
    try:
        conversion = check_convertible(pet_node)
    except ChmflError:
        return 0.0
    if conversion is None:
        return 0.0 if coded_units(pet_node) == "BQML" else 1.0
    return float(conversion.factors[0])
