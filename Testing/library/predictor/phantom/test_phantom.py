"""The digital phantom: anatomy where it belongs, a PET as a scanner blurs it, the same anatomy in every direction."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.phantom import phantom as phantom_module
from CHMFLPredictorLib.phantom.phantom import make_phantom, write_phantom


@pytest.fixture(scope="module")
def made():
    return make_phantom()


@pytest.fixture(scope="module")
def with_bladder():
    return make_phantom(seed=1, bladder=True)


def values_at(image, points_lps):
    """Nearest voxel values at LPS points."""
    return np.array([image[image.TransformPhysicalPointToIndex([float(c) for c in p])] for p in points_lps])


def tumor_suv(phantom):
    on_pet = sitk.Resample(phantom.mask, phantom.pet, sitk.Transform(), sitk.sitkNearestNeighbor)
    inside = sitk.GetArrayFromImage(on_pet) > 0
    return sitk.GetArrayFromImage(phantom.pet), inside


def test_same_seed_same_voxels_other_seed_other_tumor(made, with_bladder):
    again, other = make_phantom(), with_bladder
    for name in ("pet", "ct", "mask"):
        assert np.array_equal(
            sitk.GetArrayViewFromImage(getattr(made, name)), sitk.GetArrayViewFromImage(getattr(again, name))
        )
    assert not np.array_equal(sitk.GetArrayViewFromImage(made.mask), sitk.GetArrayViewFromImage(other.mask))
    assert other.truth["volume_ml"] != made.truth["volume_ml"]


def test_grids_differ_and_hold_the_largest_box(made):
    assert made.ct.GetSpacing() == pytest.approx((0.9766, 0.9766, 3.27))
    assert min(made.pet.GetSpacing()[:2]) > 3 * made.ct.GetSpacing()[0]
    assert made.mask.GetSize() == made.ct.GetSize() and made.mask.GetOrigin() == made.ct.GetOrigin()
    r, a, s = made.truth["center_ras"]
    for image in (made.ct, made.pet):
        low = np.array(image.TransformContinuousIndexToPhysicalPoint([-0.5] * 3))
        high = np.array(image.TransformContinuousIndexToPhysicalPoint([n - 0.5 for n in image.GetSize()]))
        half = np.array((96.0, 96.0, 120.0))
        assert (low <= np.array((-r, -a, s)) - half).all() and (high >= np.array((-r, -a, s)) + half).all()


def test_truth_is_what_the_images_show(made):
    mask = sitk.GetArrayViewFromImage(made.mask)
    spacing = np.array(made.ct.GetSpacing())
    assert made.truth["volume_ml"] == pytest.approx(mask.sum() * spacing.prod() / 1000)
    index = np.argwhere(mask)
    assert made.truth["extent_mm"] == pytest.approx((np.ptp(index, axis=0) + 1)[::-1] * spacing)
    center = made.ct.TransformContinuousIndexToPhysicalPoint(index.mean(axis=0)[::-1].tolist())
    assert made.truth["center_ras"] == pytest.approx((-center[0], -center[1], center[2]))
    pet, inside = tumor_suv(made)
    assert made.truth["suv_max"] == pet[inside].max() == pet.max()
    assert 8 < made.truth["suv_max"] < 13 and 100 < made.truth["volume_ml"] < 400


def test_tissues_lie_where_anatomy_puts_them(made):
    ct = sitk.GetArrayFromImage(made.ct)
    left = slice(ct.shape[2] // 2, None)  # the patient's left leg has no tumor
    leg = ct[46, :, left]
    bone, fat, muscle = leg > 400, (leg > -160) & (leg < -60), (leg > 10) & (leg < 110)
    pixel_cm2 = 0.9766**2 / 100
    assert 2 < bone.sum() * pixel_cm2 < 8 and 60 < muscle.sum() * pixel_cm2 < 180 and 15 < fat.sum() * pixel_cm2 < 80
    rows, columns = np.nonzero(bone)
    body = leg > -300
    marrow = leg[int(rows.mean()), int(columns.mean())]
    assert -100 < marrow < 120, "the femur is a tube"
    assert abs(columns.mean() - np.nonzero(body)[1].mean()) < 25, "the femur lies in the middle of the thigh"
    outermost = [row[np.flatnonzero(row > -300)[[2, 3, 4]]].mean() for row in leg[100:140:10]]
    assert np.mean(outermost) < 0, "under the skin lies fat"
    assert (np.abs(np.bincount(np.digitize(leg[muscle], [58])) / muscle.sum() - 0.5) < 0.15).all()


def test_tumor_has_a_hot_rim_and_a_cold_core(made):
    pet, inside = tumor_suv(made)
    distance = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(made.mask, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    )
    image = sitk.GetImageFromArray(distance)
    image.CopyInformation(made.ct)
    depth = sitk.GetArrayFromImage(sitk.Resample(image, made.pet, sitk.Transform(), sitk.sitkLinear))
    rim, core = pet[inside & (depth > 5) & (depth < 12)], pet[depth > 0.85 * depth.max()]
    assert 6 < rim.mean() < 10
    assert core.mean() < 0.5 * rim.mean()
    muscle = pet[(depth < -60) & (pet > 0.4)]
    assert 0.5 < np.median(muscle) < 0.8


def test_pet_is_blurred_as_it_says():
    """The second moment of a point source is the blur's variance plus what the interpolation adds."""
    activity = np.zeros(phantom_module.CT_SIZE[::-1], np.float32)
    activity[46, 120, 180] = 1e6
    pet = sitk.GetArrayFromImage(phantom_module._acquire_pet(activity, np.random.default_rng(0))).astype(float)
    z, y, x = np.nonzero(pet > 1e-3 * pet.max())
    weights = pet[z, y, x]
    for index, spacing, ct_spacing in ((x, 4.07, 0.9766), (y, 4.07, 0.9766), (z, 3.27, 3.27)):
        place = index * spacing
        variance = np.average((place - np.average(place, weights=weights)) ** 2, weights=weights)
        fwhm = 2.3548 * np.sqrt(variance - ct_spacing**2 / 4)
        assert fwhm == pytest.approx(6.0, rel=0.12)


