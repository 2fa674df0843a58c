"""The scene's door to the library: nodes into files for a prediction, its files back into nodes, views on both.

What other rooms use of :mod:`.scene_nodes`, :mod:`.scene_results` and :mod:`.scene_show`, under one name.
"""

from .scene_nodes import check_inputs, coded_units, world_geometry, write_segment, write_volume
from .scene_results import (
    CLASSES,
    COLUMNS,
    RELEVANCE_COLORS,
    RESULT,
    ROLE,
    SEGMENT_ID,
    SEGMENT_NAME,
    find_results,
    import_results,
    remove_node,
    results_of,
    stored_report,
    stored_result,
)
from .scene_show import center_slices, show_3d, show_in_slices, show_relevance

__all__ = [
    "CLASSES",
    "COLUMNS",
    "RELEVANCE_COLORS",
    "RESULT",
    "ROLE",
    "SEGMENT_ID",
    "SEGMENT_NAME",
    "center_slices",
    "check_inputs",
    "coded_units",
    "find_results",
    "import_results",
    "remove_node",
    "results_of",
    "show_3d",
    "show_in_slices",
    "show_relevance",
    "stored_report",
    "stored_result",
    "world_geometry",
    "write_segment",
    "write_volume",
]
