"""The place of the tumor: a point, a mask, or found from uptake.

The automatic way needs no learning: tissue that takes up at least twice what the scan's ordinary tissue does, without
urine and brain (and, where the scan holds the chest, without what looks like heart or kidneys); the connected part with
the most uptake is taken, and the box goes onto its center. The image's center is no cue.

The numbers below are physiology, not fits: see each. Only the density of urine (organs.py) was settled on the 51
patients of Soft-tissue-Sarcoma. On them a box of 112 x 112 x 144 mm holds the GTV's center in 51 and at least 70 % of
what a GTV-centered box holds in 50 (hottest voxel: 30); the exception is STS_044, a tumor of SUV 1.3 beside hotter
pelvic organs, taken without a warning. (On 4 mm masks, where the following was measured, it is 49.) Changed one at a
time, the ratio from 1.5 to 3, the cap from 4 to none, the lowest SUV from 0.5 to 1.5 and the urine's density from 18 to
28 HU leave it at 49 or 50; without the urine rule it falls to 45. Chosen on a random half of the patients, the numbers
place 96 % of the other half (mean of 1000 halvings; 5th percentile 92 %).

What could not be checked there, since its images are cropped 5 cm around the tumor: a whole-body scan. There a tumor
below SUV 4 is not found, and brown fat, bowel, tonsils or an inflamed joint can be taken for tumor: look at the place,
or give a point. With 20 to 40 cm of other patients' tumor-free tissue stacked onto each image it placed 93 %, and
"uncertain_location" was given in a third of the failures.
"""

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import BadInput
from ..reading.checks import warning
from ..reading.geometry import VoxelGrid
from .doubts import UNCERTAIN_RATIO, doubts
from .organs import (
    STEP_MM,
    Field,
    body,
    brain,
    common_field,
    looks_like_heart,
    looks_like_kidney,
    lungs,
    organ_warnings,
    urine,
)

UPTAKE_RATIO = 2.0  # a tumor takes up at least twice what muscle and fat do
LOWEST_SUV = 1.0  # less than blood in the vessels: nothing fainter is called tumor
CHEST_SUV = 4.0  # with liver (SUV 2 to 3), spleen and marrow in view; usual for the tumor burden of whole-body scans
SUV_CAP = 5.0  # above it volume counts, not heat: a small very hot spot does not outweigh a large tumor
SPILL_MM = 8.0  # how far PET's blur carries a hot organ into its surroundings
SMALLEST_ML = 1.0
MOST_CANDIDATES = 5
JOIN_MM = 10.0  # what lies closer in a mask belongs together: slices left out by whoever drew it are no border
HINT = "Give the tumor's place as a point, or a segmentation of the tumor."


@dataclass
class Location:
    """Where the box goes.

    center_ras: its center, RAS mm. found_by: "point", "mask" or "automatic". warnings: {"code", "text"} each.
    candidates: of the automatic way, the places with the most uptake, the one taken first: center_ras_mm, volume_ml
    above the search's threshold, suv_max.
    """

    center_ras: tuple[float, float, float]
    found_by: str
    warnings: list[dict] = field(default_factory=list)
    candidates: list[dict] = field(default_factory=list)


def from_point(center_ras, ct_image: sitk.Image) -> Location:
    """A point that the user gave, RAS mm. BadInput "bad_point" or "point_outside_image" unless it lies in the CT."""
    try:
        ras = tuple(float(value) for value in center_ras)
    except (TypeError, ValueError):
        ras = ()
    if len(ras) != 3 or not np.all(np.isfinite(ras)):
        raise BadInput("bad_point", f"The center {center_ras!r} is not three numbers.", "Give R, A and S in mm.")
    index = ct_image.TransformPhysicalPointToContinuousIndex((-ras[0], -ras[1], ras[2]))
    if any(not -0.5 <= i <= n - 0.5 for i, n in zip(index, ct_image.GetSize(), strict=True)):
        raise BadInput(
            "point_outside_image",
            f"The center R {ras[0]:.1f}, A {ras[1]:.1f}, S {ras[2]:.1f} mm lies outside the CT.",
            "Place it in the tumor. Coordinates are RAS; DICOM's and ITK's LPS have R and A with the other sign.",
        )
    return Location(ras, "point")


