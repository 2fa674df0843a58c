"""The tumor's place: on all 51 patients, on phantoms with hot organs, at the image's edges, and the refusals."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.tumor import location, organs

PAPER_BOX = (112.0, 112.0, 144.0)
COMPACT_BOX = (192.0, 192.0, 240.0)
TUMOR_RAS = (40.0, -20.0, -60.0)


def made_image(values, low, high, spacing, direction=None) -> sitk.Image:
    """An image of values(r, a, s) over a region given in RAS mm, its axes rotated about the region's center."""
    direction = np.eye(3) if direction is None else np.asarray(direction, dtype=float)
    extent = np.array(high, dtype=float) - low
    size = np.maximum(1, np.round(extent / spacing)).astype(int)
    middle_lps = (np.array(low, dtype=float) + high) / 2 * (-1, -1, 1)
    origin = middle_lps - direction @ ((size - 1) / 2 * spacing)
    steps = [np.arange(n, dtype=np.float32) * s for n, s in zip(size, spacing, strict=True)]
    i, j, k = np.meshgrid(*steps, indexing="ij")
    x, y, z = (
        np.float32(o) + np.float32(d[0]) * i + np.float32(d[1]) * j + np.float32(d[2]) * k
        for o, d in zip(origin, direction, strict=True)
    )
    image = sitk.GetImageFromArray(values(-x, -y, z).astype(np.float32).transpose(2, 1, 0))
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def ball(points, center, radius) -> np.ndarray:
    """True inside a ball or, with three radii, an ellipsoid."""
    radii = [float(r) for r in np.broadcast_to(radius, 3)]
    return sum(((p - c) / q) ** 2 for p, c, q in zip(points, center, radii, strict=True)) <= 1


def painted(air, parts):
    """A function of (r, a, s): later parts paint over earlier ones; each is (test of the points, value)."""

    def values(*points):
        result = np.full(points[0].shape, air, dtype=np.float32)
        for inside, value in parts:
            result[inside(points)] = value
        return result

    return values


def thigh(tumor_suv=6.0, organs_=(), low=(-110, -100, -180), high=(110, 100, 180), pet=None, direction=None):
    """PET (SUV) and CT (HU) of a thigh with an ellipsoid of tumor; organs_ are (inside, SUV, HU)."""

    def limb(p):
        return np.hypot(p[0], p[1]) < 95

    def muscle(p):
        return np.hypot(p[0], p[1]) < 80

    def tumor(p):
        return ball(p, TUMOR_RAS, (25, 25, 40))

    suv = painted(0, [(limb, 0.3), (muscle, 0.7), (tumor, tumor_suv), *((where, s) for where, s, _ in organs_)])
    hu = painted(-1000, [(limb, -100), (muscle, 55), (tumor, 40), *((where, h) for where, _, h in organs_)])
    pet_low, pet_high = pet or (low, high)
    return (
        made_image(suv, pet_low, pet_high, (4.5, 4.5, 3.5), direction),
        made_image(hu, low, high, (3.0, 3.0, 3.0), direction),
    )


def bladder(points):
    return ball(points, (-30, 10, 130), 32)


def distance(place, ras) -> float:
    return float(np.linalg.norm(np.subtract(place.center_ras, ras)))


def codes(place) -> list[str]:
    return [warning["code"] for warning in place.warnings]


# -- all 51 patients -----------------------------------------------------------------------------


def patient_images(sts, name):
    return [sitk.ReadImage(str(sts / "images" / name / f"{part}.nii.gz")) for part in ("PET", "CT", "GTV")]


def gtv_points(gtv) -> np.ndarray:
    """RAS mm of the GTV's voxels (the cohort's images have the patient's axes)."""
    index = np.argwhere(sitk.GetArrayViewFromImage(gtv) > 0)[:, ::-1]
    return (np.array(gtv.GetOrigin()) + index * gtv.GetSpacing()) * (-1, -1, 1)


def box_quality(points, center, box) -> tuple[bool, float]:
    """Whether the box holds the GTV's center, and its share of the GTV that a GTV-centered box holds.

    Both for the center of mass and for the bounding box's center: the worse of the two.
    """
    half = np.array(box) / 2

    def held(place):
        return np.all(np.abs(points - place) <= half, axis=1).sum()

    centers = (points.mean(axis=0), (points.min(axis=0) + points.max(axis=0)) / 2)
    inside = all(np.all(np.abs(c - center) <= half) for c in centers)
    return inside, min(held(center) / held(c) for c in centers)


