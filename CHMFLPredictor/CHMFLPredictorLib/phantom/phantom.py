"""A digital FDG-PET-CT of two thighs with a soft-tissue sarcoma: an embedded sample that needs no download.

The anatomy is data (anatomy.py); the functions here paint it slice by slice. CT in HU on 0.98 x 0.98 x 3.27 mm,
PET in body-weight SUV on its own coarser grid, blurred (FWHM 6 mm) and noisy.
Coordinates inside this file are LPS mm (x to the left, y to the back, z to the head).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..reading.geometry import middle_lps
from ..reading.image_files import write_image
from ..reading.volumes import AIR_HU, LOWEST_HU
from .anatomy import ENVELOPE, MUSCLES, SEPTUM_MM, SKIN_MM, STATIONS, TABLE_Y, TISSUES, TUBES, Tumor

CT_SPACING = (0.9766, 0.9766, 3.27)
CT_SIZE = (374, 252, 92)
CT_ORIGIN = (-182.2, -122.3, -150.0)
PET_SPACING = (4.07, 4.07, 3.27)
PET_ORIGIN = (-181.0, -121.5, -148.9)
PET_SIZE = (89, 61, 91)
PET_FWHM_MM = 6.0
FWHM_TO_SIGMA = 1.0 / 2.3548


@dataclass(frozen=True)
class Phantom:
    """A digital PET-CT: `pet` (float32, SUV), `ct` (float32, HU), `mask` (uint8, tumor, CT grid) and its `truth`."""

    pet: sitk.Image
    ct: sitk.Image
    mask: sitk.Image
    truth: dict


def make_phantom(seed: int = 0, tumor: bool = True, bladder: bool = False, direction: str = "identity") -> Phantom:
    """Make the phantom; the same arguments give the same voxels.

    :param seed: of the noise, the tumor's lobes and its texture.
    :param tumor: False leaves healthy thighs and an empty mask.
    :param bladder: adds the floor of the pelvis with a full bladder (SUV about 40, hotter than the tumor).
    :param direction: how the voxels lie in space, the anatomy stays: "identity", "flipped" (x and y axes reversed,
        slices from head to foot) or "oblique" (CT rotated by 9 and 5 degrees, PET left as it is).
    :returns: images in SimpleITK's LPS geometry; `truth` holds `volume_ml`, `suv_max` (largest PET voxel whose center
        lies in the tumor), `suv_mean_activity` (before blur and noise), `center_ras` (mm), `extent_mm` (x, y, z),
        `necrotic_fraction`; all but the volume (0) are None without a tumor.
    :raises ValueError: for another direction.
    """
    if direction not in ("identity", "flipped", "oblique"):
        raise ValueError(f"direction is 'identity', 'flipped' or 'oblique', not {direction!r}")
    random = np.random.default_rng(seed)
    hu, suv = _paint_body(bladder)
    mask = np.zeros(hu.shape, np.uint8)
    truth = {"volume_ml": 0.0, "suv_max": None, "suv_mean_activity": None, "center_ras": None,
             "extent_mm": None, "necrotic_fraction": None}  # fmt: skip
    if tumor:
        truth.update(_paint_tumor(hu, suv, mask, Tumor(), random))
    ct = _image(_ct_noise(hu, random), CT_SPACING, CT_ORIGIN)
    mask_image = _image(mask, CT_SPACING, CT_ORIGIN)
    pet = _acquire_pet(suv, random)
    if tumor:
        # a copy: a view would outlive its image
        on_pet = sitk.GetArrayFromImage(sitk.Resample(mask_image, pet, sitk.Transform(), sitk.sitkNearestNeighbor))
        truth["suv_max"] = float(sitk.GetArrayViewFromImage(pet)[on_pet > 0].max())
    if direction == "flipped":
        pet, ct, mask_image = (sitk.Flip(image, (True, True, True)) for image in (pet, ct, mask_image))
    elif direction == "oblique":
        ct, mask_image = _oblique(ct, sitk.sitkLinear, AIR_HU), _oblique(mask_image, sitk.sitkNearestNeighbor, 0)
    return Phantom(pet, ct, mask_image, truth)


def write_phantom(folder, **options) -> dict[str, Path]:
    """Write PET.nii.gz (float32 SUV), CT.nii.gz (int16 HU) and mask.nii.gz (uint8) into a folder, made if absent.

    :param options: as for `make_phantom`.
    :returns: the files by "pet", "ct" and "mask".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    phantom = make_phantom(**options)
    images = {
        "PET": phantom.pet,
        "CT": sitk.Cast(sitk.Round(phantom.ct), sitk.sitkInt16),
        "mask": phantom.mask,
    }
    paths = {}
    for name, image in images.items():
        path = folder / f"{name}.nii.gz"
        write_image(image, path)
        paths[name.lower()] = path
    return paths


