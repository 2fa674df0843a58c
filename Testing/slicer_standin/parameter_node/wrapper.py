"""The class decorator ``parameterNodeWrapper`` and what it gives a class.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/wrapper.py: every annotated member becomes a property over the
parameter node; an instance writes defaults for what the node does not hold, caches values until the node is modified,
and binds widgets by their dynamic property ``SlicerParameterName``.
"""

import dataclasses
import logging
import typing
import weakref

from .annotations import Default, as_typing_union, extract_default, splitAnnotations
from .connectors import GuiConnector, createGuiConnector
from .serializers import Serializer, createSerializer

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclasses.dataclass
class _Member:
    """One annotated member of a wrapped class."""

    name: str
    serializer: Serializer
    default: Default
    unalteredType: object

    def read(self, node):
        if not self.serializer.isIn(node, self.name):
            self.serializer.write(node, self.name, self.default.value)
        return self.serializer.read(node, self.name)


class _Value:
    """A member in a node, read anew at every access."""

    def __init__(self, member: _Member, node):
        self.member = member
        self.node = node

    def read(self):
        return self.member.read(self.node)

    def write(self, value) -> None:
        self.member.serializer.write(self.node, self.member.name, value)


class _CachedValue(_Value):
    """A member in a node, read when the node is modified. It observes the node for as long as it lives."""

    def __init__(self, member: _Member, node):
        super().__init__(member, node)
        self._value = member.read(node)
        self._writing = False
        itself = weakref.ref(self)  # an observer must not keep the value, and with it the wrapper, alive
        self._tag = node.AddObserver("ModifiedEvent", lambda caller, event: itself()._modified())

    def __del__(self):
        self.node.RemoveObserver(self._tag)

    def _modified(self) -> None:
        if not self._writing:
            self._value = self.member.read(self.node)

    def read(self):
        return self._value

    def write(self, value) -> None:
        self._writing = True
        try:
            # read back before observers run: they may ask for the new value
            with _modifying(self.node):
                super().write(value)
                self._value = self.member.read(self.node)
        finally:
            self._writing = False


def _modifying(node):
    import slicer.util

    return slicer.util.NodeModify(node)


def isParameterNodeWrapper(classOrObj) -> bool:
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    """The child widget with ``SlicerParameterName`` set to a member's name, or None."""
    import qt

    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None


def parameterNodeWrapper(classtype=None):
    """Class decorator; with or without parentheses.

    :raises Exception: a member's type has no serializer.
    :raises ValueError: a member has a name that the wrapper uses itself.
    """
    return _wrap if classtype is None else _wrap(classtype)


def _wrap(classtype):
    members = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        members[name] = _member(classtype, name, annotated)
        setattr(classtype, name, _property(name))
    classtype.__init__ = _initialize
    reserved = {"allParameters": members, "_is_parameter_node_wrapper": True}
    reserved["dataType"] = staticmethod(lambda membername: _checked(members, membername).unalteredType)
    for name, value in {**reserved, **_METHODS}.items():
        if hasattr(classtype, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, value)
    return classtype


def _member(classtype, name: str, annotated) -> _Member:
    actual, extra = splitAnnotations(annotated)
    try:
        serializer, extra = createSerializer(as_typing_union(actual), extra)
    except Exception as error:
        raise Exception(f"Unable to create serializer for {classtype} member {name}") from error
    if hasattr(classtype, name):
        default = Default(getattr(classtype, name))
    else:
        default, extra = extract_default(extra)
        default = Default(serializer.default()) if default is None else default
    if extra:
        logging.warning(f"Unused annotations: {extra}")
    return _Member(name, serializer, default, annotated)


def _property(name: str) -> property:
    return property(
        lambda self: getattr(self, f"_{name}_impl").read(),
        lambda self, value: getattr(self, f"_{name}_impl").write(value),
    )


def _checked(members: dict, name: str) -> _Member:
    if name not in members:
        raise ValueError(f"Cannot find a param with the given name: {name}. Found parameters: {', '.join(members)}")
    return members[name]


