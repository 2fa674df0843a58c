"""The stand-in shows Qt to Python as PythonQt does (habits 1 to 7 and 12)."""

import functools
import gc
import sys
import weakref

import ctk
import pytest
import qt
import slicer_standin
from PySide6.QtCore import QObject, Qt, Signal, Slot
from slicer_standin import pythonqt

pytestmark = pytest.mark.standin


@pytest.fixture
def panel():
    """A widget with a layout, a named button and a named label."""
    widget = qt.QWidget()
    layout = qt.QVBoxLayout(widget)
    for made, name in ((qt.QPushButton("Go"), "goButton"), (qt.QLabel("text"), "statusLabel")):
        made.name = name
        layout.addWidget(made)
    return widget


def process_events():
    qt.QApplication.instance().processEvents()


# --- habit 1


@pytest.mark.parametrize("name", ["remark", "_remark", "logic"])
def test_habit_01_a_plain_qt_object_takes_no_new_attribute(name):
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        setattr(button, name, 1)
    with pytest.raises(AttributeError):
        getattr(button, name)


def test_habit_01_a_python_derived_class_takes_attributes_but_not_over_qt_properties():
    class Dialog(qt.QDialog):
        def __init__(self, parent=None):
            super().__init__(parent)
            self.answer = 42

    dialog = Dialog()
    assert dialog.answer == 42
    dialog.windowTitle = "Title"
    assert dialog.windowTitle == "Title"
    for name, why in (("x", "not writable"), ("width", "not writable"), ("pos", "does not accept an object")):
        with pytest.raises(AttributeError, match=why):
            setattr(dialog, name, 5)


@pytest.mark.parametrize(("name", "what"), [("click", "Slot"), ("clicked", "Signal"), ("setParent", "Slot")])
def test_habit_01_slots_and_signals_cannot_be_overwritten(name, what):
    with pytest.raises(AttributeError, match=f"{what} '{name}' can not be overwritten"):
        setattr(qt.QPushButton(), name, print)


def test_habit_01_attributes_of_a_derived_object_last_as_long_as_its_parent_has_it(panel):
    class Row(qt.QWidget):
        pass

    row = Row(panel)
    row.remark = "kept"
    row.name = "row"
    del row
    gc.collect()
    assert panel.row.remark == "kept"
    assert type(panel.row) is Row


# --- habit 2


def test_habit_02_a_wrapper_has_no_base_but_the_instance_wrapper(panel):
    button = panel.goButton
    assert type(button) is qt.QPushButton
    assert qt.QPushButton.__bases__ == (pythonqt.PythonQtInstanceWrapper,)
    assert not isinstance(button, qt.QWidget)
    assert not isinstance(button, qt.QObject)
    assert button.className() == "QPushButton"
    assert button.inherits("QWidget") and not button.inherits("QLabel")


def test_habit_02_the_same_object_has_the_same_wrapper(panel):
    button = panel.goButton
    assert panel.goButton is button
    assert button.parent() is panel
    assert panel.layout().itemAt(0).widget() is button
    assert button != panel.statusLabel
    assert {button: 1}[panel.goButton] == 1


def test_habit_12_a_derived_widget_has_another_type():
    class Spin(qt.QSpinBox):
        pass

    assert type(Spin()) is Spin and type(Spin()) is not qt.QSpinBox
    assert type(qt.QSpinBox()) is qt.QSpinBox
    assert Spin().className() == "Spin" and Spin().inherits("QSpinBox")


# --- habit 3


@pytest.mark.parametrize(
    ("widget", "name"),
    [
        ("ctkSliderWidget", "setMinimum"),
        ("ctkSliderWidget", "setRange"),
        ("ctkSliderWidget", "setSingleStep"),
        ("ctkCollapsibleButton", "setCollapsed"),
        ("ctkCollapsibleButton", "collapse"),
        ("ctkPathLineEdit", "setFilters"),
        ("ctkFittedTextBrowser", "setCollapsed"),
    ],
)
def test_habit_03_plain_methods_of_ctk_are_invisible(widget, name):
    made = getattr(ctk, widget)()
    assert not hasattr(made, name)
    with pytest.raises(AttributeError, match=f"{widget} has no attribute named '{name}'"):
        getattr(made, name)


def test_habit_03_properties_slots_signals_and_qts_own_methods_are_there():
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = -10, 10
    slider.setValue(2.5)
    slider.setEnabled(False)
    assert (slider.value, slider.enabled) == (2.5, False)
    with pytest.raises(AttributeError):
        slider._box  # noqa: B018