def test_noise_grows_with_the_activity():
    activity = np.full(phantom_module.CT_SIZE[::-1], 1.0, np.float32)
    low, high = (
        sitk.GetArrayFromImage(phantom_module._acquire_pet(activity * level, np.random.default_rng(3)))[
            20:60, 9:49, 9:79
        ]
        for level in (1, 9)
    )
    assert high.std() / low.std() == pytest.approx(3.0, rel=0.1)
    assert 0.05 < low.std() < 0.3


def test_without_tumor():
    healthy = make_phantom(tumor=False)
    assert not sitk.GetArrayViewFromImage(healthy.mask).any()
    assert healthy.truth["volume_ml"] == 0 and healthy.truth["suv_max"] is None
    assert sitk.GetArrayViewFromImage(healthy.pet).max() < 3
    with pytest.raises(ValueError, match="sideways"):
        make_phantom(direction="sideways")


def test_bladder_is_hotter_than_the_tumor(with_bladder):
    full = with_bladder
    pet = sitk.GetArrayFromImage(full.pet)
    z, y, x = np.unravel_index(pet.argmax(), pet.shape)
    hottest = full.pet.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
    assert pet.max() > 2 * full.truth["suv_max"]
    assert abs(hottest[0]) < 40 and hottest[2] > 90, "the bladder is in the midline, at the upper end"


@pytest.mark.parametrize("direction", ["flipped", "oblique"])
def test_direction_moves_voxels_not_anatomy(made, direction):
    turned = make_phantom(direction=direction)
    assert turned.ct.GetDirection() != made.ct.GetDirection()
    random = np.random.default_rng(5)
    points = random.uniform((-120, -60, -60), (120, 60, 60), (400, 3))
    there, here = values_at(turned.ct, points), values_at(made.ct, points)
    if direction == "flipped":
        assert np.array_equal(there, here)
    else:
        assert np.corrcoef(there, here)[0, 1] > 0.97
    overlap = (values_at(turned.mask, points) > 0) == (values_at(made.mask, points) > 0)
    assert overlap.mean() > 0.99
    volume = sitk.GetArrayViewFromImage(turned.mask).sum() * np.prod(turned.mask.GetSpacing()) / 1000
    assert volume == pytest.approx(made.truth["volume_ml"], rel=0.01)


def test_written_files_hold_the_phantom(made, tmp_path):
    paths = write_phantom(tmp_path / "a folder ü")
    assert {p.name for p in (tmp_path / "a folder ü").iterdir()} == {"PET.nii.gz", "CT.nii.gz", "mask.nii.gz"}
    for name in ("pet", "ct", "mask"):
        read, image = sitk.ReadImage(str(paths[name])), getattr(made, name)
        assert read.GetSize() == image.GetSize() and read.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-4)
        assert np.array_equal(sitk.GetArrayViewFromImage(read), sitk.GetArrayViewFromImage(image))
    assert sitk.ReadImage(str(paths["ct"])).GetPixelID() == sitk.sitkInt16
