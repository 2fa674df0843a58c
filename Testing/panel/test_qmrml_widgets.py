"""Slicer's MRML widgets as the stand-in makes them: what selects itself, what is refused, what ends with a widget."""

import gc

import numpy as np
import pytest
import qt
import slicer
import vtk
from PySide6 import QtCore, QtTest, QtWidgets
from slicer_standin import pythonqt, pythonqt_signals
from vtk.util.numpy_support import vtk_to_numpy

pytestmark = pytest.mark.standin

VOLUME = "vtkMRMLScalarVolumeNode"
SURFACE = "Closed surface"


@pytest.fixture
def scene():
    return slicer.mrmlScene


def combo(scene=None, **properties):
    """Make a selector of volumes without action rows, as a panel's input, and let it have the scene last."""
    selector = slicer.qMRMLNodeComboBox()
    for name, value in ({"nodeTypes": [VOLUME], "addEnabled": False, "removeEnabled": False} | properties).items():
        setattr(selector, name, value)
    if scene is not None:
        selector.setMRMLScene(scene)
    return selector


def volume(scene, name="CT"):
    return scene.AddNewNodeByClass(VOLUME, name)


def nodes(selector):
    return [selector.nodeFromIndex(row) for row in range(selector.nodeCount())]


def rows(selector):
    inner = pythonqt.unwrap(selector)._combo
    return [inner.itemText(row) for row in range(inner.count())]


def click_row(selector, text):
    """Choose a row of the popup with the mouse."""
    inner = pythonqt.unwrap(selector)._combo
    pythonqt.unwrap(selector).show()
    inner.showPopup()
    view = inner.view()
    index = inner.model().index(rows(selector).index(text), 0, inner.rootModelIndex())
    # a popup that has just opened ignores the release of the click that opened it
    QtTest.QTest.qWait(QtWidgets.QApplication.doubleClickInterval() + 50)
    QtTest.QTest.mouseClick(
        view.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=view.visualRect(index).center(), delay=1
    )
    inner.hidePopup()


def listen(selector):
    """Collect what the three signals of a change say."""
    heard = []
    assert selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: heard.append(node and node.GetName()))
    assert selector.connect("currentNodeChanged(bool)", heard.append)
    assert selector.connect("currentNodeIDChanged(QString)", heard.append)
    return heard


def segmentation(scene, names=("tumor",)):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    for name in names:
        node.AddSegmentFromBinaryLabelmapRepresentation(cube(), name)
    return node


def cube():
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(10, 10, 10)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(10, 10, 10)
    voxels[:] = 0
    voxels[3:7, 3:7, 3:7] = 1
    return image


# habit 10: the node selector


def test_habit_10_defaults():
    selector = slicer.qMRMLNodeComboBox()
    expected = {
        "addEnabled": True,
        "removeEnabled": True,
        "editEnabled": False,
        "renameEnabled": False,
        "noneEnabled": False,
        "noneDisplay": "None",
        "nodeTypes": (),
        "showHidden": False,
        "showChildNodeTypes": True,
        "hideChildNodeTypes": (),
        "selectNodeUponCreation": True,
        "interactionNodeSingletonTag": "Singleton",
        "currentNodeID": "",
    }
    assert {name: getattr(selector, name) for name in expected} == expected


def test_habit_10_disabled_until_it_has_a_scene(scene):
    selector = combo()
    assert not selector.enabled
    assert selector.mrmlScene() is None and selector.nodeCount() == 0 and selector.currentNode() is None
    selector.setMRMLScene(scene)
    assert selector.enabled and selector.mrmlScene() is scene
    selector.setMRMLScene(None)
    assert not selector.enabled


def test_habit_10_first_node_selects_itself_without_action_rows(scene):
    selector = combo(scene)
    heard = listen(selector)
    first = volume(scene, "CT")
    assert selector.currentNode() is first
    assert heard == ["CT", True, first.GetID()]
    volume(scene, "PET")
    assert selector.currentNode() is first
    assert len(heard) == 3


