"""Preprocessing: the box, the way there and back, and the two normalizations of section II.A."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.network.normalization import normalize_luminosity_and_contrast, standardize
from CHMFLPredictorLib.network.preprocessing import (
    ChannelSteps,
    Preprocessing,
    box_grid,
    mask_to_grid,
    normalize,
    prepare,
    standardized,
    to_reference,
)
from CHMFLPredictorLib.network.presets import PRESETS
from hypothesis import given, settings
from hypothesis import strategies as st

PLAIN = Preprocessing(2.0, (32, 32, 48), pet=ChannelSteps(), ct=ChannelSteps())


def image_of(function, size, spacing, direction, center_lps=(10.0, -20.0, 30.0)):
    """An image of a function of the LPS point (..., 3), centered at a point."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    middle = np.asarray(direction) @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    image.SetOrigin((np.asarray(center_lps) - middle).tolist())
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1)
    points = (indices * spacing) @ np.asarray(direction).T + np.asarray(image.GetOrigin())
    filled = sitk.GetImageFromArray(function(points).transpose(2, 1, 0).astype(np.float32))
    filled.CopyInformation(image)
    return filled


def rotation(angles):
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


@st.composite
def geometries(draw):
    """Spacing and direction of an image: anisotropic, oblique, flipped, axes swapped."""
    spacing = [draw(st.floats(0.9, 4.0)) for _ in range(3)]
    order = draw(st.permutations(range(3)))
    signs = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    turned = rotation([round(draw(st.floats(-0.5, 0.5)), 9) for _ in range(3)])  # see volume_checks.settle_axes
    return spacing, turned @ (np.eye(3)[order] * np.array(signs)[:, None])


@settings(max_examples=15, deadline=None)
@given(geometries(), geometries())
def test_box_holds_the_values_of_its_points(pet_geometry, ct_geometry):
    """A linear function of the point comes out exactly where the box says its voxels lie, whatever the images' axes."""

    def ramp(points):
        return points @ np.array([0.5, -1.5, 0.8]) + 100.0

    pet, ct = (image_of(ramp, [60] * 3, s, d) for s, d in (pet_geometry, ct_geometry))
    small = replace(PLAIN, voxel_mm=1.0, size_voxels=(16, 16, 16))  # well inside both images
    network_input = prepare(pet, ct, (-10.0, 20.0, 30.0), small)
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in small.size_voxels], indexing="ij"), -1)
    points = indices * np.array(network_input.grid.spacing) + np.array(network_input.grid.origin_lps)
    assert network_input.inside.all()
    assert np.allclose(network_input.suv, ramp(points), atol=1e-2) and np.allclose(
        network_input.hu, ramp(points), atol=1e-2
    )
    assert np.allclose(network_input.grid.center_ras_mm, (-10.0, 20.0, 30.0))


@settings(max_examples=15, deadline=None)
@given(geometries(), st.integers(0, 2**31))
def test_the_way_back_lands_on_the_references_voxels(geometry, seed):
    """Each voxel of the result has the value of the box's voxel nearest to its point, and 0 outside the box."""
    spacing, direction = geometry
    reference = image_of(lambda p: p[..., 0] * 0, [25, 30, 20], spacing, direction)
    grid = box_grid((-10.0, 20.0, 30.0), replace(PLAIN, size_voxels=(16, 16, 16)))
    box = (np.random.default_rng(seed).random((16, 16, 16)) > 0.5).astype(np.uint8)
    back = to_reference(box, grid, reference, nearest=True)
    for name in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(back, name)() == getattr(reference, name)()
    found = sitk.GetArrayFromImage(back).transpose(2, 1, 0)
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in reference.GetSize()], indexing="ij"), -1)
    points = (indices * np.array(spacing)) @ np.asarray(direction).T + np.array(reference.GetOrigin())
    place = (points - np.array(grid.origin_lps)) / np.array(grid.spacing)
    nearest = np.rint(place).astype(int)
    held = ((nearest >= 0) & (nearest < 16)).all(-1)
    expected = np.where(held, box[tuple(np.clip(nearest, 0, 15).reshape(-1, 3).T)].reshape(held.shape), 0)
    clear = (np.abs(place - nearest) < 0.49).all(-1)  # a point half-way between two voxels may go to either
    assert held.any() and np.array_equal(found[clear], expected[clear])


