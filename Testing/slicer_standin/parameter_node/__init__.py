"""slicer.parameterNodeWrapper: typed members over a real vtkMRMLScriptedModuleNode, bound to widgets.

Follows Slicer's Base/Python/slicer/parameterNodeWrapper/: what a parameter node holds, under which keys and as which
text, is the same, so a scene saved here is restored by Slicer. Not covered, and therefore absent from the module: packs
(parameterPack, FloatRange), GUI creation, QColor, tuples, dictionaries and ``typing.Any``; a member of such a type
fails when its class is made.
"""

import types

from . import annotations, connectors, containers, serializers, wrapper

NAMES = {
    annotations: (
        "Choice Decimals Default Exclude IsInstance Maximum Minimum NotNone RangeBounds SingleStep Validator "
        "WithinRange findFirstAnnotation getNodeTypes isNodeOrUnionOfNodes splitAnnotations unannotatedType"
    ),
    serializers: (
        "BoolSerializer NodeSerializer NumberSerializer PathSerializer Serializer StringSerializer "
        "ValidatedSerializer parameterNodeSerializer"
    ),
    containers: "ListSerializer UnionSerializer",
    connectors: "GuiConnector createGuiConnector parameterNodeGuiConnector",
    wrapper: "SlicerParameterNamePropertyName findChildWidgetForParameter isParameterNodeWrapper parameterNodeWrapper",
}


def build() -> types.ModuleType:
    """Make the module that stands in for slicer.parameterNodeWrapper. It needs ``slicer``; widgets need ``qt``."""
    module = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    for source, names in NAMES.items():
        for name in names.split():
            setattr(module, name, getattr(source, name))
    return module
