"""The stand-in loads .ui files as Slicer does (habit 11) and its CTK widgets do what CTK's do."""

import gc

import ctk
import pytest
import qt
import slicer

pytestmark = pytest.mark.standin

FORM = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Form</class>
 <widget class="qMRMLWidget" name="Form">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="inputsButton">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="formLayout">
      <item row="0" column="1">
       <widget class="qMRMLNodeComboBox" name="petSelector">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="SlicerParameterName" stdset="0"><string>pet</string></property>
       </widget>
      </item>
      <item row="1" column="1">
       <widget class="ctkPathLineEdit" name="pathEdit">
        <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable</set></property>
       </widget>
      </item>
      <item row="2" column="1">
       <widget class="QCheckBox" name="checkBox">
        <property name="checked"><bool>true</bool></property>
        <property name="undeclared"><number>3</number></property>
       </widget>
      </item>
      <item row="3" column="1"><widget class="QPushButton" name="pushButton"/></item>
     </layout>
    </widget>
   </item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header>
   <container>1</container></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>x.h</header></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><header>x.h</header>
   <container>1</container></customwidget>
  <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends><header>x.h</header></customwidget>
  EXTRA
 </customwidgets>
 <connections>CONNECTIONS</connections>
</ui>
"""


def connection(sender, signal, receiver, slot):
    return (
        f"<connection><sender>{sender}</sender><signal>{signal}</signal>"
        f"<receiver>{receiver}</receiver><slot>{slot}</slot></connection>"
    )


SCENE = connection("Form", "mrmlSceneChanged(vtkMRMLScene*)", "petSelector", "setMRMLScene(vtkMRMLScene*)")


@pytest.fixture
def load(tmp_path):
    def from_text(connections="", extra="", replace=("", "")):
        file = tmp_path / "Form.ui"
        text = FORM.replace("CONNECTIONS", connections).replace("EXTRA", extra)
        file.write_text(text.replace(*replace) if replace[0] else text, encoding="utf-8")
        return slicer.util.loadUI(str(file))

    return from_text


def process_events():
    qt.QApplication.instance().processEvents()


def test_habit_11_an_exact_connection_is_made(load):
    form = load(SCENE)
    selector = slicer.util.findChild(form, "petSelector")
    assert selector.mrmlScene() is None
    form.setMRMLScene(slicer.mrmlScene)
    assert selector.mrmlScene() is slicer.mrmlScene


@pytest.mark.parametrize(
    ("signal", "slot"),
    [
        ("mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLNode*)"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(QObject*)"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene"),
        ("mrmlSceneChanged(PyObject)", "setMRMLScene(PyObject)"),
        ("mrmlSceneChanged()", "setMRMLScene(vtkMRMLScene*)"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "setEnabled(bool)"),
    ],
)
def test_habit_11_a_connection_that_differs_is_reported_and_not_made(load, capfd, signal, slot):
    form = load(connection("Form", signal, "petSelector", slot))
    assert "QObject::connect: " in capfd.readouterr().err
    form.setMRMLScene(slicer.mrmlScene)
    assert slicer.util.findChild(form, "petSelector").mrmlScene() is None


def test_habit_11_connections_between_qts_own_widgets(load):
    ui = slicer.util.childWidgetVariables(
        load(connection("checkBox", "toggled(bool)", "pushButton", "setDisabled(bool)"))
    )
    ui.checkBox.checked = False
    assert ui.pushButton.enabled
    ui.checkBox.checked = True
    assert not ui.pushButton.enabled


def test_habit_11_dynamic_properties(load):
    ui = slicer.util.childWidgetVariables(load())
    assert ui.petSelector.SlicerParameterName == "pet"
    assert ui.petSelector.property("SlicerParameterName") == "pet"
    assert ui.checkBox.undeclared == 3
    assert ui.checkBox.checked is True
    with pytest.raises(AttributeError):
        ui.checkBox.SlicerParameterName  # noqa: B018


def test_custom_widgets_are_the_real_ones_with_their_properties(load):
    form = load()
    ui = slicer.util.childWidgetVariables(form)
    assert type(form) is slicer.qMRMLWidget and type(ui.petSelector) is slicer.qMRMLNodeComboBox
    assert type(ui.inputsButton) is ctk.ctkCollapsibleButton and ui.inputsButton.text == "Inputs"
    assert ui.petSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.pathEdit.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
    assert ui.Form is form and ui.formLayout.className() == "QFormLayout"


def test_widgets_in_a_form_keep_their_state_while_nobody_in_python_looks(load):
    form, calls = load(SCENE), []
    slicer.util.findChild(form, "pathEdit").currentPath = "/data"
    slicer.util.findChild(form, "pushButton").connect("clicked()", lambda: calls.append(1))
    gc.collect()
    ui = slicer.util.childWidgetVariables(form)
    assert ui.pathEdit.currentPath == "/data" and ui.petSelector.mrmlScene() is None
    ui.pushButton.click()
    assert ui.pushButton.disconnect("clicked()") is True
    ui.pushButton.click()
    assert calls == [1]


def test_a_form_goes_with_its_last_reference(load):
    form = load(SCENE)
    button = slicer.util.findChild(form, "pushButton")
    del form
    gc.collect()
    assert not button


def test_what_cannot_be_loaded_raises(load, tmp_path, capfd):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))
    extra = "<customwidget><class>qMRMLNothing</class><extends>QWidget</extends><header>x.h</header></customwidget>"
    with pytest.raises(RuntimeError, match="qMRMLNothing"):
        load(extra=extra, replace=('class="QPushButton"', 'class="qMRMLNothing"'))
    with pytest.raises(RuntimeError, match="Could not load UI file"):
        load(replace=("</ui>", ""))
    with pytest.raises(RuntimeError, match="ctkPathLineEdit::Folders is no value"):
        load(replace=("::Dirs", "::Folders"))
    with pytest.raises(RuntimeError, match="Qt 5 does not know"):
        load(replace=("::Dirs", "::Filter::Dirs"))
    capfd.readouterr()


def test_find_child_by_name_and_properties(load):
    form = load()
    assert slicer.util.findChild(form, None, {"SlicerParameterName": "pet"}).name == "petSelector"
    assert slicer.util.findChild(form, "check*").name == "checkBox"
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.findChild(form, "nothing")


def test_a_collapsible_button_hides_its_contents_but_not_what_was_hidden_before():
    section = ctk.ctkCollapsibleButton()
    layout, shown, hidden, changes = qt.QVBoxLayout(section), qt.QLabel("shown"), qt.QLabel("hidden"), []
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.visible = False
    assert section.connect("contentsCollapsed(bool)", changes.append)
    section.show()
    open_height = section.sizeHint.height()
    assert (shown.visible, hidden.visible, section.checked) == (True, False, True)
    section.collapsed = True
    assert (shown.visible, section.checked, changes) == (False, False, [True])
    assert section.sizeHint.height() < open_height and section.maximumHeight == section.sizeHint.height()
    shown.show()  # is remembered, not obeyed
    hidden.visible = True
    assert not shown.visible and not hidden.visible
    section.click()
    assert (section.collapsed, shown.visible, hidden.visible, changes) == (False, True, True, [True, False])


def test_a_section_that_is_collapsed_before_it_is_shown_stays_closed():
    section = ctk.ctkCollapsibleButton()
    layout, inside = qt.QVBoxLayout(section), qt.QLabel("inside")
    layout.addWidget(inside)
    section.collapsed = True
    section.show()
    process_events()
    assert not inside.visible
    section.collapsed = False
    assert inside.visible


def test_a_path_line_edit_announces_paths_that_its_filters_accept():
    edit, paths, valid = ctk.ctkPathLineEdit(), [], []
    edit.connect("currentPathChanged(QString)", paths.append)
    edit.connect("validInputChanged(bool)", valid.append)
    edit.currentPath = "/data/one"
    edit.setCurrentPath("/data/two")
    edit.currentPath = ""
    assert (paths, valid) == (["/data/one", "/data/two"], [True, False])
    edit.nameFilters = ["Tables (*.csv)"]
    edit.currentPath = "/data/three.txt"
    assert paths[-1] == "/data/two"
    edit.currentPath = "/data/three.csv"
    assert paths[-1] == "/data/three.csv"


def test_a_path_line_edit_keeps_five_paths_under_its_setting_key():
    edit = ctk.ctkPathLineEdit()
    edit.settingKey = "CHMFLTestPaths"
    for number in range(7):
        edit.currentPath = f"/data/{number}"
        edit.addCurrentPathToHistory()
    box = edit.comboBox()
    assert [box.itemText(i) for i in range(box.count)] == [f"/data/{n}" for n in (6, 5, 4, 3, 2)]
    again = ctk.ctkPathLineEdit()
    again.settingKey = "CHMFLTestPaths"
    assert again.currentPath == "/data/6"


def test_a_path_line_edit_opens_the_dialog_of_its_filters(monkeypatch):
    from PySide6.QtWidgets import QFileDialog

    for name, answer in (
        ("getExistingDirectory", "/folder"),
        ("getSaveFileName", ("/saved", "")),
        ("getOpenFileName", ("/opened", "")),
    ):
        monkeypatch.setattr(QFileDialog, name, staticmethod(lambda *args, answer=answer: answer))
    edit, flags = ctk.ctkPathLineEdit(), ctk.ctkPathLineEdit
    expected = {flags.Dirs: "/folder", flags.Files | flags.Writable: "/saved", flags.Files: "/opened"}
    for filters, path in expected.items():
        edit.filters = filters
        edit.browse()
        assert edit.currentPath == path


def test_a_fitted_text_browser_shows_its_first_line_and_the_rest_on_demand():
    browser = ctk.ctkFittedTextBrowser()
    browser.setCollapsibleText("First line\nsecond line")
    assert "second" not in browser.plainText and "Show details..." in browser.plainText
    browser.collapsed = False
    assert "second" in browser.plainText
    assert browser.collapsibleText() == "First line\nsecond line"


def test_a_slider_widget_keeps_its_range_and_announces_its_value():
    slider, values = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", values.append)
    slider.minimum, slider.maximum, slider.decimals = 0, 1, 3
    slider.value = 0.125
    slider.value = 7
    assert slider.value == 1.0 and values == [0.125, 1.0]
