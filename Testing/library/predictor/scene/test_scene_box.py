"""The tumor's place as a point or a box in the scene."""

import math

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.scene.box import MADE, center_of, fit_box, is_ours, make_box, may_be_emptied


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


@pytest.fixture
def moved(scene):
    """Put a node under a transform that turns by 30 degrees and shifts; return where it takes a point."""
    matrix, angle = np.eye(4), math.radians(30)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    matrix[:3, 3] = (10, 20, -30)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Registration")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))

    def move(node, point):
        node.SetAndObserveTransformNodeID(transform.GetID())
        return (matrix @ [*point, 1.0])[:3]

    return move


def missing(node):
    with pytest.raises(BadInput) as caught:
        center_of(node)
    assert caught.value.code == "point_missing" and caught.value.hint
    return caught.value.message


def test_a_box_is_where_it_was_asked_for_and_can_only_be_moved(scene):
    box = make_box(scene, (1.0, -2.0, 3.5), (112, 112, 144))
    assert center_of(box) == (1.0, -2.0, 3.5) and list(box.GetSize()) == [112, 112, 144]
    bounds = [0.0] * 6
    box.GetRASBounds(bounds)
    assert bounds == pytest.approx([-55, 57, -58, 54, -68.5, 75.5])
    display = box.GetDisplayNode()
    assert display.GetHandlesInteractive() and display.GetTranslationHandleVisibility()
    assert not display.GetRotationHandleVisibility() and not display.GetScaleHandleVisibility()
    assert display.GetVisibility() and display.GetVisibility2D() and display.GetVisibility3D()
    assert make_box(scene, (0, 0, 0), (1, 1, 1)).GetName() != box.GetName()


def test_a_box_that_was_dragged(scene):
    box = make_box(scene, (0, 0, 0), (112, 112, 144))
    box.SetNthControlPointPositionWorld(0, 5.0, 6.0, 7.0)
    assert center_of(box) == pytest.approx((5, 6, 7))


def test_a_box_under_a_transform(moved, scene):
    box = make_box(scene, (1, 2, 3), (112, 112, 144))
    place = moved(box, (1, 2, 3))
    assert center_of(box) == pytest.approx(place)
    fit_box(box, (60, 60, 80))
    assert center_of(box) == pytest.approx(place) and list(box.GetSize()) == [60, 60, 80]


def test_a_box_of_the_user_gets_the_models_size_about_its_center(scene):
    box = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    assert "R" in missing(box)
    with pytest.raises(BadInput):
        fit_box(box, (60, 60, 80))
    turned = np.eye(4)
    turned[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    box.SetSize(10, 20, 30)
    box.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(turned))
    box.SetCenterWorld([4.0, 5.0, 6.0])
    fit_box(box, (60, 60, 80))
    assert center_of(box) == pytest.approx((4, 5, 6)) and list(box.GetSize()) == [60, 60, 80]
    assert np.allclose(slicer.util.arrayFromVTKMatrix(box.GetObjectToNodeMatrix())[:3, :3], np.eye(3))
    assert not box.GetDisplayNode().GetScaleHandleVisibility()


def test_the_first_point_that_is_placed(moved, scene):
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    assert "F" in missing(points)
    points.AddControlPoint(9.0, 9.0, 9.0)
    points.AddControlPoint(1.0, 2.0, 3.0)
    points.SetNthControlPointPositionMissing(0)
    assert center_of(points) == (1.0, 2.0, 3.0)
    assert center_of(points) != pytest.approx(place := moved(points, (1, 2, 3)))
    assert center_of(points) == pytest.approx(place)
    points.UnsetNthControlPointPosition(1)
    missing(points)


def test_nothing_that_marks_a_place(scene):
    missing(None)
    missing(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V"))
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    points.AddControlPoint(1.0, 2.0, 3.0)
    scene.RemoveNode(points)
    missing(points)


def test_a_box_survives_saving(scene, tmp_path):
    make_box(scene, (1.0, -2.0, 3.5), (112, 112, 144), "Box")
    assert scene.WriteToMRB(str(tmp_path / "x.mrb"))
    loaded = slicer_headless.new_scene()
    assert loaded.ReadFromMRB(str(tmp_path / "x.mrb"))
    box = slicer.util.getFirstNodeByName("Box")
    assert center_of(box) == pytest.approx((1.0, -2.0, 3.5)) and list(box.GetSize()) == [112, 112, 144]
    assert not box.GetDisplayNode().GetScaleHandleVisibility()


def test_only_what_we_made_is_ours(scene):
    assert is_ours(make_box(scene, (0, 0, 0), (60, 60, 80)))
    assert not is_ours(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")) and not is_ours(None)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
    assert not may_be_emptied(points)
    points.SetAttribute(MADE, "point")
    points.AddControlPoint(1, 2, 3)
    assert may_be_emptied(points)
    points.AddControlPoint(4, 5, 6)
    assert not may_be_emptied(points)  # the user put more into it