@pytest.mark.parametrize("rows_on", [{"addEnabled": True}, {"removeEnabled": True}, {"renameEnabled": True}])
def test_habit_10_action_rows_stop_it(scene, rows_on):
    selector = combo(scene, **rows_on)
    heard = listen(selector)
    node = volume(scene)
    assert selector.nodeCount() == 1 and selector.nodeFromIndex(0) is node
    assert selector.currentNode() is None and selector.currentNodeID == ""
    assert heard == []


def test_habit_10_none_row_stops_it(scene):
    selector = combo(scene, noneEnabled=True)
    node = volume(scene)
    assert rows(selector) == ["None", "CT"]
    assert selector.currentNode() is None
    selector.setCurrentNode(node)
    assert selector.currentNode() is node
    selector.setCurrentNode(None)
    assert selector.currentNode() is None


def test_habit_10_a_scene_that_has_nodes_selects_the_first(scene):
    first, _ = volume(scene, "CT"), volume(scene, "PET")
    assert combo(scene).currentNode() is first
    assert combo(scene, addEnabled=True, removeEnabled=True).currentNode() is first
    assert combo(scene, noneEnabled=True).currentNode() is None


def test_habit_10_node_asked_for_before_the_scene(scene):
    _, second = volume(scene, "CT"), volume(scene, "PET")
    selector = combo()
    selector.setCurrentNode(second)
    assert selector.currentNode() is None
    selector.setMRMLScene(scene)
    assert selector.currentNode() is second
    by_id = combo()
    by_id.currentNodeID = second.GetID()
    by_id.setMRMLScene(scene)
    assert by_id.currentNode() is second


def test_habit_10_attribute_before_node_types_is_dropped(scene):
    other = volume(scene, "CT")
    early = slicer.qMRMLNodeComboBox()
    early.addAttribute(VOLUME, "CHMFL.role", "relevance")
    early.nodeTypes = [VOLUME]
    early.setMRMLScene(scene)
    assert nodes(early) == [other]

    late = slicer.qMRMLNodeComboBox()
    late.nodeTypes = [VOLUME]
    late.addAttribute(VOLUME, "CHMFL.role", "relevance")
    late.setMRMLScene(scene)
    assert nodes(late) == []
    other.SetAttribute("CHMFL.role", "relevance")
    assert nodes(late) == [other]
    made = late.addNode()
    assert made.GetAttribute("CHMFL.role") == "relevance"


def test_attribute_without_a_value_and_only_the_last_one_counts(scene):
    node = volume(scene)
    node.SetAttribute("a", "1")
    selector = combo(scene)
    selector.addAttribute(VOLUME, "a")
    assert nodes(selector) == [node]
    selector.addAttribute(VOLUME, "b", "x")
    assert nodes(selector) == []
    selector.removeAttribute(VOLUME, "a")
    assert nodes(selector) == []
    selector.removeAttribute(VOLUME, "b")
    assert nodes(selector) == [node]


def test_base_name_before_node_types_is_dropped(scene, capsys):
    selector = slicer.qMRMLNodeComboBox()
    selector.baseName = "Early"
    assert "no node types have been set" in capsys.readouterr().out
    selector.nodeTypes = [VOLUME]
    selector.setMRMLScene(scene)
    assert selector.addNode().GetName() == "Volume"
    selector.baseName = "Late"
    assert selector.addNode().GetName() == "Late"
    assert selector.addNode().GetName() == "Late_1"


def test_only_what_python_reaches_is_there():
    selector = slicer.qMRMLNodeComboBox()
    for name in ("setNodeTypes", "setNoneEnabled", "setAddEnabled", "setBaseName", "nodes", "model", "nodeFactory"):
        with pytest.raises(AttributeError):
            getattr(selector, name)
    with pytest.raises(AttributeError):
        selector.SIGNATURES  # noqa: B018
    with pytest.raises(AttributeError):
        slicer.qMRMLSegmentationShow3DButton().onToggled(True)


@pytest.mark.parametrize("value", ["vtkMRMLScalarVolumeNode1", 5, object(), vtk.vtkObject()])
def test_set_current_node_takes_nodes_only(scene, value):
    first = volume(scene)
    selector = combo(scene)
    with pytest.raises(ValueError):
        selector.setCurrentNode(value)
    assert selector.currentNode() is first
    with pytest.raises(ValueError):
        slicer.qMRMLSegmentSelectorWidget().setCurrentNode(value)
    with pytest.raises(ValueError):
        selector.setMRMLScene(first)


