"""Hand-crafted features against the reference values of the Image Biomarker Standardisation Initiative."""

import csv
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.cases import Paths
from CHMFLTrainingLib.cohort.planted import VOXEL_MM, planted_cases
from CHMFLTrainingLib.features.autocorrelation import exact_in_mirp, moran_geary
from CHMFLTrainingLib.features.radiomics import (
    RADIOMICS_PRESETS,
    RadiomicsSettings,
    case_features,
    extract,
    feature_table,
    measured,
    options_for,
)
from conftest import STS_FOLDER

IBSI = STS_FOLDER.parent / "ibsi"
QUICK = RadiomicsSettings(4.0, families=("statistics",))
MORPHOLOGY = {
    "Volume (mesh)": "volume", "Volume (voxel counting)": "vol_approx", "Surface area (mesh)": "area_mesh",
    "Surface to volume ratio": "av", "Compactness 1": "comp_1", "Compactness 2": "comp_2",
    "Spherical disproportion": "sph_dispr", "Sphericity": "sphericity", "Asphericity": "asphericity",
    "Centre of mass shift": "com", "Maximum 3D diameter": "diam", "Major axis length": "pca_maj_axis",
    "Minor axis length": "pca_min_axis", "Least axis length": "pca_least_axis", "Elongation": "pca_elongation",
    "Flatness": "pca_flatness", "Volume density (AABB)": "vol_dens_aabb", "Area density (AABB)": "area_dens_aabb",
    "Volume density (AEE)": "vol_dens_aee", "Area density (AEE)": "area_dens_aee",
    "Volume density (convex hull)": "vol_dens_conv_hull", "Area density (convex hull)": "area_dens_conv_hull",
    "Integrated intensity": "integ_int", "Moran's I index": "moran_i", "Geary's C measure": "geary_c",
}  # fmt: skip
# mirp's columns of these families stand in the order of the reference; a wrong pair would not agree in value
IN_ORDER = {
    "Local intensity": "loc_",
    "Statistics": "stat_",
    "Intensity histogram": "ih_",
    "Co-occurrence matrix (3D, merged)": "cm_",
    "Run length matrix (3D, merged)": "rlm_",
    "Size zone matrix (3D)": "szm_",
    "Distance zone matrix (3D)": "dzm_",
    "Neighbourhood grey tone difference matrix (3D)": "ngt_",
    "Neighbouring grey level dependence matrix (3D)": "ngl_",
}
KIND = "the reference values are not here: no ../shared/data/ibsi beside the repository"


def read(name):
    if not (IBSI / "reference_values.csv").is_file():
        pytest.skip(KIND)
    return (sitk.ReadImage(str(IBSI / f"{name}{end}.nii.gz")) for end in ("", "_mask"))


def reference(data_set):
    with open(IBSI / "reference_values.csv", newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["data_set"] == data_set]


def compared(data_set, values):
    """(name, value, benchmark, tolerance) of every reference value of a 3D feature that was computed."""
    rows, found = reference(data_set), []
    for row in rows:
        if row["family"] == "Morphology" and row["image_biomarker"] in MORPHOLOGY:
            found.append((row, values[f"morph_{MORPHOLOGY[row['image_biomarker']]}"]))
    for family, prefix in IN_ORDER.items():
        family_rows = [row for row in rows if row["family"] == family]
        ours = [name for name in values if name.startswith(prefix)]
        if family_rows:
            known = ours if len(ours) == len(family_rows) else _without_mode(ours, family_rows)
            found += [(row, values[name]) for row, name in zip(family_rows, known, strict=True)]
    return [
        (row["image_biomarker"], value, float(row["benchmark_value"]), float(row["tolerance"])) for row, value in found
    ]


def _without_mode(ours, rows):
    names = [row["image_biomarker"] for row in rows]
    assert "Mode" not in names, f"{len(ours)} features against {len(rows)} reference values"
    return [name for name in ours if name != "ih_mode"]


