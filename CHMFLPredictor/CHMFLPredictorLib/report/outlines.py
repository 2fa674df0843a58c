"""The outline of a region in a slice: marching squares, with positions between the pixels by linear interpolation."""

import numpy as np

# Edges of a cell by the case that its corners above the level make: 1 upper left, 2 upper right, 4 lower right, 8 lower
# left. The two saddles (5 and 10) keep the corners apart.
TOP, RIGHT, BOTTOM, LEFT = range(4)
CASES = {
    1: ((LEFT, TOP),), 2: ((TOP, RIGHT),), 3: ((LEFT, RIGHT),), 4: ((RIGHT, BOTTOM),),
    5: ((LEFT, TOP), (RIGHT, BOTTOM)), 6: ((TOP, BOTTOM),), 7: ((LEFT, BOTTOM),), 8: ((BOTTOM, LEFT),),
    9: ((BOTTOM, TOP),), 10: ((TOP, RIGHT), (BOTTOM, LEFT)), 11: ((BOTTOM, RIGHT),), 12: ((RIGHT, LEFT),),
    13: ((RIGHT, TOP),), 14: ((TOP, LEFT),),
}  # fmt: skip


def outline_segments(field: np.ndarray, level: float = 0.5) -> np.ndarray:
    """Trace the line where a field crosses a level (Lorensen and Cline's marching cubes in two dimensions).

    :param field: float (rows, columns); pixel centers lie at whole numbers.
    :param level: values above it are inside.
    :returns: float64 (segments, 4): x0, y0, x1, y1 in pixels, x along the columns; in no order.
    """
    field = np.asarray(field, float)
    inside = field > level
    corners = inside[:-1, :-1], inside[:-1, 1:], inside[1:, 1:], inside[1:, :-1]
    case = sum(corner.astype(np.uint8) << bit for bit, corner in enumerate(corners))
    parts = [
        np.concatenate([_crossing(field, level, *np.nonzero(case == number), edge) for edge in pair], axis=1)
        for number, pairs in CASES.items()
        for pair in pairs
    ]
    return np.concatenate(parts)


def _crossing(field, level, row, column, edge) -> np.ndarray:
    """Where the level lies on an edge of each cell: (cells, 2) x, y."""
    first = {TOP: (0, 0), RIGHT: (0, 1), BOTTOM: (1, 0), LEFT: (0, 0)}[edge]
    second = {TOP: (0, 1), RIGHT: (1, 1), BOTTOM: (1, 1), LEFT: (1, 0)}[edge]
    a = field[row + first[0], column + first[1]]
    b = field[row + second[0], column + second[1]]
    different = np.where(a == b, 1.0, b - a)
    along = (level - a) / different
    y = row + first[0] + along * (second[0] - first[0])
    x = column + first[1] + along * (second[1] - first[1])
    return np.stack([x, y], axis=1)
