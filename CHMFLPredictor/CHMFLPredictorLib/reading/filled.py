"""Borders of a CT that are no image: what a resampling onto a larger grid filled with 0, or with another constant.

Left as it is, such a border is water where the patient ends: tissue to the search, and contrast to the network.
"""

from collections import defaultdict
from itertools import product

import numpy as np
import SimpleITK as sitk

from .checks import warning

AIR_HU = -1000.0  # what stands where there is no CT
HIGHEST_AIR_HU = -900.0  # a border of air is what a scanner writes, and does no harm
SMALLEST_SHARE = 0.001  # of the CT: less is a few equal voxels in a corner


def without_filled_border(ct: sitk.Image, low: float) -> tuple[sitk.Image, sitk.Image | None, list[dict]]:
    """Put air in place of a filled border: voxels of one value, which is not air, that are connected to a corner.

    What an image covers is convex, so that whatever a larger grid adds reaches a corner. The lowest value of a CT is
    its air, even where it was cut to a window.

    :param ct: HU, float32.
    :param low: its lowest value.
    :returns: the CT, where there is no data (uint8, 0 and 1) or None, and warnings (ct_border_filled).
    """
    no_data, values = None, []
    for value, corners in _constant_corners(ct).items():
        if value <= max(low, HIGHEST_AIR_HU):
            continue
        found = sitk.ConnectedThreshold(ct, corners, value, value)
        if np.count_nonzero(sitk.GetArrayViewFromImage(found)) < SMALLEST_SHARE * found.GetNumberOfPixels():
            continue
        no_data = found if no_data is None else no_data | found
        values.append(value)
    if no_data is None:
        return ct, None, []
    share = float(np.mean(sitk.GetArrayViewFromImage(no_data)))
    constants = " and ".join(f"{value:g} HU" for value in sorted(values))
    text = f"{share:.1%} of the CT, at its edge, are filled with {constants}: no image was taken to be there."
    return sitk.Mask(ct, no_data, AIR_HU, 1), no_data, [warning("ct_border_filled", text)]


def _constant_corners(image: sitk.Image) -> dict[float, list[tuple[int, int, int]]]:
    """Corners of an image, i, j, k, by their value, where two of the three neighbors have the same."""
    array, found = sitk.GetArrayViewFromImage(image), defaultdict(list)
    last = np.array(array.shape) - 1
    for end in product((0, 1), repeat=3):
        corner = end * last
        beside = corner + np.diag(np.where(end, -1, 1))
        if sum(array[tuple(one)] == array[tuple(corner)] for one in beside) >= 2:
            found[float(array[tuple(corner)])].append(tuple(corner[::-1].tolist()))
    return found