def test_mask_survives_the_way_there_and_back():
    sphere = image_of(
        lambda p: np.linalg.norm(p - [10, -20, 30], axis=-1) < 25, [80, 80, 30], [0.98, 0.98, 3.27], np.eye(3)
    )
    grid = box_grid((-10.0, 20.0, 30.0), PLAIN)
    back = to_reference(mask_to_grid(sphere, grid).astype(np.float32), grid, sphere)
    a, b = sitk.GetArrayViewFromImage(back) > 0.5, sitk.GetArrayViewFromImage(sphere) > 0
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.96


def test_padding_is_air_and_no_uptake():
    pet = image_of(lambda p: p[..., 0] * 0 + 3.0, [10, 10, 10], [4.0] * 3, np.eye(3))
    ct = image_of(lambda p: p[..., 0] * 0 + 40.0, [10, 10, 10], [4.0] * 3, np.eye(3))
    network_input = prepare(pet, ct, (-10.0, 20.0, 30.0), PLAIN)
    assert 0 < network_input.inside.mean() < 0.5
    assert set(np.unique(network_input.suv[~network_input.inside])) == {0.0} and set(
        np.unique(network_input.hu[~network_input.inside])
    ) == {-1000}
    assert np.allclose(network_input.suv[network_input.inside], 3.0) and np.allclose(
        network_input.hu[network_input.inside], 40.0
    )
    # 20 voxels of 2 mm a side are covered
    assert network_input.inside.sum() == 20**3


def test_box_outside_the_images_is_empty():
    pet = image_of(lambda p: p[..., 0] * 0 + 3.0, [10, 10, 10], [4.0] * 3, np.eye(3))
    network_input = prepare(pet, pet, (900.0, 900.0, 900.0), PLAIN)
    assert not network_input.inside.any() and not network_input.suv.any()


def test_coarser_voxels_average_noise_away():
    noise = np.random.default_rng(0)
    ct = image_of(lambda p: noise.normal(0, 50, p.shape[:3]), [100, 100, 40], [1.0, 1.0, 3.0], np.eye(3))
    settings_3mm = replace(PLAIN, voxel_mm=3.0, size_voxels=(16, 16, 16))
    assert prepare(ct, ct, (-10.0, 20.0, 30.0), settings_3mm).hu.std() < 20


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_json(name):
    preset = PRESETS[name]
    values = json.loads(json.dumps(preset.preprocessing.to_dict()))
    assert Preprocessing.from_dict(values) == preset.preprocessing
    assert preset.network.input_size == preset.preprocessing.size_voxels
    network = json.loads(json.dumps(preset.network.to_dict()))
    assert type(preset.network).from_dict(network) == preset.network


def test_unknown_setting_is_refused():
    with pytest.raises(TypeError):
        Preprocessing.from_dict({**Preprocessing().to_dict(), "sharpen": True})


def test_the_papers_box_is_112_112_144_voxels_of_2_mm():
    for name in ("paper", "paper_k3"):
        assert PRESETS[name].preprocessing.size_voxels == PRESETS[name].network.input_size == (112, 112, 144)
        assert PRESETS[name].preprocessing.size_mm == (224, 224, 288)


