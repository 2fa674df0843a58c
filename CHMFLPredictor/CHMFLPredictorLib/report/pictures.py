"""Pictures of a prediction for people: axial, sagittal and coronal slices of PET over CT with the tumor's outline.

Slices lie along the patient's axes whatever the direction of the volumes, in radiological orientation and at one scale
for all. Meaning is never in the color alone: the outline is a line, orientation and scale are written, each map has its
color bar. Coordinates are RAS mm at the border, LPS mm inside.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..files import write_bytes
from ..reading.volumes import AIR_HU
from .outlines import outline_segments
from .slices import PLANES, center_lps, field_mm, panel_grid, position_text, sample, tumor_of

WIDTH = 1500
MARGIN = 10
HEADER = 58
BAR_WIDTH = 124
PANEL = (WIDTH - BAR_WIDTH - 3 * MARGIN) // 3
CT_WINDOW_HU = (-160.0, 240.0)
SUV_TOPS = (5, 6, 8, 10, 12, 16, 20, 24, 30, 40, 60)
OUTLINE = (92, 225, 255)
TEXT = (240, 240, 240)
DIM = (165, 165, 165)

# What a map looks like from its lowest to its highest value: a color and how much of it covers the CT.
HOT = (
    (0, 0, 0, 0.0), (110, 0, 0, 0.32), (225, 45, 0, 0.62), (255, 165, 0, 0.76),
    (255, 240, 90, 0.82), (255, 255, 255, 0.86),
)  # fmt: skip
GREENS = (
    (40, 20, 90, 0.0), (60, 50, 150, 0.25), (35, 120, 160, 0.5), (40, 180, 120, 0.65),
    (160, 220, 60, 0.75), (250, 240, 40, 0.82),
)  # fmt: skip


@dataclass(frozen=True)
class Overlay:
    """A map over the CT: its image, the value at the top of its color bar, the colors and the words beside it."""

    image: sitk.Image
    top: float
    colors: tuple
    title: str
    unit: str
    interpolator: int


def slices_picture(pet, ct, mask=None, relevance=None, center_ras=None):
    """Draw axial, sagittal and coronal slices of PET over CT; with a relevance map, a second row shows it over CT.

    :param pet: sitk.Image in SUV; :param ct: sitk.Image in HU; each on its own grid.
    :param mask: sitk.Image, the tumor (values above 0), outlined; None or empty draws no outline.
    :param relevance: sitk.Image, 0 to 1, or None.
    :param center_ras: RAS mm where the slices meet. None, or a place outside the tumor: the tumor's centroid; None
        and no tumor: the middle of the CT.
    :returns: PIL image, RGB, 1500 pixels wide, black background.
    """
    overlays = [Overlay(pet, _suv_top(pet, mask), HOT, "FDG-PET over CT", "SUV", sitk.sitkBSpline)]
    if relevance is not None:
        overlays.append(_relevance_overlay(relevance))
    return _picture(ct, overlays, mask, center_ras)


def relevance_picture(ct, relevance, mask=None, center_ras=None):
    """Draw the relevance map (0 to 1) over CT in the three planes; parameters and result as for `slices_picture`."""
    return _picture(ct, [_relevance_overlay(relevance)], mask, center_ras)


def save_picture(picture, path) -> Path:
    """Write a PIL image as PNG, whole or not at all: to a temporary file in the same folder, then renamed.

    :raises OSError: the folder is absent, full or not writable; nothing is left behind.
    """
    data = io.BytesIO()
    picture.save(data, "PNG")
    return write_bytes(path, data.getvalue(), make_folder=False)


def _relevance_overlay(relevance):
    return Overlay(relevance, 1.0, GREENS, "Relevance for the risk over CT", "relevance", sitk.sitkLinear)


def _suv_top(pet, mask) -> float:
    """A round SUV for the top of the color bar: nearly all of the tumor (else of the PET) stays under it."""
    values = sitk.GetArrayViewFromImage(pet)
    if mask is not None:
        inside = sitk.Resample(mask, pet, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        tumor = values[sitk.GetArrayViewFromImage(inside) > 0]
        values = tumor if tumor.size else values
    high = float(np.nanpercentile(values, 99.0))
    return float(next((top for top in SUV_TOPS if top >= high), SUV_TOPS[-1]))


def _picture(ct, overlays, mask, center_ras):
    """Rows of three panels with a header and a color bar each."""
    from PIL import Image

    tumor = tumor_of(mask)
    center = center_lps(ct, tumor, center_ras)
    field = field_mm(ct, tumor)
    gray = [_gray(ct, plane, center, field) for plane in PLANES]
    row_height = HEADER + PANEL + MARGIN
    picture = Image.new("RGB", (WIDTH, row_height * len(overlays)))
    for row, overlay in enumerate(overlays):
        _draw_row(picture, row * row_height, overlay, gray, tumor, center, field)
    return picture


def _gray(ct, plane, center, field):
    """One panel of CT: its grid and its gray levels 0 to 1."""
    grid = panel_grid(ct, plane, center, field, PANEL)
    low, high = CT_WINDOW_HU
    hu = sample(ct, grid, sitk.sitkLinear, AIR_HU)
    return grid, np.clip((hu - low) / (high - low), 0.0, 1.0)


def _colorize(values, top, colors) -> tuple[np.ndarray, np.ndarray]:
    """Colors (..., 3) 0 to 255 and cover (...) 0 to 1 of a map's values."""
    table = np.array(colors, float)
    at = np.clip(np.nan_to_num(values) / top, 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(table))
    rgb = np.stack([np.interp(at, stops, table[:, channel]) for channel in range(3)], axis=-1)
    return rgb, np.interp(at, stops, table[:, 3])