def test_types_subclasses_and_hidden_nodes(scene):
    plain = volume(scene, "CT")
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    hidden = scene.CreateNodeByClass(VOLUME)
    hidden.UnRegister(None)
    hidden.SetHideFromEditors(1)
    scene.AddNode(hidden)
    selector = combo(scene)
    assert nodes(selector) == [plain, labels]
    selector.showChildNodeTypes = False
    assert nodes(selector) == [plain]
    selector.showChildNodeTypes = True
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert nodes(selector) == [plain]
    selector.showHidden = True
    assert nodes(selector) == [plain, hidden]
    selector.nodeTypes = ["vtkMRMLSegmentationNode"]
    assert nodes(selector) == [] and selector.currentNode() is None


def test_renaming_the_current_node_is_heard_as_a_change(scene):
    selector = combo(scene)
    node = volume(scene, "CT")
    heard = listen(selector)
    node.SetName("Thigh")
    assert rows(selector) == ["Thigh"]
    assert heard == ["Thigh", True, node.GetID()]
    node.SetDescription("says nothing new in the list")
    assert len(heard) == 3


def test_two_nodes_of_one_name_are_two(scene):
    selector = combo(scene)
    _, second = volume(scene, "CT"), volume(scene, "CT")
    heard = listen(selector)
    selector.setCurrentNode(second)
    assert selector.currentNode() is second
    assert heard == ["CT", True, second.GetID()]


def test_removing_the_current_node_moves_on(scene):
    selector = combo(scene)
    first, second, third = (volume(scene, name) for name in "ABC")
    selector.setCurrentNode(second)
    heard = listen(selector)
    scene.RemoveNode(second)
    assert selector.currentNode() is third
    scene.RemoveNode(third)
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is None
    assert heard[-3:] == [None, False, ""]


def test_removing_the_last_node_before_action_rows_never_selects_an_action(scene):
    selector = combo(scene, addEnabled=True, removeEnabled=True)
    first, second = volume(scene, "A"), volume(scene, "B")
    selector.setCurrentNode(second)
    scene.RemoveNode(second)
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is None


def test_closing_the_scene(scene):
    selector = combo(scene)
    volume(scene)
    heard = listen(selector)
    scene.Clear(False)
    assert selector.nodeCount() == 0 and selector.currentNode() is None
    assert heard[-3:] == [None, False, ""]
    node = volume(scene, "next patient")
    assert selector.currentNode() is node


def test_importing_a_scene_lists_its_nodes_when_it_is_done(scene, tmp_path):
    volume(scene, "saved")
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    scene.Clear(False)
    selector = combo(scene)
    counts = {True: set(), False: set()}

    def count(*_):
        counts[bool(scene.IsImporting())].add(selector.nodeCount())

    tag = scene.AddObserver(scene.NodeAddedEvent, count, -100.0)
    scene.Connect()
    scene.RemoveObserver(tag)
    assert counts[True] == {0}
    assert [node.GetName() for node in nodes(selector)] == ["saved"]
    assert selector.currentNode().GetName() == "saved"


def test_rows_of_the_popup(scene):
    volume(scene)
    selector = combo(scene, noneEnabled=True, addEnabled=True, removeEnabled=True, editEnabled=True, renameEnabled=True)
    assert rows(selector) == [
        "None",
        "CT",
        "",
        "Rename current Volume",
        "Edit current Volume",
        "Create new Volume",
        "Create new Volume as...",
        "Delete current Volume",
    ]
    selector.noneDisplay = "Nothing"
    assert rows(selector)[0] == "Nothing"
    selector.setNodeTypeLabel("CT", VOLUME)
    assert selector.nodeTypeLabel(VOLUME) == "CT"
    assert rows(selector)[-1] == "Delete current CT"
    assert selector.nodeCount() == 1


