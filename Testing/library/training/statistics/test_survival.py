"""Survival: Cox's likelihood by hand and by statsmodels, concordance with ties, AUC at a time, the first method."""

import math
from dataclasses import replace

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.networks import cox_head
from CHMFLTrainingLib.statistics.survival import (
    auc_at,
    concordance,
    concordance_interval,
    fit_cox,
    kaplan_meier,
    median_follow_up,
    partial_log_likelihood,
    survival_metrics,
)
from CHMFLTrainingLib.training.settings import Settings


def drawn(n=60, seed=0, ties=True):
    """Times, events and two features; the first doubles the hazard, times are rounded so that many are equal."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    time = random.exponential(np.exp(-0.7 * x[:, 0])) * 10 + 0.5
    censored = random.uniform(1, 25, n)
    event = (time <= censored).astype(int)
    time = np.minimum(time, censored)
    return (np.ceil(time) if ties else time), event, x


def test_partial_likelihood_without_ties_is_the_one_on_paper():
    """Times 1 event x=0, 2 censored x=1, 3 event x=2, 4 event x=1; r = exp(beta)."""
    for beta in (0.0, 0.4, -1.3):
        r = math.exp(beta)
        by_hand = -math.log(1 + r + r**2 + r) + (2 * beta - math.log(r**2 + r)) + 0.0
        x, time, event = [[0.0], [1.0], [2.0], [1.0]], [1, 2, 3, 4], [1, 0, 1, 1]
        for ties in ("efron", "breslow"):
            assert partial_log_likelihood(beta, x, time, event, ties)[0] == pytest.approx(by_hand, rel=1e-12)


def test_partial_likelihood_with_ties_is_the_one_on_paper():
    """Two events at time 2 (x = 1 and 0), a patient censored at time 2 (x = 2, still at risk), one at 5 (x = 0)."""
    r, beta = math.exp(0.5), 0.5
    x, time, event = [[1.0], [0.0], [2.0], [0.0]], [2, 2, 2, 5], [1, 1, 0, 0]
    at_risk = r + 1 + r**2 + 1
    breslow = beta - 2 * math.log(at_risk)
    efron = beta - math.log(at_risk) - math.log(at_risk - 0.5 * (r + 1))
    assert partial_log_likelihood(beta, x, time, event, "breslow")[0] == pytest.approx(breslow, rel=1e-12)
    assert partial_log_likelihood(beta, x, time, event, "efron")[0] == pytest.approx(efron, rel=1e-12)
    ridged = partial_log_likelihood(beta, x, time, event, "efron", ridge=2.0)[0]
    assert ridged == pytest.approx(efron - 0.25, rel=1e-12)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_gradient_and_hessian_are_those_of_the_value(ties):
    time, event, x = drawn(25)
    beta, step = np.array([0.3, -0.2]), 1e-5
    _, gradient, hessian = partial_log_likelihood(beta, x, time, event, ties, ridge=0.7)
    for k in range(2):
        shift = np.eye(2)[k] * step
        up, down = (partial_log_likelihood(beta + s, x, time, event, ties, ridge=0.7) for s in (shift, -shift))
        assert (up[0] - down[0]) / (2 * step) == pytest.approx(gradient[k], rel=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / (2 * step), hessian[k], rtol=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(4))
def test_fit_agrees_with_statsmodels(ties, seed):
    PHReg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    time, event, x = drawn(seed=seed)
    assert len(np.unique(time[event > 0])) < event.sum(), "there are ties"
    theirs = PHReg(time, x, status=event, ties=ties).fit()
    ours = fit_cox(x, time, event, ties=ties)
    np.testing.assert_allclose(ours.beta, theirs.params, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), theirs.bse, rtol=1e-5)
    assert ours.log_likelihood == pytest.approx(theirs.llf, rel=1e-9)
    # the same point in other units and far from zero
    moved = fit_cox(x * [1000, 0.001] + [5e4, -3], time, event, ties=ties)
    np.testing.assert_allclose(moved.beta * [1000, 0.001], ours.beta, rtol=1e-5)


def test_baseline_hazard_agrees_with_statsmodels():
    PHReg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    time, event, x = drawn(seed=5)
    result = PHReg(time, x, status=event, ties="breslow").fit()
    at, hazard, _ = result.baseline_cumulative_hazard[0]
    ours = fit_cox(x, time, event, ties="breslow")
    for now, expected in zip(ours.times, ours.cumulative_hazard, strict=True):
        if (at > now).any():  # theirs is the hazard just before a time
            assert hazard[at == at[at > now].min()].min() == pytest.approx(expected, rel=1e-6)


def test_risk_without_features_effect_is_the_share_of_kaplan_meiers_kind():
    """All features equal: 4 patients, events at 1 and 3; hazard 1/4, then 1/2 more."""
    model = fit_cox(np.zeros((4, 1)), [1, 2, 3, 4], [1, 0, 1, 0], ridge=1.0)
    np.testing.assert_allclose(model.cumulative_hazard, [0.25, 0.75])
    assert model.risk([[0.0]], 0.5)[0] == 0
    assert model.risk([[0.0]], 1.0)[0] == pytest.approx(1 - math.exp(-0.25))
    assert model.risk([[0.0]], 99)[0] == pytest.approx(1 - math.exp(-0.75))


def test_risk_rises_with_the_horizon_and_the_hazard():
    time, event, x = drawn()
    model = fit_cox(x, time, event)
    assert model.beta[0] == pytest.approx(0.7, abs=3 * math.sqrt(model.covariance[0, 0]))
    early, late = model.risk(x, 2.0), model.risk(x, 9.0)
    assert (late > early).all() and early.min() >= 0 and late.max() <= 1
    assert (np.argsort(late) == np.argsort(model.score(x))).all()


def test_perfect_order_is_said_and_a_ridge_mends_it():
    time, x = np.arange(1.0, 9), np.arange(8.0)[::-1, None]
    with pytest.raises(BadInput) as caught:
        fit_cox(x, time, np.ones(8))
    assert caught.value.code == "survival_diverged"
    assert 0 < fit_cox(x, time, np.ones(8), ridge=1.0).beta[0] < 20


def test_survival_needs_events_and_proper_numbers():
    with pytest.raises(BadInput) as caught:
        fit_cox(np.zeros((3, 1)), [1, 2, 3], [0, 0, 0])
    assert caught.value.code == "survival_no_event"
    for time, event in (
        ([0, 1, 2], [1, 1, 1]),
        ([1, 2, math.nan], [1, 1, 1]),
        ([1, 2, 3], [1, 2, 0]),
        ([1, 2], [1, 1]),
    ):
        with pytest.raises(ValueError):
            fit_cox(np.zeros((3, 1)), time, event)


def test_kaplan_meier_by_hand():
    """At risk 5, 4 (one event each), then one censored, 2 at risk at time 4."""
    times, share = kaplan_meier([1, 2, 3, 4, 5], [1, 1, 0, 1, 0])
    np.testing.assert_allclose(times, [1, 2, 4])
    np.testing.assert_allclose(share, [0.8, 0.6, 0.3])
    assert median_follow_up([1, 2, 3, 4, 5], [1, 1, 0, 1, 0]) == 5  # censoring: 2/3 after 3, 0 after 5
    assert median_follow_up([1, 2, 3], [1, 1, 1]) == 3


def test_concordance_by_hand():
    time, event = [1, 2, 3, 4], [1, 0, 1, 0]
    # known pairs: 1-2, 1-3, 1-4, 3-4
    assert concordance(time, event, [4, 3, 2, 1]) == 1
    assert concordance(time, event, [1, 2, 3, 4]) == 0
    assert concordance(time, event, [3, 3, 1, 2]) == pytest.approx(2.5 / 4)  # 1-2 equal, 3-4 wrong
    assert concordance(time, event, [7, 7, 7, 7]) == 0.5


def test_concordance_with_equal_times():
    """Two events at one time: no order. An event and a censoring at one time: the event was first."""
    assert math.isnan(concordance([2, 2], [1, 1], [1, 2]))
    assert concordance([2, 2], [1, 0], [2, 1]) == 1
    assert concordance([2, 2], [1, 0], [1, 2]) == 0
    assert math.isnan(concordance([1, 2], [0, 1], [1, 2]))  # censored before the other's event
    # pairs: 0-2, 0-3, 1-2, 1-3 and 2-3; 0-1 has no order
    assert concordance([2, 2, 2, 3], [1, 1, 0, 1], [5, 1, 3, 3]) == pytest.approx(2 / 4)


def slow_concordance(time, event, risk):
    """Harrell's C as it reads in a book, pair by pair."""
    right = known = 0
    for i in range(len(time)):
        for j in range(i + 1, len(time)):
            a, b = (i, j) if (time[i], -event[i]) <= (time[j], -event[j]) else (j, i)
            if not event[a] or (time[a] == time[b] and event[b]):
                continue
            known += 1
            right += 1 if risk[a] > risk[b] else 0.5 if risk[a] == risk[b] else 0
    return right / known