def test_habit_03_a_ctk_class_is_made_with_a_parent_only():
    with pytest.raises(ValueError, match="Could not find matching overload"):
        ctk.ctkCollapsibleButton("Inputs")
    with pytest.raises(AttributeError):
        ctk.ctkNothingOfThisName  # noqa: B018
    parent = qt.QWidget()
    assert ctk.ctkCollapsibleButton(parent).parent() is parent


# --- habit 4


@pytest.mark.parametrize("signal", ["clicked", "nothing()", "clicked(int)", "", "clickd(bool)"])
def test_habit_04_connecting_to_no_signal_returns_false(signal, capfd):
    assert qt.QPushButton().connect(signal, print) is False
    assert "does not exist on QPushButton" in capfd.readouterr().err


def test_habit_04_connect_returns_true_and_disconnect_takes_back():
    button, calls = qt.QPushButton(), []

    def called():
        calls.append(1)

    assert button.connect("clicked()", called) is True
    button.click()
    assert button.disconnect("clicked()", called) is True
    assert button.disconnect("clicked()", called) is False
    assert button.disconnect("nothing()", called) is False
    button.click()
    assert calls == [1]
    assert button.clicked.connect(called) and button.clicked.disconnect()
    button.click()
    assert calls == [1]


# --- habit 5


class Receiver:
    def __init__(self):
        self.calls = []

    def apply(self, force=True):
        self.calls.append(force)

    def everything(self, *args):
        self.calls.append(args)

    def nothing(self):
        self.calls.append("called")


def test_habit_05_arguments_are_cut_to_the_code_with_defaults_included():
    button, receiver = qt.QPushButton(), Receiver()
    for slot in (receiver.apply, receiver.nothing, receiver.everything):
        button.connect("clicked(bool)", slot)
    button.click()
    assert receiver.calls == [False, "called", (False,)]


def test_habit_05_partials_and_builtins_get_every_argument():
    button, calls = qt.QPushButton(), []

    def plain():
        calls.append("plain")

    button.connect("clicked(bool)", calls.append)
    button.connect("clicked(bool)", functools.partial(calls.append))
    button.connect("clicked()", functools.partial(calls.append, "nothing came"))
    button.connect("clicked(bool)", functools.partial(plain))
    button.click()
    assert calls == [False, False, "nothing came"]
    (error,) = pythonqt.slot_errors
    assert "takes 0 positional arguments but 1 was given" in str(error)
    slicer_standin.take_errors()


def test_habit_05_a_signal_attribute_takes_its_first_overload():
    button, receiver = qt.QPushButton(), Receiver()
    assert button.clicked.connect(receiver.apply) is True
    button.click()
    assert receiver.calls == [False]


def test_habit_05_a_connection_keeps_its_callable_alive():
    button, receiver = qt.QPushButton(), Receiver()
    calls, gone = receiver.calls, weakref.ref(receiver)
    button.connect("clicked()", receiver.nothing)
    del receiver
    gc.collect()
    button.click()
    assert calls == ["called"]
    button.delete()
    gc.collect()
    assert gone() is None


def test_habit_05_what_a_slot_raises_is_printed_and_kept(capsys):
    button, calls = qt.QPushButton(), []

    def wrong():
        raise KeyError("no such row")

    button.connect("clicked()", wrong)
    button.connect("clicked()", lambda: calls.append("next"))
    button.click()
    assert calls == ["next"]
    assert [type(error) for error in pythonqt.slot_errors] == [KeyError]
    assert "no such row" in capsys.readouterr().err
    slicer_standin.take_errors()


def test_a_single_shot_timer_keeps_its_function_and_gives_it_nothing():
    receiver = Receiver()
    calls = receiver.calls
    qt.QTimer.singleShot(0, receiver.everything)
    del receiver
    gc.collect()
    process_events()
    assert calls == [()]


# --- habit 6


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (None, "None"), (1.5, "1.5"), ("plain", "plain")])
def test_habit_06_every_value_becomes_a_text(value, text):
    label = qt.QLabel()
    label.text = value
    assert label.text == text
    label.setText(value)
    assert label.text == text


