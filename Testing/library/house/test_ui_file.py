"""The panels' .ui files, by what goes wrong silently in Slicer."""

import xml.etree.ElementTree as ET

import pytest
from conftest import REPOSITORY

FILES = sorted(REPOSITORY.glob("CHMFL*/Resources/UI/*.ui"))
TAKES_A_SCENE = ("qMRMLNodeComboBox", "qMRMLSegmentSelectorWidget")  # qMRMLTableView wants its node only
EXPLAINED = ("QPushButton", "QComboBox", "QCheckBox", "QSpinBox", "QDoubleSpinBox", "ctkSliderWidget", *TAKES_A_SCENE)


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def ui(request):
    return ET.parse(request.param).getroot()


def test_every_module_has_one():
    modules = {path.parent.name for path in REPOSITORY.glob("CHMFL*/CMakeLists.txt")}
    assert {path.stem for path in FILES} == {path.parents[2].name for path in FILES} == modules


def test_parameter_names_are_dynamic_properties(ui):
    """Without stdset="0" Designer's compiler would look for a setter of that name."""
    names = [one for one in ui.iter("property") if one.get("name") == "SlicerParameterName"]
    assert names and all(one.get("stdset") == "0" for one in names)
    values = [one.findtext("string") for one in names]
    assert len(values) == len(set(values))


def test_every_mrml_widget_gets_the_scene(ui):
    """A selector that is not connected stays disabled for ever."""
    top = ui.find("widget").get("name")
    connected = {
        one.findtext("receiver")
        for one in ui.iter("connection")
        if one.findtext("sender") == top
        and one.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and one.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert connected == {one.get("name") for one in ui.iter("widget") if one.get("class") in TAKES_A_SCENE}


def test_every_class_of_others_is_declared(ui):
    declared = {one.findtext("class") for one in ui.iter("customwidget")}
    used = {one.get("class") for one in ui.iter("widget") if not one.get("class").startswith("Q")}
    assert used == declared


def test_what_is_clicked_or_chosen_explains_itself(ui):
    for widget in ui.iter("widget"):
        if widget.get("class") in EXPLAINED:
            properties = {one.get("name") for one in widget.findall("property")}
            assert "toolTip" in properties, widget.get("name")


def test_parameters_exist_in_the_parameter_node(ui):
    module = ui.findtext("class")
    source = (REPOSITORY / module / f"{module}.py").read_text(encoding="utf-8")
    for one in ui.iter("property"):
        if one.get("name") == "SlicerParameterName":
            assert f"\n    {one.findtext('string')}: " in source


def test_nobody_counts_on_a_scheme_of_colors(ui):
    """Slicer has a light and a dark style: no widget sets a color of its own."""
    for one in ui.iter("property"):
        if one.get("name") in ("styleSheet", "palette"):
            text = "".join(one.itertext())
            assert "color" not in text.lower() or "palette(" in text, text
