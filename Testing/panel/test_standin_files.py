"""The stand-in's scene, and what is loaded into and saved from it."""

import numpy as np
import pytest

pytestmark = pytest.mark.standin


def volume(name: str = "volume", values=None):
    import slicer

    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if values is None else values
    node = slicer.util.addVolumeFromArray(array, name=name)
    node.SetSpacing(2.0, 3.0, 4.0)
    node.SetOrigin(10.0, -20.0, 30.0)
    node.CreateDefaultDisplayNodes()
    return node


class TestScene:
    def test_data_nodes_get_their_item_in_the_subject_hierarchy(self):
        import slicer

        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        node = volume()
        item = hierarchy.GetItemByDataNode(node)
        assert item
        assert hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID()
        assert hierarchy.GetItemOwnerPluginName(item) == "Volumes"
        slicer.mrmlScene.RemoveNode(node)
        assert not hierarchy.GetItemName(item)
        for class_name in ("vtkMRMLScriptedModuleNode", "vtkMRMLColorTableNode"):
            other = slicer.mrmlScene.AddNewNodeByClass(class_name)
            assert not hierarchy.GetItemByDataNode(other)

    def test_markups_get_their_display_by_themselves_and_volumes_do_not(self):
        import slicer

        assert slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode").GetDisplayNode() is not None
        assert slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode").GetDisplayNode() is None

    def test_closing_the_scene_keeps_views_and_makes_a_new_hierarchy(self):
        import slicer

        volume()
        slicer.mrmlScene.Clear(False)
        scene = slicer.mrmlScene
        assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
        assert scene.GetNumberOfNodesByClass("vtkMRMLSliceNode") == 3
        assert scene.GetNumberOfNodesByClass("vtkMRMLViewNode") == 1
        assert slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).GetItemByDataNode(volume())

    def test_selected_volume_reaches_the_slice_views(self):
        import slicer

        node = volume()
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetActiveVolumeID(node.GetID())
        logic.PropagateVolumeSelection()
        red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
        assert red.GetBackgroundVolumeID() == node.GetID()

    def test_slice_views_fit_the_volume_they_show(self):
        import slicer

        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetActiveVolumeID(volume(values=np.zeros((40, 50, 60), np.int16)).GetID())
        logic.PropagateVolumeSelection()
        red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        assert red.GetFieldOfView()[0] >= 60 * 2.0


class TestFiles:
    def test_volume_round_trip(self, tmp_path):
        import slicer

        node = volume()
        path = str(tmp_path / "some volume.nrrd")
        assert slicer.util.saveNode(node, path)
        loaded = slicer.util.loadVolume(path)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(node))
        assert loaded.GetOrigin() == pytest.approx(node.GetOrigin())
        assert loaded.GetSpacing() == pytest.approx(node.GetSpacing())
        assert loaded.GetName() == "some volume"
        assert loaded.GetDisplayNode() is not None
        red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
        assert red.GetBackgroundVolumeID() == loaded.GetID()

    def test_volume_properties(self, tmp_path):
        import slicer

        path = str(tmp_path / "v.nii.gz")
        slicer.util.saveNode(volume(), path)
        loaded = slicer.util.loadVolume(path, {"name": "named", "show": False})
        assert loaded.GetName() == "named"
        assert slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed").GetBackgroundVolumeID() is None
        assert slicer.util.loadLabelVolume(path).IsA("vtkMRMLLabelMapVolumeNode")

    def test_what_cannot_be_read_raises(self, tmp_path):
        import slicer

        with pytest.raises(RuntimeError, match="Failed to load node from file"):
            slicer.util.loadVolume(str(tmp_path / "none.nrrd"))
        bad = tmp_path / "bad.nrrd"
        bad.write_text("no image")
        before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        with pytest.raises(RuntimeError, match="Failed to load node from file"):
            slicer.util.loadVolume(str(bad))
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before

    def test_what_cannot_be_written_says_so(self, tmp_path):
        import slicer

        node = volume()
        assert slicer.util.saveNode(node, str(tmp_path / "volume.xyz")) is False
        assert slicer.util.saveNode(node, tmp_path / "path.nrrd") is False  # a Path is no QString

    def test_segmentation_round_trip(self, tmp_path):
        import slicer

        reference = volume()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tumor")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        segment = node.GetSegmentation().AddEmptySegment("tumor", "Tumor")
        mask = np.zeros((3, 4, 5), np.uint8)
        mask[1, 1:3, 2:4] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, reference)
        path = str(tmp_path / "tumor.seg.nrrd")
        assert slicer.util.saveNode(node, path)
        slicer.mrmlScene.RemoveNode(node)
        loaded = slicer.util.loadSegmentation(path)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, "tumor", reference)
        np.testing.assert_array_equal(found, mask)
        assert slicer.util.loadNodeFromFile(path).IsA("vtkMRMLSegmentationNode")

    def test_markups_table_and_text_round_trip(self, tmp_path):
        import slicer

        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
        roi.SetCenter(1, 2, 3)
        roi.SetSize(10, 20, 30)
        assert slicer.util.saveNode(roi, str(tmp_path / "Box.mrk.json"))
        loaded = slicer.util.loadMarkups(str(tmp_path / "Box.mrk.json"))
        assert tuple(loaded.GetSize()) == pytest.approx((10, 20, 30))
        table = slicer.util.updateTableFromArray(None, np.array([1.0, 2.0]), ["a"])
        assert slicer.util.saveNode(table, str(tmp_path / "t.csv"))
        assert slicer.util.loadTable(str(tmp_path / "t.csv")).GetNumberOfRows() == 2
        text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Words")
        text.SetText("ümlaut")
        assert not slicer.util.saveNode(text, str(tmp_path / "w.txt"))  # a short text stays inside the scene file
        text.SetForceCreateStorageNode(True)
        assert slicer.util.saveNode(text, str(tmp_path / "w.txt"))
        assert slicer.util.loadText(str(tmp_path / "w.txt")).GetText() == "ümlaut"

    def test_scene_bundle_brings_everything_back(self, tmp_path):
        import slicer

        node = volume("kept")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Folder")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
        path = str(tmp_path / "scene.mrb")
        assert slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        loaded = slicer.util.getNode("kept")
        assert slicer.util.arrayFromVolume(loaded).sum() == np.arange(60).sum()
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(loaded))
        assert hierarchy.GetItemName(parent) == "Folder"

    def test_mrml_alone_holds_no_data(self, tmp_path):
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")
        node.SetParameter("key", "value")
        path = str(tmp_path / "scene.mrml")
        assert slicer.util.saveScene(path)
        assert [file.name for file in tmp_path.iterdir()] == ["scene.mrml"]
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        assert slicer.util.getNode("Parameters").GetParameter("key") == "value"

    def test_export_leaves_the_node_and_its_file_alone(self, tmp_path):
        import slicer

        node = volume()
        slicer.util.saveNode(node, str(tmp_path / "own.nrrd"))
        assert slicer.util.exportNode(node, str(tmp_path / "other.nrrd"))
        assert (tmp_path / "other.nrrd").is_file()
        assert node.GetStorageNode().GetFileName().endswith("own.nrrd")
