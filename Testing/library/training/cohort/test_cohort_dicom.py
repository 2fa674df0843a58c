"""A folder of DICOM patients becomes a cohort with masks: contours, the choice of the ROI, series and outcomes."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.check import check_cohort
from CHMFLTrainingLib.cohort.cohort import read_cohort
from CHMFLTrainingLib.cohort.contours import fill_contours, fill_polygons
from CHMFLTrainingLib.cohort.dicom import cohort_from_dicom
from CHMFLTrainingLib.cohort.findings import ERROR
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


def test_filling_agrees_with_ray_casting_point_by_point():
    """Random stars, some overlapping: even-odd by counting crossings of a ray, pixel by pixel."""
    random = np.random.default_rng(0)
    polygons = []
    for _ in range(4):
        angle = np.sort(random.uniform(0, 2 * np.pi, 13))
        radius = random.uniform(3, 11, 13)
        center = random.uniform(9, 20, 2)
        polygons.append(center + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    expected = np.zeros((27, 31), int)
    for y in range(27):
        for x in range(31):
            for polygon in polygons:
                for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                    if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                        expected[y, x] += 1
    filled = fill_polygons(polygons, (27, 31))
    assert filled.any() and (filled == expected % 2).all()


def test_filling_of_a_disk_has_its_area_and_its_orientation_does_not_matter():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    disk = 50 + 30.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    filled = fill_polygons([disk], (100, 100))
    assert filled.sum() == pytest.approx(np.pi * 30.3**2, rel=0.01)
    assert (fill_polygons([disk[::-1]], (100, 100)) == filled).all()
    closed = np.concatenate([disk, disk[:1]])  # some programs repeat the first point
    assert (fill_polygons([closed], (100, 100)) == filled).all()


def test_neighbors_that_share_an_edge_fill_the_plane_once():
    left, right = (np.array([[a, 0], [b, 0], [b, 5], [a, 5]], float) for a, b in ((0, 3), (3, 6)))
    together = fill_polygons([left], (5, 6)).astype(int) + fill_polygons([right], (5, 6))
    assert (together == 1).all()


def test_a_polygon_reaching_out_of_the_image_is_cut_there():
    big = np.array([[-10, -10], [50, -10], [50, 50], [-10, 50]], float)
    assert fill_polygons([big], (7, 9)).all()
    assert not fill_polygons([big + 100], (7, 9)).any() and not fill_polygons([big - 100], (7, 9)).any()


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
    assert (sitk.GetArrayFromImage(mask) == expected).all() and not warnings
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
    assert "roi_unknown" in refusal_of(patient, tmp_path)


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
