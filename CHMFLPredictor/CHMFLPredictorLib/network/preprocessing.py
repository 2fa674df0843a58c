"""From PET and CT to the network's input, and back to the CT's grid (paper, section II.A).

The network sees a box with the patient's axes: array axis 0 runs to the patient's left, axis 1 to the back, axis 2 to
the head, in equal
steps of ``voxel_mm``. Points are RAS millimeters outside this file; inside, SimpleITK's LPS.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from ..reading.volumes import AIR_HU
from .normalization import normalize_luminosity_and_contrast, standardize

_OUTSIDE = -1.0e6  # marks voxels that the image does not reach; no SUV or HU comes near it


@dataclass(frozen=True)
class ChannelSteps:
    """What is done to one modality inside the box, in this order. Each step can be left out.

    :param clip: lower and upper limit, in SUV or HU.
    :param log: natural logarithm of 1 + value (PET only: needs a lower limit of 0).
    :param scale: (offset, divisor): a fixed scale, equal for all patients, so absolute SUV or HU survive.
    :param standardize: zero mean and unit variance: "cohort" over the boxes of the training patients, which
        :func:`standardized` writes down as the scale; "box" over each box by itself (absolute values are lost); ""
        leaves it out.
    :param luminosity_contrast: luminosity and contrast normalization after Foracchia 2005 (the paper; absolute values
        are lost).
    :param contrast_window: its window, a cube of so many voxels a side; ``Testing/contrast_window.py`` shows why it has
        to be larger than any tumor.
    """

    clip: tuple[float, float] | None = None
    log: bool = False
    scale: tuple[float, float] | None = None
    standardize: str = ""
    luminosity_contrast: bool = False
    contrast_window: int = 25

    def __post_init__(self):
        if self.log and (self.clip is None or self.clip[0] < 0):
            raise ValueError("log needs a clip with a lower limit of at least 0")
        if self.standardize not in ("", "box", "cohort"):
            raise ValueError(f"standardize must be 'cohort', 'box' or '', not {self.standardize!r}")
        if self.contrast_window < 3 or self.contrast_window % 2 == 0:
            raise ValueError(
                f"the contrast window has a middle voxel: an odd number from 3, not {self.contrast_window}"
            )


# section II.A: standardization and contrast enhancement, against noise of high and low frequency
_PAPER_STEPS = ChannelSteps(standardize="cohort", luminosity_contrast=True, contrast_window=143)


@dataclass(frozen=True)
class Preprocessing:
    """Box and intensity steps of a model.

    :param voxel_mm: side of a voxel in mm. 2 reads the paper's 112 x 112 x 144 as voxels: its Table SIV implies that a
        tumor is 2.5 to 3.0 % of the box, and the 48 patients' are 2.9 % at 2 mm, 21.5 % at 1 mm, which reads the
        numbers as millimeters.
    """

    voxel_mm: float = 2.0
    size_voxels: tuple[int, int, int] = (112, 112, 144)
    pet: ChannelSteps = field(default_factory=lambda: _PAPER_STEPS)
    ct: ChannelSteps = field(default_factory=lambda: _PAPER_STEPS)

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Sides of the box: left-right, front-back, foot-head."""
        return tuple(n * self.voxel_mm for n in self.size_voxels)

    def to_dict(self) -> dict:
        """As JSON types, for the model's card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Preprocessing:
        """The inverse of :meth:`to_dict`; unknown keys raise TypeError."""
        channels = {name: _channel_steps(values[name]) for name in ("pet", "ct") if name in values}
        rest = {name: value for name, value in values.items() if name not in ("pet", "ct")}
        if "size_voxels" in rest:
            rest["size_voxels"] = tuple(rest["size_voxels"])
        return cls(**rest, **channels)


def _channel_steps(values: dict) -> ChannelSteps:
    if isinstance(values.get("standardize"), bool):  # a card of before 0.2, which knew the box's own statistics only
        values = {**values, "standardize": "box" if values["standardize"] else ""}
    return ChannelSteps(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


@dataclass(frozen=True)
class Grid:
    """The voxels of a box: LPS position of voxel (0, 0, 0), spacing in mm, number of voxels; axes are the patient's."""

    origin_lps: tuple[float, float, float]
    spacing: tuple[float, float, float]
    size: tuple[int, int, int]

    @property
    def center_ras_mm(self) -> tuple[float, float, float]:
        """The middle of the box."""
        lps = [o + s * (n - 1) / 2 for o, s, n in zip(self.origin_lps, self.spacing, self.size, strict=True)]
        return (-lps[0], -lps[1], lps[2])

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing)) / 1000.0

    def image(self, array: np.ndarray) -> sitk.Image:
        """The array (X, Y, Z) as a SimpleITK image in its place."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetOrigin(self.origin_lps)
        image.SetSpacing(self.spacing)
        return image

    def sample(
        self, image: sitk.Image, default: float, interpolator=sitk.sitkLinear, pixel_type=sitk.sitkFloat32
    ) -> np.ndarray:
        """The image's values at this grid's voxels, as an array (X, Y, Z)."""
        resampled = sitk.Resample(
            image,
            self.size,
            sitk.Transform(),
            interpolator,
            self.origin_lps,
            self.spacing,
            np.eye(3).ravel().tolist(),
            default,
            pixel_type,
        )
        return sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)


@dataclass
class NetworkInput:
    """One patient as the network sees it. All arrays have the box's shape (X, Y, Z).

    :param inputs: float32 (2, X, Y, Z), channel 0 PET, channel 1 CT, after all steps.
    :param suv: PET in SUV before the intensity steps, 0 where there is no PET.
    :param hu: CT in HU before the intensity steps, -1000 where there is no CT.
    :param inside: True where both images have data.
    """

    inputs: np.ndarray
    suv: np.ndarray
    hu: np.ndarray
    inside: np.ndarray
    grid: Grid


def box_grid(center_ras, preprocessing: Preprocessing) -> Grid:
    """The voxels of the model's box around a point in RAS mm."""
    spacing = (float(preprocessing.voxel_mm),) * 3
    center_lps = (-center_ras[0], -center_ras[1], center_ras[2])
    origin = tuple(
        float(c - s * (n - 1) / 2) for c, s, n in zip(center_lps, spacing, preprocessing.size_voxels, strict=True)
    )
    return Grid(origin, spacing, tuple(preprocessing.size_voxels))


