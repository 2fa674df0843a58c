"""``slicer.ScriptedLoadableModule``: the four base classes of a module in Python, and how modules come and go."""

import importlib
import logging
import types
import unittest
from pathlib import Path

TEMPLATE_HELP = "\nThis module was created from a template and the help section has not yet been updated.\n"
CLASSES = (
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleWidget",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
)


class ScriptedLoadableModule:
    """Base/Python/slicer/ScriptedLoadableModule.py"""

    def __init__(self, parent):
        import qt
        import slicer

        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = ["Andras Lasso (PerkLab, Queen's University), Steve Pieper (Isomics)"]
        parent.helpText = TEMPLATE_HELP
        parent.acknowledgementText = "\nThis work is supported by NA-MIC, NAC, BIRN, NCIGT, and the Slicer Community.\n"
        for suffix in (".svg", ".png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}{suffix}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage=None):
        import slicer

        if docPage:
            url = slicer.app.documentationBaseUrl + docPage
        else:
            url = slicer.app.moduleDocumentationUrl(self.moduleName)
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec=100, **kwargs):
        module = importlib.import_module(self.__module__)
        name = self.moduleName + "Test"
        test_class = getattr(module, name, None)
        if test_class is None:
            raise AssertionError(f"Test case class not found: {self.__module__}.{name}")
        test = test_class()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """Base/Python/slicer/ScriptedLoadableModule.py; the developer section has the reload and the test buttons only."""

    def __init__(self, parent=None):
        import qt
        import slicer

        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        if not parent:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = parent
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename):
        import slicer

        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def cleanup(self):
        """Called when the module is about to be unloaded or reloaded; for derived classes."""

    def _onModuleAboutToBeUnloaded(self, moduleName):
        import slicer

        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setupDeveloperSection(self):
        import ctk
        import qt

        if not self.developerMode:
            return
        self.reloadCollapsibleButton = ctk.ctkCollapsibleButton()
        self.reloadCollapsibleButton.text = "Reload && Test"
        self.layout.addWidget(self.reloadCollapsibleButton)
        form = qt.QFormLayout(self.reloadCollapsibleButton)
        self.reloadButton = qt.QPushButton("Reload")
        self.reloadButton.connect("clicked()", self.onReload)
        self.reloadAndTestButton = qt.QPushButton("Reload and Test")
        self.reloadAndTestButton.connect("clicked()", self.onReloadAndTest)
        form.addRow(self.reloadButton)
        form.addRow(self.reloadAndTestButton)

    def setup(self):
        self.setupDeveloperSection()

    def onReload(self):
        import slicer

        print(f"\n\n\n{'-' * 30}\nReloading module: {self.moduleName}\n{'-' * 30}\n\n\n")
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs):
        import slicer

        with slicer.util.tryWithErrorDisplay("Test failed."):
            self._runSelfTest(**kwargs)

    def onReloadAndTest(self, **kwargs):
        import slicer

        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            self._runSelfTest(**kwargs)

    def _runSelfTest(self, **kwargs):
        import slicer

        delay = int(slicer.app.userSettings().value("Developer/SelfTestDisplayMessageDelay"))
        slicer.selfTests[self.moduleName](msec=delay, **kwargs)


class ScriptedLoadableModuleLogic:
    """Base/Python/slicer/ScriptedLoadableModule.py"""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        import slicer

        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node:
                if node.GetAttribute("ModuleName") != self.moduleName:  # closing a scene takes it away
                    node.SetAttribute("ModuleName", self.moduleName)
                return node
        elif nodes := self.getAllParameterNodes():
            return nodes[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self):
        import slicer

        count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")
        nodes = [slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLScriptedModuleNode") for index in range(count)]
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        import slicer

        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base/Python/slicer/ScriptedLoadableModule.py; takeScreenshot only shows its message, there is no view."""

    def __init__(self, *args, **kwargs):
        self.moduleTestNames = []
        super().__init__(*args, **kwargs)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0
        if not self.moduleTestNames:
            self.moduleTestNames = [name for name in dir(self) if "test" in name and callable(getattr(self, name))]

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        import slicer

        if hasattr(self, "messageDelay"):
            msec = self.messageDelay
        msec = next((delay for delay in (msec, requestedDelay) if delay is not None), 100)
        slicer.util.delayDisplay(message, msec)

    def takeScreenshot(self, name, description, type=-1):
        self.delayDisplay(description)
        if self.enableScreenshots:
            raise RuntimeError("The stand-in has no views: enableScreenshots cannot be True here.")

    def runTest(self):
        if not self.moduleTestNames:
            logging.warning("No test is defined in %s", type(self).__name__)
            return
        self.setUpClass()
        for name in self.moduleTestNames:
            self.setUp()
            logging.info("Running %s", name)
            getattr(self, name)()
            self.tearDown()
        self.tearDownClass()


def build() -> types.ModuleType:
    """Make the module ``slicer.ScriptedLoadableModule``; a star import gives the four classes, as in Slicer."""
    module = types.ModuleType("slicer.ScriptedLoadableModule", ScriptedLoadableModule.__doc__)
    module.__all__ = list(CLASSES)
    for name in CLASSES:
        setattr(module, name, globals()[name])
    return module
