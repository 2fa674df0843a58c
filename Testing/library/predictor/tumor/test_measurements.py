"""Tumor measurements against analytic bodies, the biomarker initiative's phantoms, and another way to compute them."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.tumor.measurements import MEASUREMENTS, SUV_UCUM, SUV_UNIT, longest_diameter_mm, measure
from conftest import REPOSITORY
from scipy import ndimage
from scipy.spatial.distance import pdist

IBSI = REPOSITORY.parent / "shared" / "data" / "ibsi"


def image(array_zyx, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None):
    made = sitk.GetImageFromArray(np.asarray(array_zyx))
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    if direction is not None:
        made.SetDirection(np.asarray(direction).ravel().tolist())
    return made


def ball(radius, spacing=(1.0, 1.0, 2.0), size=(60, 60, 40)):
    """A ball in the middle of a volume that begins at the origin; uint8."""
    x, y, z = (np.arange(n) * s for n, s in zip(size, spacing, strict=True))
    middle = [(n - 1) * s / 2 for n, s in zip(size, spacing, strict=True)]
    squared = (
        (x[None, None, :] - middle[0]) ** 2 + (y[None, :, None] - middle[1]) ** 2 + (z[:, None, None] - middle[2]) ** 2
    )
    return image((squared <= radius**2).astype(np.uint8), spacing)


def ramp(points, gradient=(0.02, -0.03, 0.05), offset=8.0):
    return offset + points @ np.array(gradient)


def pet_of(function, spacing=(4.0, 4.0, 3.0), size=(24, 24, 34), origin=(-10.0, -10.0, -10.0), direction=None):
    """A PET whose voxels hold a function of their LPS centers."""
    direction = np.eye(3) if direction is None else direction
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    points = np.array(origin) + (index * np.array(spacing)) @ np.asarray(direction).T
    return image(function(points).transpose(2, 1, 0).astype(np.float32), spacing, origin, direction)


def test_ball_has_the_volume_diameter_and_uptake_of_a_ball():
    tumor, pet = ball(20.0), pet_of(lambda p: np.full(p.shape[:-1], 5.0))
    values = measure(tumor, pet)
    assert tuple(values) == tuple(MEASUREMENTS)
    volume = 4 / 3 * np.pi * 2.0**3
    assert values["volume_ml"] == pytest.approx(volume, rel=0.01)
    assert values["longest_diameter_mm"] == pytest.approx(40.0, abs=2.0)
    assert values["suv_mean"] == pytest.approx(5.0) and values["suv_max"] == pytest.approx(5.0)
    assert values["tlg"] == pytest.approx(5.0 * values["volume_ml"])


@pytest.mark.parametrize("degrees", [0, 25])
def test_mean_of_a_ramp_is_its_value_at_the_center_whatever_the_grid(degrees):
    angle = np.radians(degrees)
    direction = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    origin = (5.0, -30.0, -10.0) if degrees else (-10.0, -10.0, -10.0)
    pet = pet_of(ramp, size=(34, 34, 34), spacing=(3.0, 3.0, 3.0), origin=origin, direction=direction)
    values = measure(ball(18.0), pet)
    middle = np.array([29.5, 29.5, 39.0])
    assert values["suv_mean"] == pytest.approx(ramp(middle), rel=1e-3)
    steepest = ramp(middle) + 18.0 * np.linalg.norm((0.02, -0.03, 0.05))
    assert ramp(middle) < values["suv_max"] <= steepest


def test_peak_is_not_flattened_and_neighbors_do_not_count():
    array = np.ones((20, 20, 20), np.float32)
    array[10, 10, 10], array[10, 10, 14] = 20.0, 90.0  # at 40.5 and 56.5 mm
    pet = image(array, (4.0, 4.0, 4.0), (0.5, 0.5, 0.5))
    tumor = np.zeros((80, 80, 80), np.uint8)
    tumor[30:50, 30:50, 30:50] = 1
    values = measure(image(tumor), pet)
    assert values["suv_max"] == 20.0
    assert values["suv_mean"] < 1.5


def test_tumor_smaller_than_a_pet_voxel_is_measured():
    tumor = np.zeros((40, 40, 40), np.uint8)
    tumor[11, 11, 11] = 1
    values = measure(image(tumor), pet_of(ramp))
    assert values["suv_max"] == pytest.approx(ramp(np.array([11.0, 11.0, 11.0])), rel=1e-5)
    assert values["volume_ml"] == pytest.approx(0.001) and values["longest_diameter_mm"] == pytest.approx(1.0)


def test_only_the_overlap_has_uptake():
    tumor = ball(20.0)
    pet = pet_of(lambda p: np.full(p.shape[:-1], 4.0), size=(10, 24, 34))  # ends at 28, tumor 9.5 to 49.5
    values = measure(tumor, pet)
    full = measure(tumor, pet_of(lambda p: np.full(p.shape[:-1], 4.0)))
    assert values["volume_ml"] == full["volume_ml"]
    assert values["suv_mean"] == pytest.approx(4.0)
    assert 0.4 * full["tlg"] < values["tlg"] < 0.6 * full["tlg"]
    away = measure(tumor, pet_of(ramp, origin=(500.0, 0.0, 0.0)))
    assert away["volume_ml"] == full["volume_ml"]
    assert away["suv_max"] is None and away["suv_mean"] is None and away["tlg"] is None


def test_empty_segmentation_has_no_measurements():
    values = measure(image(np.zeros((5, 6, 7), np.uint8)), pet_of(ramp))
    assert values == dict.fromkeys(MEASUREMENTS)
    assert longest_diameter_mm(np.zeros((3, 3, 3), bool), (1, 1, 1)) is None


def test_longest_diameter_is_the_largest_of_all_distances():
    random = np.random.default_rng(2)
    tumor = ndimage.gaussian_filter(random.normal(size=(14, 16, 18)), 2) > 0.02
    spacing = np.array((3.27, 0.98, 0.98))
    corners = []
    for axis in range(3):  # every face of every tumor voxel, inner ones too
        for side in (-0.5, 0.5):
            faces = np.argwhere(tumor).astype(float)
            faces[:, axis] += side
            corners.append(faces * spacing)
    assert longest_diameter_mm(tumor, spacing) == pytest.approx(pdist(np.concatenate(corners)).max())
    assert longest_diameter_mm(tumor.transpose(2, 0, 1), spacing[[2, 0, 1]]) == pytest.approx(
        longest_diameter_mm(tumor, spacing)
    )


def test_pieces_are_measured_together():
    tumor = np.zeros((10, 10, 40), np.uint8)
    tumor[5, 5, 2], tumor[5, 5, 32] = 1, 7
    assert measure(image(tumor), pet_of(ramp))["longest_diameter_mm"] == pytest.approx(31.0)


@pytest.mark.parametrize(
    ("folder", "data_set"), [("digital_phantom", "digital phantom"), ("ct_phantom", "configuration A")]
)
def test_agrees_with_the_biomarker_initiative(folder, data_set):
    if not IBSI.is_dir():
        pytest.skip("the initiative's phantoms are not here: no ../shared/data/ibsi beside the repository")
    with open(IBSI / "reference_values.csv", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["data_set"] == data_set and r["family"] == "Morphology"]
    reference = {r["image_biomarker"]: (float(r["benchmark_value"]), float(r["tolerance"])) for r in rows}
    mask = sitk.ReadImage(str(IBSI / f"{folder}_mask.nii.gz"))
    values = measure(mask, sitk.ReadImage(str(IBSI / f"{folder}.nii.gz"), sitk.sitkFloat32))
    for name, value in (
        ("Volume (voxel counting)", values["volume_ml"] * 1000),
        ("Maximum 3D diameter", values["longest_diameter_mm"]),
    ):
        benchmark, tolerance = reference[name]
        assert abs(value - benchmark) <= tolerance, name


@pytest.mark.parametrize("patient", ["STS_002", "STS_015", "STS_044"])
def test_real_patient_as_computed_another_way(sts, patient):
    folder = sts / "images" / patient
    gtv, pet = sitk.ReadImage(str(folder / "GTV.nii.gz")), sitk.ReadImage(str(folder / "PET.nii.gz"), sitk.sitkFloat32)
    values = measure(gtv, pet)
    inside, suv = sitk.GetArrayFromImage(gtv) > 0, sitk.GetArrayFromImage(pet)
    ml = np.prod(gtv.GetSpacing()) / 1000
    points = np.argwhere(inside)[:, ::-1] * np.array(gtv.GetSpacing()) + np.array(gtv.GetOrigin())
    index = (points - np.array(pet.GetOrigin())) / np.array(pet.GetSpacing())
    uptake = ndimage.map_coordinates(suv, index[:, ::-1].T, order=1, mode="nearest")
    assert values["volume_ml"] == pytest.approx(inside.sum() * ml)
    assert values["suv_mean"] == pytest.approx(uptake.mean(), rel=0.01)
    assert values["tlg"] == pytest.approx(uptake.sum() * ml, rel=0.01)
    corners = np.argwhere(suv > -1)[:, ::-1] * np.array(pet.GetSpacing()) + np.array(pet.GetOrigin())
    nearest = np.rint((corners - np.array(gtv.GetOrigin())) / np.array(gtv.GetSpacing())).astype(int)
    size = np.array(gtv.GetSize())
    there = ((nearest >= 0) & (nearest < size)).all(axis=1)
    hit = np.zeros(len(nearest), bool)
    hit[there] = inside[nearest[there, 2], nearest[there, 1], nearest[there, 0]]
    assert values["suv_max"] == pytest.approx(suv.ravel()[hit].max())
    extent = np.ptp(points, axis=0)
    assert extent.max() <= values["longest_diameter_mm"] <= np.linalg.norm(extent + np.array(gtv.GetSpacing()))


# The table ------------------------------------------------------------------------------------------------------------

NUMBERS = {"volume_ml": 220.99, "suv_max": 11.12, "suv_mean": 6.43, "tlg": 1420.2, "longest_diameter_mm": 88.4}
TEXTS = ["221 ml", "11.1 g/ml", "6.4 g/ml", "1420 SUV ml", "88 mm"]


def test_units_of_suv():
    assert (SUV_UNIT, SUV_UCUM) == ("g/ml", "{SUVbw}g/ml")
    assert [f"{one.text(NUMBERS[key])} {one.unit}" for key, one in MEASUREMENTS.items()] == TEXTS


@pytest.mark.parametrize("key", MEASUREMENTS)
def test_every_place_shows_the_unit_of_the_table(key):
    from CHMFLPredictorLib.commands.cli import summary
    from CHMFLPredictorLib.model import warnings
    from CHMFLPredictorLib.predict import prediction
    from CHMFLPredictorLib.report.report import report_html

    one, text = MEASUREMENTS[key], TEXTS[list(MEASUREMENTS).index(key)]
    result = {"tumor": NUMBERS, "risk": 0.4, "risk_interval": [0.3, 0.5], "threshold": 0.5, "label": "low"}
    result |= {"timings_s": {"to_risk": 1.0, "total": 2.0}, "device": "cpu", "baseline_risk": 0.4, "members": [0.4]}
    assert prediction.UNITS[key] == one.unit
    assert f"{one.title} {text}" in summary(result)
    assert f">{text}</td>" in report_html(result, {}, {})
    if (name := f"tumor_{key}") in warnings.observe_tumor(NUMBERS):
        (found,) = warnings.outside_ranges({name: 9.0}, {name: [1.0, 2.0]})
        assert f" 9 {one.unit}" in found["text"]
    lines = [line for name in ("", "CHMFLPredictor/", "CHMFLTraining/") for line in _lines(f"{name}README.md")]
    rows = [line.split("|") for line in lines if f"`tumor.{key}`" in line]
    fields = {f"`tumor.{name}`": one.unit for name, one in MEASUREMENTS.items()}
    assert rows, "the README explains the fields of result.json"
    for row in rows:
        units = dict.fromkeys(fields[name.strip()] for name in row[1].split(",") if name.strip() in fields)
        assert row[2].strip() == ", ".join(units)


def _lines(name):
    path = REPOSITORY / name
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def test_the_scene_shows_the_units_of_the_table():
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    import slicer_headless  # noqa: F401  (the scene's files need its modules)
    from CHMFLPredictorLib.scene.nodes import UNITS
    from CHMFLPredictorLib.scene.results import COLUMNS

    columns = {path: (title, unit) for title, path, unit, _ in COLUMNS}
    for key, one in MEASUREMENTS.items():
        assert columns[f"tumor.{key}"] == (f"{one.title} [{one.unit}]", one.ucum)
    assert UNITS[SUV_UCUM] == "SUV"