def _initialize(self, parameterNode, prefix=None):
    self.parameterNode = parameterNode
    self._parameterGUIs = {}
    self._nextParameterGUIsTag = 0
    self._guiVtkObserverTags = {}
    self._updatingGUIFromParameterNode = False
    for name, described in self.allParameters.items():
        member = dataclasses.replace(described, name=f"{prefix or ''}{name}")
        member.read(parameterNode)  # writes the default where the node holds nothing
        kind = _CachedValue if member.serializer.supportsCaching() else _Value
        setattr(self, f"_{name}_impl", kind(member, parameterNode))


def _default(self, paramName):
    return _checked(self.allParameters, paramName).default


def _is_cached(self, paramName) -> bool:
    _checked(self.allParameters, paramName)
    return isinstance(getattr(self, f"_{paramName}_impl"), _CachedValue)


def _get_value(self, name):
    _checked(self.allParameters, name)
    return getattr(self, f"_{name}_impl").read()


def _set_value(self, name, value):
    _checked(self.allParameters, name)
    getattr(self, f"_{name}_impl").write(value)


def _connect_gui(self, gui):
    """Bind the widgets that carry ``SlicerParameterName``: children of a widget, or the attributes of an object."""
    if getattr(gui, "isWidgetType", lambda: False)():
        import qt

        widgets = gui.findChildren(qt.QWidget)
    else:
        widgets = gui.__dict__.values()
    named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
    return _connect_parameters(self, {name: widget for name, widget in named.items() if name})


def _connect_parameters(self, mapping):
    """Bind members to widgets (or ready connectors); the widgets take the node's values at once.

    :return: the tag for ``disconnectGui``.
    :raises ValueError: there is no such member.
    :raises RuntimeError: a widget cannot be bound to its member's type.
    """
    for name in mapping:
        _checked(self.allParameters, name)
    connectors = {
        name: target if isinstance(target, GuiConnector) else createGuiConnector(target, self.dataType(name))
        for name, target in mapping.items()
    }
    tag = self._nextParameterGUIsTag
    self._nextParameterGUIsTag += 1
    self._parameterGUIs[tag] = connectors
    for name, connector in connectors.items():
        connector.write(self.getValue(name))
        connector.onChanged(_from_widget(self, name, connector))
    self._guiVtkObserverTags[tag] = self.AddObserver("ModifiedEvent", lambda caller, event: _to_widgets(self))
    return tag


def _from_widget(self, name: str, connector):
    def callback():
        with _modifying(self):
            if not self._updatingGUIFromParameterNode:
                self.setValue(name, connector.read())

    return callback


def _to_widgets(self) -> None:
    if self._updatingGUIFromParameterNode:
        return
    self._updatingGUIFromParameterNode = True
    try:
        with _modifying(self):
            for connectors in self._parameterGUIs.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
    finally:
        self._updatingGUIFromParameterNode = False


def _disconnect_gui(self, guiTag):
    """Unbind what a tag stands for; an unknown tag is passed over."""
    for connector in self._parameterGUIs.pop(guiTag, {}).values():
        connector.onChanged(None)
    if guiTag in self._guiVtkObserverTags:
        self.RemoveObserver(self._guiVtkObserverTags.pop(guiTag))


def _add_observer(self, event, callback, priority=0.0):
    return self.parameterNode.AddObserver(event, callback, priority)


_METHODS = {
    "default": _default,
    "isCached": _is_cached,
    "getValue": _get_value,
    "setValue": _set_value,
    "connectGui": _connect_gui,
    "connectParametersToGui": _connect_parameters,
    "disconnectGui": _disconnect_gui,
    "StartModify": lambda self: self.parameterNode.StartModify(),
    "EndModify": lambda self, wasModified: self.parameterNode.EndModify(wasModified),
    "AddObserver": _add_observer,
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    "Modified": lambda self: self.parameterNode.Modified(),
}
