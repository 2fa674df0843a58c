"""What the views' nodes say, where no window is there."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.scene import show
from CHMFLPredictorLib.scene.results import CLASSES, ROLE, SEGMENT_ID, _fill_relevance, _fill_segmentation


@pytest.fixture
def scene():
    scene = slicer_headless.new_scene()
    scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera")
    return scene


@pytest.fixture
def volumes(scene):
    """PET, CT and relevance map."""
    nodes = []
    for name in ("PET", "CT", "relevance"):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, np.linspace(0, 20, 60, dtype=np.float32).reshape(3, 4, 5))
        node.CreateDefaultDisplayNodes()
        nodes.append(node)
    _fill_relevance(nodes[2], np.zeros((3, 4, 5), np.float32), nodes[1])
    return nodes


def layers(scene):
    """Names of background and foreground, and the foreground's opacity, of each slice view."""
    found = set()
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        ids = view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()
        names = [scene.GetNodeByID(one).GetName() if one else None for one in ids]
        found.add((*names, view.GetForegroundOpacity()))
    return found


def test_pet_over_ct(scene, volumes):
    pet, ct, _ = volumes
    show.show_in_slices(pet, ct)
    assert layers(scene) == {("CT", "PET", 0.4)}
    assert (ct.GetDisplayNode().GetWindowLevelMin(), ct.GetDisplayNode().GetWindowLevelMax()) == (-160, 240)
    display = pet.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 10) and not display.GetAutoWindowLevel()
    assert display.GetColorNode().IsA("vtkMRMLPETProceduralColorNode")


def test_the_relevance_map_comes_and_goes_and_the_ct_stays(scene, volumes):
    pet, ct, relevance = volumes
    show.show_in_slices(pet, ct)
    assert not show.relevance_shown(relevance)
    show.show_relevance(ct, relevance, pet, True)
    assert layers(scene) == {("CT", "relevance", 0.6)} and show.relevance_shown(relevance)
    show.show_relevance(ct, relevance, pet, False)
    assert layers(scene) == {("CT", "PET", 0.4)}
    show.show_relevance(ct, relevance, None, True)
    show.show_relevance(ct, relevance, None, False)
    assert {(background, foreground) for background, foreground, _ in layers(scene)} == {("CT", None)}
    display = relevance.GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.2)
    assert display.GetColorNode() is not None


def test_a_view_that_shows_something_else_is_left_alone(scene, volumes):
    pet, ct, relevance = volumes
    show.show_relevance(ct, relevance, pet, True)
    red = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    red.SetForegroundVolumeID(ct.GetID())
    show.show_relevance(ct, relevance, pet, False)
    assert red.GetForegroundVolumeID() == ct.GetID()
    assert layers(scene) == {("CT", "CT", 0.6), ("CT", "PET", 0.4)}


def test_slices_and_cameras_go_to_the_place(scene):
    camera = scene.GetFirstNodeByClass("vtkMRMLCameraNode")
    way = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    show.center_slices(scene, (11.0, -22.0, 333.0))
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode", scene)
    assert len(views) == 3
    for view in views:
        matrix = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
        assert matrix[:3, 3] == pytest.approx((11, -22, 333))
    assert camera.GetFocalPoint() == pytest.approx((11, -22, 333))
    assert np.subtract(camera.GetPosition(), camera.GetFocalPoint()) == pytest.approx(way)


def test_the_tumor_in_3d(scene, volumes):
    _, ct, _ = volumes
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "tumor")
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 1:3, 1:4] = 1
    _fill_segmentation(node, mask, ct)
    show.show_3d(node, True)
    surface, display = vtk.vtkPolyData(), node.GetDisplayNode()
    assert node.GetClosedSurfaceRepresentation(SEGMENT_ID, surface) and surface.GetNumberOfPoints() > 0
    assert display.GetVisibility() and display.GetVisibility3D() and display.GetSegmentVisibility3D(SEGMENT_ID)
    show.show_3d(node, False)
    assert not display.GetVisibility3D() and display.GetVisibility() and display.GetVisibility2DFill()
    display.SetVisibility(False)
    show.show_3d(node, True)
    assert display.GetVisibility() and display.GetVisibility3D()
    assert node.GetNumberOfDisplayNodes() == 1


def test_nothing_is_needed_but_the_scene(scene, volumes, monkeypatch):
    """Neither a layout nor a window nor display nodes."""
    monkeypatch.delattr(slicer, "app", raising=False)
    for name in ("vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode", "vtkMRMLCameraNode"):
        for node in slicer.util.getNodesByClass(name, scene):
            scene.RemoveNode(node)
    for volume in volumes:
        scene.RemoveNode(volume.GetDisplayNode())
    pet, ct, relevance = volumes
    show.show_in_slices(pet, ct)
    show.show_relevance(ct, relevance, pet, True)
    show.center_slices(scene, (0, 0, 0))
    assert not show.relevance_shown(relevance)


def test_the_results_of_one_pair_are_shown_and_no_others(scene):
    """But what the user hid stays hidden."""
    results = []
    for name in ("A", "B"):
        nodes = {}
        for role in ("segmentation", "box"):
            nodes[role] = scene.AddNewNodeByClass(CLASSES[role], f"{name} {role}")
            nodes[role].SetAttribute(ROLE, role)
            nodes[role].CreateDefaultDisplayNodes()
        results.append(nodes)

    def shown():
        return [[bool(node.GetDisplayNode().GetVisibility()) for node in nodes.values()] for nodes in results]

    show.show_results_of(scene, results[0])
    assert shown() == [[True, True], [False, False]]
    show.show_results_of(scene, results[1])
    assert shown() == [[False, False], [True, True]]
    results[1]["box"].GetDisplayNode().SetVisibility(False)
    show.show_results_of(scene, results[0])
    show.show_results_of(scene, results[1])
    assert shown() == [[False, False], [True, False]]


def test_whether_the_ct_is_in_the_views(scene, volumes):
    pet, ct, _ = volumes
    assert not show.shown_in_slices(ct)
    show.show_in_slices(pet, ct)
    assert show.shown_in_slices(ct) and not show.shown_in_slices(pet)
