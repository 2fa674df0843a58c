"""Calibration: numbers checked against scikit-learn and against brute force."""

import numpy as np
import pytest
from CHMFLPredictorLib.model.calibration import fit_calibration, fit_logistic, risk, sigmoid

CARD = {"calibration": {"slope": 0.7, "intercept": -0.2, "bootstrap": [[0.5, -0.4], [0.9, 0.1], [0.7, -0.2]]}}


def test_sigmoid_does_not_overflow():
    from scipy.special import expit

    x = np.array([-1e4, -50, -1, 0, 1, 50, 1e4])
    assert np.allclose(sigmoid(x), expit(x), atol=1e-15)


def test_risk_by_hand():
    value, members, (low, high) = risk([1.0, 3.0], CARD)
    assert value == pytest.approx(1 / (1 + np.exp(-(0.7 * 2.0 - 0.2))))
    assert members == pytest.approx([1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-1.9))])
    cloud = [1 / (1 + np.exp(-(s * m + i))) for s, i in CARD["calibration"]["bootstrap"] for m in (1.0, 3.0)]
    assert (low, high) == pytest.approx(tuple(np.percentile(cloud, (5, 95))))
    assert low < value < high


def test_interval_holds_the_risk_and_widens_with_disagreement():
    _, _, narrow = risk([1.0, 1.0], CARD)
    _, _, wide = risk([-4.0, 6.0], CARD)
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    single, _, interval = risk([1.0], {"calibration": {"slope": 1.0, "intercept": 0.0}})
    assert interval == (single, single)
    value, _, (low, high) = risk([0.0], {"calibration": {"slope": 1.0, "intercept": 0.0, "bootstrap": [[1.0, 2.0]]}})
    assert low <= value <= high


def test_risk_rises_with_log_odds():
    values = [risk([x], CARD)[0] for x in np.linspace(-20, 20, 41)]
    assert np.all(np.diff(values) > 0) and 0 < values[0] < values[-1] < 1


@pytest.mark.parametrize("bad", [[], [np.nan], [1.0, np.inf]])
def test_risk_refuses_what_is_no_number(bad):
    with pytest.raises(ValueError, match="finite"):
        risk(bad, CARD)


def test_fit_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    x = rng.normal(5.0, 3.0, 200)
    dm = (rng.random(200) < sigmoid(0.8 * x - 4.0)).astype(int)
    slope, intercept = fit_logistic(x, dm, ridge=0.01)
    z = (x - x.mean()) / x.std()
    other = LogisticRegression(C=1 / (0.01 * 200), tol=1e-10, max_iter=1000).fit(z[:, None], dm)
    assert slope == pytest.approx(other.coef_[0, 0] / x.std(), rel=1e-3)
    assert intercept == pytest.approx(other.intercept_[0] - other.coef_[0, 0] * x.mean() / x.std(), rel=1e-3)


def test_fit_of_several_numbers_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    x = rng.normal([5.0, -1.0, 0.0], [3.0, 0.2, 10.0], (60, 3))
    dm = (rng.random(60) < sigmoid(x @ [0.8, -2.0, 0.0] - 6.0)).astype(int)
    slope, intercept = fit_logistic(x, dm, ridge=1 / (2.0 * 60))
    other = LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit((x - x.mean(0)) / x.std(0), dm)
    assert slope * x.std(0) == pytest.approx(other.coef_[0], rel=1e-4)
    assert sigmoid(x @ slope + intercept).mean() == pytest.approx(dm.mean(), abs=1e-6)


def test_fit_recovers_the_truth():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, 20000)
    dm = rng.random(x.size) < sigmoid(0.6 * x - 0.5)
    assert fit_logistic(x, dm, ridge=0.0) == pytest.approx((0.6, -0.5), abs=0.06)


def test_separated_groups_keep_a_finite_slope():
    slope, intercept = fit_logistic([-2, -1, 1, 2], [0, 0, 1, 1])
    assert 0 < slope < 20 and abs(intercept) < 1e-6


def test_fit_refuses_one_label():
    with pytest.raises(ValueError, match="both labels"):
        fit_logistic([1, 2, 3], [1, 1, 1])


def test_calibration_of_noise_is_flat_and_bootstrap_repeats():
    rng = np.random.default_rng(1)
    log_odds, dm = 8 * rng.normal(size=48), np.repeat([0, 1], 24)
    calibration = fit_calibration(log_odds, dm, resamples=50, seed=4)
    assert abs(calibration["slope"]) < 0.12  # eightfold overconfident noise comes out near one half
    assert calibration == fit_calibration(log_odds, dm, resamples=50, seed=4)
    slopes = np.array(calibration["bootstrap"])[:, 0]
    assert slopes.shape == (50,) and slopes.min() < calibration["slope"] < slopes.max()
