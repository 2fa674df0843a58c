"""slicer.parameterNodeWrapper of the stand-in: what the node holds, and how widgets follow it."""

import enum
import importlib
import pathlib
import sys
import types
from typing import Annotated, Optional

import pytest
from own_modules import NO_SOURCE, OWN, PACKAGES, load_own

pytestmark = pytest.mark.standin

ALIAS = "own_parameterNodeWrapper"
# classes that Slicer's package names and the stand-in lacks
UNKNOWN = {
    "ctk": (
        "ctkCheckBox ctkCheckablePushButton ctkColorPickerButton ctkComboBox ctkDirectoryButton ctkDoubleRangeSlider "
        "ctkDoubleSlider ctkDoubleSpinBox ctkRangeWidget"
    ),
    "slicer": "qMRMLRangeWidget qMRMLSliderWidget qMRMLSpinBox",
}


def load_own_package(request):
    """Import Slicer's parameterNodeWrapper package for the time of a test."""
    monkeypatch = request.getfixturevalue("monkeypatch")
    for module, classes in UNKNOWN.items():
        for missing in classes.split():
            if not hasattr(sys.modules[module], missing):
                monkeypatch.setattr(sys.modules[module], missing, type(missing, (), {}), raising=False)
    return load_own(monkeypatch, "slicer.parameterNodeWrapper", ALIAS)


@pytest.fixture(params=PACKAGES)
def wrapper(request):
    """The package under test: Slicer's parameterNodeWrapper, or what stands in for it."""
    if request.param == OWN:
        yield load_own_package(request)
        for loaded in [one for one in sys.modules if one.startswith(f"{ALIAS}.")]:
            del sys.modules[loaded]
    else:
        import slicer.parameterNodeWrapper

        yield slicer.parameterNodeWrapper


class Place(enum.Enum):
    AUTOMATIC = "auto"
    POINT = "point"


class Labeled(enum.Enum):
    ONE = 1
    TWO = 2

    def label(self):
        return f"number {self.value}"


def make_class(wrapper):
    """The members that the panel uses, of every kind, wrapped by a parameterNodeWrapper package."""
    from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode

    @wrapper.parameterNodeWrapper
    class Parameters:
        pet: vtkMRMLScalarVolumeNode
        point: vtkMRMLMarkupsFiducialNode | None
        members: Annotated[int, wrapper.WithinRange(1, 6)] = 3
        size: Annotated[float, wrapper.Minimum(0.5), wrapper.Maximum(9), wrapper.Default(2.5)]
        device: Annotated[str, wrapper.Choice(["auto", "cpu"]), wrapper.Default("auto")]
        note: str
        riskOnly: bool
        place: Place
        labeled: Labeled = Labeled.TWO
        folder: pathlib.Path
        names: list[str]
        threads: Optional[int]  # noqa: UP045  modules write it either way

    return Parameters


@pytest.fixture
def node():
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def parameters(node, wrapper):
    return make_class(wrapper)(node)


def held(node):
    """What a parameter node holds: its texts and its references."""
    texts = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    roles = [node.GetNthNodeReferenceRole(index) for index in range(node.GetNumberOfNodeReferenceRoles())]
    return texts, {role: node.GetNodeReferenceID(role) for role in roles}