@pytest.mark.parametrize("seed", range(5))
def test_concordance_equals_the_pairwise_one(seed):
    time, event, x = drawn(30, seed)
    risk = np.round(x[:, 0], 1)
    assert concordance(time, event, risk) == pytest.approx(slow_concordance(time, event, risk), rel=1e-12)
    low, high = concordance_interval(time, event, risk, seed=1, draws=200)
    assert low < concordance(time, event, risk) < high
    assert (low, high) == concordance_interval(time, event, risk, seed=1, draws=200)


def test_auc_at_a_time_without_censoring_is_the_plain_auc():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(2)
    time, risk = random.exponential(10, 50), np.round(random.normal(size=50), 1)
    for horizon in (3.0, 8.0, 20.0):
        expected = roc_auc_score(time <= horizon, risk)
        assert auc_at(horizon, time, np.ones(50), risk) == pytest.approx(expected, rel=1e-12)


def test_auc_at_a_time_weights_for_censoring_by_hand():
    """Events at 1, 3, 4; censored at 2; 6 followed on. Four of five still followed after 1: of those at risk of
    censoring at 2 (times 2, 3, 4, 6) a quarter is lost, so events after it count 4/3."""
    time, event = [1, 2, 3, 4, 6], [1, 0, 1, 1, 0]
    risk = [0, 9, 2, 0, 1]  # against 1 of the control: wrong, -, right, wrong
    assert auc_at(5, time, event, risk) == pytest.approx((4 / 3) / (1 + 4 / 3 + 4 / 3), rel=1e-12)
    assert auc_at(1, time, event, risk) == 0.5 / 4  # one case against four controls, one of them with the same risk
    assert math.isnan(auc_at(0.5, time, event, risk)) and math.isnan(auc_at(6, time, event, risk))


