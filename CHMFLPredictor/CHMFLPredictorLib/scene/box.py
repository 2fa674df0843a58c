"""The tumor's place as nodes: a point, or the box of the model to drag onto the tumor. World RAS, mm."""

import numpy as np
import slicer

from ..errors import BadInput

BOX_COLOR = (1.0, 0.77, 0.2)
MADE = "CHMFL.made"  # attribute of the boxes and point lists that this module made: only those are changed by it


def make_box(scene, center_ras, size_mm, name: str = "Tumor box"):
    """Add a box that can be moved but neither turned nor resized: what the model sees is fixed.

    :param center_ras: world RAS, mm.
    :param size_mm: sides along R, A and S.
    :return: vtkMRMLMarkupsROINode.
    """
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", scene.GenerateUniqueName(name))
    node.SetAttribute(MADE, "box")
    node.CreateDefaultDisplayNodes()
    node.SetROIType(node.ROITypeBox)
    node.SetSize([float(side) for side in size_mm])
    node.SetCenterWorld([float(value) for value in center_ras])
    _only_movable(node)
    return node


def fit_box(node, size_mm) -> None:
    """Give a box the model's size and straight sides, about the center that it has.

    :raises BadInput: point_missing for a box that is not placed yet.
    """
    center = center_of(node)
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
    node.SetSize([float(side) for side in size_mm])
    node.SetCenterWorld(center)
    _only_movable(node)


def is_ours(node) -> bool:
    """Whether this module made a box or point list to be moved; one of the user's, or a result's, is never changed."""
    return node is not None and bool(node.GetAttribute(MADE))


def may_be_emptied(node) -> bool:
    """Whether a point list is ours and still holds the one point at most that it was made for."""
    return is_ours(node) and node.GetNumberOfControlPoints() <= 1


def center_of(node) -> tuple[float, float, float]:
    """The place that a node marks, its parent transforms included: a box's center, or the first point that is placed.

    :raises BadInput: point_missing.
    """
    place = None
    if node is not None and node.GetScene() is not None:
        place = _center_of_box(node) if node.IsA("vtkMRMLMarkupsROINode") else _first_point(node)
    if place is None or not np.all(np.isfinite(place)):
        what = f"'{node.GetName()}' marks no place yet." if node is not None else "No point or box is chosen."
        raise BadInput("point_missing", what, "Place a point or a box in the tumor, or let the tumor be found.")
    return tuple(float(value) for value in place)


# Inside --------------------------------------------------------------------------------------------------------------


def _center_of_box(node):
    return node.GetCenterWorld() if min(node.GetSize()) > 0 else None


def _first_point(node):
    if not node.IsA("vtkMRMLMarkupsNode"):
        return None
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) == node.PositionDefined:
            return node.GetNthControlPointPositionWorld(index)
    return None


def _only_movable(node) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetHandlesInteractive(True)
    display.SetTranslationHandleVisibility(True)
    display.SetRotationHandleVisibility(False)
    display.SetScaleHandleVisibility(False)
    display.SetFillOpacity(0.05)
    display.SetSelectedColor(*BOX_COLOR)
    display.SetColor(*BOX_COLOR)