def _axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The CT's voxel centers along x, y and z in LPS mm."""
    return tuple(
        np.float32(CT_ORIGIN[i]) + np.float32(CT_SPACING[i]) * np.arange(CT_SIZE[i], dtype=np.float32) for i in range(3)
    )


def _cover(level, radius_mm):
    """The part of a voxel that a shape covers, 0 to 1, from its level (1 on the edge): no stairs along the grid."""
    return np.clip((1.0 - level) * radius_mm / CT_SPACING[0] + 0.5, 0.0, 1.0)


def _blend(hu, suv, cover, tissue):
    """Lay a tissue over what is there, by its cover."""
    tissue_hu, tissue_suv = TISSUES[tissue]
    hu += cover * (tissue_hu - hu)
    suv += cover * (tissue_suv - suv)


def _paint_body(bladder: bool):
    """The legs and the table without noise: HU and SUV, float32 (z, y, x)."""
    x, y, z = _axes()
    hu = np.full(CT_SIZE[::-1], TISSUES["air"][0], np.float32)
    suv = np.zeros(CT_SIZE[::-1], np.float32)
    for index, height in enumerate(z):
        for side in (-1.0, 1.0):
            _paint_leg(hu[index], suv[index], x, y, float(height), side)
    if bladder:
        _paint_pelvis(hu, suv, x, y, z)
    _paint_table(hu, x, y)
    return hu, suv


def _paint_leg(hu, suv, x, y, height, side):
    """One leg in one slice; `side` is -1 for the right leg (negative x in LPS) and 1 for the left."""
    heights = [station.z for station in STATIONS]
    width, depth, off = (
        float(np.interp(height, heights, [getattr(station, name) for station in STATIONS]))
        for name in ("half_width", "half_depth", "off_midline")
    )
    if side < 0:  # the mass pushes the thigh outward
        swelling = float(np.exp(-0.5 * ((height - Tumor.center[2]) / 45.0) ** 2))
        width, depth = width + 3.0 * swelling, depth + 4.0 * swelling
    rise = (height - heights[0]) / (heights[-1] - heights[0])
    # the leg rests on the table; only the rectangle around it is touched
    back = TABLE_Y - depth
    rows = slice(*np.searchsorted(y, (back - 1.1 * depth, back + 1.1 * depth)))
    columns = slice(*np.searchsorted(x, sorted((side * (off - 1.1 * width), side * (off + 1.1 * width)))))
    hu, suv = hu[rows, columns], suv[rows, columns]
    # lateral and posterior in units of the half widths, flattened a little where the leg touches the table
    u = (side * x[None, columns] - off) / width
    v = (y[rows, None] - back) / depth
    v = v * (1.0 + 0.06 * np.maximum(v, 0.0) ** 2)
    small = min(width, depth)
    body = np.sqrt(u**2 + v**2) * (1.0 + 0.035 * u * v) + 0.02 * u * np.maximum(-v, 0.0)
    _blend(hu, suv, _cover(body, small), "skin")
    _blend(hu, suv, _cover(body * small / (small - SKIN_MM), small), "fat")
    _paint_muscles(hu, suv, u, v, rise, small)
    for tube in TUBES:
        center = _between(tube.knee, tube.hip, rise)
        radius = (1 - rise) * tube.knee_radius + rise * tube.hip_radius
        level = np.sqrt(((u - center[0]) * width) ** 2 + ((v - center[1]) * depth) ** 2) / radius
        _blend(hu, suv, _cover(level, radius), tube.tissue)