def test_the_user_makes_and_deletes_a_node(scene):
    selector = combo(scene, addEnabled=True, removeEnabled=True)
    made, added = [], []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", made.append)
    selector.connect("nodeAddedByUserAction(vtkMRMLNode*)", added.append)
    click_row(selector, "Create new Volume")
    node = selector.currentNode()
    assert node is not None and made == [node] == added
    click_row(selector, "Delete current Volume")
    assert selector.currentNode() is None and node.GetScene() is None


def test_the_user_chooses_a_node(scene):
    selector = combo(scene)
    volume(scene, "CT")
    pet = volume(scene, "PET")
    activated = []
    selector.connect("nodeActivated(vtkMRMLNode*)", activated.append)
    click_row(selector, "PET")
    assert selector.currentNode() is pet and activated == [pet]


def test_the_user_renames_a_node_and_names_a_new_one(scene, dialogs):
    selector = combo(scene, addEnabled=True, renameEnabled=True)
    node = volume(scene, "CT")
    selector.setCurrentNode(node)
    renamed = []
    selector.connect("currentNodeRenamed(QString)", renamed.append)
    dialogs.expect("Thigh")
    click_row(selector, "Rename current Volume")
    assert node.GetName() == "Thigh" and renamed == ["Thigh"]
    dialogs.expect("Knee")
    click_row(selector, "Create new Volume as...")
    assert selector.currentNode().GetName() == "Knee" and selector.nodeCount() == 2
    dialogs.expect(False)
    click_row(selector, "Create new Volume as...")
    assert selector.nodeCount() == 2


def test_an_action_of_the_panel_in_the_popup(scene):
    selector = combo(scene)
    triggered = []
    action, twin = qt.QAction("Load from disk", selector), qt.QAction("Load from disk", selector)
    action.connect("triggered()", lambda: triggered.append("load"))
    selector.addMenuAction(action)
    selector.addMenuAction(twin)
    assert rows(selector) == ["", "Load from disk"]
    click_row(selector, "Load from disk")
    assert triggered == ["load"]


def test_add_node_of_an_unknown_type_makes_nothing(scene):
    selector = combo(scene)
    before = scene.GetNumberOfNodes()
    assert selector.addNode("vtkMRMLSegmentationNode") is None
    assert slicer.qMRMLNodeComboBox().addNode() is None
    assert scene.GetNumberOfNodes() == before


def test_observers_end_with_the_widget(scene):
    dropped, deleted, child, parent = combo(scene), combo(scene), combo(scene), QtWidgets.QWidget()
    listen(dropped)
    pythonqt.unwrap(child).setParent(parent)
    node = volume(scene)
    kept = [pythonqt.unwrap(selector)._sceneModel._observers for selector in (dropped, deleted, child)]
    assert all(len(observers) > 5 for observers in kept)
    pythonqt.unwrap(deleted).deleteLater()
    parent.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    del dropped
    gc.collect()
    assert [len(observers) for observers in kept] == [0, 0, 0]
    node.SetName("renamed")
    scene.RemoveNode(node)


def test_a_scene_may_go_before_the_widget():
    other = slicer.vtkMRMLScene()
    selector = combo(other)
    volume(other)
    assert selector.nodeCount() == 1
    del other
    gc.collect()
    assert selector.mrmlScene() is None and selector.nodeCount() == 0 and selector.currentNode() is None


# habit 11: connections of the .ui


def test_habit_11_scene_reaches_the_selectors_by_exact_signatures(scene):
    container = slicer.qMRMLWidget()
    selector, segments, button = combo(), slicer.qMRMLSegmentSelectorWidget(), slicer.qMRMLSegmentationShow3DButton()
    sender = pythonqt.unwrap(container)
    signal, slot = "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)"
    assert pythonqt_signals.connect_objects(sender, signal, pythonqt.unwrap(selector), slot)
    assert pythonqt_signals.connect_objects(sender, signal, pythonqt.unwrap(segments), slot)
    for wrong in ("setMRMLScene(vtkObject*)", "setMRMLScene(QVariant)", "setMRMLScene()", "setMRMLScene(PyObject)"):
        assert not pythonqt_signals.connect_objects(sender, signal, pythonqt.unwrap(selector), wrong)
    assert not pythonqt_signals.connect_objects(sender, signal, pythonqt.unwrap(button), slot)
    container.setMRMLScene(scene)
    assert selector.mrmlScene() is scene and segments.mrmlScene() is scene
    assert container.mrmlScene() is scene