def prepare(
    pet: sitk.Image, ct: sitk.Image, center_ras, preprocessing: Preprocessing, no_data: sitk.Image | None = None
) -> NetworkInput:
    """Resample PET (SUV) and CT (HU) into the box around ``center_ras`` (mm) and run the model's intensity steps.

    :param no_data: where the CT holds none though its grid reaches there, 0 and 1.
    """
    grid = box_grid(center_ras, preprocessing)
    suv = grid.sample(_smoothed(pet, grid), _OUTSIDE)
    hu = grid.sample(_smoothed(ct, grid), _OUTSIDE)
    inside = (suv > _OUTSIDE / 2) & (hu > _OUTSIDE / 2)
    if no_data is not None:
        inside &= grid.sample(no_data, 0, sitk.sitkNearestNeighbor, sitk.sitkUInt8) == 0
    suv = np.where(suv > _OUTSIDE / 2, suv, np.float32(0))
    hu = np.where(hu > _OUTSIDE / 2, hu, np.float32(AIR_HU))
    return NetworkInput(normalize(suv, hu, preprocessing), suv, hu, inside, grid)


def normalize(suv: np.ndarray, hu: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The intensity steps alone: SUV and HU (X, Y, Z) to the network's input (2, X, Y, Z)."""
    return np.stack([_run_steps(suv, preprocessing.pet), _run_steps(hu, preprocessing.ct)])


def standardized(settings: Preprocessing, boxes) -> Preprocessing:
    """The steps with the mean and deviation of these patients written down where ``standardize`` is "cohort".

    :param boxes: (suv, hu, inside) of each training patient, (X, Y, Z) each; voxels outside the images do not count.
    """
    wanted = [name for name in ("pet", "ct") if getattr(settings, name).standardize == "cohort"]
    if not wanted:
        return settings
    totals = {name: np.zeros(3) for name in wanted}  # voxels, sum, sum of squares
    for suv, hu, inside in boxes:
        for name in wanted:
            steps = replace(getattr(settings, name), scale=None, standardize="", luminosity_contrast=False)
            values = _run_steps({"pet": suv, "ct": hu}[name].astype(np.float32), steps)[inside].astype(np.float64)
            totals[name] += values.size, values.sum(), np.square(values).sum()
    found = {}
    for name, (count, total, squares) in totals.items():
        mean = total / max(count, 1)
        deviation = max(squares / max(count, 1) - mean**2, 0.0) ** 0.5
        found[name] = replace(getattr(settings, name), scale=(float(mean), float(max(deviation, 1e-6))))
    return replace(settings, **found)


def mask_to_grid(mask: sitk.Image, grid: Grid) -> np.ndarray:
    """A mask (0 or not 0) at the box's voxels, uint8 (X, Y, Z); a voxel counts when at least half of it lies in the
    mask.
    """
    values = sitk.Cast(mask != 0, sitk.sitkFloat32)
    return (grid.sample(_smoothed(values, grid), 0.0) >= 0.5).astype(np.uint8)


def to_reference(
    array: np.ndarray, grid: Grid, reference: sitk.Image, default: float = 0.0, nearest: bool = False
) -> sitk.Image:
    """The way back: an array of the box (X, Y, Z) on exactly the reference's voxels; ``default`` outside the box."""
    pixel_type = sitk.sitkUInt8 if array.dtype == np.uint8 else sitk.sitkFloat32
    image = grid.image(array if array.dtype == np.uint8 else array.astype(np.float32, copy=False))
    interpolator = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    return sitk.Resample(image, reference, sitk.Transform(), interpolator, default, pixel_type)


def _smoothed(image: sitk.Image, grid: Grid) -> sitk.Image:
    """The part of the image around the box, smoothed along axes that the box samples more coarsely (against
    aliasing).
    """
    image = _crop_to(image, grid)
    if image.GetPixelID() != sitk.sitkFloat32:
        image = sitk.Cast(image, sitk.sitkFloat32)
    for axis, spacing in enumerate(image.GetSpacing()):
        # 0.4 of the coarser voxel is the usual sigma of an antialiasing filter; below a factor of 1.5 linear
        # interpolation does it alone
        if grid.spacing[0] > 1.5 * spacing and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(
                image, sigma=0.4 * grid.spacing[0], normalizeAcrossScale=False, direction=axis
            )
    return image


def _crop_to(image: sitk.Image, grid: Grid) -> sitk.Image:
    """The smallest part of the image that holds the box and a margin; the whole image where the box lies outside it."""
    corners = np.array(
        np.meshgrid(*[(o, o + s * (n - 1)) for o, s, n in zip(grid.origin_lps, grid.spacing, grid.size, strict=True)])
    )
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in corners.reshape(3, -1).T.tolist()])
    margin = 3.0 * grid.spacing[0] / np.array(image.GetSpacing()) + 1.0
    size = np.array(image.GetSize())
    low = np.clip(np.floor(indices.min(0) - margin), 0, size - 1).astype(int)
    high = np.clip(np.ceil(indices.max(0) + margin), 0, size - 1).astype(int)
    if np.any(indices.max(0) < 0) or np.any(indices.min(0) > size - 1):
        return image
    return image[tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))]


def _run_steps(values: np.ndarray, steps: ChannelSteps) -> np.ndarray:
    if steps.clip is not None:
        values = np.clip(values, *steps.clip)
    if steps.log:
        values = np.log1p(values)
    if steps.standardize == "cohort" and steps.scale is None:
        raise ValueError("the steps are standardized by the training patients: call standardized() with them first")
    if steps.scale is not None:
        values = (values - steps.scale[0]) / steps.scale[1]
    if steps.standardize == "box":
        values = standardize(values)
    if steps.luminosity_contrast:
        values = normalize_luminosity_and_contrast(values, steps.contrast_window)
    return values.astype(np.float32, copy=False)
