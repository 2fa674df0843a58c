"""Metrics, intervals and tests: published values, values by hand, identities, and no surprise on odd folds."""

import json
import math

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.model.calibration import fit_logistic
from CHMFLTrainingLib.report import tables
from CHMFLTrainingLib.statistics import auc, calibration, metrics
from CHMFLTrainingLib.statistics.segmentation import dice, voxel_counts
from made_risks import made, rows_of

# DeLong et al. 1988, the ovarian cancer patients without a missing test, as printed in the SAS/STAT User's Guide, PROC
# LOGISTIC, "Comparing Receiver Operating Characteristic Curves": albumin, total protein, 10 - K-G score, benefit.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def test_delong_gives_the_published_values():
    values = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    albumin, protein, score, benefit = values[:, 0], values[:, 1], 10 - values[:, 2], values[:, 3]
    areas, matrix = auc.covariance(benefit, [albumin, score, protein])
    assert np.round(areas, 4).tolist() == [0.7366, 0.7258, 0.6478]
    assert np.round(np.sqrt(np.diag(matrix)), 4).tolist() == [0.0927, 0.1028, 0.1000]
    against = auc.delong_test(benefit, albumin, score)
    found = [against.difference, against.se, against.low, against.high, against.z**2, against.p]
    assert np.round(found, 4).tolist() == [0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102]
    against = auc.delong_test(benefit, protein, score)
    assert np.round([against.difference, against.se, against.z**2, against.p], 4).tolist() == [
        -0.0780, 0.1046, 0.5554, 0.4561,
    ]  # fmt: skip


def test_delong_by_hand():
    """Two patients of each outcome. a: pairs 1, 0 / 1, 1, so AUC 3/4; b: 0, 0 / 1, 1, so AUC 1/2."""
    label, a, b = [1, 1, 0, 0], [0.4, 0.9, 0.1, 0.5], [0.1, 0.9, 0.3, 0.5]
    areas, matrix = auc.covariance(label, [a, b])
    assert areas.tolist() == [0.75, 0.5]
    # a: events (1/2, 1), others (1, 1/2), each variance 1/8; b: events (0, 1), variance 1/2, others equal
    assert np.allclose(matrix, [[1 / 16 + 1 / 16, 1 / 8], [1 / 8, 1 / 4]])
    assert auc.delong_test(label, a, b).se == pytest.approx(math.sqrt(1 / 8 + 1 / 4 - 2 / 8))


def test_equal_scores_do_not_differ():
    found = made()
    same = auc.delong_test(found.label, found.risk, found.risk)
    assert (same.difference, same.p) == (0.0, 1.0)
    stretched = auc.delong_test(found.label, found.risk, found.risk**3)  # the order is all that an AUC sees
    assert (stretched.difference, stretched.p) == (0.0, 1.0)
    turned = auc.delong_test(found.label, found.risk, 1 - found.risk)
    assert turned.auc_a + turned.auc_b == pytest.approx(1)
    back = auc.delong_test(found.label, 1 - found.risk, found.risk)
    assert back.p == pytest.approx(turned.p) and back.difference == pytest.approx(-turned.difference)


def test_a_repeat_said_twice_adds_nothing():
    a, b = made(seed=1), made(seed=2)
    once = auc.delong_test(a.label, a.risk, b.risk)
    twice = auc.delong_test(a.label, np.repeat(a.risk, 2, axis=0), np.repeat(b.risk, 2, axis=0))
    assert twice.p == pytest.approx(once.p) and twice.se == pytest.approx(once.se)


def test_delong_agrees_with_the_bootstrap():
    """On 200 made patients both say the same of one AUC and of a difference."""
    a, b = made(200, 1.2, seed=3), made(200, 0.6, seed=4)
    drawn_a, drawn_b = (metrics.bootstrap(one, 4000, seed=5)["auc"] for one in (a, b))  # the same patients in both
    assert np.std(drawn_a) == pytest.approx(auc.standard_error(a.label, a.risk), rel=0.06)
    test = auc.delong_test(a.label, a.risk, b.risk)
    assert np.std(drawn_a - drawn_b) == pytest.approx(test.se, rel=0.06)
    assert np.mean(drawn_a - drawn_b) == pytest.approx(test.difference, abs=0.005)
    assert metrics.interval(drawn_a - drawn_b) == pytest.approx((test.low, test.high), abs=0.02)


