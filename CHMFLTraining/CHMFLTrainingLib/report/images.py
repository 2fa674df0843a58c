"""Pictures of patients in a comparison: outlines of segmentations (Fig. S2) and relevance maps (Fig. 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import fill

import numpy as np

from .figures import new_figure

TITLE_WIDTH = 17  # characters that fit above a tile
ACROSS = 3  # tiles in a row: at 400 pixels each is 130 pixels wide
CT_WINDOW = (-160.0, 240.0)  # HU, soft tissue
SUV_WINDOW = (0.0, 8.0)
TRUTH = {"colors": "#00e5ff", "linestyles": "dashed", "linewidths": 1.6}
FOUND = {"colors": "#ffd400", "linestyles": "solid", "linewidths": 1.6}


@dataclass(frozen=True)
class Tile:
    """One slice, rows downward as they are seen.

    :ivar image: gray picture (rows, columns).
    :ivar window: values that are black and white.
    :ivar heat: map over it, 0 to 1 (rows, columns), drawn where it is above 0.2 with a line at 0.5.
    :ivar truth, found: masks (rows, columns): the delineated tumor dashed, the method's solid.
    """

    title: str
    image: np.ndarray
    window: tuple[float, float] = CT_WINDOW
    inverted: bool = False
    heat: np.ndarray | None = None
    truth: np.ndarray | None = None
    found: np.ndarray | None = None


@dataclass(frozen=True)
class Patient:
    """The tiles of one patient and the line above them."""

    title: str
    tiles: list[Tile] = field(default_factory=list)


def patients_figure(patients: list[Patient]):
    """Tiles of some patients, three a row, each patient under a title of its own."""
    from matplotlib.figure import Figure

    heights = [0.35 + 2.0 * -(-len(patient.tiles) // ACROSS) for patient in patients]
    figure: Figure = new_figure(sum(heights))[0]
    figure.clear()
    parts = figure.subfigures(len(patients), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, patient in zip(parts, patients, strict=True):
        part.suptitle(patient.title, fontsize=11, fontweight="bold")
        axes = part.subplots(-(-len(patient.tiles) // ACROSS), ACROSS, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, tile in zip(axes.flat, patient.tiles, strict=False):
            draw_tile(axis, tile)
    return figure


def draw_tile(axis, tile: Tile) -> None:
    """Draw a slice with its map and outlines."""
    low, high = tile.window
    axis.imshow(tile.image, cmap="gray_r" if tile.inverted else "gray", vmin=low, vmax=high)
    if tile.heat is not None:
        shown = np.ma.masked_less(tile.heat, 0.2)
        axis.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
        _outline(axis, tile.heat >= 0.5, {"colors": "w", "linewidths": 1.0})
    _outline(axis, tile.truth, TRUTH)
    _outline(axis, tile.found, FOUND)
    axis.set_title("\n".join(fill(line, TITLE_WIDTH) for line in tile.title.split("\n")), fontsize=10)


def _outline(axis, mask, style) -> None:
    """Contour of a mask; an empty or full one has none."""
    if mask is not None and 0 < np.count_nonzero(mask) < np.size(mask):
        axis.contour(np.asarray(mask, dtype=float), levels=[0.5], **style)


def overlay_patient(title: str, pet, ct, truth, found: dict[str, np.ndarray], dice: dict[str, float]) -> Patient:
    """CT, PET, the delineated tumor and each method's outline, in the axial slice where the delineated tumor is
    largest.

    :param pet, ct, truth: SUV, HU, mask (X, Y, Z) with X to the patient's left and Y to the back, as in LPS.
    :param found: method to mask of the same shape.
    :param dice: method to the Dice of the whole volume.
    """
    level = int(np.argmax(np.asarray(truth).sum((0, 1)))) if np.any(truth) else np.shape(truth)[2] // 2
    # columns run along X: the patient's right is on the left of the picture
    pet, ct, truth = (np.asarray(volume)[:, :, level].T for volume in (pet, ct, truth))
    tiles = [
        Tile("CT", ct),
        Tile("PET", pet, SUV_WINDOW, inverted=True),
        Tile("delineated", ct, truth=truth),
    ]
    for name, mask in found.items():
        text = f"{name}\nDice {dice[name]:.2f}" if name in dice else name
        tiles.append(Tile(text, ct, truth=truth, found=np.asarray(mask)[:, :, level].T))
    return Patient(title, tiles)


def relevance_patient(title: str, found: list[tuple]) -> Patient:
    """CT, PET and each method's map over CT, in the axial slice where the delineated tumor is largest.

    :param found: (method, map (X, Y, Z), truth (X, Y, Z), crop) each; boxes may differ in their voxels.
    """
    tiles = []
    for name, heat, truth, crop in found:
        level = int(np.argmax(truth.sum((0, 1)))) if truth.any() else truth.shape[2] // 2
        pet, ct = (without_margin(volume, heat.shape)[:, :, level].T for volume in (crop.suv, crop.hu))
        outline = truth[:, :, level].T
        if not tiles:
            tiles = [Tile("CT", ct, truth=outline), Tile("PET", pet, SUV_WINDOW, inverted=True)]
        tiles.append(Tile(name, ct, heat=heat[:, :, level].T, truth=outline))
    return Patient(title, tiles)


def without_margin(volume, shape) -> np.ndarray:
    """The middle of a volume (X, Y, Z) as float32: a crop without the margin that augmentation shifts into."""
    margins = [(have - want) // 2 for have, want in zip(np.shape(volume), shape, strict=True)]
    chosen = tuple(slice(margin, margin + want) for margin, want in zip(margins, shape, strict=True))
    return np.asarray(volume)[chosen].astype(np.float32)
