"""The stand-in's application, modules, dialogs and files do what Slicer's sources say."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import slicer_standin

pytestmark = pytest.mark.standin

MODULE = """
import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *

events = []


class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("A small module")
        self.parent.categories = ["Testing"]
        self.parent.dependencies = ["Volumes", "SubjectHierarchy"]
        self.parent.contributors = ["Some One (Some Where)"]
        self.parent.acknowledgementText = "nobody"
        slicer.app.connect("startupCompleted()", self.started)

    def started(self):
        events.append("started")


class {name}Widget(ScriptedLoadableModuleWidget):
    def __init__(self, parent=None):
        super().__init__(parent)
        events.append("made")

    def setup(self):
        super().setup()
        self.scenes = []
        self.parent.connect("mrmlSceneChanged(vtkMRMLScene*)", self.scenes.append)
        self.button = qt.QPushButton("version 1")
        self.layout.addWidget(self.button)
        self.logic = {name}Logic()
        events.append("set up")

    def enter(self):
        events.append(("enter", self.parent.isEntered))

    def exit(self):
        events.append(("exit", self.parent.isEntered))

    def cleanup(self):
        events.append(("cleanup", hasattr(slicer.modules, "{lower}")))


class {name}Logic(ScriptedLoadableModuleLogic):
    pass


