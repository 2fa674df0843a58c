"""Where FDG is hot without being tumor: urine in the bladder, the brain, and (in body-wide scans) kidneys and heart.

Rules of physiology, no learning. The bladder rule was checked on the 51 patients of Soft-tissue-Sarcoma, whose
published crops hold many bladders; they hold no brain, heart or kidney: those rules were checked on phantoms only.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import BadInput
from ..reading.geometry import bounds_lps
from ..reading.volumes import AIR_HU

SLAB_SLICES = 32
STEP_MM = 4.0  # about a PET voxel: nothing smaller is resolved, and a body-wide scan stays small
SMOOTHING_FWHM_MM = 8.0  # about PET's own resolution; takes the noise off the threshold
SOFT_TISSUE_HU = (-100.0, 150.0)
BODY_HU = -300.0
URINE_HU = 21.0  # water is 0 to 20 HU, the last one is noise; viable tumor and muscle are 30 to 60 HU
HOT_SUV = 5.0  # muscle, fat, marrow, liver and blood stay below it
URINE_ML = 5.0  # a smaller pool is blurred by PET until SUV and HU no longer belong to the same tissue
BONE_HU = 250.0
CRANIAL_CM2 = (40.0, 220.0)  # area of the cranial cavity on an axial slice; a marrow cavity is smaller, a thorax larger
CRANIAL_ML = 300.0
LUNG_HU = -500.0
LUNG_ML = 1000.0  # as much air inside the body means that the scan holds the chest
KIDNEY_ML = (20.0, 600.0)  # of cortex and pelvis above SUV 4, with a moderately filled pelvis
IN_PLANE = np.pad(ndimage.generate_binary_structure(2, 1)[:, :, None], ((0, 0), (0, 0), (1, 1)))


@dataclass(frozen=True)
class Field:
    """PET and CT on one coarse grid along the patient's axes.

    suv: float32 (X, Y, Z), body-weight SUV smoothed to 8 mm, 0 outside `inside`.
    hu: float32 (X, Y, Z), HU, -1000 outside `inside`.
    inside: bool (X, Y, Z), True where both images have data.
    origin_lps: center of voxel (0, 0, 0) in LPS mm; axes x to L, y to P, z to S; voxels of STEP_MM.
    """

    suv: np.ndarray
    hu: np.ndarray
    inside: np.ndarray
    origin_lps: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return STEP_MM**3 / 1000.0

    def to_ras(self, index) -> tuple[float, float, float]:
        """Continuous index (x, y, z) to RAS mm."""
        x, y, z = (float(o + STEP_MM * i) for o, i in zip(self.origin_lps, index, strict=True))
        return (-x, -y, z)

    def to_index(self, ras) -> np.ndarray:
        """RAS mm to continuous index (x, y, z)."""
        return (np.array([-ras[0], -ras[1], ras[2]], dtype=float) - self.origin_lps) / STEP_MM

    def box(self, center_index, box_mm) -> tuple[slice, slice, slice]:
        """Slices of the voxels whose centers lie in the box, cut at the field's edge."""
        half = np.asarray(box_mm, dtype=float) / 2 / STEP_MM
        low = np.clip(np.ceil(center_index - half), 0, self.suv.shape).astype(int)
        high = np.clip(np.floor(center_index + half) + 1, 0, self.suv.shape).astype(int)
        return tuple(slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True))


def _require_volume(image: sitk.Image) -> None:
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        shape = f"{image.GetDimension()}D with {image.GetNumberOfComponentsPerPixel()} values a voxel"
        raise BadInput("not_a_volume", f"The image is {shape}.", "Choose a 3D volume with one value a voxel.")


