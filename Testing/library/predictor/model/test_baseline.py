"""The simple baseline: by hand, and on the patients against the rate that design measurements gave."""

import csv

import numpy as np
import pytest
from CHMFLPredictorLib.model.baseline import baseline_risk, fit_baseline, uptake


def test_uptake_by_hand():
    suv = np.array([[[0.5, 2.0, 2.5], [4.0, np.nan, 10.0]]], dtype=np.float32)
    assert uptake(suv, 0.5) == pytest.approx(np.log((2.5 + 4.0 + 10.0) * 0.5))


def test_uptake_does_not_depend_on_the_voxel_size():
    rng = np.random.default_rng(0)
    suv = rng.gamma(1.0, 2.0, (8, 9, 10)).astype(np.float32)
    fine = suv.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert uptake(suv, 0.008) == pytest.approx(uptake(fine, 0.001), rel=1e-6)


def test_uptake_does_not_lose_digits_in_a_large_box():
    suv = np.full((224, 224, 100), 2.1, dtype=np.float32)
    assert uptake(suv, 0.001) == pytest.approx(np.log(suv.size * 2.1 * 0.001), rel=1e-6)


def test_cold_box_is_finite():
    assert uptake(np.zeros((3, 3, 3)), 1.0) == 0.0


def test_voxel_volume_is_checked():
    with pytest.raises(ValueError, match="positive"):
        uptake(np.ones((2, 2, 2)), 0.0)


def test_risk_by_hand():
    card = {"baseline": {"mean": 6.0, "scale": 2.0, "slope": 1.5, "intercept": -0.3}}
    assert baseline_risk(card, 7.0) == pytest.approx(1 / (1 + np.exp(-(1.5 * 0.5 - 0.3))))


def test_fit_ranks_like_the_feature_and_means_the_prevalence():
    rng = np.random.default_rng(2)
    dm = np.repeat([0, 1], 30)
    features = 6 + 1.5 * dm + rng.normal(size=60)
    card = {"baseline": fit_baseline(features, dm)}
    risks = np.array([baseline_risk(card, f) for f in features])
    assert np.array_equal(np.argsort(risks), np.argsort(features))
    assert risks.mean() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.slow
def test_baseline_on_the_patients(sts):
    """Measured before: an AUC of 0.795 in the 112 x 112 x 144 mm box around the GTV."""
    import SimpleITK as sitk
    from CHMFLPredictorLib.network.preprocessing import ChannelSteps, Preprocessing, prepare
    from sklearn.metrics import roc_auc_score

    plain = ChannelSteps()
    box = Preprocessing(voxel_mm=4.0, size_voxels=(28, 28, 36), pet=plain, ct=plain)
    features, dm = [], []
    with open(sts / "clinical.csv", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["dm"] == "":
                continue
            folder = sts / "images" / next(row[k] for k in row if k.startswith("patient"))
            pet, gtv = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("PET", "GTV"))
            shape = sitk.LabelShapeStatisticsImageFilter()
            shape.Execute(gtv)
            x, y, z = shape.GetCentroid(1)
            network_input = prepare(pet, pet, (-x, -y, z), box)
            features.append(uptake(network_input.suv, network_input.grid.voxel_ml))
            dm.append(int(row["dm"]))
    assert len(dm) == 48 and sum(dm) == 24
    assert roc_auc_score(dm, features) == pytest.approx(0.795, abs=0.02)