def test_metrics_of_a_table():
    time, event, x = drawn(48, 3)
    found = survival_metrics(time, event, x[:, 0], folds=np.arange(48) % 6)
    assert found["events"] == event.sum() and found["patients"] == 48
    assert found["concordance_ci"][0] < found["concordance"] < found["concordance_ci"][1]
    by_fold = [concordance(time[k::6], event[k::6], x[k::6, 0]) for k in range(6)]
    assert found["concordance_folds"] == pytest.approx(np.nanmean(by_fold))
    for horizon, value in found["auc_at"]:
        assert horizon in time[event > 0] and value == auc_at(horizon, time, event, x[:, 0])
    assert survival_metrics([1, 2], [0, 0], [1, 2])["auc_at"] == []


# The head of a network --------------------------------------------------------------------------------------------


def made_features(n=40, wide=200, strength=1.5, seed=2):
    """Features (n, wide), of which the first eight move together with the hazard; times and events."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=n)
    x = random.normal(size=(n, wide))
    x[:, :8] += 2 * hidden[:, None]
    time = random.exponential(1000 * np.exp(-strength * hidden)) + 1
    censored = random.uniform(500, 4000, n)
    return x * random.uniform(0.1, 30, wide) + 5, np.minimum(time, censored), (time <= censored).astype(int)


def test_ridge_of_more_features_than_patients_is_the_plain_one():
    x, time, event = made_features(30, 50)
    x = x - x.mean(axis=0)
    plain = fit_cox(x, time, event, 100.0).beta
    np.testing.assert_allclose(cox_head.ridge_weights(x, time, event, 100.0), plain, rtol=1e-5, atol=1e-9)


def test_cox_head_orders_new_patients_and_scales_do_not_matter():
    x, time, event = made_features(120)
    head = cox_head.CoxHead.fit(x[:60], time[:60], event[:60], seed=1)
    found = concordance(time[60:], event[60:], head.risk(x[60:], 700.0))
    assert found > 0.65
    scaled = cox_head.CoxHead.fit(1000 * x[:60], time[:60], event[:60], seed=1)
    np.testing.assert_allclose(scaled.risk(1000 * x[60:], 700.0), head.risk(x[60:], 700.0), rtol=1e-6)
    again = cox_head.CoxHead.from_arrays(head.arrays())
    assert (again.risk(x, 700.0) == head.risk(x, 700.0)).all()
    assert (head.risk(x, 1500.0) >= head.risk(x, 300.0)).all()


def test_cox_head_says_little_where_there_is_nothing():
    """By heart it knows its 40 patients; what it says of new ones is spread little, for inner scores tell it."""
    _, time, event = made_features(40)
    x = np.random.default_rng(5).normal(size=(140, 200))
    head = cox_head.CoxHead.fit(x[:40], time, event, seed=1)
    assert concordance(time, event, x[:40] @ cox_head.ridge_weights(x[:40], time, event, 10.0)) > 0.95
    assert np.std(head.risk(x[40:], 700.0)) < 0.15
    assert head.model.beta[0] >= cox_head.LEAST_SLOPE


# The method --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cox():
    """The method, found as the registry finds it."""
    from CHMFLTrainingLib.methods.registry import find

    return find("Cox volume + SUVmax")[0]


def test_cox_uses_times_and_not_labels(cox, tmp_path):
    """Labels exchanged: the same risks. Times exchanged between patients: others."""
    from CHMFLTrainingLib.cohort.planted import planted_cases

    cases = planted_cases(12, True, 3, tmp_path)
    method = cox(Settings(seed=1))
    method.fit(cases, tmp_path)
    other = cox(Settings(seed=1))
    other.fit([replace(case, label=1 - case.label) for case in cases], tmp_path)
    assert (method.predict(cases) == other.predict(cases)).all() and method.threshold == other.threshold
    turned = cox(Settings(seed=1))
    turned.fit([replace(case, time=2500 - case.time, event=1) for case in cases], tmp_path)
    assert np.corrcoef(turned.predict(cases), method.predict(cases))[0, 1] < -0.5


def test_cox_horizon_and_missing_times(cox, tmp_path):
    from CHMFLTrainingLib.cohort.planted import planted_cases

    cases = planted_cases(12, True, 3, tmp_path)
    with pytest.raises(BadInput) as caught:
        cox(Settings()).fit([replace(case, time=None, event=None) for case in cases], tmp_path)
    assert caught.value.code == "time_missing"
    with pytest.raises(BadInput) as caught:
        cox(Settings(options={"horizon": 5})).fit(cases, tmp_path)
    assert caught.value.code == "horizon"
    early, late = (cox(Settings(options={"horizon": days})) for days in (300, 1500))
    early.fit(cases, tmp_path)
    late.fit([*cases, replace(cases[0], patient_id="unknown", time=None, event=None)], tmp_path)
    assert (early.predict(cases) < late.predict(cases)).all() and early.threshold < late.threshold