def disagreeing(comparison):
    """Those outside the tolerance. Benchmarks have three significant digits, so the values are rounded to as many."""
    return [
        (name, value, benchmark)
        for name, value, benchmark, tolerance in comparison
        if not abs(float(f"{value:.3g}") - benchmark) <= tolerance + 1e-9 * abs(benchmark)
    ]


def test_digital_phantom_agrees_with_every_reference_value():
    image, mask = read("digital_phantom")
    values = extract(image, mask, base_discretisation_method="none")
    comparison = compared("digital phantom", values)
    assert len(comparison) >= 155 and not disagreeing(comparison)


def test_our_processing_of_the_ct_is_configuration_c():
    """The lung cancer CT through the very options that a patient's CT goes through."""
    image, mask = read("ct_phantom")
    values = extract(image, mask, "ct", **options_for("ct", RADIOMICS_PRESETS["paper"]))
    comparison = compared("configuration C", values)
    assert len(comparison) >= 150 and not disagreeing(comparison)


def test_other_bins_do_not_agree():
    """The comparison sees a wrong setting."""
    image, mask = read("ct_phantom")
    wrong = RadiomicsSettings(ct_bin_hu=30.0, families=("intensity_histogram",))
    values = extract(image, mask, "ct", **options_for("ct", wrong))
    rows = [row for row in reference("configuration C") if row["family"] == "Intensity histogram"]
    (row,) = (row for row in rows if row["image_biomarker"] == "Entropy")
    (entropy,) = (value for name, value in values.items() if name.startswith("ih_entropy"))
    assert abs(entropy - float(row["benchmark_value"])) > float(row["tolerance"])


def by_hand(index, spacing, values):
    place = np.asarray(index) * np.asarray(spacing)
    distance = np.linalg.norm(place[:, None] - place[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    weight, deviation, n = 1 / distance, values - values.mean(), len(values)
    scale = weight.sum() * (deviation**2).sum()
    differences = (values[:, None] - values[None]) ** 2
    return (
        n * (weight * np.outer(deviation, deviation)).sum() / scale,
        (n - 1) * (weight * differences).sum() / (2 * scale),
    )


def test_autocorrelation_equals_the_sum_over_pairs():
    random = np.random.default_rng(0)
    index = np.unique(random.integers(0, (9, 7, 11), (150, 3)), axis=0) + 5
    values = random.normal(5, 2, len(index))
    assert moran_geary(index, (2.0, 1.0, 3.5), values) == pytest.approx(by_hand(index, (2.0, 1.0, 3.5), values))
    assert moran_geary(index, (1.0, 1.0, 1.0), np.ones(len(index))) == (1.0, 1.0)
    assert all(math.isnan(value) for value in moran_geary(index[:1], (1.0, 1.0, 1.0), values[:1]))


def test_mirp_is_left_as_it_was():
    from mirp._features.morph_3d_data import Data3DSpatial

    before = Data3DSpatial.compute_spatial_information
    with pytest.raises(RuntimeError), exact_in_mirp():
        assert Data3DSpatial.compute_spatial_information is not before
        raise RuntimeError
    assert Data3DSpatial.compute_spatial_information is before


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return planted_cases(2, True, 0, tmp_path_factory.mktemp("radiomics"))


def test_a_patients_features_in_their_units(cases):
    case = next(case for case in cases if case.label)  # the larger tumor
    # on cubes of the images' own size nothing is interpolated
    values = case_features(case, RadiomicsSettings(VOXEL_MM, families=("statistics",)))
    pet, mask = (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (case.paths.pet, case.paths.mask))
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(case.paths.ct)))
    assert values["pet_stat_mean"] == pytest.approx(pet[mask > 0].mean(), rel=1e-4)
    assert values["ct_stat_median"] == pytest.approx(np.median(hu[mask > 0]), abs=0.5)
    assert values["measured_volume_ml"] == pytest.approx(mask.sum() * 0.216)
    assert values["measured_suv_max"] == pytest.approx(pet[mask > 0].max(), rel=1e-5)
    only_ct = case_features(case, QUICK, ("ct",))
    assert set(only_ct) == {name for name in values if name.startswith("ct_")}
    assert all(math.isfinite(value) for value in values.values())