@pytest.fixture(scope="module")
def qualities(sts):
    """Box quality of every patient: {(method, box): [(center held, share), ...]}."""
    found = {(method, box): [] for method in ("automatic", "hottest") for box in (PAPER_BOX, COMPACT_BOX)}
    for folder in sorted((sts / "images").iterdir()):
        pet, ct, gtv = patient_images(sts, folder.name)
        points = gtv_points(gtv)
        hottest = np.unravel_index(np.argmax(sitk.GetArrayViewFromImage(pet)), pet.GetSize()[::-1])
        x, y, z = pet.TransformIndexToPhysicalPoint([int(i) for i in hottest[::-1]])
        place = location.find(pet, ct, PAPER_BOX)  # its size changes the warnings only
        for box in (PAPER_BOX, COMPACT_BOX):
            found["automatic", box].append(box_quality(points, place.center_ras, box))
            found["hottest", box].append(box_quality(points, (-x, -y, z), box))
    return found


@pytest.mark.parametrize("box", [PAPER_BOX, COMPACT_BOX], ids=["paper", "compact"])
def test_the_box_holds_the_tumor_of_nine_in_ten_patients(qualities, box):
    patients = qualities["automatic", box]
    assert len(patients) == 51
    assert np.mean([inside and share >= 0.7 for inside, share in patients]) >= 0.9
    assert np.mean([inside for inside, _ in patients]) >= 0.98


def test_it_beats_the_hottest_voxel(qualities):
    good = {
        method: sum(inside and share >= 0.7 for inside, share in qualities[method, PAPER_BOX])
        for method in ("automatic", "hottest")
    }
    assert good["automatic"] >= good["hottest"] + 10


@pytest.mark.parametrize("name", ["STS_002", "STS_010", "STS_026", "STS_042"])
def test_the_images_middle_is_no_cue(sts, name):
    """Cut away on three sides and padded with air on the others, the image's middle moves, the place does not."""
    pet, ct, gtv = patient_images(sts, name)
    place = location.find(pet, ct, PAPER_BOX)
    points = gtv_points(gtv) * (-1, -1, 1)
    low = points.min(axis=0) - 15

    def altered(image, air):
        keep_low = np.maximum(np.floor(image.TransformPhysicalPointToContinuousIndex(low.tolist())), 0).astype(int)
        part = image[int(keep_low[0]) :, int(keep_low[1]) :, int(keep_low[2]) :]
        pad = [round(150 / s) for s in image.GetSpacing()]
        return sitk.ConstantPad(part, [0, 0, 0], pad, air)

    other_pet, other_ct = altered(pet, 0.0), altered(ct, -1000)
    middles = [
        np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
        for image in (ct, other_ct)
    ]
    assert np.linalg.norm(middles[1] - middles[0]) > 100
    moved = location.find(other_pet, other_ct, PAPER_BOX)
    assert distance(moved, place.center_ras) < 15


# -- phantoms ------------------------------------------------------------------------------------


def test_a_tumor_is_found_at_its_center():
    place = location.find(*thigh(), PAPER_BOX)
    assert place.found_by == "automatic"
    assert distance(place, TUMOR_RAS) < 4
    assert place.warnings == []


def test_a_hotter_and_larger_bladder_is_left_aside():
    pet, ct = thigh(tumor_suv=3.0, organs_=[(bladder, 30.0, 8.0)])
    assert distance(location.find(pet, ct, PAPER_BOX), TUMOR_RAS) < 4
    # the same pool with the density of living tissue is a tumor
    pet, ct = thigh(tumor_suv=3.0, organs_=[(bladder, 30.0, 45.0)])
    assert distance(location.find(pet, ct, PAPER_BOX), (-30, 10, 130)) < 4


def test_a_bladder_in_the_box_is_told():
    pet, ct = thigh(organs_=[(lambda p: ball(p, (-20, -20, -10), 20), 30.0, 8.0)])
    place = location.find(pet, ct, PAPER_BOX)
    assert codes(place) == ["hot_organ_in_box"]
    assert "urine" in place.warnings[0]["text"]
    assert [w["code"] for w in organs.hot_organs(pet, ct, TUMOR_RAS, PAPER_BOX)] == ["hot_organ_in_box"]
    assert organs.hot_organs(pet, ct, (40, -20, -150), (60, 60, 60)) == []


def test_a_second_place_nearly_as_good_is_told():
    def second(p):
        return ball(p, (-20, 20, 110), (25, 25, 36))

    place = location.find(*thigh(organs_=[(second, 6.0, 40.0)]), PAPER_BOX)
    assert codes(place) == ["uncertain_location"]
    assert distance(place, TUMOR_RAS) < 4
    # one box that holds both is not uncertain
    assert codes(location.find(*thigh(organs_=[(second, 6.0, 40.0)]), (240, 240, 400))) == []