def test_habit_06_truth_numbers_and_what_is_refused():
    button, spin = qt.QPushButton(), qt.QSpinBox()
    button.enabled = []
    assert button.enabled is False
    button.setEnabled("no")
    assert button.enabled is True
    spin.value = 3.9
    assert spin.value == 3
    with pytest.raises(AttributeError, match="does not accept an object of type int"):
        spin.value = 2**40
    for refused in ("4", None, [1]):
        with pytest.raises(AttributeError, match="does not accept an object of type"):
            spin.value = refused
        with pytest.raises(ValueError, match="Could not find matching overload"):
            spin.setValue(refused)
    assert spin.value == 3


def test_habit_06_a_text_given_as_a_list_becomes_its_characters():
    box, edit = qt.QComboBox(), ctk.ctkPathLineEdit()
    box.addItems("PET")
    assert [box.itemText(i) for i in range(box.count)] == ["P", "E", "T"]
    edit.nameFilters = "ab"
    assert edit.nameFilters == ("a", "b")
    edit.nameFilters = ["Images (*.png)", 3]
    assert edit.nameFilters == ("Images (*.png)", "3")


def test_habit_06_lists_come_back_as_tuples(panel):
    assert isinstance(panel.children(), tuple) and panel.goButton in panel.children()
    assert panel.findChildren("QPushButton") == (panel.goButton,)
    assert isinstance(qt.QStandardPaths.standardLocations(qt.QStandardPaths.HomeLocation), tuple)


def test_habit_06_slots_take_no_keywords(panel):
    with pytest.raises(ValueError, match="keyword arguments"):
        panel.statusLabel.setText(text="x")
    with pytest.raises(ValueError, match="keyword arguments"):
        qt.QLabel(text="x")
    with pytest.raises(ValueError, match="keyword arguments"):
        qt.QFileDialog.getOpenFileName(None, caption="x")


def test_habit_06_pointers_to_other_classes_are_refused():
    layout = qt.QVBoxLayout()
    for wrong in (qt.QTimer(), "widget", 3):
        with pytest.raises(ValueError, match="Could not find matching overload"):
            layout.addWidget(wrong)
    with pytest.raises(ValueError, match="Could not find matching overload"):
        qt.QPushButton().setIcon(qt.QPixmap(2, 2))


def test_habit_06_a_vtk_argument_is_checked_by_its_class():
    import vtk

    class Taker(QObject):
        SIGNATURES = {"take(vtkMatrix4x4*)": "_take", "taken(vtkMatrix4x4*)": "_taken", "take(QString)": "_takeText"}
        _taken = Signal(object)

        @Slot(object)
        def _take(self, matrix):
            self._taken.emit(matrix)

        @Slot(str)
        def _takeText(self, text):
            return text.upper()

    taker, got = pythonqt.expose(Taker, generated=False)(), []
    assert taker.connect("taken(vtkMatrix4x4*)", got.append)
    assert not taker.connect("taken(PyObject)", got.append)
    matrix = vtk.vtkMatrix4x4()
    taker.take(matrix)
    taker.take(None)
    assert got == [matrix, None]
    assert taker.take("text") == "TEXT"
    for wrong in ((), (matrix, matrix)):
        with pytest.raises(ValueError, match="take"):
            taker.take(*wrong)
    assert not hasattr(taker, "_take")


# --- habit 7


def test_habit_07_unknown_names_are_dynamic_properties_then_children_then_errors(panel):
    panel.setProperty("remark", "dynamic")
    assert panel.remark == "dynamic"
    panel.remark = "written"
    assert panel.property("remark") == "written"
    assert panel.statusLabel.text == "text"
    with pytest.raises(AttributeError, match="QWidget has no attribute named 'nothing'"):
        panel.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="creating new attributes"):
        panel.statusLabel2 = 1
    assert panel.property("unknown") is None


def test_habit_07_name_is_the_object_name():
    label = qt.QLabel()
    label.name = "someLabel"
    assert label.objectName == label.name == "someLabel"


def test_habit_07_exec_has_a_trailing_underscore():
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(0, lambda: loop.exit(7))
    assert loop.exec_() == 7
    with pytest.raises(AttributeError):
        loop.exec__  # noqa: B018


def test_habit_07_file_dialogs_return_the_path_alone(monkeypatch):
    from PySide6.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getOpenFileName", staticmethod(lambda *args: ("/data/pet.nrrd", "All (*)")))
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", staticmethod(lambda *args: (["/a", "/b"], "All (*)")))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(lambda *args: "/data"))
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "All (*)") == "/data/pet.nrrd"
    assert qt.QFileDialog.getOpenFileNames(None, "Open") == ("/a", "/b")
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == "/data"