def _paint_muscles(hu, suv, u, v, rise, small):
    """Muscle bellies as weighted Voronoi cells within an envelope, with planes of fat between them."""
    envelope = np.sqrt(
        ((u - ENVELOPE["center"][0]) / ENVELOPE["radii"][0]) ** 2
        + ((v - ENVELOPE["center"][1]) / ENVELOPE["radii"][1]) ** 2
    )
    # gentle waves make the borders of the bellies curved, as they are
    wave_u = u + 0.035 * np.sin(7.0 * v + 2.0 * rise)
    wave_v = v + 0.035 * np.sin(6.0 * u + 1.0 - 3.0 * rise)
    nearest = np.full(np.broadcast_shapes(u.shape, v.shape), 9.0, np.float32)
    second = nearest.copy()
    for muscle in MUSCLES:
        site = _between(muscle.knee, muscle.hip, rise)
        distance = np.sqrt((wave_u - site[0]) ** 2 + (wave_v - site[1]) ** 2) / (0.6 + 0.4 * muscle.weight)
        second = np.minimum(second, np.maximum(distance, nearest))
        nearest = np.minimum(nearest, distance)
    # half of the difference is about the distance from the border between two bellies
    from_border_mm = 0.5 * (second - nearest) * small * 0.9
    inside = _cover(envelope, small * 0.8)
    _blend(hu, suv, inside, "muscle")
    _blend(hu, suv, inside * np.clip(1.2 - from_border_mm / SEPTUM_MM, 0.0, 0.85), "septum")


def _between(knee, hip, rise):
    """A point of the section at one height, from its places at the knee's and the hip's end."""
    return tuple((1 - rise) * k + rise * h for k, h in zip(knee, hip, strict=True))


def _paint_pelvis(hu, suv, x, y, z):
    """The floor of the pelvis between the legs at the upper end, and a full bladder in it."""
    top = slice(int(np.searchsorted(z, 40.0)), None)
    zz, yy, xx = z[top][:, None, None], y[None, :, None], x[None, None, :]
    for tissue, center, radii in (
        ("fat", (0.0, 0.0, 160.0), (105.0, 84.0, 88.0)),
        ("muscle", (0.0, 6.0, 160.0), (80.0, 66.0, 74.0)),
        ("bladder", (0.0, -14.0, 140.0), (34.0, 27.0, 34.0)),
    ):
        level = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip((xx, yy, zz), center, radii, strict=True)))
        _blend(hu[top], suv[top], _cover(level, min(radii)), tissue)


def _paint_table(hu, x, y):
    """A curved carbon table under the legs: a thin shell in every slice, where there is air."""
    surface = TABLE_Y + 4.0 - (x[None, :] / 60.0) ** 2
    depth = y[:, None] - surface
    lower = depth - 17.0 + 0.5 * (TABLE_Y - surface)
    shell = sum(np.clip(1.6 - np.abs(d), 0.0, 1.0) for d in (depth - 1.0, lower))
    air = np.minimum(1.0, shell) * (np.abs(x[None, :]) < 176.0) * (TISSUES["table"][0] - TISSUES["air"][0])
    np.add(hu, air, out=hu, where=hu < -900.0)


def _waves(points, count, period_mm, random):
    """Smooth texture in about -1..1 at broadcastable points (mm): plane waves of random direction and phase."""
    total = np.float32(0.0)
    for _ in range(count):
        direction = random.normal(size=3)
        direction *= 2 * np.pi / (period_mm * random.uniform(0.7, 1.4)) / np.linalg.norm(direction)
        phase = random.uniform(0, 2 * np.pi)
        along = sum(np.float32(d) * p for d, p in zip(direction, points, strict=True))
        total = total + np.sin(along + np.float32(phase))
    return total / np.float32(np.sqrt(count))


