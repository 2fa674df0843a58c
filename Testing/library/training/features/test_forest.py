"""Choice of features inside the training patients, and the forest that is saved as arrays."""

import json

import numpy as np
import pytest
from CHMFLTrainingLib.features.forest import Forest
from CHMFLTrainingLib.features.selection import Selection


def test_selection_ranks_drops_copies_and_fills_gaps():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    good, fair = labels + random.normal(0, 0.3, 40), labels + random.normal(0, 1.0, 40)
    table = {"noise": random.normal(size=40), "fair": fair, "good": good, "copy": np.exp(2 * good), "flat": np.ones(40)}
    table["gaps"] = np.where(np.arange(40) % 3, np.nan, good)
    table["few_gaps"] = np.where(np.arange(40) == 3, np.nan, -fair)
    names, values = list(table), np.stack(list(table.values()), axis=1)
    chosen = Selection.fit(names, values, labels, 3)
    assert set(chosen.names[:1]) <= {"good", "copy"} and len({"good", "copy"} & set(chosen.names)) == 1
    assert len({"fair", "few_gaps"} & set(chosen.names)) == 1 and not {"flat", "gaps"} & set(chosen.names)
    reverse = Selection.fit(names[::-1], values[:, ::-1], labels, 3)
    assert reverse.names == chosen.names, "the order of the columns must not matter"
    filled = chosen.apply(["noise"], np.array([[9.0], [np.nan]]))
    place = chosen.names.index("noise")
    assert filled[0, place] == 9.0 and filled[1].tolist() == chosen.median
    assert Selection.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_selection_on_all_patients_would_pass_noise_for_a_predictor():
    """The leak that the design warns of, planted: chosen on all patients, noise predicts; chosen in training, not."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(1)
    labels = np.tile([0, 1], 24)
    values, names = random.normal(size=(48, 350)), [f"f{number}" for number in range(350)]
    leaking, honest = np.zeros(48), np.zeros(48)
    everywhere = Selection.fit(names, values, labels, 20)
    for fold in range(6):
        test = np.arange(48) // 8 == fold
        inside = Selection.fit(names, values[~test], labels[~test], 20)
        for risks, chosen in ((leaking, everywhere), (honest, inside)):
            forest = Forest.fit(chosen.apply(names, values[~test]), labels[~test], 100, fold, min_samples_leaf=2)
            risks[test] = forest.predict(chosen.apply(names, values[test]))
    assert roc_auc_score(labels, leaking) > 0.85
    assert 0.3 < roc_auc_score(labels, honest) < 0.65


def test_own_forest_gives_the_numbers_of_scikit_learn(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(2)
    values, labels = random.normal(size=(60, 7)) * 10.0 ** random.integers(-3, 6, 7), random.integers(0, 2, 60)
    model = RandomForestClassifier(30, class_weight="balanced", random_state=4, min_samples_leaf=2).fit(values, labels)
    new = random.normal(size=(50, 7)) * np.abs(values).max(axis=0)
    forest = Forest.fit(values, labels, 30, 4, min_samples_leaf=2)
    np.testing.assert_allclose(forest.predict(new), model.predict_proba(new)[:, 1], atol=1e-12)
    np.testing.assert_allclose(forest.predict(values), model.predict_proba(values)[:, 1], atol=1e-12)
    forest.save(tmp_path / "forest.npz")
    assert np.array_equal(Forest.load(tmp_path / "forest.npz").predict(new), forest.predict(new))


def test_trees_that_run_in_circles_are_refused(tmp_path):
    forest = Forest.fit(np.arange(20.0)[:, None], np.repeat([0, 1], 10), 3, 0)
    forest.left[0] = 0
    forest.save(tmp_path / "forest.npz")
    with pytest.raises(ValueError, match="damaged"):
        Forest.load(tmp_path / "forest.npz")