def test_auc_is_that_of_sklearn_ties_too():
    from sklearn.metrics import roc_auc_score

    label, risk = np.arange(40) % 2, np.round(np.random.default_rng(0).uniform(size=40), 1)
    assert auc.auc(label, risk) == pytest.approx(roc_auc_score(label, risk))


def test_roc_curve_is_that_of_its_auc():
    found = made(seed=3)
    risk = np.round(found.risk[0], 1)  # with ties
    x, y = auc.roc_curve(found.label, risk)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(auc.auc(found.label, risk))


def test_no_difference_can_be_tested_where_nothing_varies():
    perfect = auc.delong_test([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1])
    assert perfect.difference == 1 and math.isnan(perfect.p)
    single = auc.delong_test([0, 0, 1], [0.1, 0.2, 0.8], [0.1, 0.9, 0.8])
    assert single.difference == 0.5 and math.isnan(single.se) and math.isnan(single.p)
    assert math.isnan(auc.auc([1, 1], [0.2, 0.3]))


def test_error_of_48_patients():
    assert auc.planned_error(0.8, 24, 24) == pytest.approx(0.065, abs=0.0005)
    assert auc.luck_of_the_best(1) == pytest.approx(0, abs=1e-9)
    assert auc.luck_of_the_best(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert auc.luck_of_the_best(3) == pytest.approx(1.5 / math.sqrt(math.pi))


def test_the_interval_is_as_wide_as_theory_says():
    """Hanley and McNeil: 24 against 24 at an AUC near 0.75 have a standard error of about 0.07."""
    random = np.random.default_rng(3)
    label = np.repeat([0, 1], 24)
    risk = 1 / (1 + np.exp(-random.normal(size=48) - 0.95 * label))
    found = metrics.summarize(metrics.out_of_fold(rows_of(risk, label, np.tile(np.arange(6), 8))))
    low, high = found["interval"]["auc"]
    assert low < auc.auc(label, risk) < high and (high - low) / 3.92 == pytest.approx(0.07, abs=0.02)


def test_cross_fitting_never_sees_the_own_fold():
    """Twenty columns of noise tell 48 patients' labels by heart; a fold that was left out is guessed no better than by
    chance.
    """
    random = np.random.default_rng(0)
    label, fold = np.tile([0, 1], 24), np.repeat(np.arange(6), 8)
    fitted, left_out = [], []
    for _ in range(10):
        noise = random.normal(size=(48, 20))
        slope, intercept = fit_logistic(noise, label, 1 / (100 * 48))
        fitted.append(auc.auc(label, noise @ slope + intercept))
        left_out.append(auc.auc(label, calibration.cross_fitted(label, noise, fold, 100.0)))
    assert np.mean(fitted) > 0.85 and np.mean(left_out) < 0.6


def test_dice_by_definition():
    assert dice(np.array([1, 1, 0]), np.array([0, 1, 1])) == pytest.approx(0.5)
    assert dice(np.zeros(3), np.zeros(3)) == 1.0


def test_six_metrics_are_those_of_the_paper():
    """CHMFL's row in Table I: 21 of 24 and 20 of 24."""
    label = np.repeat([1, 0], 24)
    positive = np.concatenate([np.arange(24) < 21, np.arange(24) < 4])
    values = metrics.six_metrics(label, positive.astype(float), positive)
    shown = [round(values[name], 3) for name in metrics.METRICS[:5]]
    assert shown == [0.854, 0.875, 0.833, 0.840, 0.857]


def test_six_metrics_are_those_of_sklearn():
    from sklearn import metrics as sk

    found = made(seed=7)
    values, called = {name: v[0] for name, v in metrics.pooled_metrics(found).items()}, found.positive[0]
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(found.label, called))
    assert values["sensitivity"] == pytest.approx(sk.recall_score(found.label, called))
    assert values["specificity"] == pytest.approx(sk.recall_score(found.label, called, pos_label=0))
    assert values["precision"] == pytest.approx(sk.precision_score(found.label, called))
    assert values["f1"] == pytest.approx(sk.f1_score(found.label, called))


def test_each_fold_has_its_own_threshold():
    label, fold = [0, 1, 0, 1], [0, 0, 1, 1]
    rows = rows_of([0.1, 0.3, 0.6, 0.8], label, fold)
    for row in rows:
        row["threshold"] = "0.2" if row["fold"] == "0" else "0.7"
    found = metrics.out_of_fold(rows)
    assert metrics.six_metrics(label, found.risk[0], found.positive[0])["accuracy"] == 1
    assert metrics.summarize(found, 50)["fold_mean"]["auc"] == 1
    assert metrics.summarize(found, 50)["pooled"]["auc"] == 0.75  # the folds' risks lie on different scales


