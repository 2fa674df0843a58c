"""Widgets that a parameter can be bound to: one connector a kind of widget and type.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/guiConnectors.py: a connector takes a widget only if
``type(widget)`` is exactly the class (a subclass gets none), fills a combo box with the texts of its choices (a
``Choice`` with ``str(choice)``, an enumeration with its ``label()`` or else its members' names), gives a spin box the
annotated range, and a node selector the annotated node class. Not covered: color pickers, range widgets and packs.
"""

import abc
import enum
import inspect
import logging
import sys

from . import annotations
from .annotations import Decimals, SingleStep, findFirstAnnotation, splitAnnotations, unannotatedType
from .serializers import PATHS

_registered = []
_INT_LIMITS = (-(2**31), 2**31 - 1)


def _is_exactly(widget, *names: str) -> bool:
    """Whether ``type(widget)`` is one of some "module.Class"; classes that the stand-in lacks match nothing."""
    for name in names:
        module, _, class_name = name.partition(".")
        if type(widget) is getattr(sys.modules.get(module), class_name, NotImplemented):
            return True
    return False


class GuiConnector(abc.ABC):
    """Base class of the connectors: reads and writes a widget's value as a type, and tells when the user changed it."""

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget, datatype) -> bool: ...

    @staticmethod
    @abc.abstractmethod
    def create(widget, datatype): ...

    def __init__(self):
        super().__init__()
        self._callback = None

    def onChanged(self, callback):
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self):
        if self._callback:
            self._callback()

    @abc.abstractmethod
    def _connect(self): ...

    @abc.abstractmethod
    def _disconnect(self): ...

    @abc.abstractmethod
    def widget(self): ...

    @abc.abstractmethod
    def read(self): ...

    @abc.abstractmethod
    def write(self, value) -> None: ...


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: the connector is asked, in the order of registration, whether it can represent a pair."""

    def register(cls):
        if not issubclass(cls, GuiConnector):
            raise TypeError("Must be a GuiConnector subclass")
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createGuiConnector(widget, datatype) -> GuiConnector:
    """Make the connector of a widget and a (possibly annotated) type.

    :raises RuntimeError: there is none, as for every widget of a derived class.
    """
    datatype = annotations.as_typing_union(datatype)
    for connector in _registered:
        if connector.canRepresent(widget, datatype):
            return connector.create(widget, datatype)
    files = ", ".join({inspect.getfile(connector) for connector in _registered})
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'."
        f" The pairs that can be connected: 'canRepresent' of the connectors in {files}"
    )


class _SignalConnector(GuiConnector):
    """A connector of one signal and one value property; ``classes`` and ``types`` say what it represents."""

    classes: tuple = ()
    types: tuple = ()
    signal = ""
    property = ""

    @classmethod
    def canRepresent(cls, widget, datatype) -> bool:
        return _is_exactly(widget, *cls.classes) and unannotatedType(datatype) in cls.types

    @classmethod
    def create(cls, widget, datatype):
        return cls(widget, datatype)

    def __init__(self, widget, datatype):
        super().__init__()
        self._widget = widget
        self._datatype = datatype

    def _annotation(self, kind):
        return findFirstAnnotation(splitAnnotations(self._datatype)[1], kind)

    def _connect(self):
        getattr(self._widget, self.signal).connect(self.changed)

    def _disconnect(self):
        getattr(self._widget, self.signal).disconnect(self.changed)

    def widget(self):
        return self._widget

    def read(self):
        return getattr(self._widget, self.property)

    def write(self, value) -> None:
        setattr(self._widget, self.property, value)

    def _limits(self):
        """Return (minimum, maximum) as annotated, None where there is none."""
        within = self._annotation(annotations.WithinRange)
        if within is not None:
            return within.minimum, within.maximum
        minimum, maximum = self._annotation(annotations.Minimum), self._annotation(annotations.Maximum)
        return (None if minimum is None else minimum.minimum), (None if maximum is None else maximum.maximum)


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(_SignalConnector):
    classes, types, signal, property = ("qt.QCheckBox", "ctk.ctkCheckBox"), (bool,), "stateChanged", "checked"


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(_SignalConnector):
    """Makes the button checkable if it is not, with a warning."""

    classes, types, signal, property = ("qt.QPushButton",), (bool,), "toggled", "checked"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        if not widget.checkable:
            logging.warning(f"Making push button checkable for conversion to bool: button {widget}")
            widget.checkable = True


@parameterNodeGuiConnector
class QSliderOrSpinBoxToIntConnector(_SignalConnector):
    """Sets the range by setRange and its kin, which are slots or methods of Qt's own classes."""

    classes, types, signal, property = ("qt.QSlider", "qt.QSpinBox"), (int,), "valueChanged", "value"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        for kind, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            if self._annotation(kind) is not None:
                setattr(widget, name, self._annotation(kind).value)
        minimum, maximum = self._limits()
        if _is_exactly(widget, "qt.QSlider") and (minimum is None or maximum is None):
            raise RuntimeError("Cannot have a connection to QSlider where the int type is unbounded.")
        widget.setMinimum(_INT_LIMITS[0] if minimum is None else minimum)
        widget.setMaximum(_INT_LIMITS[1] if maximum is None else maximum)