# --- objects, classes, enumerations


def test_a_destroyed_object_is_false_equals_none_and_raises(panel):
    button = panel.goButton
    panel.delete()
    assert not button and button == None  # noqa: E711
    for broken in (lambda: button.text, button.click):
        with pytest.raises(ValueError, match="destroyed QPushButton"):
            broken()
    with pytest.raises(AttributeError, match="on a destroyed QPushButton"):
        button.text = "x"
    assert button.className() == "QPushButton"


def test_an_object_without_parent_goes_with_its_last_reference():
    calls = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: calls.append(1))
    timer.start(0)
    del timer
    gc.collect()
    process_events()
    assert calls == []


def test_enumerations_are_bare_numbers():
    assert qt.QSizePolicy.Preferred == 5
    assert int(qt.Qt.ShiftModifier) == 0x02000000
    assert (True == qt.QMessageBox.Ok) is False  # noqa: E712
    assert qt.QMessageBox.Ok | qt.QMessageBox.Cancel == 0x00400400
    assert qt.QSizePolicy.Policy(7) == qt.QSizePolicy.Expanding
    with pytest.raises(AttributeError):
        qt.QSizePolicy.Policy.Preferred  # noqa: B018
    label = qt.QLabel()
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignTop)
    assert label.alignment == int((Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop).value)
    label.textFormat = "RichText"
    assert label.textFormat == qt.Qt.RichText == 1


def test_properties_come_before_methods_of_their_name(panel):
    assert isinstance(panel.size, pythonqt.PythonQtInstanceWrapper) and panel.size.width() == panel.width
    with pytest.raises(TypeError):
        panel.width()
    timer = qt.QTimer()
    timer.setSingleShot(True)  # the property QTimer.singleShot is left out
    assert timer.isSingleShot() and callable(timer.singleShot)


def test_values_pass_both_ways():
    icon = qt.QIcon(qt.QPixmap(16, 16))
    button = qt.QPushButton(icon, "with icon")
    assert not button.icon.isNull()
    button.iconSize = qt.QSize(9, 8)
    assert button.iconSize == qt.QSize(9, 8) and button.iconSize.height() == 8
    assert qt.QColor(qt.Qt.red).name() == "#ff0000"
    assert qt.QByteArray(b"abc").data() == b"abc" and len(qt.QByteArray(b"abc")) == 3
    box = qt.QComboBox()
    box.addItem("model", {"folder": "a", "list": [1, 2]})
    assert box.itemData(0) == {"folder": "a", "list": (1, 2)}
    table = qt.QTableWidget(1, 1)
    table.setItem(0, 0, qt.QTableWidgetItem("cell"))
    assert table.item(0, 0).text() == "cell"
    with pytest.raises(ValueError, match="Could not find matching overload"):
        qt.QDesktopServices.openUrl("https://example.org")


def test_a_process_reports_its_end():
    process, calls = qt.QProcess(), []
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: calls.append((code, status)))
    assert process.connect("finished(int, QProcess::ExitStatus)", lambda code: calls.append(code + 1))
    assert not process.connect("finished(int,ExitStatus)", print)
    process.start(sys.executable, ["-c", "import sys; print('said'); sys.exit(3)"])
    assert process.waitForFinished(20000)
    process_events()
    assert calls == [(3, qt.QProcess.NormalExit), 4]
    assert process.readAllStandardOutput().data().strip() == b"said"


def test_virtual_methods_of_a_derived_class_are_called():
    events = []

    class Dialog(qt.QDialog):
        def closeEvent(self, event):
            events.append(event.className())
            qt.QDialog.closeEvent(self, event)

    dialog = Dialog()
    dialog.show()
    dialog.close()
    assert events == ["QCloseEvent"] and not dialog.visible


def test_find_child_by_class_or_name(panel):
    assert panel.findChild(qt.QLabel) is panel.statusLabel
    assert panel.findChild("QAbstractButton", "goButton") is panel.goButton
    assert panel.findChild(qt.QLabel, "goButton") is None


def test_only_what_qt_has_is_in_the_module():
    for name in ("Signal", "Slot", "Property", "QtWidgets", "QNothing", "QRegExp"):
        with pytest.raises(AttributeError, match="module 'qt' has no attribute"):
            getattr(qt, name)
    with pytest.raises(AttributeError):
        qt.QPushButton.text  # noqa: B018  a property belongs to objects
    with pytest.raises(ValueError, match="instance as first argument"):
        qt.QPushButton.click()