def test_fold_with_one_outcome_or_no_call_is_left_out_of_the_mean():
    risk, label, fold = [0.9, 0.8, 0.2, 0.7, 0.1, 0.2], [1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2]
    summary = metrics.summarize(metrics.out_of_fold(rows_of(risk, label, fold)), 100)
    assert summary["folds"] == 3 and summary["folds_used"]["auc"] == 2  # fold 0 has events only
    assert summary["folds_used"]["specificity"] == 2 and summary["folds_used"]["precision"] == 2  # fold 2 calls nobody
    assert summary["fold_mean"]["auc"] == 1 and summary["fold_mean"]["accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    only = metrics.summarize(metrics.out_of_fold(rows_of([0.2, 0.3], [1, 1], [0, 1])), 10)
    assert only["pooled"]["auc"] is None and only["interval"]["auc"] == [None, None]
    json.dumps([summary, only], allow_nan=False)


def test_bootstrap_is_seeded_and_holds_the_value():
    found = made(repeats=3)
    first, again = (metrics.summarize(found, 500, seed=4) for _ in range(2))
    other = metrics.summarize(found, 500, seed=5)
    assert first == again and first["interval"] != other["interval"]
    for name in metrics.METRICS:
        low, high = first["interval"][name]
        assert low <= first["pooled"][name] <= high


def test_incomplete_repeat_is_left_out_and_named():
    whole, part = made(seed=1), made(seed=2)
    rows = rows_of(whole.risk[0], whole.label, whole.fold[0])
    rows += rows_of(part.risk[0], part.label, part.fold[0], repeat=1)[:40]
    found = metrics.out_of_fold(rows)
    assert (found.repeats, found.incomplete, len(found.patients)) == ((0,), (1,), 48)
    found = metrics.out_of_fold(rows[:24] + rows[48:])
    assert (found.repeats, found.incomplete, len(found.patients)) == ((1,), (0,), 40)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"risk": "1.2"}, "predictions_unreadable"),
        ({"risk": "nan"}, "predictions_unreadable"),
        ({"label": "2"}, "predictions_unreadable"),
        ({"threshold": ""}, "predictions_unreadable"),
        ({"patient_id": "P001"}, "predictions_conflict"),
    ],
)
def test_rows_that_cannot_be_used_are_named(change, code):
    rows = rows_of([0.1, 0.9], [0, 1], [0, 0])
    with pytest.raises(BadInput) as caught:
        metrics.out_of_fold([{**rows[0], **change}, rows[1]])
    assert caught.value.code == code and caught.value.hint


def test_no_rows_and_other_labels_are_named():
    with pytest.raises(BadInput) as caught:
        metrics.out_of_fold([])
    assert caught.value.code == "predictions_none"
    a, b = (metrics.out_of_fold(rows_of([0.1, 0.9], label, [0, 0])) for label in ([0, 1], [1, 0]))
    with pytest.raises(BadInput) as caught:
        metrics.compare(a, b)
    assert caught.value.code == "predictions_conflict"


def test_comparison_uses_the_patients_that_both_have():
    a, b = made(seed=1, repeats=2), made(seed=2)
    less = b.part(b.patients[:30], b.repeats)
    found = metrics.compare(a, less)
    alone = auc.delong_test(less.label, a.risk[:1, :30], less.risk)
    assert (found["patients"], found["repeats"], found["p"]) == (30, [0], alone.p)
    assert set(found["t_test"]) == set(metrics.METRICS)
    apart = metrics.compare(a.part(a.patients[:10], [0]), b.part(b.patients[10:], [0]))
    assert apart["patients"] == 0 and apart["p"] is None


def test_t_test_is_the_unpaired_one():
    """By hand: means 2 and 4, pooled variance 1, t = -2 / sqrt(2/3) with 4 degrees of freedom."""
    from scipy.stats import t

    assert metrics.unpaired_t_test([1, 2, 3], [3, 4, 5]) == pytest.approx(2 * t.sf(2 / math.sqrt(2 / 3), 4))
    from scipy.stats import ttest_ind

    a, b = np.random.default_rng(0).uniform(size=(2, 6))
    assert metrics.unpaired_t_test(a, b[:5]) == pytest.approx(ttest_ind(a, b[:5]).pvalue)
    assert metrics.unpaired_t_test([1, 1], [1, 1]) == 1
    assert math.isnan(metrics.unpaired_t_test([1, 1], [2, 2]))
    assert math.isnan(metrics.unpaired_t_test([1, math.nan], [2, 3]))


