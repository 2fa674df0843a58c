"""A CT that was resampled onto a larger grid: what was filled in at its border is no image."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.network.preprocessing import ChannelSteps, Preprocessing, prepare
from CHMFLPredictorLib.predict.prediction import Inputs, Predictor
from CHMFLPredictorLib.reading.volumes import AIR_HU, check_mask, read_ct, read_mask
from made_volumes import codes, make_ct, make_image, refusal, save

TURN = sitk.Euler3DTransform()
TURN.SetRotation(0.03, 0.05, 0.4)


def widened(ct, fill, turned=False):
    """The CT on a grid that is larger on every side, and where it has no data (bool, axes k, j, i)."""
    grid = sitk.ConstantPad(ct, [9, 7, 3], [5, 8, 2], 0)
    ct, transform = sitk.Cast(ct, sitk.sitkFloat32), TURN if turned else sitk.Transform()
    TURN.SetCenter(ct.TransformContinuousIndexToPhysicalPoint([n / 2 for n in ct.GetSize()]))
    values = sitk.GetArrayFromImage(sitk.Resample(ct, grid, transform, sitk.sitkLinear, -3e4))
    outside = values == -3e4
    values[outside] = fill
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(grid)
    return image, outside


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("fill", [0.0, 40.0, -500.0, 100.5, 3071.0])
def test_a_filled_border_is_no_data(tmp_path, fill, turned):
    image, outside = widened(make_ct(), fill, turned)
    ct = read_ct(save(image, tmp_path / "CT.nii.gz"))
    assert codes(ct.warnings) == ["ct_border_filled"]
    found, values = (sitk.GetArrayViewFromImage(one) for one in (ct.no_data, ct.image))
    assert (found[outside] == 1).all() and found[~outside].mean() < 0.003, "few voxels at the edge have the same value"
    text = f"{found.mean():.1%} of the CT, at its edge, are filled with {fill:g} HU"
    assert ct.warnings[0]["text"].startswith(text)
    assert (values[outside] == AIR_HU).all()
    np.testing.assert_array_equal(values[found == 0], sitk.GetArrayViewFromImage(image)[found == 0])


def test_one_side_slices_and_two_constants(tmp_path):
    for low, high in (([0, 0, 0], [6, 0, 0]), ([0, 0, 4], [0, 0, 0]), ([1, 1, 1], [1, 1, 1])):
        padded = sitk.ConstantPad(make_ct(), low, high, 0)
        ct = read_ct(save(padded, tmp_path / "CT.nii.gz"))
        expected = padded.GetNumberOfPixels() - make_ct().GetNumberOfPixels()
        assert int(sitk.GetArrayViewFromImage(ct.no_data).sum()) == pytest.approx(expected, rel=0.02)
    twice = sitk.ConstantPad(sitk.ConstantPad(make_ct(), [5, 0, 0], [0, 0, 0], 0), [0, 0, 0], [5, 0, 0], 50)
    ct = read_ct(save(twice, tmp_path / "CT.nii.gz"))
    assert "0 HU and 50 HU" in ct.warnings[0]["text"]


def test_the_corners_of_a_round_field_of_view(tmp_path):
    values = sitk.GetArrayFromImage(make_ct())
    j, i = np.indices(values.shape[1:])
    outside = np.hypot(j - 29.5, i - 39.5) > 29
    values[:, outside] = 0
    ct = read_ct(save(make_image(values, (2.0, 2.0, 3.0), (-81.0, -61.0, 10.0)), tmp_path / "CT.nii.gz"))
    assert sitk.GetArrayViewFromImage(ct.no_data)[:, outside].all()


@pytest.mark.parametrize(
    "change",
    [
        lambda ct: ct,
        lambda ct: sitk.ConstantPad(ct, [9, 9, 2], [9, 9, 2], -1000),
        lambda ct: sitk.ConstantPad(ct, [9, 9, 2], [9, 9, 2], -2048),  # as scanners do outside their circle
        lambda ct: sitk.Clamp(ct, lowerBound=-160, upperBound=240),  # cut to a window: its lowest value is air
    ],
)
def test_air_is_no_filled_border(tmp_path, change):
    ct = read_ct(save(change(make_ct()), tmp_path / "CT.nii.gz"))
    assert ct.no_data is None and "ct_border_filled" not in codes(ct.warnings)


def test_the_box_sees_what_it_saw_of_the_ct_alone(tmp_path):
    settings, center = Preprocessing(3.0, (40, 40, 24), ChannelSteps(), ChannelSteps()), (0.0, 0.0, 40.0)
    image, _ = widened(make_ct(), 0.0)
    filled, alone = (read_ct(save(one, tmp_path / "CT.nii.gz")) for one in (image, make_ct()))
    pet = sitk.Cast(sitk.ConstantPad(make_ct(), [20] * 3, [20] * 3, 1) * 0 + 1, sitk.sitkFloat32)
    seen = prepare(pet, filled.image, center, settings, filled.no_data)
    reference = prepare(pet, alone.image, center, settings)
    assert 0.1 < reference.inside.mean() < 0.9
    assert np.mean(seen.inside != reference.inside) < 0.03, "half a voxel at the edge"
    both = seen.inside & reference.inside
    assert np.mean(np.abs(seen.hu - reference.hu)[both] > 1) < 0.05 and (seen.hu[~seen.inside] < -400).mean() > 0.95
    assert not np.array_equal(prepare(pet, image, center, settings).inside, seen.inside)


def test_a_mask_in_the_filled_border_lies_outside_the_ct(tmp_path):
    image, outside = widened(make_ct(), 0.0)
    ct = read_ct(save(image, tmp_path / "CT.nii.gz"))
    values = np.zeros(outside.shape, np.uint8)
    values[4:9, 20:30, 2:8] = 1
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    assert refusal(check_mask, read_mask(save(mask, tmp_path / "mask.nii.gz")), ct).code == "mask_outside_ct"
    values[4:9, 20:30, 2:30] = 1
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    assert codes(check_mask(read_mask(save(mask, tmp_path / "mask.nii.gz")), ct)) == ["mask_partly_outside"]


def test_a_filled_border_does_not_move_a_patients_risk(sts, tmp_path):
    folder = sts / "images" / "STS_015"
    pet, ct = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("PET", "CT"))
    wide = sitk.ConstantPad(pet, [16, 16, 0], [16, 16, 0], 0.0)
    inputs = [Inputs(str(folder / "PET.nii.gz"), str(folder / "CT.nii.gz"))]
    save(wide, tmp_path / "PET.nii.gz")
    for name, fill in (("air", -1024), ("water", 0)):
        resampled = sitk.Resample(ct, wide, sitk.Transform(), sitk.sitkLinear, fill)
        inputs.append(Inputs(str(tmp_path / "PET.nii.gz"), str(save(resampled, tmp_path / f"{name}.nii.gz"))))
    predictor = Predictor(device="cpu")
    plain, air, water = (predictor.predict(one, tmp_path / f"out{n}", risk_only=True) for n, one in enumerate(inputs))
    assert water["risk"] == pytest.approx(air["risk"], abs=0.002) and abs(water["risk"] - plain["risk"]) < 0.05
    assert "ct_border_filled" in codes(water["warnings"]) and "ct_border_filled" not in codes(air["warnings"])
    np.testing.assert_allclose(water["box"]["center_ras_mm"], air["box"]["center_ras_mm"], atol=0.5)