def test_oblique_and_flipped_images_give_the_same_place():
    turn, tilt = np.deg2rad(25), np.deg2rad(-15)
    about_z = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    for direction in (np.array(about_z) @ about_x, np.diag([-1.0, -1.0, 1.0]), np.eye(3)[[1, 0, 2]]):
        assert distance(location.find(*thigh(direction=direction), PAPER_BOX), TUMOR_RAS) < 4


def test_a_tumor_partly_in_the_image_is_found_by_its_visible_part():
    place = location.find(*thigh(low=(-110, -100, -60)), PAPER_BOX)
    visible_center = (40, -20, -60 + 15)  # a half ellipsoid's centroid lies at 3/8 of its radius
    assert distance(place, visible_center) < 6


def test_a_pet_partly_outside_the_ct_is_used_where_both_are():
    hot_outside = [(lambda p: ball(p, (0, 0, 260), 40), 20.0, 40.0)]
    pet, ct = thigh(organs_=hot_outside, pet=((-110, -100, -120), (200, 150, 320)))
    assert distance(location.find(pet, ct, PAPER_BOX), TUMOR_RAS) < 4


def test_voxels_without_a_number_count_as_outside():
    pet, ct = thigh()
    array = sitk.GetArrayFromImage(pet)
    array[-20:] = np.nan
    holed = sitk.GetImageFromArray(array)
    holed.CopyInformation(pet)
    assert distance(location.find(holed, ct, PAPER_BOX), TUMOR_RAS) < 4


def test_the_answer_is_the_same_every_time_and_inputs_stay_as_they_are():
    pet, ct = thigh(organs_=[(bladder, 30.0, 8.0)])
    before = sitk.GetArrayFromImage(pet).copy()
    first, second = location.find(pet, ct, PAPER_BOX), location.find(pet, ct, PAPER_BOX)
    assert first == second
    assert np.array_equal(before, sitk.GetArrayFromImage(pet))


def test_voxels_are_averaged_slab_by_slab_as_at_once():
    image = sitk.GetImageFromArray(np.random.default_rng(2).integers(-1000, 1000, (135, 21, 22)).astype(np.int16))
    image.SetSpacing((1.0, 1.0, 1.5))  # factors 4, 4, 2: the last slice makes no whole voxel
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    once, slabs = sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), [4, 4, 2]), organs._coarse(image)
    assert np.array_equal(sitk.GetArrayFromImage(slabs), sitk.GetArrayFromImage(once))
    for what in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(slabs, what)() == pytest.approx(getattr(once, what)())


# -- a body-wide scan ----------------------------------------------------------------------------

BODY_PARTS = [  # (inside, SUV, HU)
    (lambda p: ball(p, (0, 0, 0), (170, 110, 10_000)) & (p[2] < 500), 0.6, 30),
    (lambda p: ball(p, (0, 0, 620), (80, 95, 115)), 0.6, 40),
    (lambda p: ball(p, (0, 0, 630), (72, 87, 95)), 0.6, 900),
    (lambda p: ball(p, (0, 0, 630), (65, 80, 88)), 10.0, 35),
    (lambda p: (np.hypot(p[0], p[1]) < 55) & (p[2] > 480) & (p[2] < 540), 0.6, 40),
    (lambda p: ball(p, (80, 0, 340), (60, 75, 120)), 0.4, -800),
    (lambda p: ball(p, (-80, 0, 340), (60, 75, 120)), 0.4, -800),
    (lambda p: ball(p, (-20, 20, 300), 45), 7.0, 40),
    (lambda p: ball(p, (75, 0, 140), (80, 80, 70)), 2.4, 58),
    (lambda p: ball(p, (65, -45, 20), (26, 26, 50)), 9.0, 32),
    (lambda p: ball(p, (-65, -45, 30), (26, 26, 50)), 9.0, 32),
    (lambda p: ball(p, (0, 30, -250), 40), 40.0, 6),
]


def body_wide(tumor_suv):
    parts = [*BODY_PARTS, (lambda p: ball(p, (90, -20, -450), (22, 22, 40)), tumor_suv, 40)]
    region = ((-200, -150, -560), (200, 150, 740))
    return (
        made_image(painted(0, [(where, suv) for where, suv, _ in parts]), *region, (6, 6, 6)),
        made_image(painted(-1000, [(where, hu) for where, _, hu in parts]), *region, (5, 5, 5)),
    )