def add_volume(name="PET"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def change_everything(parameters):
    import slicer

    parameters.pet = add_volume()
    parameters.point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    parameters.members, parameters.size, parameters.device = 5, 4, "cpu"
    parameters.note, parameters.riskOnly, parameters.place = "a = b; c", True, Place.POINT
    parameters.folder = pathlib.Path("/tmp/a b")
    parameters.names = ["x", "y", "z"]
    parameters.names.pop()
    parameters.names.append("ü")
    parameters.threads = 2


def test_defaults_are_written_as_slicer_writes_them(parameters, node):
    texts, references = held(node)
    assert texts == {
        "pet": "",
        "point.1": "True",
        "members": "3",
        "size": "2.5",
        "device": "auto",
        "note": "",
        "riskOnly": "False",
        "place": "AUTOMATIC",
        "labeled": "TWO",
        "folder": ".",
        "names.len": "0",
        "threads.1": "True",
    }
    assert not any(references.values())


def test_values_are_written_as_slicer_writes_them(parameters, node):
    change_everything(parameters)
    texts, references = held(node)
    assert texts == {
        "pet": "",
        "point.0": "",
        "members": "5",
        "size": "4",
        "device": "cpu",
        "note": "a = b; c",
        "riskOnly": "True",
        "place": "POINT",
        "labeled": "TWO",
        "folder": str(pathlib.Path("/tmp/a b")),
        "names.len": "3",
        "names.0": "x",
        "names.1": "y",
        "names.2": "ü",
        "threads.0": "2",
    }
    assert references == {"pet": parameters.pet.GetID(), "point.0": parameters.point.GetID()}


def test_a_second_wrapper_of_the_same_node_reads_what_the_first_wrote(parameters, node):
    change_everything(parameters)
    again = type(parameters)(node)
    for name in parameters.allParameters:
        assert getattr(again, name) == getattr(parameters, name)
    assert (again.size, again.place, again.threads) == (4.0, Place.POINT, 2)
    assert again.pet is parameters.pet


def test_a_saved_scene_restores_values_and_nodes(parameters, node, tmp_path):
    import slicer

    change_everything(parameters)
    path, name = str(tmp_path / "scene.mrml"), node.GetName()
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Commit(path)
    slicer.mrmlScene.Clear(False)
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Import()
    loaded = slicer.mrmlScene.GetFirstNode(name, "vtkMRMLScriptedModuleNode")  # other modules' singletons stay
    restored = type(parameters)(loaded)
    assert restored.pet.GetName() == "PET"
    assert (restored.members, restored.note, restored.place) == (5, "a = b; c", Place.POINT)
    assert restored.names == ["x", "y", "ü"]
    assert restored.folder == pathlib.Path("/tmp/a b")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("members", 0, ValueError),
        ("members", 2.0, TypeError),
        ("members", None, ValueError),
        ("size", 10, ValueError),
        ("size", "4", TypeError),
        ("device", "tpu", ValueError),
        ("riskOnly", 1, TypeError),
        ("note", None, ValueError),
        ("place", "POINT", TypeError),
        ("folder", "/tmp", TypeError),
        ("names", [1], TypeError),
        ("threads", "2", TypeError),
        ("point", 3, TypeError),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(parameters, node, name, value, error):
    change_everything(parameters)
    before = held(node)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert held(node) == before


def test_a_node_of_another_class_is_refused(parameters):
    with pytest.raises(TypeError):
        parameters.point = add_volume()
    with pytest.raises(TypeError):
        parameters.pet = parameters.parameterNode


def test_a_removed_node_reads_as_none(parameters):
    import slicer

    parameters.pet = add_volume()
    slicer.mrmlScene.RemoveNode(parameters.pet)
    assert parameters.pet is None


def test_a_default_that_does_not_fit_fails_when_the_node_is_wrapped(node, wrapper):
    @wrapper.parameterNodeWrapper
    class Wrong:
        device: Annotated[str, wrapper.Choice(["auto"])]

    with pytest.raises(ValueError, match="auto"):
        Wrong(node)


@pytest.mark.parametrize("kind", [bytes, set, complex])
def test_types_without_a_serializer_are_refused_in_the_class(wrapper, kind):
    with pytest.raises(Exception, match="Unable to create serializer"):
        wrapper.parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"member": kind}}))


@pytest.mark.parametrize("kind", [dict, tuple, list])
def test_types_that_the_stand_in_does_without_are_refused_in_the_class(kind):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(Exception, match="Unable to create serializer"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"member": kind}}))


def test_names_of_the_wrapper_cannot_be_members(wrapper):
    with pytest.raises(ValueError, match="Modified"):
        wrapper.parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"Modified": int}}))


def test_unknown_names_raise(parameters):
    for call in (parameters.getValue, parameters.default, parameters.isCached, parameters.dataType):
        with pytest.raises(ValueError, match="nothing"):
            call("nothing")
    with pytest.raises(ValueError, match="nothing"):
        parameters.connectParametersToGui({"nothing": None})


def test_questions_about_members(parameters):
    assert parameters.isCached("names")
    assert parameters.default("members").value == 3
    assert parameters.dataType("riskOnly") is bool
    assert parameters.getValue("device") == "auto"
    parameters.setValue("device", "cpu")
    assert parameters.device == "cpu"