def _draw_row(picture, top, overlay, gray, tumor, center, field):
    """Header, three panels and the color bar of one overlay."""
    from PIL import Image, ImageDraw

    draw = ImageDraw.Draw(picture)
    _draw_header(draw, top, overlay.title, tumor is not None)
    for column, (plane, (grid, levels)) in enumerate(zip(PLANES, gray, strict=True)):
        values = sample(overlay.image, grid, overlay.interpolator, 0.0)
        rgb, cover = _colorize(values, overlay.top, overlay.colors)
        pixels = levels[..., None] * 255.0 * (1.0 - cover[..., None]) + rgb * cover[..., None]
        panel = Image.fromarray(np.rint(pixels).astype(np.uint8))
        if tumor is not None:
            _draw_outline(panel, sample(tumor.field, grid, sitk.sitkBSpline, 0.0))
        _annotate(panel, plane, grid, center, field, last=column == 2)
        picture.paste(panel, (column * (PANEL + MARGIN), top + HEADER))
    _draw_bar(picture, 3 * (PANEL + MARGIN), top + HEADER, overlay)


def _draw_outline(panel, field):
    """Lay the contour at 0.5 over a panel: a bright line on a dark one, both anti-aliased."""
    from PIL import Image, ImageDraw

    scale = 3
    segments = outline_segments(field, 0.5)
    for width, color in ((5.5, (0, 0, 0)), (2.8, OUTLINE)):
        cover = Image.new("L", (panel.width * scale, panel.height * scale))
        draw = ImageDraw.Draw(cover)
        radius = width * scale / 2
        for x0, y0, x1, y1 in (segments + 0.5) * scale:
            draw.line((x0, y0, x1, y1), fill=255, width=round(width * scale))
            draw.ellipse((x0 - radius, y0 - radius, x0 + radius, y0 + radius), fill=255)
        panel.paste(color, (0, 0), cover.resize(panel.size, Image.Resampling.BOX))


def _font(size):
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text(draw, position, text, size, anchor, fill=TEXT):
    """Text with a dark edge, readable on any gray."""
    draw.text(position, text, fill=fill, font=_font(size), anchor=anchor, stroke_width=3, stroke_fill=(0, 0, 0))


def _annotate(panel, plane, grid, center, field, last):
    """Plane and position, orientation letters, ticks where the other planes cut, a scale bar on the last panel."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(panel)
    side, middle = PANEL - 1, PANEL // 2
    left, right, top, bottom = plane.letters
    _text(draw, (10, middle), left, 36, "lm")
    _text(draw, (side - 10, middle), right, 36, "rm")
    _text(draw, (middle, 8), top, 36, "mt")
    _text(draw, (middle, side - 8), bottom, 36, "mb")
    _text(draw, (10, 10), plane.name, 32, "lt")
    _text(draw, (10, side - 10), position_text(plane, center), 24, "lb", DIM)
    column, row = grid.TransformPhysicalPointToContinuousIndex(center.tolist())[:2]
    for box in (
        (column, 0, column, 7), (column, side - 7, column, side), (0, row, 7, row), (side - 7, row, side, row)
    ):  # fmt: skip
        draw.line(box, fill=DIM, width=2)
    draw.rectangle((0, 0, side, side), outline=(70, 70, 70))
    if last:
        length = 50.0 / field * PANEL
        y = side - 18
        draw.line((side - 14 - length, y, side - 14, y), fill=(0, 0, 0), width=9)
        draw.line((side - 14 - length, y, side - 14, y), fill=TEXT, width=4)
        _text(draw, (side - 14 - length / 2, y - 8), "5 cm", 28, "mb")


def _draw_header(draw, top, title, with_outline):
    """What the row shows, what the line means, and that it is no medical device."""
    y = top + HEADER // 2
    draw.text((12, y), title, fill=TEXT, font=_font(36), anchor="lm")
    if with_outline:
        x = PANEL + MARGIN + 90
        draw.line((x, y, x + 54, y), fill=OUTLINE, width=5)
        draw.text((x + 68, y), "tumor outline", fill=TEXT, font=_font(32), anchor="lm")
    draw.text((WIDTH - 12, y), "Not for clinical use", fill=DIM, font=_font(32), anchor="rm")


def _draw_bar(picture, left, top, overlay):
    """The color map over a middle gray CT, with its scale."""
    from PIL import Image, ImageDraw

    height = PANEL - 64
    rgb, cover = _colorize(np.linspace(overlay.top, 0.0, height), overlay.top, overlay.colors)
    column = 90.0 * (1.0 - cover[:, None]) + rgb * cover[:, None]
    bar = np.repeat(np.rint(column).astype(np.uint8)[:, None], 34, axis=1)
    draw = ImageDraw.Draw(picture)
    draw.text(
        (left + 4, top + 8), overlay.unit, fill=TEXT, font=_font(32 if len(overlay.unit) < 5 else 24), anchor="lt"
    )
    x, y = left + 6, top + 54
    picture.paste(Image.fromarray(bar), (x, y))
    draw.rectangle((x - 1, y - 1, x + 34, y + height), outline=DIM)
    for value in np.linspace(0.0, overlay.top, 3):
        at = y + (1.0 - value / overlay.top) * (height - 1)
        draw.line((x + 35, at, x + 43, at), fill=TEXT, width=2)
        draw.text((x + 48, np.clip(at, y + 10, y + height - 12)), f"{value:g}", fill=TEXT, font=_font(30), anchor="lm")