def test_pet_and_mask_on_different_grids_meet_in_the_right_place(cases):
    """Where mirp's voxels are those of a finer mask, the mean is that of the PET interpolated there."""
    image, mask = (sitk.ReadImage(str(path)) for path in (cases[0].paths.pet, cases[0].paths.mask))
    fine = sitk.Expand(mask, (2, 2, 2), sitk.sitkNearestNeighbor)
    half = RadiomicsSettings(VOXEL_MM / 2, families=("statistics",))
    values = extract(image, fine, "pet", **options_for("pet", half))
    there = sitk.GetArrayFromImage(sitk.Resample(image, fine, sitk.Transform(), sitk.sitkLinear))
    inside = sitk.GetArrayFromImage(fine) > 0
    assert values["stat_mean"] == pytest.approx(there[inside].mean(), rel=1e-4)
    assert values["stat_max"] == pytest.approx(there[inside].max(), rel=1e-4)


def test_features_are_cached_by_their_settings(cases):
    case_features(cases[0], QUICK)
    before = len(list((cases[0].cache / "features").iterdir()))
    case_features(cases[0], QUICK)
    assert len(list((cases[0].cache / "features").iterdir())) == before
    case_features(cases[0], RadiomicsSettings(5.0, families=("statistics",)), ("pet",))
    assert len(list((cases[0].cache / "features").iterdir())) == before + 1
    names = {preset.name(modality) for preset in RADIOMICS_PRESETS.values() for modality in ("pet", "ct")}
    assert len(names) == 4, "paper and compact share their features, smoke has its own"


def test_table_of_several_patients(cases):
    names, values = feature_table(cases, QUICK)
    assert values.shape == (2, len(names)) and names == sorted(names)
    assert values[1, names.index("pet_stat_max")] == case_features(cases[1], QUICK)["pet_stat_max"]


def test_mask_outside_the_image_is_refused(cases, tmp_path):
    mask = sitk.ReadImage(str(cases[0].paths.mask))
    mask.SetOrigin((5000.0, 0.0, 0.0))
    image = sitk.ReadImage(str(cases[0].paths.pet))
    with pytest.raises(BadInput) as refused:
        extract(image, mask, "pet", **options_for("pet", QUICK))
    assert refused.value.code == "mask_outside_image" and refused.value.hint


def test_a_mask_that_vanishes_between_the_voxels_is_refused(cases):
    image, mask = (sitk.ReadImage(str(path)) for path in (cases[0].paths.pet, cases[0].paths.mask))
    tiny = sitk.Expand(mask * 0, (4, 4, 4), sitk.sitkNearestNeighbor)
    tiny[40, 40, 40] = 1
    with pytest.raises(BadInput) as refused:
        extract(image, tiny, "pet", **options_for("pet", RadiomicsSettings(8.0)))
    assert refused.value.code == "mask_too_small"


def test_a_patient_without_ct_has_pet_features(cases):
    case = replace(cases[0], paths=Paths(cases[0].paths.pet, None, cases[0].paths.mask))
    assert "pet_stat_mean" in case_features(case, QUICK, ("pet",)) and measured(case)["measured_tlg"] > 0


def test_nothing_is_printed_and_the_log_is_as_before(cases, capfd):
    handlers, disabled = list(logging.getLogger().handlers), logging.root.manager.disable
    image, mask = (sitk.ReadImage(str(path)) for path in (cases[0].paths.pet, cases[0].paths.mask))
    extract(image, mask, "pet", **options_for("pet", QUICK))
    assert capfd.readouterr().out == ""
    assert logging.getLogger().handlers == handlers and logging.root.manager.disable == disabled
