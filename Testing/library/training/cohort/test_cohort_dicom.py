"""A folder of DICOM patients becomes a cohort with masks: contours, the choice of the ROI, series and outcomes."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.check import check_cohort
from CHMFLTrainingLib.cohort.cohort import read_cohort
from CHMFLTrainingLib.cohort.contours import fill_contours
from CHMFLTrainingLib.cohort.dicom import cohort_from_dicom
from CHMFLTrainingLib.cohort.findings import ERROR
from CHMFLTrainingLib.cohort.polygons import enclosed, pixels
from CHMFLTrainingLib.cohort.rtstruct import Roi, choose_roi
from CHMFLTrainingLib.commands import cli
from made_dicom import STUDY, write_series
from made_rtstruct import rectangle, write_rtstruct


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def tumor_contours():
    """On two CT slices (z 3 and 6): a rectangle of 4 x 3 pixels of 2.5 x 2 mm around pixel centers."""
    return [rectangle(-11.25, -25, -1.25, -19, z) for z in (3, 6)]


@pytest.fixture
def patient(tmp_path):
    """Folder of one patient, P1, with PET, CT and one structure set with a single ROI on the CT."""
    folder = tmp_path / "patients" / "P1"
    write_series(folder / "pet", "PT")
    write_series(folder / "ct", "CT", shape=(20, 24))
    write_rtstruct(folder / "RS.dcm", {"Mass": tumor_contours()})
    return folder


def made(patient, tmp_path, **options):
    return cohort_from_dicom(patient.parent, tmp_path / "out", **options)


def mask_of(result, number=0):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(result.patients[number].mask)))


def codes(result):
    return [(finding.patient_id, finding.code) for finding in result.findings]


def refusal_of(patient, tmp_path, **options):
    """The error finding that leaves the only patient out."""
    with pytest.raises(BadInput) as caught:
        made(patient, tmp_path, **options)
    assert caught.value.code == "cohort_dicom_empty"
    text = (tmp_path / "out" / "findings.csv").read_text()
    return next(line for line in text.splitlines() if line.startswith("error"))


# Contours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["STS_002", "STS_042"])
def test_contours_of_real_patients_give_the_published_masks(sts, tmp_path, name):
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / name).symlink_to(sts / "dicom" / name, target_is_directory=True)
    result = cohort_from_dicom(folder, tmp_path / "out")
    assert [one.patient_id for one in result.patients] == [name]
    assert not [one for one in result.findings if one.severity == ERROR]
    assert any("GTV_Mass_CT" in one.text for one in result.findings)  # not the one drawn on the PET
    mask = sitk.ReadImage(str(result.patients[0].mask))
    published = sitk.ReadImage(str(sts / "images" / name / "GTV.nii.gz"))
    assert mask.GetSize() == published.GetSize()
    np.testing.assert_allclose(mask.GetOrigin(), published.GetOrigin(), atol=1e-3)
    overlap = dice(sitk.GetArrayFromImage(mask) > 0, sitk.GetArrayFromImage(published) > 0)
    assert overlap >= 0.999  # issue: 0.95
    checked = check_cohort(result.cohort)  # the cohort that was written can be read and trained on
    assert [one.patient_id for one in checked.usable] == [name]


def fill(polygons, size, exclusive_or=False):
    return pixels(enclosed(polygons, exclusive_or).shape, (1.0, 1.0), size)


def test_filling_agrees_with_ray_casting_point_by_point():
    """Random stars, some overlapping: exclusive-or by counting crossings of a ray, pixel by pixel; else their union."""
    random = np.random.default_rng(0)
    polygons = []
    for _ in range(4):
        angle = (np.arange(13) + random.uniform(0, 0.9, 13)) * 2 * np.pi / 13
        radius = random.uniform(3, 11, 13)
        center = random.uniform(9, 20, 2)
        polygons.append(center + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    crossings = np.zeros((4, 27, 31), int)
    for number, polygon in enumerate(polygons):
        for y, x in np.ndindex(27, 31):
            for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    crossings[number, y, x] += 1
    inside = crossings % 2 == 1
    assert 0 < np.count_nonzero(inside.sum(axis=0) > 1)
    assert (fill(polygons, (27, 31), exclusive_or=True) == (inside.sum(axis=0) % 2 == 1)).all()
    assert (fill(polygons, (27, 31)) == inside.any(axis=0)).all()


def test_filling_of_a_disk_has_its_area_and_its_orientation_does_not_matter():
    disk = circle(50, 50, 30.3)
    filled = fill([disk], (100, 100))
    assert filled.sum() == pytest.approx(np.pi * 30.3**2, rel=0.01)
    assert (fill([disk[::-1]], (100, 100)) == filled).all()
    closed = np.concatenate([disk, disk[:1]])  # some programs repeat the first point
    assert (fill([closed], (100, 100)) == filled).all()


def circle(x, y, radius, corners=400):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.array([x, y]) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_neighbors_that_share_an_edge_fill_the_plane_once():
    left, right = (np.array([[a, 0], [b, 0], [b, 5], [a, 5]], float) for a, b in ((0, 3), (3, 6)))
    assert (fill([left], (5, 6)).astype(int) + fill([right], (5, 6)) == 1).all()


def test_a_polygon_reaching_out_of_the_image_is_cut_there():
    big = np.array([[-10, -10], [50, -10], [50, 50], [-10, 50]], float)
    assert fill([big], (7, 9)).all()
    assert not fill([big + 100], (7, 9)).any() and not fill([big - 100], (7, 9)).any()


def test_an_outline_drawn_past_its_start_or_as_an_eight_is_all_inside():
    eight = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], float)
    assert enclosed([eight]).shape.area == pytest.approx(50)
    angle = np.linspace(0, 2.6 * np.pi, 300)
    spiral = (10 + angle / 2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    within = fill([spiral + 20], (41, 41))
    assert within[20, 20] and within[20, 30] and within[25, 20], "the part that was drawn twice is tumor"


def blank(direction=None, size=(30, 20, 5)):
    image = sitk.Image(*size, sitk.sitkFloat32)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, -20.0, 5.0))
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def world(image, left, top, right, bottom, height):
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.array([image.TransformContinuousIndexToPhysicalPoint((x, y, height)) for x, y in corners])


def oblique():
    axis, angle = np.array([1.0, 2.0, 0.5]) / np.linalg.norm([1.0, 2.0, 0.5]), 0.4
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.mark.parametrize("direction", [None, np.diag([-1, -1, 1]), [[0, 0, 1], [1, 0, 0], [0, -1, 0]], oblique()])
def test_holes_islands_and_any_direction(direction):
    image = blank(direction)
    contours = [
        world(image, 3.5, 3.5, 15.5, 15.5, 2),
        world(image, 6.5, 6.5, 10.5, 10.5, 2),  # a hole
        world(image, 7.5, 7.5, 8.5, 8.5, 2),  # an island in the hole
        world(image, 20.5, 1.5, 22.5, 4.5, 2),  # and one beside
        world(image, 3.5, 3.5, 5.5, 5.5, 3),
    ]
    mask, warnings = fill_contours(contours, image)
    expected = np.zeros((5, 20, 30), int)
    expected[2, 4:16, 4:16] = 1
    expected[2, 7:11, 7:11] = 0
    expected[2, 8, 8] = 1
    expected[2, 2:5, 21:23] = 1
    expected[3, 4:6, 4:6] = 1
    assert (sitk.GetArrayFromImage(mask) == expected).all()
    assert [one["code"] for one in warnings] == ["contour_cavity"]  # 96 mm3 less an island of 6
    assert "0.1 ml were cut out, 0.8 ml remain" in warnings[0]["text"]
    assert mask.GetDirection() == image.GetDirection() and mask.GetPixelID() == sitk.sitkUInt8


def test_keyhole_contour_has_a_hole():
    """One polygon that runs through a channel of no width to the inner ring and back."""
    image = blank()
    outer, inner = world(image, 2.5, 2.5, 12.5, 12.5, 1), world(image, 5.5, 5.5, 8.5, 8.5, 1)[::-1]
    polygon = np.concatenate([outer, outer[:1], inner, inner[:1]])
    array = sitk.GetArrayFromImage(fill_contours([polygon], image)[0])[1]
    assert array.sum() == 100 - 9 and not array[6:9, 6:9].any()


def test_contours_that_do_not_fit_are_told():
    image = blank()
    square = world(image, 2.5, 2.5, 6.5, 6.5, 0)
    tilted = world(image, 2.5, 2.5, 6.5, 6.5, 1)
    tilted[:2, 2] += 3
    above, between = world(image, 2.5, 2.5, 6.5, 6.5, 7), world(image, 2.5, 2.5, 6.5, 6.5, 3.4)
    mask, warnings = fill_contours([square, square.copy(), tilted, above, between], image)
    assert {one["code"]: one["text"].split()[0] for one in warnings} == {
        "contour_repeated": "1",
        "contour_tilted": "1",
        "contour_outside_image": "1",
        "contour_between_slices": "1",
        "contour_slices_left_out": "2",
    }
    assert sitk.GetArrayFromImage(mask).sum(axis=(1, 2)).tolist() == [16, 0, 0, 16, 0]


SPACED = {  # name: planes in slices; the cylinder between them has a height of 10 slices or nearly so
    "on slices": np.arange(5, 15),
    "a little beside them": np.arange(5, 15) + 0.1,
    "between slices": np.arange(5, 15) + 0.5,
    "a third off": np.arange(5, 15) + 1 / 3,
    "every second slice": np.arange(5, 15, 2),
    "every second slice, between": np.arange(5, 15, 2) + 0.5,
    "two planes": np.array([5, 7]),
    "finer": np.arange(5, 15, 1 / 4),
    "denser where it ends": np.array([5, 6, 7, 9, 11, 13, 14, 15]),
    "two pieces": np.array([2, 3, 4, 5, 12, 13, 14]),
}


def cylinder(image, heights, radii=None):
    """Circles of 20 mm around a place in the image."""
    radii = np.full(len(heights), 20.0) if radii is None else radii
    flat = (np.c_[circle(35.3, 31.1, radius, 90), np.full(90, z * 3)] for z, radius in zip(heights, radii, strict=True))
    return [points + np.array(image.GetOrigin()) for points in flat]


def ml_of(mask):
    return float(sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()) / 1000)


@pytest.mark.parametrize("heights", SPACED.values(), ids=SPACED)
def test_a_mask_has_the_volume_of_its_polygons_whatever_planes_they_lie_on(heights):
    image = blank(size=(70, 40, 20))
    mask, warnings = fill_contours(cylinder(image, heights), image)
    steps = np.diff(heights)
    planes = np.where(steps > 3, 1, steps)  # in "two pieces" the gap between them is none of the tumor
    slices = planes.sum() + planes[[0, -1]].sum() / 2
    assert ml_of(mask) == pytest.approx(np.pi * 20**2 * slices * 3 / 1000, rel=0.03)
    filled = np.flatnonzero(sitk.GetArrayViewFromImage(mask).any(axis=(1, 2)))
    expected = {"contour_slices_left_out"} if steps.max() > 3 else set()
    assert np.ptp(filled) + 1 == filled.size or expected, "no slice is left out"
    expected |= {"contour_filled"} if 1.1 < steps.max() <= 3 else set()
    expected |= {"contour_between_slices"} if np.any(np.abs(heights - np.rint(heights)) > 0.25) else set()
    assert {one["code"] for one in warnings} == expected
    told = f"mask {ml_of(mask):.1f} ml"
    assert all(told in one["text"] for one in warnings if one["code"] != "contour_slices_left_out")


@pytest.mark.parametrize("step", [0.5, 1.0, 1.37, 2.0, 3.0])
def test_a_ball_has_its_volume_from_planes_of_any_distance(step):
    image = blank(size=(70, 40, 30))
    heights = np.arange(15 - 20 / 3 + 0.2, 15 + 20 / 3, step)
    radii = np.sqrt(20.0**2 - ((heights - 15) * 3) ** 2)
    mask, _ = fill_contours(cylinder(image, heights, radii), image)
    assert ml_of(mask) == pytest.approx(np.pi * (radii**2).sum() * step * 3 / 1000, rel=0.03)
    assert ml_of(mask) == pytest.approx(4 / 3 * np.pi * 20**3 / 1000, rel=0.05)


def lobes(image, exclusive_or, second=10.0, radius=20.0):
    flat = [circle(35.0 - 10, 31.1, 20.0), circle(35.0 - 10 + second, 31.1, radius)]
    contours = [np.c_[one, np.full(400, z * 3)] + np.array(image.GetOrigin()) for z in range(5, 9) for one in flat]
    return fill_contours(contours, image, exclusive_or)


def test_contours_that_cross_are_joined_unless_they_say_exclusive_or():
    image = blank(size=(70, 40, 20))
    lens = 2 * 20**2 * np.arccos(10 / 40) - 10 / 2 * np.sqrt(4 * 20**2 - 10**2)
    mask, warnings = lobes(image, exclusive_or=False)
    assert ml_of(mask) == pytest.approx((2 * np.pi * 20**2 - lens) * 12 / 1000, rel=0.01)
    assert [one["code"] for one in warnings] == ["contour_crossing"] and f"{lens * 12 / 1000:.1f} ml" in warnings[0][
        "text"
    ]
    mask, warnings = lobes(image, exclusive_or=True)
    assert ml_of(mask) == pytest.approx((2 * np.pi * 20**2 - 2 * lens) * 12 / 1000, rel=0.02) and not warnings


def test_a_tumor_outlined_twice_is_no_shell():
    image = blank(size=(70, 40, 20))
    with pytest.raises(BadInput) as caught:
        lobes(image, exclusive_or=False, second=0.0, radius=19.0)
    assert caught.value.code == "contour_shell" and "13.6 ml out of 15.1 ml" in caught.value.message
    mask, warnings = lobes(image, exclusive_or=False, second=0.0, radius=10.0)
    assert [one["code"] for one in warnings] == ["contour_cavity"]
    assert ml_of(mask) == pytest.approx(np.pi * 300 * 12 / 1000, rel=0.02)


def test_a_mask_that_lacks_a_part_of_the_contours_is_refused_with_both_volumes():
    image = blank(size=(70, 40, 20))
    inside = cylinder(image, range(5, 15))
    for lost in (np.array([0, 0, 60.0]), np.array([40.0, 0, 0])):  # above the image; half of them beside it
        moved = [one + (lost if number < 3 else 0) for number, one in enumerate(inside)]
        with pytest.raises(BadInput) as caught:
            fill_contours(moved, image)
        assert caught.value.code == "contour_volume" and "The contours have 37.7 ml" in caught.value.message
    assert fill_contours([*inside, inside[0][:, [0, 2, 1]]], image)[1][0]["code"] == "contour_tilted"


def test_the_types_of_contours_that_say_they_are_closed(patient, tmp_path):
    for kind in ("INTERPOLATED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR"):
        write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, kind=kind)
        assert mask_of(made(patient, tmp_path)).sum() == 24
    twice = [*tumor_contours(), *(one + [5.0, 0, 0] for one in tumor_contours())]
    write_rtstruct(patient / "RS.dcm", {"GTV": twice}, kind="CLOSEDPLANAR_XOR")
    assert mask_of(made(patient, tmp_path)).sum() == 24
    write_rtstruct(patient / "RS.dcm", {"GTV": twice})
    assert mask_of(made(patient, tmp_path)).sum() == 36


# Which ROI ---------------------------------------------------------------------------------------------------------


def roi(name, *words):
    import re

    return Roi(name, set(re.findall("[a-z]+", name.lower())) | set(words), [], 0, "")


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["whatever"], None, "whatever"),
        (["GTV_Edema", "GTV_Mass"], None, "GTV_Mass"),
        (["Bladder", "GTV_Edema", "gtv 1"], None, "gtv 1"),
        (["Bladder", "Tumour", "Body"], None, "Tumour"),
        (["Bladder", "PTV", "CTV", "Sarcoma left"], None, "Sarcoma left"),
        (["GTV_Mass", "Edema"], " edema ", "Edema"),
    ],
)
def test_the_tumor_is_chosen_by_option_then_alone_then_by_its_name(names, wanted, chosen):
    assert choose_roi([roi(name) for name in names], wanted).name == chosen


@pytest.mark.parametrize(
    ("names", "wanted", "code"),
    [
        (["GTV_Mass_1", "GTV_Mass_2"], None, "roi_ambiguous"),
        (["GTV", "Gtv"], "gtv", "roi_ambiguous"),
        (["Bladder", "GTV_Edema"], None, "roi_unknown"),
        (["GTV_Mass"], "lesion", "roi_unknown"),
        ([], None, "roi_unknown"),
    ],
)
def test_a_roi_is_never_guessed(names, wanted, code):
    with pytest.raises(BadInput) as caught:
        choose_roi([roi(name) for name in names], wanted)
    assert caught.value.code == code and caught.value.hint
    assert all(name in caught.value.message for name in names if "gtv" in name.lower() or "Bladder" in names)


def test_what_the_planner_called_it_counts(patient, tmp_path):
    two = {"one": tumor_contours(), "two": tumor_contours()[:1]}
    write_rtstruct(patient / "RS.dcm", two)
    assert "roi_unknown" in refusal_of(patient, tmp_path) and "'one'" in refusal_of(patient, tmp_path)
    write_rtstruct(patient / "RS.dcm", two, types={"two": "GTV", "one": "ORGAN"})
    assert mask_of(made(patient, tmp_path)).sum() == 12
    assert mask_of(made(patient, tmp_path, roi="ONE")).sum() == 24


# Folders -----------------------------------------------------------------------------------------------------------


def test_a_patient_becomes_a_row_with_a_mask_on_the_cts_grid(patient, tmp_path):
    result = made(patient, tmp_path)
    assert codes(result) == [("P1", "roi_used"), ("P1", "label_unknown")]
    row = read_cohort(result.cohort)[0]
    assert (row.patient_id, row.pet, row.ct, row.label) == ("P1", patient / "pet", patient / "ct", None)
    expected = np.zeros((6, 20, 24), int)
    # 2.5 mm columns from -20, 2 mm rows from -30: columns 4 to 7 (-10 to -2.5), rows 3 to 5 (-24 to -20)
    expected[1:3, 3:6, 4:8] = 1
    assert (mask_of(result) == expected).all()


def test_series_may_lie_mixed_in_one_folder(tmp_path):
    folder = tmp_path / "patients" / "P1"
    write_series(folder, "PT")
    write_series(folder, "CT", shape=(20, 24))
    write_rtstruct(folder / "RS.dcm", {"GTV": tumor_contours()})
    result = made(folder, tmp_path)
    row = read_cohort(result.cohort)[0]
    assert row.pet.is_file() and row.pet.name.startswith("PT") and row.ct.name.startswith("CT")
    assert [one.patient_id for one in check_cohort(result.cohort).usable] == ["P1"]
    alone = cohort_from_dicom(folder, tmp_path / "alone")  # the patient's own folder given
    assert [one.patient_id for one in alone.patients] == ["P1"] and mask_of(alone).sum() == 24


def test_subfolders_of_one_patient_are_joined_and_patients_of_one_folder_told_apart(patient, tmp_path):
    inside = cohort_from_dicom(patient, tmp_path / "one")  # pet, ct and RS.dcm of one patient
    assert [one.patient_id for one in inside.patients] == ["P1"] and inside.patients[0].pet == patient / "pet"
    other = tmp_path / "mixed" / "all"
    for name, suffix in (("Ann", ".5"), ("Bob ", ".6"), ("Bob?", ".8")):
        for modality, shape in (("PT", (10, 12)), ("CT", (20, 24))):
            uid = STUDY + suffix + {"PT": ".2", "CT": ".3"}[modality]
            changes = {"PatientID": name, "SeriesInstanceUID": uid}
            write_series(other / suffix[1:] / modality, modality, shape=shape, **changes)
        write_rtstruct(other / f"RS{suffix}.dcm", {"GTV": tumor_contours()}, STUDY + suffix + ".3", PatientID=name)
    mixed = cohort_from_dicom(tmp_path / "mixed", tmp_path / "two")
    assert [one.patient_id for one in mixed.patients] == ["Ann", "Bob", "Bob_2"]


def test_the_same_patient_in_two_folders_is_told(patient, tmp_path):
    import shutil

    shutil.copytree(patient, patient.parent / "P2")
    result = made(patient, tmp_path)
    assert [one.patient_id for one in result.patients] == ["P1", "P2"]
    assert [name for name, code in codes(result) if code == "patient_in_two_folders"] == ["P1", "P2"]
    assert {"image_twice"} == {one.code for one in check_cohort(result.cohort).findings if one.patient_id == "P2"} - {
        "thin_volume",
        "tumor_small",
    }


def test_a_structure_set_of_the_pet_gives_a_mask_on_the_pet(patient, tmp_path):
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, "PT")
    assert mask_of(made(patient, tmp_path)).shape == (6, 10, 12)
    write_rtstruct(patient / "RS2.dcm", {"GTV": tumor_contours()}, "CT")  # the CT's comes first
    assert mask_of(made(patient, tmp_path)).shape == (6, 20, 24)


def test_a_structure_set_of_another_series(patient, tmp_path):
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, "1.2.3.4")
    result = made(patient, tmp_path)  # the frame of reference is the same
    assert ("P1", "rtstruct_other_series") in codes(result) and mask_of(result).sum() == 24
    from pydicom import dcmread

    other = dcmread(patient / "RS.dcm")
    other.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    other.save_as(patient / "RS.dcm")
    assert "rtstruct_other_series" in refusal_of(patient, tmp_path)


def test_of_two_cts_the_one_that_was_drawn_on_is_taken(patient, tmp_path):
    write_series(patient / "lung", "CT", shape=(20, 24), SeriesInstanceUID=STUDY + ".7", SeriesDescription="CT lung")
    result = made(patient, tmp_path)
    assert result.patients[0].ct == patient / "ct"
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, STUDY + ".7")
    assert made(patient, tmp_path).patients[0].ct == patient / "lung"
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, "PT")
    assert "dicom_many_series" in refusal_of(patient, tmp_path)


def test_one_modality_will_do(patient, tmp_path):
    import shutil

    shutil.rmtree(patient / "ct")
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, "PT")
    result = made(patient, tmp_path)
    assert ("P1", "ct_absent") in codes(result)
    row = read_cohort(result.cohort)[0]
    assert row.ct is None and row.pet == patient / "pet"


def test_what_is_missing_or_damaged_leaves_the_patient_out_and_the_others_go_on(patient, tmp_path):
    import shutil

    for name in ("P2", "P3", "P4", "P5", "P6"):
        shutil.copytree(patient, patient.parent / name)
    (patient.parent / "P2" / "RS.dcm").unlink()
    (patient.parent / "P3" / "RS.dcm").write_bytes(b"")
    shutil.rmtree(patient.parent / "P4" / "pet")
    shutil.rmtree(patient.parent / "P4" / "ct")
    write_rtstruct(patient.parent / "P5" / "RS.dcm", {"GTV": [rectangle(500, 500, 510, 510, 3)]})
    write_series(patient.parent / "P6" / "pet", "PT", PatientWeight=None)
    (patient.parent / "notes").mkdir()
    (patient.parent / "notes" / "read me.txt").write_text("no DICOM")
    result = made(patient, tmp_path)
    assert [one.patient_id for one in result.patients] == ["P1"]
    errors = {one.patient_id: one.code for one in result.findings if one.severity == ERROR}
    assert errors.pop("P6").startswith("suv")
    assert errors == {"P2": "rtstruct_none", "P3": "empty_file", "P4": "image_missing", "P5": "roi_empty"}
    assert ("notes", "dicom_none") in codes(result)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["P1.nii.gz"]


def test_open_contours_are_no_tumor(patient, tmp_path):
    write_rtstruct(patient / "RS.dcm", {"GTV": tumor_contours()}, kind="OPEN_PLANAR")
    refusal = refusal_of(patient, tmp_path)
    assert "roi_unknown" in refusal and "of 'GTV' all contours are OPEN_PLANAR" in refusal


def test_outcomes_are_joined_by_patient(patient, tmp_path):
    table = tmp_path / "outcomes.csv"
    table.write_text("patient_id,label,time,event,age\nP1,1,120,1,63\nP9,0,900,0,50\n")
    result = made(patient, tmp_path, outcomes=table)
    row = read_cohort(result.cohort)[0]
    assert (row.label, row.time, row.event, row.clinical) == (1, 120.0, 1, {"age": "63"})
    assert codes(result) == [("P9", "outcome_without_images"), ("P1", "roi_used")]
    table.write_text("patient_id,label\nP9,0\n")
    assert ("P1", "label_unknown") in codes(made(patient, tmp_path, outcomes=table))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("patient_id|label\nP1|1\n", "outcomes_unreadable"),
        ("patient_id,label\n", "outcomes_unreadable"),
        ("patient_id,label\nP1,yes\nP1,1\n", "outcomes_rows"),
    ],
)
def test_outcomes_that_cannot_be_used_are_refused_before_anything_is_read(patient, tmp_path, text, code):
    (tmp_path / "outcomes.csv").write_text(text)
    with pytest.raises(BadInput) as caught:
        made(patient, tmp_path, outcomes=tmp_path / "outcomes.csv")
    assert caught.value.code == code and not (tmp_path / "out").exists()


def test_command_makes_the_cohort_and_says_what_is_left_out(patient, tmp_path, capsys):
    (tmp_path / "outcomes.csv").write_text("patient_id,label\nP1,1\n")
    arguments = ["cohort", "from-dicom", str(patient.parent), "--output", str(tmp_path / "out")]
    assert cli.main([*arguments, "--outcomes", str(tmp_path / "outcomes.csv")]) == 0
    said = capsys.readouterr().out
    assert "[roi_used]" in said and "1 patients, 1 of them with a label" in said
    assert read_cohort(tmp_path / "out" / "cohort.csv")[0].mask.exists()
    write_series(patient.parent / "P2" / "ct", "CT", PatientID="P2")
    assert cli.main(arguments) == 2
    assert "error   P2" in capsys.readouterr().out
    assert cli.main([*arguments, "--roi", "Liver"]) == 2 and "cohort_dicom_empty" in capsys.readouterr().err


def test_folder_that_is_not_there_and_stopping(patient, tmp_path):
    with pytest.raises(BadInput) as caught:
        cohort_from_dicom(tmp_path / "nowhere", tmp_path / "out")
    assert caught.value.code == "dicom_folder_missing"
    seen = []

    def stop(*told):
        seen.append(told)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(patient, tmp_path, on_progress=stop)
    assert seen == [(0, 1, "P1")] and not (tmp_path / "out" / "cohort.csv").exists()