class {name}Test(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_something(self):
        self.delayDisplay("something")
        events.append("tested")
"""


def small_module(name: str) -> str:
    return MODULE.format(name=name, lower=name.lower())


@pytest.fixture
def small(write_module):
    """A complete little module, loaded; its module object."""
    return write_module("Small", small_module("Small"))


def events_of(module) -> list:
    return sys.modules[module.name].events


class TestApplication:
    def test_it_says_what_slicer_says_without_a_main_window(self):
        import slicer

        assert type(slicer.app).__name__ == "qSlicerApplication"
        assert slicer.app.testingEnabled() is True
        assert slicer.app.commandOptions().noMainWindow is True
        assert slicer.app.layoutManager() is None
        assert slicer.util.mainWindow() is None
        assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 12)
        assert slicer.app.applicationName == "Slicer"
        assert slicer.app.os in ("linux", "macosx", "win")
        assert slicer.app.mrmlScene() is slicer.mrmlScene
        assert slicer.app.applicationLogic().GetMRMLScene() is slicer.mrmlScene
        assert slicer.app.documentationBaseUrl.endswith("/5.12")

    def test_names_that_slicer_lacks_raise(self):
        import slicer

        for name in ("mainWindow_", "scene", "slicerVersion", "isTesting", "_testing"):
            with pytest.raises(AttributeError):
                getattr(slicer.app, name)
        with pytest.raises(AttributeError):
            slicer.app.majorVersion = 6  # read only

    def test_settings_lie_in_a_temporary_folder_and_are_one_file(self):
        import qt
        import slicer

        slicer.app.userSettings().setValue("CHMFL/answer", "42")
        assert qt.QSettings().value("CHMFL/answer") == "42"
        assert qt.QSettings().fileName() == slicer.app.slicerUserSettingsFilePath
        assert slicer.util.settingsValue("CHMFL/answer", 0, converter=int) == 42
        assert slicer.util.settingsValue("CHMFL/none", 7) == 7
        assert not Path(slicer.app.slicerUserSettingsFilePath).is_relative_to(Path.home() / ".config")

    def test_settings_of_another_test_are_gone(self):
        import qt

        assert qt.QSettings().value("CHMFL/answer") is None

    def test_temporary_folders_are_made_under_the_temporary_path(self):
        import slicer

        folder = Path(slicer.util.tempDirectory("some"))
        assert folder.is_dir()
        assert folder.parent == Path(slicer.app.temporaryPath)
        assert Path(slicer.app.cachePath).is_dir()

    def test_timers_call_back_when_events_are_processed(self):
        import qt
        import slicer

        called = []
        qt.QTimer.singleShot(0, lambda: called.append(1))
        slicer.app.processEvents()
        assert called == [1]

    def test_wait_cursor_is_taken_back(self):
        import qt
        import slicer

        with slicer.util.WaitCursor():
            assert qt.QApplication.overrideCursor() is not None
        assert not qt.QApplication.overrideCursor()

    def test_restart_is_only_written_down(self):
        import slicer

        slicer.util.restart()
        assert slicer_standin.app_requests == [("restart",)]

    def test_extensions_come_from_the_server_that_the_test_fills(self):
        import slicer

        manager = slicer.app.extensionsManagerModel()
        assert not manager.isExtensionInstalled("PyTorch")
        manager.interactive = False
        assert not manager.installExtensionFromServer("PyTorch", False)
        slicer_standin.extensions.on_server.add("PyTorch")
        assert manager.installExtensionFromServer("PyTorch", False)
        assert manager.isExtensionInstalled("PyTorch")
        assert manager.installedExtensions == ("PyTorch",)
        assert slicer_standin.extensions.requests == [("PyTorch", False), ("PyTorch", False)]

    def test_python_slicer_runs_python(self, capsys):
        import slicer

        slicer.util.executePythonModule("sysconfig", [])
        assert f'base = "{sys.base_prefix}"' in capsys.readouterr().out or sys.platform == "win32"
        with pytest.raises(FileNotFoundError):  # the startup environment does not have the launcher's PATH
            slicer.util.launchConsoleProcess(["PythonSlicer", "--version"])

    def test_pytorch_is_there_only_if_the_test_says_so(self):
        from slicer_standin.pytorch_utils import TorchState

        with pytest.raises(ModuleNotFoundError):
            import PyTorchUtils
        slicer_standin.set_pytorch(TorchState(installed=False))
        import PyTorchUtils

        assert not PyTorchUtils.PyTorchUtilsLogic().torchInstalled()


def test_habit_08_testing_mode_confirms_with_false_and_reraises():
    import slicer

    assert slicer.util.confirmOkCancelDisplay("Shall I?") is False
    assert slicer.util.confirmYesNoDisplay("Shall I?") is False
    assert slicer.util.errorDisplay("Oh!") is None
    assert slicer_standin.dialogs.shown == []
    with pytest.raises(ValueError, match="wrong"), slicer.util.tryWithErrorDisplay("It failed.", waitCursor=True):
        raise ValueError("wrong")
    assert slicer_standin.dialogs.shown == []


class TestDialogs:
    def test_confirmations_ask_outside_testing_mode(self, dialogs):
        import slicer

        dialogs.expect("Ok", "Cancel", "Yes", "No", None)
        assert slicer.util.confirmOkCancelDisplay("Shall I?") is True
        assert slicer.util.confirmOkCancelDisplay("Shall I?") is False
        assert slicer.util.confirmYesNoDisplay("Shall I?", windowTitle="Well") is True
        assert slicer.util.confirmYesNoDisplay("Shall I?") is False
        assert slicer.util.confirmOkCancelDisplay("Shall I?") is False
        assert [shown.text for shown in dialogs.shown] == ["Shall I?"] * 5
        assert dialogs.shown[2].title == "Well"
        assert dialogs.shown[0].buttons == ("OK", "Cancel")

    def test_errors_are_only_logged_without_a_main_window(self, dialogs, caplog):
        import slicer

        with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="details"):
            with slicer.util.tryWithErrorDisplay("It failed."):
                raise RuntimeError("details")
        assert "It failed.\n\ndetails" in caplog.text
        assert dialogs.shown == []

    def test_message_boxes_open(self, dialogs):
        import qt
        import slicer

        dialogs.expect("Ok")
        assert slicer.util.messageBox("Look", windowTitle="Here", detailedText="more") == qt.QMessageBox.Ok
        assert dialogs.shown[0].text == "Look"
        assert dialogs.shown[0].details == "more"

    def test_a_dialog_without_an_answer_is_closed_and_noted(self, dialogs):
        import slicer

        assert slicer.util.confirmYesNoDisplay("Nobody knows") is False
        assert [shown.text for shown in dialogs.unanswered] == ["Nobody knows"]
        dialogs.unanswered.clear()

    def test_an_answer_that_the_box_does_not_have_is_an_error(self, dialogs):
        import slicer

        dialogs.expect("Perhaps")
        assert slicer.util.confirmYesNoDisplay("Yes or no?") is False
        assert "has no button 'Perhaps'" in slicer_standin.take_errors()[0]

    def test_file_dialogs_return_what_the_answer_says(self, dialogs, tmp_path):
        import qt

        file = tmp_path / "a file.txt"
        file.write_text("x")
        dialogs.expect(tmp_path, str(file), None, tmp_path / "new.html", tmp_path / "not there.txt")
        assert qt.QFileDialog.getExistingDirectory(None, "Folder", str(tmp_path.parent)) == str(tmp_path)
        assert qt.QFileDialog.getOpenFileName(None, "File", str(tmp_path)) == str(file)
        assert qt.QFileDialog.getOpenFileName(None, "File", str(tmp_path)) == ""
        assert qt.QFileDialog.getSaveFileName(None, "Save", str(tmp_path)) == str(tmp_path / "new.html")
        dialogs.expect("Ok")  # Qt says that the file does not exist
        assert qt.QFileDialog.getOpenFileName(None, "File", str(tmp_path)) == ""

    def test_message_dialog_shows_while_something_runs(self, dialogs):
        import slicer

        with slicer.util.MessageDialog("Wait...") as _:
            pass
        assert dialogs.unanswered == []

    def test_progress_is_not_answered(self, dialogs):
        import slicer

        progress = slicer.util.createProgressDialog(labelText="Working", maximum=3)
        progress.value = 2
        slicer.app.processEvents()
        assert progress.wasCanceled is False
        progress.close()
        assert dialogs.unanswered == []


class TestModules:
    def test_a_module_is_described_and_found(self, small):
        import slicer

        assert slicer.modules.small is small
        assert slicer.moduleNames.Small == "Small"
        assert slicer.util.getModule("Small") is small
        assert (small.name, small.title, small.categories) == ("Small", "A small module", ("Testing",))
        assert small.dependencies == ("Volumes", "SubjectHierarchy")
        assert slicer.util.modulePath("Small").endswith("Small.py")
        assert "Small" in slicer.util.moduleNames()
        assert slicer.modules.SmallInstance.parent is small
        assert str(Path(small.path).parent) in sys.path
        assert events_of(small) == ["started"]

    def test_the_panel_is_made_when_it_is_asked_for(self, small):
        import slicer

        assert not hasattr(slicer.modules, "SmallWidget")
        widget = small.widgetRepresentation()
        assert widget is small.widgetRepresentation()
        assert widget.className() == "qSlicerScriptedLoadableModuleWidget"
        assert widget.objectName == "SmallModuleWidget"
        assert slicer.util.getModuleWidget("Small") is widget.self() is slicer.modules.SmallWidget
        assert slicer.util.getModuleLogic("Small") is widget.self().logic
        assert widget.self().resourcePath("UI/Small.ui").endswith("Resources/UI/Small.ui")
        assert events_of(small) == ["started", "made", "set up"]

    def test_enter_and_exit(self, small):
        widget = small.widgetRepresentation()
        assert widget.isEntered is False
        widget.enter()
        assert widget.isEntered is True
        widget.exit()
        assert events_of(small)[-2:] == [("enter", True), ("exit", False)]
        with pytest.raises(AttributeError):
            widget.isEntered = True

    def test_reload_takes_the_new_source_and_leaves_one_panel(self, small):
        import slicer

        widget = small.widgetRepresentation()
        first = widget.self()
        before = events_of(small)
        path = Path(small.path)
        path.write_text(path.read_text().replace("version 1", "version 2"))
        slicer.util.reloadScriptedModule("Small")
        assert before[-1] == ("cleanup", True)
        assert widget.self() is not first
        assert widget.self() is slicer.modules.SmallWidget
        assert widget.self().button.text == "version 2"
        assert not first.button.visible
        widget.enter()
        assert events_of(small) == ["made", "set up", ("enter", True)]
        widget.exit()

    def test_unloading_cleans_up_after_the_module_has_left_slicer_modules(self, small):
        import slicer

        widget = small.widgetRepresentation()
        events = events_of(small)
        slicer_standin.remove_module("Small")
        assert events[-1] == ("cleanup", False)
        assert not hasattr(slicer.modules, "small")
        assert not hasattr(slicer.modules, "SmallWidget")
        assert "Small" not in slicer.selfTests
        assert not widget  # destroyed

    def test_a_reloaded_panel_is_cleaned_up_once(self, small):
        import slicer

        small.widgetRepresentation()
        slicer.util.reloadScriptedModule("Small")
        events = events_of(small)
        slicer_standin.remove_module("Small")
        assert events.count(("cleanup", False)) == 1

    def test_self_tests_run_in_both_ways(self, small):
        import slicer

        slicer.selfTests["Small"](msec=1)
        slicer.testing.runUnitTest([str(Path(small.path).parent)], "Small")
        assert events_of(small).count("tested") == 2

    def test_a_failing_self_test_fails_the_run(self, write_module):
        import slicer

        source = small_module("Failing").replace('events.append("tested")', "self.fail('on purpose')")
        module = write_module("Failing", source)
        with pytest.raises(Exception, match=r"^$"):
            slicer.testing.runUnitTest([str(Path(module.path).parent)], "Failing")

    def test_parameter_node_is_a_singleton_that_survives_closing_the_scene(self, small):
        import slicer

        logic = slicer.util.getModuleLogic(small)
        node = logic.getParameterNode()
        assert node is logic.getParameterNode()
        assert node.GetSingletonTag() == "Small"
        assert node.GetAttribute("ModuleName") == "Small"
        slicer.mrmlScene.Clear(False)
        assert logic.getParameterNode().GetAttribute("ModuleName") == "Small"
        assert len(logic.getAllParameterNodes()) == 1

    def test_generic_tests_pass_for_a_complete_module(self, small):
        assert slicer_standin.generic_module_test("Small") == []

    def test_generic_tests_complain(self, write_module):
        source = small_module("Poor").replace('["Some One (Some Where)"]', "[]").replace('"nobody"', '""')
        source = source.replace('"version 1"', '"version 1" + 200 * " wide"')
        complaints = slicer_standin.generic_module_test(write_module("Poor", source).name)
        assert [text.split(" ")[0] for text in complaints] == ["contributors", "acknowledgementText", "the"]
        assert "wider than" in complaints[-1]

    def test_a_module_of_slicer_has_its_real_logic(self):
        import slicer

        for name in ("volumes", "segmentations", "markups", "colors", "subjecthierarchy", "terminologies"):
            assert getattr(slicer.modules, name).logic().GetMRMLScene() is slicer.mrmlScene
        assert slicer.util.getModuleLogic("Volumes").IsA("vtkSlicerVolumesLogic")
        with pytest.raises(AttributeError):
            slicer.modules.nosuchmodule  # noqa: B018
        with pytest.raises(RuntimeError):
            slicer.util.getModule("NoSuchModule")


def test_habit_09_setup_runs_before_the_scene_comes(small):
    import slicer

    widget = small.widgetRepresentation()
    assert widget.self().scenes == [slicer.mrmlScene]  # the signal that setup() connected to came after it


@pytest.mark.parametrize("method", ["__init__", "setup", "enter"])
def test_habit_09_exceptions_are_printed_and_slicer_goes_on(write_module, capsys, method):
    source = small_module("Broken")
    source += f"\n\ndef broken(self, *args):\n    raise OSError('in {method}')\n\nBrokenWidget.{method} = broken\n"
    module = write_module("Broken", source)
    widget = module.widgetRepresentation()
    if method == "__init__":
        assert widget is None
    else:
        widget.enter()
        assert widget.isEntered is True
    assert f"OSError: in {method}" in capsys.readouterr().err
    (error,) = slicer_standin.take_errors()
    assert f"OSError: in {method}" in error


def test_habit_09_a_module_that_cannot_be_made_is_left_out(write_module):
    import slicer

    source = small_module("Bad").replace('self.parent.title = _("A small module")', "raise OSError('no')")
    assert write_module("Bad", source) is None
    assert not hasattr(slicer.modules, "bad")
    assert "OSError: no" in slicer_standin.take_errors()[0]


def test_a_module_without_its_dependency_or_title_is_left_out(write_module):
    for name, old, new in (("Alone", '"Volumes"', '"NoSuchModule"'), ("Nameless", '_("A small module")', '""')):
        assert write_module(name, small_module(name).replace(old, new)) is None
        assert f"When loading module {name}" in slicer_standin.take_errors()[0]


def test_exceptions_of_slots_and_observers_do_not_stay_unseen():
    import qt
    import slicer

    def fail(*_arguments):
        raise OSError("in a callback")

    button = qt.QPushButton()
    button.connect("clicked()", fail)
    button.click()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", fail)
    node.Modified()
    errors = slicer_standin.take_errors()
    assert len(errors) == 2
    assert all("OSError: in a callback" in error for error in errors)


def test_many_signals_do_not_end_the_process():
    """PySide 6.12 takes a reference of True too many at every emit(): requirements.txt keeps it away."""
    import slicer

    heard, before = [], sys.getrefcount(True)
    slicer.app.connect("renderPaused(bool)", heard.append)
    for _ in range(5000):
        slicer.app.pauseRender()
    slicer.app.disconnect("renderPaused(bool)")
    assert heard == [True] * 5000
    assert sys.getrefcount(True) >= before


def test_habit_13_names_of_slicer_util_are_not_in_slicer():
    import slicer

    for name in ("loadVolume", "getNode", "arrayFromVolume", "tryWithErrorDisplay", "VTKObservationMixin"):
        assert hasattr(slicer.util, name)
        assert not hasattr(slicer, name)
    assert slicer.vtkMRMLScene
    assert slicer.vtkSegmentation


@pytest.mark.slow
def test_start_is_quiet_and_the_process_ends_well(tmp_path):
    """A whole life in a process of its own: started, a module loaded and shown, ended without a crash."""
    (tmp_path / "Small.py").write_text(small_module("Small"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import slicer_standin; slicer_standin.start(testing=False)\n"
        "import slicer, qt, ctk, vtk, slicer.util, sitkUtils, SampleData\n"
        "module = slicer_standin.add_module(sys.argv[2]); module.widgetRepresentation().show()\n"
        "assert not slicer.app.testingEnabled()\n"
        "print(slicer_standin.module_errors)\n"
    )
    testing = str(Path(__file__).resolve().parents[1])
    run = subprocess.run(
        [sys.executable, "-c", script, testing, str(tmp_path / "Small.py")], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
    assert "Traceback" not in run.stderr