def test_each_step_can_be_switched():
    random = np.random.default_rng(1)
    suv, hu = (
        random.gamma(2, 1, (24, 24, 24)).astype(np.float32),
        random.normal(0, 100, (24, 24, 24)).astype(np.float32),
    )

    def run(**steps):
        return normalize(suv, hu, Preprocessing(1.0, (24, 24, 24), pet=ChannelSteps(**steps), ct=ChannelSteps()))[0]

    assert np.array_equal(run(), suv)
    assert run(clip=(0, 2)).max() == 2
    assert np.allclose(run(clip=(0, 50), log=True), np.log1p(suv), rtol=1e-5)
    assert np.allclose(run(scale=(1.0, 2.0)), (suv - 1) / 2, rtol=1e-5)
    assert run(standardize="box").mean() == pytest.approx(0, abs=1e-5)
    assert run(standardize="box").std() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(run(luminosity_contrast=True), suv)


def test_absolute_suv_survives_where_the_paper_loses_it():
    """Twice the uptake: the same input for the paper's steps, another one for those that keep absolute SUV."""
    suv = np.random.default_rng(1).gamma(2, 1, (32, 32, 32)).astype(np.float32)
    hu = np.zeros_like(suv)
    everywhere = np.ones(suv.shape, bool)
    paper, kept = (
        standardized(PRESETS["paper"].preprocessing, [(suv, hu, everywhere)]),
        PRESETS["compact"].preprocessing,
    )
    assert np.allclose(normalize(suv, hu, paper)[0], normalize(2 * suv, hu, paper)[0], atol=1e-2)
    assert np.abs(normalize(suv, hu, kept)[0] - normalize(2 * suv, hu, kept)[0]).max() > 0.5


def test_standardization_is_by_the_patients_given():
    """Mean and deviation of all their voxels inside the images together, written down, the same for whoever comes."""
    random = np.random.default_rng(5)
    boxes = [(random.gamma(2, n, (8, 8, 8)), random.normal(40, 20, (8, 8, 8)), random.random((8, 8, 8)) < 0.7)
             for n in (1, 3)]  # fmt: skip
    steps = ChannelSteps(standardize="cohort")
    with pytest.raises(ValueError, match="training patients"):
        normalize(*boxes[0][:2], Preprocessing(pet=steps, ct=steps))
    found = standardized(Preprocessing(pet=steps, ct=steps), boxes)
    for channel, which in ((found.pet, 0), (found.ct, 1)):
        values = np.concatenate([box[which][box[2]] for box in boxes])
        assert channel.scale == pytest.approx((values.mean(), values.std()), rel=1e-4)
    assert Preprocessing.from_dict(found.to_dict()) == found
    assert standardized(PRESETS["compact"].preprocessing, boxes) == PRESETS["compact"].preprocessing


def test_an_older_cards_standardization_is_that_of_its_box():
    old = PRESETS["compact"].preprocessing.to_dict()
    for channel, meant in ((True, "box"), (False, "")):
        values = {**old, "pet": {**old["pet"], "standardize": channel}}
        assert Preprocessing.from_dict(values).pet.standardize == meant


def test_log_of_negative_values_is_refused():
    with pytest.raises(ValueError, match="clip"):
        ChannelSteps(log=True)


def test_drifts_of_luminosity_and_contrast_are_taken_out():
    """The source's model, observed = contrast * true + luminosity: the two drifts are planted and must go."""
    random = np.random.default_rng(2)
    true = random.normal(0, 1, (48, 48, 48)).astype(np.float32)
    x = np.linspace(0, 1, 48, dtype=np.float32)[:, None, None]
    seen = normalize_luminosity_and_contrast((1 + x) * true + 5 * x)
    low, high = slice(12, 18), slice(30, 36)  # half a window away from the border, where the estimate is one-sided
    for part in (low, high):
        assert abs(seen[part].mean()) < 0.1
    assert seen[high].std() / seen[low].std() == pytest.approx(1.0, abs=0.1)
    assert ((1 + x) * true)[high].std() / ((1 + x) * true)[low].std() > 1.25


def test_flat_volumes_become_zero():
    flat = np.full((16, 16, 16), 7.0, np.float32)
    assert not standardize(flat).any() and not normalize_luminosity_and_contrast(flat).any()