def _paint_tumor(hu, suv, mask, tumor: Tumor, random) -> dict:
    """Lay the tumor with its necrotic core and the edema around it into the leg; fills `mask`, gives the truth."""
    axes = _axes()
    window = tuple(
        slice(int(np.searchsorted(axis, c - 1.5 * r)), int(np.searchsorted(axis, c + 1.5 * r)))
        for axis, c, r in zip(axes, tumor.center, tumor.radii, strict=True)
    )
    shapes = ((1, 1, -1), (1, -1, 1), (-1, 1, 1))
    points = [
        (axis[part] - np.float32(c)).reshape(shape)
        for axis, part, c, shape in zip(axes, window, tumor.center, shapes, strict=True)
    ]
    part = window[::-1]
    level = np.sqrt(sum((p / np.float32(r)) ** 2 for p, r in zip(points, tumor.radii, strict=True)))
    level += np.float32(tumor.lobes) * _waves(points, 5, 42.0, random)
    texture = _waves(points, 12, 17.0, random)
    hu_part, suv_part = hu[part], suv[part]
    bone = hu_part > 250.0
    bone = ndimage.binary_fill_holes(bone.any(axis=0)) & (bone.sum(axis=0) > 3)
    soft = (hu_part > -300.0) & ~bone
    radius = min(tumor.radii)
    edema = 0.6 * soft * (hu_part > 0) * np.clip(3.0 - 2.2 * level, 0.0, 1.0)
    _blend(hu_part, suv_part, edema, "edema")
    cover = soft * _cover(level, radius)
    necrosis = np.clip((tumor.necrotic_part - level + 0.10 * texture) / 0.14 + 0.5, 0.0, 1.0)
    (rim_hu, rim_suv), (core_hu, core_suv) = TISSUES["rim"], TISSUES["necrosis"]
    tumor_hu = rim_hu + (core_hu - rim_hu) * necrosis + 9.0 * texture * (1.0 - necrosis)
    tumor_suv = rim_suv * (1.0 + tumor.texture * texture) * (1.0 - necrosis) + core_suv * necrosis
    hu_part += cover * (tumor_hu - hu_part)
    suv_part += cover * (np.maximum(tumor_suv, 0.0) - suv_part)
    inside = cover > 0.5
    mask[part] = inside
    where = np.argwhere(inside) + [p.start for p in part]
    spacing = np.array(CT_SPACING)
    center = np.array(CT_ORIGIN) + where.mean(axis=0)[::-1] * spacing
    return {
        "volume_ml": float(inside.sum() * np.prod(spacing) / 1000.0),
        "suv_mean_activity": float(suv_part[inside].mean()),
        "center_ras": (float(-center[0]), float(-center[1]), float(center[2])),
        "extent_mm": tuple(float(e) for e in (np.ptp(where, axis=0) + 1)[::-1] * spacing),
        "necrotic_fraction": float((necrosis[inside] > 0.5).mean()),
    }


def _ct_noise(hu, random):
    """Scanner noise of about 11 HU with a short correlation in the slice, and marbling of the soft tissue; whole HU."""
    noise = random.standard_normal(hu.shape, dtype=np.float32)
    noise = ndimage.uniform_filter1d(ndimage.uniform_filter1d(noise, 2, axis=1), 2, axis=2) * np.float32(22.0)
    coarse = random.standard_normal((hu.shape[0], hu.shape[1] // 4 + 1, hu.shape[2] // 4 + 1), dtype=np.float32)
    marbling = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)[:, : hu.shape[1], : hu.shape[2]]
    marbling = ndimage.uniform_filter(marbling, (1, 5, 5)) * np.float32(12.0)
    marbling *= hu > -300.0
    noise += marbling
    noise += hu
    return np.maximum(np.rint(noise, out=noise), np.float32(LOWEST_HU), out=noise)


def _acquire_pet(suv, random) -> sitk.Image:
    """What a scanner makes of the activity: blurred, sampled on the coarser grid, noise that grows with the counts."""
    sigma = [PET_FWHM_MM * FWHM_TO_SIGMA / s for s in CT_SPACING[::-1]]
    blurred = _image(ndimage.gaussian_filter(suv, sigma, truncate=3.0), CT_SPACING, CT_ORIGIN)
    reference = sitk.Image(PET_SIZE, sitk.sitkFloat32)
    reference.SetSpacing(PET_SPACING)
    reference.SetOrigin(PET_ORIGIN)
    activity = sitk.GetArrayFromImage(sitk.Resample(blurred, reference, sitk.Transform(), sitk.sitkLinear, 0.0))
    noise = ndimage.gaussian_filter(random.standard_normal(activity.shape, dtype=np.float32), 0.6)
    noise *= np.float32(0.16) / noise.std()
    values = np.maximum(activity + noise * np.sqrt(activity + np.float32(0.02)), 0.0)
    return _image(values.astype(np.float32), PET_SPACING, PET_ORIGIN)


def _image(array, spacing, origin) -> sitk.Image:
    """An array (z, y, x) as an image with the identity direction."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def _oblique(image, interpolator, outside) -> sitk.Image:
    """The same anatomy sampled on a grid that is rotated by 9 degrees about z and 5 about x."""
    size = np.array(image.GetSize())
    rotation = sitk.Euler3DTransform((0.0, 0.0, 0.0), np.radians(5.0), 0.0, np.radians(9.0)).GetMatrix()
    matrix = np.array(rotation).reshape(3, 3)
    origin = middle_lps(image) - matrix @ ((size - 1) / 2 * np.array(image.GetSpacing()))
    return sitk.Resample(
        image, image.GetSize(), sitk.Transform(), interpolator, origin.tolist(), image.GetSpacing(), rotation, outside
    )
