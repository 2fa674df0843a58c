"""Item widgets, a slider and settings as a panel of training uses them, by PythonQt's manners.

What PythonQt generates for Qt's own classes: properties win over methods of the same name (QTableWidget's rowCount,
QListWidget's count and currentRow), an item given to a widget belongs to it, enumerations are ints.
"""

import gc

import pytest
import qt
import slicer

pytestmark = pytest.mark.standin

UI = """<ui version="4.0"><class>Form</class><widget class="qMRMLWidget" name="Form"><layout class="QVBoxLayout">
<item><widget class="QTableWidget" name="table"><column><property name="text"><string>One</string></property></column>
</widget></item>
<item><widget class="ctkSliderWidget" name="slider"><property name="maximum"><double>1.0</double></property>
<property name="singleStep"><double>0.05</double></property><property name="value"><double>0.5</double></property>
</widget></item>
</layout></widget><customwidgets>
<customwidget><class>qMRMLWidget</class><extends>QWidget</extends></customwidget>
<customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
</customwidgets></ui>"""


@pytest.fixture
def ui(tmp_path):
    (tmp_path / "form.ui").write_text(UI)
    form = slicer.util.loadUI(str(tmp_path / "form.ui"))
    names = slicer.util.childWidgetVariables(form)
    yield names
    form.delete()


class TestTable:
    def test_counts_are_properties_and_their_setters_methods(self, ui):
        ui.table.setRowCount(2)
        ui.table.columnCount = 3
        assert (ui.table.rowCount, ui.table.columnCount) == (2, 3)
        with pytest.raises(TypeError):
            ui.table.rowCount()
        assert ui.table.currentRow() == -1

    def test_columns_of_the_ui_file_are_there(self, ui):
        assert ui.table.columnCount == 1
        assert ui.table.horizontalHeaderItem(0).text() == "One"

    def test_an_item_lives_with_its_table(self, ui):
        ui.table.setRowCount(1)
        ui.table.setItem(0, 0, qt.QTableWidgetItem("kept"))
        gc.collect()
        assert ui.table.item(0, 0).text() == "kept"
        assert ui.table.item(0, 5) is None

    def test_check_states_are_numbers(self, ui):
        ui.table.setRowCount(1)
        item = qt.QTableWidgetItem("CHMFL")
        item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
        item.setCheckState(qt.Qt.Checked)
        item.setData(qt.Qt.UserRole, "key")
        ui.table.setItem(0, 0, item)
        assert ui.table.item(0, 0).checkState() == qt.Qt.Checked == 2
        assert ui.table.item(0, 0).data(qt.Qt.UserRole) == "key"
        assert ui.table.item(0, 0).data(qt.Qt.UserRole + 1) is None

    def test_item_signals_bring_wrapped_items(self, ui):
        ui.table.setRowCount(1)
        ui.table.setItem(0, 0, qt.QTableWidgetItem("before"))
        got = []
        assert ui.table.connect("itemChanged(QTableWidgetItem*)", lambda item: got.append(item.text()))
        assert ui.table.connect("cellClicked(int,int)", lambda row, column: got.append((row, column)))
        assert not ui.table.connect("cellClicked(int)", print), "no such signal: said by the answer, not raised"
        ui.table.item(0, 0).setText("after")
        ui.table.cellClicked(0, 0)
        assert got == ["after", (0, 0)]

    def test_no_attribute_of_ones_own(self, ui):
        item = qt.QTableWidgetItem("x")
        with pytest.raises(AttributeError):
            ui.table.rows = []
        with pytest.raises(AttributeError):
            item.key = "x"

    def test_what_is_no_number_is_no_row(self, ui):
        with pytest.raises(ValueError, match="Could not find matching overload"):
            ui.table.setRowCount("two")
        with pytest.raises(ValueError, match="Could not find matching overload"):
            ui.table.setItem(0, 0, "text")

    def test_headers_take_modes_and_lists(self, ui):
        ui.table.setColumnCount(2)
        ui.table.setHorizontalHeaderLabels(["a", "b"])
        header = ui.table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setStretchLastSection(True)
        ui.table.verticalHeader().visible = False
        assert ui.table.horizontalHeaderItem(1).text() == "b"


class TestList:
    def test_count_and_current_row_are_properties(self):
        widget = qt.QListWidget()
        widget.addItem("first")
        widget.addItem(qt.QListWidgetItem("second"))
        widget.currentRow = 1
        assert (widget.count, widget.currentRow) == (2, 1)
        assert widget.currentItem().text() == "second"
        assert [widget.item(index).text() for index in range(widget.count)] == ["first", "second"]
        widget.delete()


class TestSlider:
    def test_properties_of_the_ui_file(self, ui):
        assert (ui.slider.value, ui.slider.maximum, ui.slider.singleStep) == (0.5, 1.0, 0.05)

    def test_is_no_qslider(self, ui):
        for name in ("setRange", "setMinimum", "setSingleStep"):
            with pytest.raises(AttributeError):
                getattr(ui.slider, name)

    def test_tells_what_it_is_given_within_its_range(self, ui):
        values = []
        assert ui.slider.connect("valueChanged(double)", values.append)
        ui.slider.value = 0.25
        ui.slider.setValue(3)
        assert values == [0.25, 1.0]


class TestSettings:
    def test_lists_of_texts_come_back_as_tuples(self):
        qt.QSettings().setValue("CHMFL/Test", ["/one", "/two"])
        assert qt.QSettings().value("CHMFL/Test") == ("/one", "/two")
        assert slicer.app.userSettings().value("CHMFL/Test") == ("/one", "/two")
        assert qt.QSettings().value("CHMFL/Nothing") is None

    def test_a_list_of_one_is_a_text_at_the_next_start(self):
        """Qt writes it like a text to the .ini file; so code that reads a list has to take a text too."""
        settings = slicer.app.userSettings()
        settings.setValue("CHMFL/Test", ["/one"])
        settings.sync()
        line = next(line for line in open(settings.fileName(), encoding="utf-8") if line.startswith("Test="))
        assert line.strip() == "Test=/one"