def test_the_observation_mixin_observes_the_wrapper(parameters):
    import slicer.util
    import vtk

    class Panel(slicer.util.VTKObservationMixin):
        def __init__(self):
            super().__init__()
            self.seen = []

        def onModified(self, caller, event):
            self.seen.append(parameters.device)  # observers already read the new value

    panel = Panel()
    panel.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, panel.onModified)
    parameters.device = "cpu"
    assert set(panel.seen) == {"cpu"}
    panel.seen.clear()
    with slicer.util.NodeModify(parameters):
        parameters.members, parameters.note, parameters.riskOnly = 2, "x", True
    assert panel.seen == ["cpu"]
    panel.removeObserver(parameters, vtk.vtkCommand.ModifiedEvent, panel.onModified)
    parameters.device = "auto"
    assert panel.seen == ["cpu"]


def test_a_change_behind_the_wrapper_is_seen(parameters, node):
    node.SetParameter("device", "cpu")
    assert parameters.device == "cpu"


def test_two_wrappers_of_one_node_follow_each_other(parameters, node):
    other = type(parameters)(node)
    other.members = 6
    assert parameters.members == 6


def make_widget(name):
    """A widget as the panel's .ui names it: "qt.QCheckBox" and the like."""
    module, class_name = name.split(".")
    widget = getattr(importlib.import_module(module), class_name)()
    if class_name == "qMRMLNodeComboBox":
        import slicer

        widget.setMRMLScene(slicer.mrmlScene)
    return widget


def set_combo(widget, index):
    widget.currentIndex = index


PAIRS = {
    # member: (widget, value for the node, how the widget shows it, what the user does, what the node then holds)
    "riskOnly": ("qt.QCheckBox", True, lambda w: w.checked, lambda w: w.click(), False),
    "device": ("qt.QComboBox", "cpu", lambda w: w.currentText, lambda w: set_combo(w, 0), "auto"),
    "place": ("qt.QComboBox", Place.POINT, lambda w: w.currentText, lambda w: set_combo(w, 0), Place.AUTOMATIC),
    "labeled": ("qt.QComboBox", Labeled.TWO, lambda w: w.currentText, lambda w: set_combo(w, 0), Labeled.ONE),
    "note": ("qt.QLineEdit", "abc", lambda w: w.text, lambda w: setattr(w, "text", "new"), "new"),
    "members": ("qt.QSpinBox", 5, lambda w: w.value, lambda w: setattr(w, "value", 2), 2),
    "size": ("qt.QDoubleSpinBox", 4.25, lambda w: w.value, lambda w: setattr(w, "value", 1.5), 1.5),
    "folder": (
        "ctk.ctkPathLineEdit",
        pathlib.Path("/tmp/a"),
        lambda w: w.currentPath,
        lambda w: setattr(w, "currentPath", "/tmp/b"),
        pathlib.Path("/tmp/b"),
    ),
}
SHOWN = {"riskOnly": True, "device": "cpu", "place": "POINT", "labeled": "number 2", "note": "abc", "members": 5}
SHOWN |= {"size": 4.25, "folder": "/tmp/a"}


@pytest.mark.parametrize("name", PAIRS)
def test_a_widget_follows_its_member_and_the_member_its_widget(parameters, name):
    kind, value, shown, act, after = PAIRS[name]
    widget = make_widget(kind)
    tag = parameters.connectParametersToGui({name: widget})
    parameters.setValue(name, value)
    assert shown(widget) == SHOWN[name]
    act(widget)
    assert parameters.getValue(name) == after
    parameters.disconnectGui(tag)
    parameters.setValue(name, value)
    assert shown(widget) != SHOWN[name]


def test_a_text_edit_and_a_slider_widget(parameters):
    note, size = make_widget("qt.QTextEdit"), make_widget("ctk.ctkSliderWidget")
    parameters.connectParametersToGui({"note": note, "size": size})
    assert (size.minimum, size.maximum, size.value) == (0.5, 9, 2.5)
    note.setPlainText("written")
    size.value = 3
    assert (parameters.note, parameters.size) == ("written", 3)


def test_a_label_only_shows(parameters):
    label = make_widget("qt.QLabel")
    tag = parameters.connectParametersToGui({"note": label})
    parameters.note = "read me"
    assert label.text == "read me"
    label.text = "written by code"
    assert parameters.note == "read me"
    parameters.disconnectGui(tag)


def test_combo_boxes_lose_what_the_ui_file_put_in(parameters):
    choice, numbers = make_widget("qt.QComboBox"), make_widget("qt.QComboBox")
    for text in ("Automatic (recommended)", "On the CPU", "third"):
        choice.addItem(text)
    parameters.connectParametersToGui({"device": choice, "labeled": numbers})
    assert [choice.itemText(index) for index in range(choice.count)] == ["auto", "cpu"]
    assert [numbers.itemText(index) for index in range(numbers.count)] == ["number 1", "number 2"]
    assert numbers.currentText == "number 2"


