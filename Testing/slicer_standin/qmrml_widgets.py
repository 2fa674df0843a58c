"""Slicer's MRML widgets on PySide6 and a real scene, to be wrapped and put on ``slicer``.

Each class has SIGNATURES, the C++ signatures of signals and slots that carry VTK objects. What is public here without a
leading underscore is what PythonQt shows of the C++ class: properties, signals, slots and invokable methods.
"""

from .qmrml_node_combobox import qMRMLNodeComboBox
from .qmrml_segment_selector import qMRMLSegmentSelectorWidget
from .qmrml_show3d_button import qMRMLSegmentationShow3DButton
from .qmrml_table_view import qMRMLTableView
from .qmrml_widget import qMRMLWidget

WIDGETS = (
    qMRMLWidget,
    qMRMLNodeComboBox,
    qMRMLSegmentSelectorWidget,
    qMRMLSegmentationShow3DButton,
    qMRMLTableView,
)

__all__ = [widget.__name__ for widget in WIDGETS]