def test_habit_11_a_selector_does_not_fit_a_slot_for_segmentations():
    selector, button = slicer.qMRMLNodeComboBox(), slicer.qMRMLSegmentationShow3DButton()
    assert not pythonqt_signals.connect_objects(
        pythonqt.unwrap(selector),
        "currentNodeChanged(vtkMRMLNode*)",
        pythonqt.unwrap(button),
        "setSegmentationNode(vtkMRMLSegmentationNode*)",
    )


UI = """<ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="layout">
 <item><widget class="qMRMLNodeComboBox" name="petSelector">
  <property name="nodeTypes"><stringlist notr="true"><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
  <property name="addEnabled"><bool>false</bool></property>
  <property name="removeEnabled"><bool>false</bool></property>
  <property name="SlicerParameterName" stdset="0"><string>pet</string></property>
 </widget></item>
</layout></widget>
<customwidgets>
 <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>qMRMLNodeComboBox.h</header></customwidget>
 <customwidget>
  <class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header><container>1</container>
 </customwidget>
</customwidgets><resources/>
<connections><connection>
 <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
 <receiver>petSelector</receiver><slot>SLOT</slot>
</connection></connections></ui>"""


@pytest.mark.parametrize(("slot", "reached"), [("setMRMLScene(vtkMRMLScene*)", True), ("setMRMLScene()", False)])
def test_habit_11_in_a_ui_file(scene, tmp_path, slot, reached):
    path = tmp_path / "Panel.ui"
    path.write_text(UI.replace("SLOT", slot), encoding="utf-8")
    panel = slicer.util.loadUI(str(path))
    selector = slicer.util.childWidgetVariables(panel).petSelector
    assert selector.nodeTypes == (VOLUME,) and not selector.addEnabled and not selector.removeEnabled
    assert selector.property("SlicerParameterName") == "pet"
    panel.setMRMLScene(scene)
    assert (selector.mrmlScene() is scene) == reached == selector.isEnabledTo(panel)


def test_a_widget_tells_a_new_scene_once(scene):
    container, told = slicer.qMRMLWidget(), []
    container.connect("mrmlSceneChanged(vtkMRMLScene*)", told.append)
    container.setMRMLScene(scene)
    container.setMRMLScene(scene)
    assert told == [scene]


# segments


def test_segment_selector(scene):
    selector, changes = slicer.qMRMLSegmentSelectorWidget(), []
    selector.connect("currentSegmentChanged(QString)", changes.append)
    selector.setMRMLScene(scene)
    node = segmentation(scene, ("tumor", "edema"))
    tumor, edema = node.GetSegmentation().GetSegmentIDs()
    assert selector.currentNode() is None  # its popup has rename and delete: nothing selects itself
    selector.setCurrentNode(node)
    assert selector.currentNode() is node and selector.currentNodeID() == node.GetID()
    assert selector.currentSegmentID() == tumor
    selector.setCurrentSegmentID(edema)
    selector.setCurrentSegmentID("no such segment")
    assert selector.currentSegmentID() == edema
    node.GetSegmentation().RemoveSegment(edema)
    assert selector.currentSegmentID() == tumor
    assert changes == [tumor, edema, tumor]
    assert selector.segmentIDs() == ()


def test_segment_selector_keeps_the_id_of_a_segment_that_is_gone(scene):
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(scene)
    node = segmentation(scene)
    selector.setCurrentNode(node)
    known = selector.currentSegmentID()
    scene.RemoveNode(node)
    assert selector.currentNode() is None
    assert selector.currentSegmentID() == known != ""


def test_segment_selector_with_none(scene):
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.noneEnabled = True
    selector.setMRMLScene(scene)
    node = segmentation(scene)
    selector.setCurrentNode(node)
    assert selector.currentSegmentID() == ""
    selector.setCurrentSegmentID(node.GetSegmentation().GetNthSegmentID(0))
    assert selector.currentSegmentID() == node.GetSegmentation().GetNthSegmentID(0)
    selector.setCurrentSegmentID("")
    assert selector.currentSegmentID() == ""