def _coarse(image: sitk.Image) -> sitk.Image:
    """Average whole voxels together up to STEP_MM, so that resampling does not skip over fine CT voxels; float32.

    Slab by slab: a whole body in float32 would take a gigabyte.
    """
    factors = [
        int(np.clip(STEP_MM / spacing + 0.3, 1, size))
        for spacing, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    if max(factors) == 1:
        return image if image.GetPixelID() == sitk.sitkFloat32 else sitk.Cast(image, sitk.sitkFloat32)
    slices, height = image.GetSize()[2] // factors[2] * factors[2], SLAB_SLICES * factors[2]
    slabs = [
        sitk.BinShrink(sitk.Cast(image[:, :, z : min(z + height, slices)], sitk.sitkFloat32), factors)
        for z in range(0, slices, height)
    ]
    whole = sitk.GetImageFromArray(np.concatenate([sitk.GetArrayViewFromImage(slab) for slab in slabs]))
    whole.SetOrigin(slabs[0].GetOrigin())
    whole.SetSpacing(slabs[0].GetSpacing())
    whole.SetDirection(image.GetDirection())
    return whole


def common_field(pet_suv_image: sitk.Image, ct_hu_image: sitk.Image) -> Field:
    """PET (SUV) and CT (HU) where both are, on a 4 mm grid along the patient's axes, whatever the images' directions.

    Errors: BadInput "no_overlap" when the two do not meet, "not_a_volume".
    """
    for image in (pet_suv_image, ct_hu_image):
        _require_volume(image)
    extents = [bounds_lps(image) for image in (pet_suv_image, ct_hu_image)]
    low = np.max([extent[0] for extent in extents], axis=0)
    high = np.min([extent[1] for extent in extents], axis=0)
    if np.any(high - low <= 0):
        raise BadInput(
            "no_overlap",
            f"PET and CT do not overlap (gap of {float(np.max(low - high)):.0f} mm).",
            "Check that both volumes belong to the same study.",
        )
    size = np.maximum(1, np.ceil((high - low) / STEP_MM - 1e-6)).astype(int)
    origin = (low + high) / 2 - (size - 1) / 2 * STEP_MM
    reference = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    reference.SetOrigin(origin.tolist())
    reference.SetSpacing([STEP_MM] * 3)
    suv, hu = (
        sitk.GetArrayFromImage(
            sitk.Resample(_coarse(image), reference, sitk.Transform(), sitk.sitkLinear, float("nan"))
        ).transpose(2, 1, 0)
        for image in (pet_suv_image, ct_hu_image)
    )
    inside = np.isfinite(suv) & np.isfinite(hu)
    if not inside.any():
        raise BadInput("no_overlap", "PET and CT do not overlap.", "Check that both volumes belong to the same study.")
    # smoothing over the inside only: a plain filter would dim a tumor at the image's edge
    weight = ndimage.gaussian_filter(inside.astype(np.float32), SMOOTHING_FWHM_MM / 2.355 / STEP_MM)
    smooth = ndimage.gaussian_filter(np.where(inside, suv, 0.0), SMOOTHING_FWHM_MM / 2.355 / STEP_MM)
    suv = np.where(inside, smooth / np.maximum(weight, 1e-3), 0.0).astype(np.float32)
    return Field(suv, np.where(inside, hu, AIR_HU).astype(np.float32), inside, tuple(origin.tolist()))


def body(field: Field) -> np.ndarray:
    """Bool (X, Y, Z): tissue on CT, without air, lung and thin things such as the table top and clothes."""
    tissue = field.inside & (field.hu > BODY_HU)
    return ndimage.binary_opening(np.pad(tissue, 1, mode="edge"))[1:-1, 1:-1, 1:-1] & tissue


def urine(field: Field) -> np.ndarray:
    """Bool (X, Y, Z): hot pools of water on CT, which is the bladder, a full ureter or a contamination.

    Every connected pool above SUV 5 and 5 ml whose hot core (above half of its maximum) has the median density of
    water (21 HU or less). Avid tumor is living tissue of 30 to 60 HU; necrosis and myxoid tumor are watery but not hot.
    In the 51 patients it finds pools of -5 to 20.5 HU, none of them in a GTV; the most watery hot part of a tumor has
    22 HU. The margin is thin: the bladder of STS_044 (26 HU, cut by the image's edge) is missed.
    """
    found = np.zeros(field.suv.shape, dtype=bool)
    labels, _ = ndimage.label(field.suv > HOT_SUV)
    for label, where in enumerate(ndimage.find_objects(labels), 1):
        part = labels[where] == label
        if part.sum() * field.voxel_ml < URINE_ML:
            continue
        suv, hu = field.suv[where], field.hu[where]
        core = part & (suv > 0.5 * np.percentile(suv[part], 99))
        soft = core & (hu > SOFT_TISSUE_HU[0]) & (hu < SOFT_TISSUE_HU[1])
        # mostly soft tissue or water: a rim of air or bone (skin tumors, misregistration) must not decide
        if soft.sum() >= 0.5 * core.sum() and np.median(hu[soft]) <= URINE_HU:
            found[where] |= part
    return found


def _enclosed(wall: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of what `wall` encloses on each axial slice (one label for each slice's region), and their number."""
    labels, count = ndimage.label(~wall, structure=IN_PLANE)
    border = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    keep = np.ones(count + 1, dtype=bool)
    keep[border] = False
    keep[0] = False
    return np.where(keep[labels], labels, 0), count


def cranial_cavity(field: Field) -> np.ndarray:
    """Bool (X, Y, Z): what bone encloses on axial slices, if it reaches the area and volume of a skull."""
    labels, count = _enclosed(field.inside & (field.hu > BONE_HU))
    area_cm2 = np.bincount(labels.ravel(), minlength=count + 1) * (STEP_MM / 10.0) ** 2
    area_cm2[0] = 0.0
    wide = (area_cm2 >= CRANIAL_CM2[0]) & (area_cm2 <= CRANIAL_CM2[1])
    if area_cm2[wide].sum() * STEP_MM / 10.0 < CRANIAL_ML:
        return np.zeros(field.suv.shape, dtype=bool)
    # the narrow slices under the vault belong to it, too
    spaces, space_count = ndimage.label((labels > 0) & (area_cm2[labels] <= CRANIAL_CM2[1]))
    wide_voxels = np.bincount(spaces[wide[labels]], minlength=space_count + 1)
    cranial = wide_voxels * field.voxel_ml >= CRANIAL_ML
    cranial[0] = False
    return cranial[spaces]


def brain(field: Field) -> np.ndarray:
    """Bool (X, Y, Z): the cranial cavity, and hot parts that lie mostly in it and leave it where the skull is open."""
    cavity = cranial_cavity(field)
    if not cavity.any():
        return cavity
    labels, count = ndimage.label(field.suv > HOT_SUV)
    total = np.bincount(labels.ravel(), minlength=count + 1)
    in_cavity = np.bincount(labels[cavity], minlength=count + 1) > 0.5 * total
    in_cavity[0] = False
    return cavity | in_cavity[labels]


def lungs(field: Field) -> np.ndarray:
    """Bool (X, Y, Z): air inside the body; all False when it is less than a chest holds."""
    air, _ = _enclosed(body(field))
    lung = (air > 0) & field.inside & (field.hu < LUNG_HU)
    return lung if lung.sum() * field.voxel_ml >= LUNG_ML else np.zeros_like(lung)


def looks_like_heart(center_index, lung: np.ndarray) -> bool:
    """True for uptake between the lungs: lung to its left and to its right on its own axial line."""
    x, y, z = (int(np.clip(round(float(i)), 0, n - 1)) for i, n in zip(center_index, lung.shape, strict=True))
    return bool(lung[:x, y, z].any() and lung[x + 1 :, y, z].any())


def looks_like_kidney(
    index: int, centers: np.ndarray, volumes_ml: np.ndarray, tissue: np.ndarray, lung: np.ndarray
) -> bool:
    """True for uptake below the lungs' middle that has a twin of like size on the other side of the body's midline."""
    if not KIDNEY_ML[0] <= volumes_ml[index] <= KIDNEY_ML[1]:
        return False
    x, _, z = centers[index]
    if z >= np.nonzero(lung.any(axis=(0, 1)))[0].mean():
        return False
    columns = np.nonzero(tissue[:, :, int(np.clip(round(float(z)), 0, tissue.shape[2] - 1))])[0]
    if not columns.size:
        return False
    mirrored = np.array([2 * columns.mean() - x, *centers[index][1:]])
    near = np.all(np.abs(centers - mirrored) * STEP_MM < (40.0, 40.0, 60.0), axis=1)
    alike = (volumes_ml > volumes_ml[index] / 2.5) & (volumes_ml < volumes_ml[index] * 2.5)
    apart = np.abs(centers[:, 0] - x) * STEP_MM > 60.0
    return bool(np.any(near & alike & apart))


def hot_organs(pet_suv_image: sitk.Image, ct_hu_image: sitk.Image, center_ras, box_mm) -> list[dict]:
    """Warnings of code "hot_organ_in_box" for urine or brain in a box that was placed by whatever means.

    :param center_ras: center of the box, RAS mm.  :param box_mm: its size along the patient's axes, mm.
    :return: list of {"code", "text"}, empty when nothing was found.  Errors: see :func:`common_field`.
    """
    field = common_field(pet_suv_image, ct_hu_image)
    return organ_warnings(field, field.to_index(center_ras), box_mm, urine(field), brain(field))


def organ_warnings(field: Field, center_index, box_mm, pool: np.ndarray, head: np.ndarray) -> list[dict]:
    """The same from masks already found (:func:`urine`, :func:`brain`) and a continuous index."""
    box = field.box(np.asarray(center_index, dtype=float), box_mm)
    kinds = (("urine (bladder or ureter)", pool[box]), ("brain", head[box] & (field.suv[box] > HOT_SUV)))
    warnings = []
    for name, part in kinds:
        volume_ml = float(part.sum()) * field.voxel_ml
        if volume_ml < 1.0:
            continue
        text = (
            f"The box holds {volume_ml:.0f} ml that look like {name}, with SUV up to {field.suv[box][part].max():.1f}. "
            "It may raise the risk and be taken for tumor: check the segmentation, or move the center away from it."
        )
        warnings.append({"code": "hot_organ_in_box", "text": text})
    return warnings
