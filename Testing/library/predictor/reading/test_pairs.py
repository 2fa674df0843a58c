"""Pairs and masks: PET and CT that do not belong together are refused, and so is what is no mask of one tumor."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.reading.geometry import VoxelGrid
from CHMFLPredictorLib.reading.volumes import Volume, check_mask, check_pair, read_ct, read_mask, read_pair, read_pet
from hypothesis import given, settings
from hypothesis import strategies as st
from made_volumes import codes, make_ct, make_image, make_pet, refusal, save
from scipy.spatial.transform import Rotation

# Two volumes ----------------------------------------------------------------------------------------------------------


def test_swapped(pet, ct):
    error = refusal(read_pair, ct, pet)
    assert error.code == "swapped_pet_ct" and "other way round" in error.hint
    assert refusal(read_pet, ct).code == "pet_is_ct" and refusal(read_ct, pet).code == "ct_is_pet"
    swapped = Volume(read_ct(ct).image, "CT"), Volume(read_pet(pet).image, "PT")
    assert refusal(check_pair, *swapped).code == "swapped_pet_ct"


def test_swapped_by_their_values_alone(pet, ct):
    error = refusal(check_pair, Volume(read_ct(ct).image), Volume(read_pet(pet).image))
    assert error.code == "swapped_pet_ct" and "-1000" in error.message


def test_the_same_volume_twice(pet, ct, tmp_path):
    link = tmp_path / "link.nii.gz"
    try:
        link.symlink_to(pet)
    except OSError:
        link = pet
    other_format = [save(sitk.ReadImage(str(path)), tmp_path / f"copy of {path.stem}.nrrd") for path in (pet, ct)]
    for first, second in [(pet, pet), (ct, ct), (pet, link), (pet, other_format[0]), (ct, other_format[1])]:
        assert refusal(read_pair, first, second).code == "same_volume"
    volume = read_pet(pet)
    assert refusal(check_pair, volume, volume).code == "same_volume"
    assert refusal(check_pair, volume, read_pet(pet)).code == "same_volume"


def test_two_ct_volumes_are_neither_swapped_nor_the_same(ct, tmp_path):
    assert refusal(read_pair, save(make_ct(seed=9), tmp_path / "other.nrrd"), ct).code == "pet_is_ct"


def moved(ct, tmp_path, millimeters):
    image = sitk.ReadImage(str(ct))
    image.SetOrigin((image.GetOrigin()[0] + millimeters, *image.GetOrigin()[1:]))
    return save(image, tmp_path / "moved.nii.gz")


def test_no_overlap_and_little(pet, ct, tmp_path):
    error = refusal(read_pair, pet, moved(ct, tmp_path, 500))
    assert error.code == "no_overlap" and "500 mm apart" in error.message
    error = refusal(read_pair, pet, moved(ct, tmp_path, 120))  # of 160 mm: a quarter is shared
    assert error.code == "partial_overlap" and "25%" in error.message


def test_partial_overlap_warns(pet, ct, tmp_path):
    *_, warnings = read_pair(pet, moved(ct, tmp_path, 40))
    assert "partial_overlap" in codes(warnings) and "75%" in warnings[-1]["text"]


def test_overlap_of_a_small_ct_in_a_large_pet_is_whole(pet, ct, tmp_path):
    small = save(sitk.ReadImage(str(ct))[20:60, 10:45, 4:16], tmp_path / "small.nrrd")
    assert codes(read_pair(pet, small)[2]) == ["pet_units_assumed"]


@settings(max_examples=25, deadline=None)
@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), flip=st.booleans(), shift=st.tuples(*[st.floats(-60, 60)] * 3))
def test_overlap_against_sitk_resampling(angles, flip, shift):
    """The share computed with matrices equals what resampling a volume of ones gives, but for points on the border."""
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([1.0, -1.0 if flip else 1.0, 1])
    size, spacing = (16, 16, 16), np.array((4.0, 3.0, 5.0))
    origin = np.array(shift) - direction @ (spacing * (np.array(size) - 1) / 2)
    moving = make_image(np.ones(size, np.float32), spacing.tolist(), origin.tolist(), direction)

    def fixed(scale):
        spacing = np.array((4.0, 5.0, 6.0)) * scale
        return make_image(np.ones((15, 14, 13), np.float32), spacing.tolist(), (-spacing * (6, 6.5, 7)).tolist())

    def expected(scale):
        resampled = sitk.Resample(fixed(scale), moving, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
        return float(sitk.GetArrayFromImage(resampled).mean())

    share = VoxelGrid.of_image(moving).share_in(VoxelGrid.of_image(fixed(1.0)))
    assert expected(0.999) - 1e-6 <= share <= expected(1.001) + 1e-6


# Masks ----------------------------------------------------------------------------------------------------------------


def mask_file(path, value=1, kind=np.uint8, index=(slice(5, 9), slice(20, 30), slice(20, 40)), background=0):
    values = np.full((20, 60, 80), background, kind)
    values[index] = value
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(make_ct())
    return save(image, path)


@pytest.mark.parametrize(("value", "kind"), [(1, np.uint8), (255, np.uint8), (1, np.float32), (3, np.int16)])
def test_mask(tmp_path, ct, value, kind):
    mask = read_mask(mask_file(tmp_path / "mask.nii.gz", value, kind))
    values = sitk.GetArrayFromImage(mask.image)
    assert values.dtype == np.uint8 and set(np.unique(values)) == {0, 1} and values.sum() == 4 * 10 * 20
    assert mask.image.GetOrigin() == make_ct().GetOrigin() and mask.modality == "SEG"
    assert check_mask(mask, read_ct(ct)) == []


def test_bad_masks(tmp_path):
    path = tmp_path / "mask.nrrd"
    assert refusal(read_mask, mask_file(path, 0)).code == "mask_empty"
    assert refusal(read_mask, mask_file(path, 1, background=1)).code == "mask_full"
    assert refusal(read_mask, mask_file(path, 0.4, np.float32)).code == "mask_not_binary"
    assert refusal(read_mask, mask_file(path, np.nan, np.float32)).code == "mask_not_binary"
    assert refusal(read_mask, tmp_path).code == "mask_is_dicom"
    assert refusal(read_mask, save(make_pet(), path)).code == "mask_not_binary"


def test_mask_of_many_labels_lists_them_and_one_can_be_chosen(tmp_path):
    values = np.zeros((20, 60, 80), np.uint8)
    values[2:4, :10, :10], values[6:10, :10, :10] = 2, 7
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(make_ct())
    path = save(image, tmp_path / "mask.nii.gz")
    error = refusal(read_mask, path)
    assert error.code == "mask_many_labels"
    assert "2 (2.4 ml), 7 (4.8 ml)" in error.message  # 200 and 400 voxels of 12 cubic millimeters
    assert sitk.GetArrayFromImage(read_mask(path, label=7).image).sum() == 400
    assert refusal(read_mask, path, label=3).code == "mask_empty"


def test_mask_outside_the_ct(tmp_path, ct):
    mask, volume = read_mask(mask_file(tmp_path / "mask.nii.gz")), read_ct(ct)
    mask.image.SetOrigin((1000, 0, 0))
    assert refusal(check_mask, mask, volume).code == "mask_outside_ct"
    mask.image.SetOrigin((make_ct().GetOrigin()[0] - 60, *make_ct().GetOrigin()[1:]))
    assert codes(check_mask(mask, volume)) == ["mask_partly_outside"]