def test_holm_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.array([0.01, 0.2, 0.03, 0.9, 0.011])
    assert metrics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    adjusted = metrics.holm([0.02, math.nan, 0.03])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04]) and math.isnan(adjusted[1])


def test_calibration_line_is_the_maximum_likelihood_one():
    import statsmodels.api as sm

    found = made(seed=5)
    risk = found.risk[0]
    line = calibration.calibration_line(found.label, risk)
    design = sm.add_constant(np.log(risk / (1 - risk)))
    model = sm.GLM(found.label, design, family=sm.families.Binomial()).fit()
    assert (line.intercept, line.slope) == pytest.approx(tuple(model.params), rel=1e-5)
    assert line.se == pytest.approx(model.bse[1], rel=1e-4)
    assert line.excess == pytest.approx(risk.mean() - 0.5)


def test_overconfident_risks_have_a_small_slope():
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    label = (random.uniform(size=4000) < 1 / (1 + np.exp(-truth))).astype(int)
    for factor in (1.0, 2.0):
        line = calibration.calibration_line(label, 1 / (1 + np.exp(-factor * truth)))
        assert line.slope == pytest.approx(1 / factor, rel=0.1)


@pytest.mark.parametrize("risk", [[0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1]])
def test_calibration_without_a_maximum_is_undefined(risk):
    assert math.isnan(calibration.calibration_line([0, 0, 1, 1], risk).slope)


def test_brier_reliability_and_wilson():
    from statsmodels.stats.proportion import proportion_confint

    assert calibration.brier([0, 1], [0.5, 0.5]) == 0.25 and calibration.brier([0, 1], [0, 1]) == 0
    assert calibration.wilson(3, 10) == pytest.approx(proportion_confint(3, 10, method="wilson"))
    groups = calibration.reliability(np.arange(50) % 2, np.linspace(0, 1, 50))
    assert [group["patients"] for group in groups] == [10] * 5
    assert all(group["low"] <= group["observed"] <= group["high"] for group in groups)
    assert len(calibration.reliability([0, 1, 1], [0.5, 0.5, 0.5])) == 1


def test_decision_curve_by_hand():
    """Four patients, threshold 0.2: calls 2 events and 1 other, so 2/4 - 1/4 * 0.25."""
    curve = calibration.decision_curve([1, 1, 0, 0], [0.9, 0.3, 0.4, 0.1], [0.2, 0.5])
    assert curve["model"] == pytest.approx([0.5 - 0.25 * 0.25, 0.25])
    assert curve["all"] == pytest.approx([0.5 - 0.5 * 0.25, 0.0])
    assert not curve["none"].any()


def test_segmentation_metrics_by_hand():
    truth, found = np.zeros((4, 5)), np.zeros((4, 5))
    truth[0, :4], found[0, 2:] = 1, 1  # 2 shared of 4 and 3
    values = voxel_counts(found, truth).metrics()
    assert values == pytest.approx(
        {"dice": 4 / 7, "jaccard": 2 / 5, "accuracy": 17 / 20, "sensitivity": 2 / 4, "specificity": 15 / 16}
    )
    assert values["jaccard"] == pytest.approx(values["dice"] / (2 - values["dice"]))
    inside = np.ones((4, 5))
    inside[0, 4] = 0
    assert voxel_counts(found, truth, inside).metrics()["specificity"] == 1
    empty = voxel_counts(np.zeros(3), np.zeros(3)).metrics()
    assert (empty["dice"], empty["jaccard"], empty["accuracy"]) == (1, 1, 1) and math.isnan(empty["sensitivity"])
    with pytest.raises(ValueError, match="shapes"):
        voxel_counts(np.zeros(3), np.zeros(4))


def test_the_papers_rows_are_pooled_counts():
    """26 of the 28 rows of Tables I, II, SII and SIII, as the report says; here those that the methods carry."""
    from CHMFLTrainingLib.methods import registry

    rows = {name: method.PAPER for name, method in registry.all_methods().items() if method.PAPER}
    counts = {name: tables.paper_counts(paper) for name, paper in rows.items()}
    assert counts["CHMFL"] == {"tp": 21, "fp": 4, "fn": 3, "tn": 20}
    assert {name for name, found in counts.items() if found is None} == {"MOR + 3D CNNs", "3DMCL"}