@parameterNodeGuiConnector
class QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector(_SignalConnector):
    """Takes int too: then the widget has no decimals and its value is made an int. Sliders need annotated bounds."""

    classes = (
        "qt.QDoubleSpinBox",
        "ctk.ctkSliderWidget",
        "slicer.qMRMLSliderWidget",
        "ctk.ctkDoubleSlider",
        "ctk.ctkDoubleSpinBox",
        "slicer.qMRMLSpinBox",
    )
    types, signal, property = (float, int), "valueChanged", "value"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        self._isInteger = unannotatedType(datatype) is int
        decimals, step = self._annotation(Decimals), self._annotation(SingleStep)
        if not _is_exactly(widget, "ctk.ctkDoubleSlider") and (self._isInteger or decimals is not None):
            widget.decimals = 0 if self._isInteger else decimals.value
        if step is not None:
            widget.singleStep = step.value
        minimum, maximum = self._limits()
        if _is_exactly(widget, "ctk.ctkSliderWidget", "slicer.qMRMLSliderWidget") and None in (minimum, maximum):
            raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
        widget.minimum = float("-inf") if minimum is None else minimum
        widget.maximum = float("inf") if maximum is None else maximum

    def read(self):
        return int(self._widget.value) if self._isInteger else self._widget.value

    def write(self, value) -> None:
        self._widget.value = int(value) if self._isInteger else value


class _ComboBoxConnector(_SignalConnector):
    """A combo box whose entries are the connector's own; those of the .ui file are thrown away."""

    classes, signal = ("qt.QComboBox", "ctk.ctkComboBox"), "currentIndexChanged"

    def _fill(self, texts):
        self._widget.clear()
        for text in texts:
            self._widget.addItem(text)

    def read(self):
        return self._values[self._widget.currentIndex]

    def write(self, value) -> None:
        for index, known in enumerate(self._values):
            if known == value:
                self._widget.currentIndex = index
                return
        raise ValueError(f"Unable to find value {value} in choices {self._values}")


@parameterNodeGuiConnector
class QComboBoxToStringableConnector(_ComboBoxConnector):
    """The texts are ``str(choice)``, untranslated."""

    types = (int, float, str, bool)

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        choice = self._annotation(annotations.Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        self._values = choice.choices
        self._fill([str(value) for value in self._values])


@parameterNodeGuiConnector
class QComboBoxToEnumConnector(_ComboBoxConnector):
    """The texts are the enumeration's ``label`` of each member where the class has one, else the members' names."""

    @classmethod
    def canRepresent(cls, widget, datatype) -> bool:
        # a type that is no class (Union) raises TypeError here, as in Slicer
        return _is_exactly(widget, *cls.classes) and issubclass(unannotatedType(datatype), enum.Enum)

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        kind = unannotatedType(datatype)
        label = getattr(kind, "label", lambda member: member.name)
        self._values = list(kind)
        selected = self.read()
        self._fill([label(member) for member in self._values])
        self.write(selected)


@parameterNodeGuiConnector
class QLineEditToStrConnector(_SignalConnector):
    """Writes only a text that differs: writing moves the cursor."""

    classes, types, signal, property = ("qt.QLineEdit",), (str,), "textChanged", "text"

    def write(self, value) -> None:
        if value != self._widget.text:
            self._widget.text = value


@parameterNodeGuiConnector
class QLabelToStrConnector(_SignalConnector):
    """One way: a label has no signal that tells of a new text."""

    classes, types, property = ("qt.QLabel",), (str,), "text"

    def _connect(self):
        return

    def _disconnect(self):
        return


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(_SignalConnector):
    classes, types, signal = ("qt.QTextEdit",), (str,), "textChanged"

    def read(self) -> str:
        return self._widget.toPlainText()

    def write(self, value) -> None:
        self._widget.setPlainText(value)


class _PathConnector(_SignalConnector):
    types = PATHS

    def read(self):
        return unannotatedType(self._datatype)(getattr(self._widget, self.property))

    def write(self, value) -> None:
        setattr(self._widget, self.property, str(value))


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(_PathConnector):
    classes, signal, property = ("ctk.ctkPathLineEdit",), "currentPathChanged", "currentPath"


@parameterNodeGuiConnector
class ctkDirectoryButtonToPathConnector(_PathConnector):
    classes, signal, property = ("ctk.ctkDirectoryButton",), "directoryChanged", "directory"


@parameterNodeGuiConnector
class qMRMLNodeComboBoxToNodeConnector(_SignalConnector):
    """Sets ``nodeTypes`` to the annotated classes, whatever the .ui file says."""

    classes, signal = ("slicer.qMRMLNodeComboBox",), "currentNodeChanged"

    @classmethod
    def canRepresent(cls, widget, datatype) -> bool:
        return _is_exactly(widget, *cls.classes) and annotations.isNodeOrUnionOfNodes(datatype)

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        widget.nodeTypes = annotations.getNodeTypes(datatype)

    def read(self):
        return self._widget.currentNode()

    def write(self, value) -> None:
        self._widget.setCurrentNode(value)