def from_mask(mask_image: sitk.Image) -> Location:
    """The center of mass of a tumor mask (everything above 0), RAS mm. BadInput "empty_mask" when nothing is."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask_image) > 0)
    if not len(voxels):
        raise BadInput("empty_mask", "The tumor segmentation is empty.", "Draw the tumor, or choose another segment.")
    x, y, z = mask_image.TransformContinuousIndexToPhysicalPoint(voxels.mean(axis=0)[::-1].tolist())
    return Location((-x, -y, z), "mask")


def one_piece(mask_image: sitk.Image, box_mm: tuple[float, float, float]) -> tuple[sitk.Image, list[dict]]:
    """The mask itself where one box holds something of each of its pieces, else its largest piece alone.

    :param mask_image: everything above 0 is tumor.  :param box_mm: as for :func:`find`.
    :return: the mask, and the warning "mask_in_pieces", which names the piece taken and the volumes of the others.
    """
    index = np.argwhere(sitk.GetArrayViewFromImage(mask_image) > 0)
    points = VoxelGrid.of_image(mask_image).points(index[:, ::-1])
    held = np.all(np.abs(points - points.mean(axis=0)) <= np.asarray(box_mm) / 2, axis=1)
    if held.all():
        return mask_image, []
    cells = np.floor((points - points.min(axis=0)) / JOIN_MM).astype(int)
    occupied = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    occupied[tuple(cells.T)] = True
    piece = ndimage.label(occupied, np.ones((3, 3, 3)))[0][tuple(cells.T)]
    sizes, held_sizes = np.bincount(piece)[1:], np.bincount(piece, weights=held)[1:]
    if len(sizes) == 1 or np.all(held_sizes >= 0.5 * sizes):
        return mask_image, []
    main = int(np.argmax(sizes)) + 1
    kept = np.zeros(mask_image.GetSize()[::-1], dtype=np.uint8)
    kept[tuple(index[piece == main].T)] = 1
    kept_image = sitk.GetImageFromArray(kept)
    kept_image.CopyInformation(mask_image)
    volumes = sizes * float(np.prod(mask_image.GetSpacing())) / 1000
    x, y, z = points[piece == main].mean(axis=0)
    others = sorted(np.delete(volumes, main - 1), reverse=True)
    left = ", ".join(f"{one:.1f} ml" for one in others[:MOST_CANDIDATES]) + (", ..." if len(others) > 5 else "")
    text = (
        f"The mask has {len(sizes)} pieces that do not fit into one box. The box, the risk and the measurements are of "
        f"the largest, {volumes[main - 1]:.1f} ml at {_in_words((-x, -y, z))}; left out: {left}."
    )
    return kept_image, [warning("mask_in_pieces", text)]


def find(pet_suv_image: sitk.Image, ct_hu_image: sitk.Image, box_mm: tuple[float, float, float]) -> Location:
    """The tumor's place from PET and CT alone.

    :param pet_suv_image: body-weight SUV.  :param ct_hu_image: HU.  Any grids and directions.
    :param box_mm: size of the model's box along L, P, S in mm; it decides which warnings are given, not the place.
    :return: Location with its candidates and the warnings "uncertain_location" (another place has nearly as much
        uptake, or something speaks against this one: see doubts.py) and "hot_organ_in_box" (see organs.py).
    Errors: BadInput "no_tumor_found" (cold, uniform, or nothing but organs), "no_tissue", "no_overlap".
    """
    return find_in_field(common_field(pet_suv_image, ct_hu_image), box_mm, pet_suv_image)


def find_in_field(grid: Field, box_mm, pet_suv_image: sitk.Image | None = None) -> Location:
    """:func:`find` on images already on the coarse common grid; without the PET, SUVmax are the field's."""
    tissue = body(grid)
    if not tissue.any():
        raise BadInput("no_tissue", "The CT shows no tissue where PET and CT overlap.", "Check that the CT is in HU.")
    pool, head, lung = urine(grid), brain(grid), lungs(grid)
    spill = round(SPILL_MM / STEP_MM)
    organs = ndimage.binary_dilation(pool | head, iterations=spill) if (pool | head).any() else pool
    threshold = _threshold(grid, tissue & ~organs, lung.any())
    labels, centers, scores = _candidates(grid, tissue & ~organs, threshold)
    keep = _no_organ(grid, labels, centers, tissue, lung)
    if not keep.any():
        raise _nothing_found(grid, tissue, threshold, len(scores), organs.any())
    ranked = np.flatnonzero(keep)[np.argsort(-scores[keep], kind="stable")]
    best = ranked[0]
    candidates = _described(grid, labels, centers, ranked[:MOST_CANDIDATES], pet_suv_image)
    reasons = _rivals(centers, scores, ranked, box_mm)
    reasons += doubts(grid, labels == best + 1, centers[best], tissue, lung)
    warnings = _uncertain(reasons, candidates) + organ_warnings(grid, centers[best], box_mm, pool, head)
    return Location(grid.to_ras(centers[best]), "automatic", warnings, candidates)


def _threshold(grid: Field, tissue: np.ndarray, chest: bool) -> float:
    """SUV from which tissue may be tumor: twice the ordinary tissue's median, which is taken without that tissue."""
    values = grid.suv[tissue]
    ordinary = float(np.median(values)) if values.size else 0.0
    for _ in range(20):
        settled = float(np.median(values[values <= UPTAKE_RATIO * ordinary])) if values.size and ordinary > 0 else 0.0
        if abs(settled - ordinary) < 1e-3:
            break
        ordinary = settled
    return max(UPTAKE_RATIO * ordinary, CHEST_SUV if chest else LOWEST_SUV)


