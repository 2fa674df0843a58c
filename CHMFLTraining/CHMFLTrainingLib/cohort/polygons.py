"""The polygons of one plane: what they enclose together, its area, and the pixels in it. Geometry by shapely (GEOS).

DICOM PS3.3 C.8.8.6: closed contours of one region in one plane; a cavity is a "keyhole" (joined to the outside by a
channel of no width) or, with CLOSEDPLANAR_XOR, a contour of its own. Many programs write it as a contour inside
another without saying so; that is understood. Contours that cross are parts of one outline, drawn one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from CHMFLPredictorLib.errors import MissingDependency

ROUNDING = 0.02  # of a contour's area: as much may reach out of the contour around it
SHELL = 0.5  # of a contour's area: a larger cavity leaves a shell, which no cavity that was meant does
EDGE = 1e-6  # pixels: a center on the left or upper edge lies inside, one on the right or lower edge outside


@dataclass
class Region:
    """What the contours of one plane enclose; areas in the square of the coordinates' unit.

    :ivar shape: shapely geometry.
    :ivar shared: area that contours which cross had in common; it counts once.
    :ivar cavities: area of contours inside others that did not say exclusive-or; it was cut out.
    :ivar shells: the part of ``cavities`` that fills more than half of the contour around it.
    """

    shape: object
    shared: float = 0.0
    cavities: float = 0.0
    shells: float = 0.0

    @property
    def area(self) -> float:
        """Of the shape."""
        return self.shape.area


def enclosed(polygons: list[np.ndarray], exclusive_or: bool = False) -> Region:
    """What closed polygons enclose together.

    :param polygons: corners (points, 2).
    :param exclusive_or: count what lies in an odd number of them; else those that cross are joined, and one inside
        another is its cavity, one inside a cavity an island.
    """
    shapely = _shapely()
    # "structure" keeps what an outline drawn past its own start covers twice, and the cavity of a keyhole
    parts = [shapely.make_valid(shapely.Polygon(one), method="structure", keep_collapsed=False) for one in polygons]
    if exclusive_or:
        return Region(reduce(shapely.symmetric_difference, parts))
    joined = _joined(parts)
    shape, shells = reduce(shapely.symmetric_difference, joined), 0.0
    for inner in joined:
        around = [one.area for one in joined if one.area > inner.area and one.intersection(inner).area > 0]
        shells += inner.area if around and inner.area > SHELL * min(around) else 0.0
    shared = sum(part.area for part in parts) - sum(one.area for one in joined)
    return Region(shape, shared, shapely.union_all(joined).area - shape.area, shells)


def pixels(shape, spacing, size: tuple[int, int]) -> np.ndarray:
    """Bool (rows, columns): the pixels whose centers lie inside; neighbors that share an edge never overlap.

    :param shape: in mm from the middle of the first pixel.
    :param spacing: mm between columns, between rows.
    :param size: rows, columns.
    """
    inside = np.zeros(size, bool)
    if shape.is_empty:
        return inside
    columns, rows = (
        slice(min(max(int(low / step), 0), count), min(max(int(high / step) + 2, 0), count))
        for low, high, step, count in zip(shape.bounds[:2], shape.bounds[2:], spacing, size[::-1], strict=True)
    )
    y, x = np.mgrid[rows, columns] + EDGE
    _shapely().prepare(shape)
    inside[rows, columns] = _shapely().contains_xy(shape, x * spacing[0], y * spacing[1])
    return inside


def pixels_between(lower, upper, weight: float, spacing, size: tuple[int, int]) -> np.ndarray:
    """Bool (rows, columns) between two planes, by the distance from the outlines (Raya and Udupa, IEEE Trans Med
    Imaging 1990;9:32).

    :param lower, upper: shapes, see :func:`pixels`.
    :param weight: 0 at the lower plane, 1 at the upper.
    """
    in_lower, in_upper = pixels(lower, spacing, size), pixels(upper, spacing, size)
    rows, columns = np.nonzero(in_lower ^ in_upper)
    centers = _shapely().points((columns + EDGE) * spacing[0], (rows + EDGE) * spacing[1])
    distances = [_shapely().distance(shape.boundary, centers) for shape in (lower, upper)]
    sides = [np.where(inside[rows, columns], 1, -1) for inside in (in_lower, in_upper)]
    depth = (1 - weight) * sides[0] * distances[0] + weight * sides[1] * distances[1]
    inside = in_lower & in_upper
    inside[rows, columns] = depth > 0
    return inside


def _joined(parts: list) -> list:
    """Shapes that do not cross: those that do are united."""
    waiting, apart = list(parts), []
    while waiting:
        one = waiting.pop()
        if crossing := [other for other in apart if _cross(one, other)]:
            apart = [other for other in apart if not _cross(one, other)]
            waiting.append(_shapely().union_all([one, *crossing]))  # may cross more than its parts do
        else:
            apart.append(one)
    return apart


def _cross(one, other) -> bool:
    """Whether two shapes overlap and neither lies within the other."""
    common = one.intersection(other).area
    return 0 < common and common < (1 - ROUNDING) * min(one.area, other.area)


def _shapely():
    try:
        import shapely
    except ImportError as error:
        hint = "Install it: pip install shapely."
        text = "Contours of a structure set need the Python package shapely."
        raise MissingDependency("shapely_missing", text, hint) from error
    return shapely