def test_brain_heart_liver_kidneys_and_bladder_are_no_tumor():
    pet, ct = body_wide(tumor_suv=6.0)
    assert distance(location.find(pet, ct, PAPER_BOX), (90, -20, -450)) < 5
    brain = organs.hot_organs(pet, ct, (0, 0, 630), PAPER_BOX)
    assert ["brain" in warning["text"] for warning in brain] == [True]


def test_a_body_wide_scan_without_tumor_is_refused():
    with pytest.raises(BadInput) as refused:
        location.find(*body_wide(tumor_suv=0.6), PAPER_BOX)
    assert refused.value.code == "no_tumor_found"
    assert "looks like bladder, brain, heart or kidneys" in refused.value.message


# -- refusals ------------------------------------------------------------------------------------


def noisy(image, mean, spread):
    rng = np.random.default_rng(0)
    values = rng.normal(mean, spread, image.GetSize()[::-1]).clip(0).astype(np.float32)
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(image)
    return made


@pytest.mark.parametrize(
    ("make_pet", "reason"),
    [
        (lambda pet: pet * 0, "cold"),
        (lambda pet: noisy(pet, 0.2, 0.2), "cold"),
        (lambda pet: pet * 0 + 3, "uniform"),
        (lambda pet: noisy(pet, 2.0, 0.6), "no tissue stands out"),
    ],
    ids=["zero", "cold noise", "uniform", "noise"],
)
def test_cold_and_uniform_volumes_are_refused_with_the_reason(make_pet, reason):
    pet, ct = thigh()
    with pytest.raises(BadInput) as refused:
        location.find(make_pet(pet), ct, PAPER_BOX)
    assert refused.value.code == "no_tumor_found"
    assert reason in refused.value.message
    assert "point" in refused.value.hint


def test_only_a_bladder_is_refused():
    with pytest.raises(BadInput, match="looks like bladder"):
        location.find(*thigh(tumor_suv=0.7, organs_=[(bladder, 30.0, 8.0)]), PAPER_BOX)


def test_no_tissue_no_overlap_and_other_dimensions_are_refused():
    pet, ct = thigh()
    for other_pet, other_ct, code in (
        (pet, ct * 0 - 1000, "no_tissue"),
        (sitk.GetImageFromArray(np.ones((4, 5), np.float32)), ct, "not_a_volume"),
    ):
        with pytest.raises(BadInput) as refused:
            location.find(other_pet, other_ct, PAPER_BOX)
        assert refused.value.code == code
    away = sitk.Image(pet)
    away.SetOrigin([o + 1000 for o in pet.GetOrigin()])
    with pytest.raises(BadInput) as refused:
        location.find(away, ct, PAPER_BOX)
    assert refused.value.code == "no_overlap"
    assert "mm" in refused.value.message


def test_tiny_images_do_not_crash():
    for shape in ((1, 1, 1), (1, 40, 40), (3, 2, 2)):
        pet = sitk.GetImageFromArray(np.ones(shape, np.float32))
        ct = sitk.GetImageFromArray(np.full(shape, 40, np.int16))
        with pytest.raises(BadInput):
            location.find(pet, ct, PAPER_BOX)


# -- a point, a mask -----------------------------------------------------------------------------


def test_a_point_is_taken_as_it_is():
    _, ct = thigh()
    assert location.from_point((10, -20, 30.5), ct) == location.Location((10.0, -20.0, 30.5), "point")


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ((10, 20), "bad_point"),
        ((10, float("nan"), 0), "bad_point"),
        ("abc", "bad_point"),
        (None, "bad_point"),
        ((0, 0, 400), "point_outside_image"),
    ],
)
def test_bad_points_are_refused(point, code):
    with pytest.raises(BadInput) as refused:
        location.from_point(point, thigh()[1])
    assert refused.value.code == code


def test_a_masks_center_is_found_on_an_oblique_grid():
    turn = np.deg2rad(30)
    direction = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    tumor = painted(0, [(lambda p: ball(p, TUMOR_RAS, (25, 25, 40)), 1)])
    mask = made_image(tumor, (-110, -100, -180), (110, 100, 180), (2, 2, 3), direction)
    place = location.from_mask(sitk.Cast(mask, sitk.sitkUInt8))
    assert place.found_by == "mask"
    assert distance(place, TUMOR_RAS) < 1
    with pytest.raises(BadInput, match="empty"):
        location.from_mask(sitk.Cast(mask * 0, sitk.sitkUInt8))