def _candidates(grid: Field, tissue: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected parts above the threshold: label array, centers (n, 3) as indices, scores (n,) in SUV ml above it."""
    labels, count = ndimage.label(tissue & (grid.suv > threshold))
    volumes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * grid.voxel_ml
    large = np.nonzero(volumes >= SMALLEST_ML)[0] + 1
    weight = np.minimum(grid.suv, max(SUV_CAP, UPTAKE_RATIO * threshold)) - threshold
    if not large.size:
        return labels, np.empty((0, 3)), np.empty(0)
    scores = ndimage.sum_labels(weight, labels, large) * grid.voxel_ml
    renumber = np.zeros(count + 1, dtype=labels.dtype)
    renumber[large] = np.arange(1, large.size + 1)
    return renumber[labels], np.array(ndimage.center_of_mass(weight, labels, large)), scores


def _no_organ(grid: Field, labels: np.ndarray, centers: np.ndarray, tissue: np.ndarray, lung: np.ndarray) -> np.ndarray:
    """Bool (n,): candidates that look like neither heart nor kidney; all of them in a scan without the chest."""
    keep = np.ones(len(centers), dtype=bool)
    if lung.any():
        volumes_ml = np.bincount(labels.ravel(), minlength=len(centers) + 1)[1:] * grid.voxel_ml
        for i, center in enumerate(centers):
            kidney = looks_like_kidney(i, centers, volumes_ml, tissue, lung)
            keep[i] = not (kidney or looks_like_heart(center, lung))
    return keep


def _rivals(centers: np.ndarray, scores: np.ndarray, ranked: np.ndarray, box_mm) -> list[str]:
    """Whether a place that the box would not hold has at least half of the best one's uptake, in words."""
    best = ranked[0]
    outside = np.any(np.abs(centers - centers[best]) * STEP_MM > np.asarray(box_mm, dtype=float) / 2, axis=1)
    share = max((scores[one] / scores[best] for one in ranked if outside[one]), default=0.0)
    return [f"another place has {share:.0%} of its uptake"] if share >= UNCERTAIN_RATIO else []


def _described(grid: Field, labels: np.ndarray, centers: np.ndarray, ranked, pet: sitk.Image | None) -> list[dict]:
    """Place, volume and SUVmax of candidates; SUVmax is that of the PET's own voxels."""
    number = np.zeros(len(centers) + 1, dtype=np.uint8)
    number[np.asarray(ranked) + 1] = np.arange(1, len(ranked) + 1)
    places, suv = number[labels], grid.suv
    volumes = np.bincount(places.ravel(), minlength=len(ranked) + 1) * grid.voxel_ml
    if pet is not None:
        image = sitk.GetImageFromArray(np.ascontiguousarray(places.transpose(2, 1, 0)))
        image.SetOrigin(grid.origin_lps)
        image.SetSpacing([STEP_MM] * 3)
        on_pet = sitk.Resample(image, pet, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        places, suv = sitk.GetArrayViewFromImage(on_pet), sitk.GetArrayViewFromImage(pet)
    highest = [np.max(suv[places == i + 1], initial=0.0) for i in range(len(ranked))]
    return [
        {
            "center_ras_mm": [round(value, 1) for value in grid.to_ras(centers[one])],
            "volume_ml": round(float(volumes[i + 1]), 1),
            "suv_max": round(float(highest[i]), 2),
        }
        for i, one in enumerate(ranked)
    ]


def _uncertain(reasons: list[str], candidates: list[dict]) -> list[dict]:
    """The warning with what speaks against the place and the candidates."""
    if not reasons:
        return []
    listed = "; ".join(
        f"{_in_words(one['center_ras_mm'])}, {one['volume_ml']:.0f} ml, SUVmax {one['suv_max']:.1f}"
        for one in candidates
    )
    against = ", and ".join(reasons)
    text = f"The tumor's place is uncertain: {against}. Candidates, the first was taken: {listed}. {HINT}"
    return [warning("uncertain_location", text)]


def _in_words(ras) -> str:
    return "R {:.0f}, A {:.0f}, S {:.0f} mm".format(*ras)


def _nothing_found(grid: Field, tissue: np.ndarray, threshold: float, candidates: int, organs: bool) -> BadInput:
    values = grid.suv[tissue]
    low, high = float(values.min()), float(values.max())
    if high <= LOWEST_SUV:
        reason = f"the PET is cold: no tissue exceeds SUV {high:.2f}"
    elif high - low <= 0.05 * high:
        reason = f"the PET is uniform: SUV {low:.2f} to {high:.2f} in tissue"
    elif candidates or organs:
        reason = f"all uptake above SUV {threshold:.1f} looks like bladder, brain, heart or kidneys"
    else:
        reason = f"no tissue stands out: the highest SUV is {high:.2f}, and tumor is looked for above {threshold:.2f}"
    return BadInput("no_tumor_found", f"No tumor was found; {reason}.", f"Check that the PET is in SUV. {HINT}")