def test_a_node_selector_takes_the_annotated_class(parameters):
    import slicer

    selector = make_widget("slicer.qMRMLNodeComboBox")
    selector.nodeTypes = ["vtkMRMLModelNode"]
    parameters.connectParametersToGui({"pet": selector})
    assert tuple(selector.nodeTypes) == ("vtkMRMLScalarVolumeNode",)
    volume = add_volume()
    parameters.pet = volume
    assert selector.currentNode() is volume
    other = add_volume("second")
    selector.setCurrentNode(other)
    assert parameters.pet is other
    slicer.mrmlScene.RemoveNode(other)
    assert parameters.pet is selector.currentNode()


@pytest.mark.parametrize(
    ("name", "widget"),
    [
        ("note", "qt.QPlainTextEdit"),
        ("note", "qt.QSpinBox"),
        ("riskOnly", "qt.QRadioButton"),
        ("members", "qt.QLineEdit"),
        ("folder", "qt.QLineEdit"),
        ("names", "qt.QListWidget"),
    ],
)
def test_pairs_without_a_connector_are_refused(parameters, name, widget):
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectParametersToGui({name: make_widget(widget)})


def test_a_combo_box_needs_choices_and_a_slider_widget_bounds(node, wrapper):
    @wrapper.parameterNodeWrapper
    class Open:
        text: str
        number: float

    parameters = Open(node)
    with pytest.raises(RuntimeError, match="Choice"):
        parameters.connectParametersToGui({"text": make_widget("qt.QComboBox")})
    with pytest.raises(RuntimeError, match="unbounded"):
        parameters.connectParametersToGui({"number": make_widget("ctk.ctkSliderWidget")})


@pytest.mark.parametrize("kind", ["QCheckBox", "QSpinBox", "QComboBox", "QLineEdit", "QLabel"])
def test_habit_12_a_subclassed_widget_gets_no_connector(parameters, kind):
    """type(widget) is compared exactly: a panel must bind the plain classes (slicer-notes 7, no. 12)."""
    import qt

    member = {"QCheckBox": "riskOnly", "QSpinBox": "members", "QComboBox": "device"}.get(kind, "note")
    derived = type(f"My{kind}", (getattr(qt, kind),), {})
    with pytest.raises(RuntimeError, match=f"My{kind}"):
        parameters.connectParametersToGui({member: derived()})
    tag = parameters.connectParametersToGui({member: getattr(qt, kind)()})
    parameters.disconnectGui(tag)


def test_connect_gui_finds_widgets_by_their_dynamic_property(parameters):
    import qt

    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    box, line, plain = qt.QCheckBox(), qt.QLineEdit(), qt.QLineEdit()
    for widget in (box, line, plain):
        layout.addWidget(widget)
    box.setProperty("SlicerParameterName", "riskOnly")
    line.setProperty("SlicerParameterName", "note")
    for gui in (panel, types.SimpleNamespace(box=box, line=line, plain=plain)):
        tag = parameters.connectGui(gui)
        parameters.riskOnly, parameters.note = True, "shown"
        assert (box.checked, line.text, plain.text) == (True, "shown", "")
        parameters.disconnectGui(tag)
        parameters.riskOnly, parameters.note = False, ""
        assert (box.checked, line.text) == (True, "shown")


def test_connect_gui_names_a_parameter_that_does_not_exist(parameters):
    import qt

    line = qt.QLineEdit()
    line.setProperty("SlicerParameterName", "notes")
    with pytest.raises(ValueError, match="notes"):
        parameters.connectGui(types.SimpleNamespace(line=line))


def test_one_change_in_a_widget_is_one_modified_event(parameters):
    events = []
    box = make_widget("qt.QCheckBox")
    parameters.connectParametersToGui({"riskOnly": box})
    parameters.AddObserver("ModifiedEvent", lambda caller, event: events.append(parameters.riskOnly))
    box.click()
    assert events == [True]


@pytest.mark.skipif(OWN not in PACKAGES, reason=NO_SOURCE)
def test_slicers_own_package_reads_what_the_stand_in_writes(node, request):
    import slicer.parameterNodeWrapper

    written = make_class(slicer.parameterNodeWrapper)(node)
    change_everything(written)
    before = held(node)
    real = make_class(load_own_package(request))(node)
    assert held(node) == before
    assert all(getattr(real, name) == getattr(written, name) for name in written.allParameters)