def test_show_3d_button_makes_and_removes_the_surface(scene):
    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled and button.text == "Show 3D" and button.checkable
    node = segmentation(scene)
    button.setSegmentationNode(node)
    assert button.enabled and not button.checked
    button.checked = True
    segment = node.GetSegmentation().GetNthSegmentID(0)
    assert node.GetClosedSurfaceInternalRepresentation(segment).GetNumberOfPoints() > 8
    assert node.GetDisplayNode().GetPreferredDisplayRepresentationName3D() == SURFACE
    assert node.GetDisplayNode().GetPreferredDisplayRepresentationName2D() == "Binary labelmap"
    button.checked = False
    assert not node.GetSegmentation().ContainsRepresentation(SURFACE)
    node.CreateClosedSurfaceRepresentation()
    assert button.checked
    with pytest.raises(ValueError):
        button.setSegmentationNode(volume(scene))


def test_show_3d_button_is_off_without_segments(scene):
    button = slicer.qMRMLSegmentationShow3DButton()
    node = segmentation(scene, ())
    button.setSegmentationNode(node)
    assert not button.enabled
    node.AddSegmentFromBinaryLabelmapRepresentation(cube(), "tumor")
    assert button.enabled
    button.locked = True
    assert not button.enabled
    button.locked = False
    node.GetSegmentation().RemoveAllSegments()
    assert not button.enabled
    button.setSegmentationNode(None)
    assert not button.enabled


def test_show_3d_button_smoothing(scene):
    button = slicer.qMRMLSegmentationShow3DButton()
    node = segmentation(scene)
    button.setSegmentationNode(node)
    button.checked = True
    segment = node.GetSegmentation().GetNthSegmentID(0)
    smooth = np.array(node.GetClosedSurfaceInternalRepresentation(segment).GetBounds())
    smoothing = pythonqt.unwrap(button)._smoothing
    assert smoothing.isChecked()
    smoothing.trigger()
    rough = np.array(node.GetClosedSurfaceInternalRepresentation(segment).GetBounds())
    assert not smoothing.isChecked()
    assert np.any(rough[1::2] - rough[::2] > smooth[1::2] - smooth[::2])


# tables


def test_table_view(scene):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "Results")
    column = vtk.vtkStringArray()
    column.SetName("volume")
    node.AddColumn(column)
    node.AddEmptyRow()
    node.SetCellText(0, 0, "12.5")
    node.SetColumnUnitLabel("volume", "ml")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    cells = pythonqt.unwrap(view).model()
    assert view.mrmlTableNode() is node
    assert [cells.index(row, 0).data() for row in range(cells.rowCount())] == ["volume", "12.5"]
    assert cells.headerData(0, QtCore.Qt.Orientation.Horizontal) == "A"
    view.firstRowLocked = True
    assert [cells.index(row, 0).data() for row in range(cells.rowCount())] == ["12.5"]
    assert cells.headerData(0, QtCore.Qt.Orientation.Horizontal) == "volume [ml]"
    node.AddEmptyRow()
    assert cells.rowCount() == 2
    heard = []
    assert view.connect("selectionChanged()", lambda: heard.append(True))
    pythonqt.unwrap(view).selectAll()
    assert heard == [True]
    view.copySelection()
    assert QtWidgets.QApplication.clipboard().text() == "12.5\n"
    view.setMRMLTableNode(None)
    assert cells.rowCount() == 0


def test_table_view_edits_the_node_unless_it_is_locked(scene):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "Results")
    numbers = vtk.vtkDoubleArray()
    numbers.SetName("SUV")
    node.AddColumn(numbers)
    node.AddEmptyRow()
    node.SetUseColumnTitleAsColumnHeader(True)
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    cells = pythonqt.unwrap(view).model()
    cell = cells.index(0, 0)
    assert cell.flags() & QtCore.Qt.ItemFlag.ItemIsEditable
    cells.setData(cell, "7.5")
    assert node.GetTable().GetValueByName(0, "SUV").ToDouble() == 7.5
    node.SetLocked(True)
    assert not cells.index(0, 0).flags() & QtCore.Qt.ItemFlag.ItemIsEditable
    assert cells.index(0, 0).data() == "7.5"
