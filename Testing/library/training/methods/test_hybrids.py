"""CNLPC, MOR + 3D CNNs and 3DMCL: they learn what is planted, nothing where nothing is, resume, and come back from
disk; and the parts that they are made of.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.features import many_objective, radiomics
from CHMFLTrainingLib.features.many_objective import SearchConfig, evidential_reasoning, fit_many_objective, fronts
from CHMFLTrainingLib.methods import hybrids
from CHMFLTrainingLib.methods.hybrids import FeatureScaling
from CHMFLTrainingLib.methods.registry import find
from CHMFLTrainingLib.statistics.auc import auc
from CHMFLTrainingLib.training.settings import Settings

TRAIN, TEST = 16, 16
EPOCHS = {"CNLPC": 15, "3DMCL": 5, "MOR + 3D CNNs": 10}
NAMES = sorted(EPOCHS)


def method_of(name, **options):
    """The method of a row, trained for a few seconds."""
    (method,) = find(name)
    return method(Settings("smoke", seed=3, options={"epochs": EPOCHS[name], **options}))


@pytest.fixture(scope="module", autouse=True)
def quick_features():
    """Intensity statistics only: texture takes a second a patient, and test_radiomics.py looks at it."""
    import torch

    torch.set_num_threads(1)
    before = radiomics.RADIOMICS_PRESETS["smoke"]
    radiomics.RADIOMICS_PRESETS["smoke"] = replace(before, families=("statistics",))
    yield
    radiomics.RADIOMICS_PRESETS["smoke"] = before


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Planted patients to train on and to test on, each half with the event."""
    cases = planted_cases(TRAIN + TEST, True, 5, tmp_path_factory.mktemp("planted"))
    by_label = [[case for case in cases if case.label == label] for label in (0, 1)]
    known = [case for part in by_label for case in part[: TRAIN // 2]]
    return known, [case for part in by_label for case in part[TRAIN // 2 :]]


@pytest.fixture(scope="module", params=NAMES)
def trained(request, cohort, tmp_path_factory):
    """A method of each kind, trained on the planted outcome, and its job's folder."""
    method, folder = method_of(request.param), tmp_path_factory.mktemp("job")
    progress = []
    method.fit(cohort[0], folder, progress.append)
    assert [row["epoch"] for row in progress] == list(range(1, EPOCHS[request.param] + 1))
    return SimpleNamespace(method=method, folder=folder, name=request.param, progress=progress)


@pytest.mark.slow
def test_a_planted_outcome_is_learned(trained, cohort):
    # each half of MOR + 3D CNNs for itself as well: one that learns would hide one that does not
    halves = trained.method.parts(cohort[1]) if hasattr(trained.method, "parts") else ()
    for risks in (trained.method.predict(cohort[1]), *halves):
        assert risks.shape == (TEST,) and risks.min() >= 0 and risks.max() <= 1
        assert auc([case.label for case in cohort[1]], risks) > 0.9
    assert trained.progress[-1]["loss"] < trained.progress[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_learned_where_nothing_is(name, cohort, tmp_path):
    """The same patients, with outcomes dealt out by chance, twice: one AUC of 16 patients has a standard error of
    0.15.
    """
    found, random = [], np.random.default_rng(4)
    for number in range(2):
        known, new = (
            [case.relabeled(int(label)) for case, label in zip(part, random.permutation(len(part)) % 2, strict=True)]
            for part in cohort
        )
        method = method_of(name, epochs=EPOCHS[name] // 2)
        method.fit(known, tmp_path / str(number))
        found.append(auc([case.label for case in new], method.predict(new)))
    assert 0.2 < np.mean(found) < 0.8


def test_three_d_mcl_learns_from_the_images_alone(cohort, tmp_path):
    class WithoutFeatures(find("3DMCL")[0]):
        def _prepared(self, case, features):
            return super()._prepared(case, np.zeros_like(features))

    method = WithoutFeatures(Settings("smoke", seed=3, options={"epochs": EPOCHS["3DMCL"]}))
    method.fit(cohort[0], tmp_path)
    assert auc([case.label for case in cohort[1]], method.predict(cohort[1])) > 0.9


def test_a_saved_method_gives_the_same_risks(trained, cohort, tmp_path):
    trained.method.save(tmp_path)
    loaded = type(trained.method).load(tmp_path)
    assert np.array_equal(loaded.predict(cohort[1]), trained.method.predict(cohort[1]))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".npz", ".safetensors"}


def test_the_embedding_is_what_the_output_layer_reads(trained, cohort):
    import torch

    new, last = cohort[1][:4], trained.method.network.classifier[-1]
    vectors = trained.method.embedding(new)
    assert vectors.shape == (4, last.in_features) and vectors.dtype == np.float32
    with torch.no_grad():
        risks = torch.softmax(last(torch.from_numpy(vectors)), dim=1)[:, 1].numpy()
    alone = trained.method.parts(new)[1] if hasattr(trained.method, "parts") else trained.method.predict(new)
    np.testing.assert_allclose(risks, alone, rtol=1e-4)
    assert trained.method.embedding([]).shape == (0, last.in_features)


@pytest.mark.parametrize("part", ["network.safetensors", "method.json"])
def test_a_damaged_model_is_refused(trained, tmp_path, part):
    trained.method.save(tmp_path)
    data = (tmp_path / part).read_bytes()
    (tmp_path / part).write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput) as refused:
        type(trained.method).load(tmp_path)
    assert refused.value.code == "model_damaged"


def test_who_is_predicted_does_not_matter(trained, cohort):
    """A risk depends on the patient and the training patients: not on the outcome, nor on others that are predicted."""
    _, new = cohort
    together = trained.method.predict(new[:4])
    alone = [float(trained.method.predict([case.relabeled(None)])[0]) for case in new[:4]]
    assert np.array_equal(together, alone)


def test_fitting_and_predicting_leave_the_held_out_patients_alone(trained, cohort, tmp_path):
    """The model on disk is the same before and after prediction, byte for byte: nothing adapts to test patients."""
    for name in ("before", "after"):
        trained.method.save(tmp_path / name)
        trained.method.predict(cohort[1])
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes()


def test_scaling_is_that_of_the_training_patients(trained, cohort):
    used = trained.method.scaling or getattr(trained.method, "machine_scaling", None)
    assert (used is None) == (trained.name == "CNLPC"), "CNLPC has no hand-crafted features"
    names, values = hybrids.hand_crafted(cohort[0], "smoke")
    for place, name in enumerate(used.names if used else []):
        assert used.mean[place] == pytest.approx(values[:, names.index(name)].mean())


class Stopped(Exception):
    """What a user's Stop raises."""


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_numbers_of_an_undisturbed_one(trained, cohort, tmp_path):
    def stop(row):
        if row["epoch"] == EPOCHS[trained.name] - 2:
            raise Stopped

    with pytest.raises(Stopped):
        method_of(trained.name).fit(cohort[0], tmp_path, stop)
    again, rows = method_of(trained.name), []
    again.fit(cohort[0], tmp_path, rows.append)
    assert [row["epoch"] for row in rows] == [EPOCHS[trained.name] - 1, EPOCHS[trained.name]]
    assert np.array_equal(again.predict(cohort[1]), trained.method.predict(cohort[1]))


def test_a_checkpoint_that_does_not_fit_is_refused(trained, cohort):
    other = [case.relabeled(1 - case.label) for case in cohort[0]]
    with pytest.raises(BadInput) as refused:
        method_of(trained.name).fit(other, trained.folder)
    assert refused.value.code == "checkpoint_other"


def test_a_damaged_checkpoint_is_named(cohort, tmp_path):
    (tmp_path / "checkpoint_latest.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(BadInput) as refused:
        method_of("CNLPC").fit(cohort[0], tmp_path)
    assert refused.value.code == "checkpoint_damaged" and "checkpoint_latest.pt" in refused.value.message


IMPOSSIBLE = [{"epochs": "many"}, {"batch_size": 0}, {"learning_rate": -1}, {"modality": "mr"}, {"voxel_mm": 0}]


@pytest.mark.parametrize("options", IMPOSSIBLE)
def test_options_that_make_no_sense_are_refused(cohort, tmp_path, options):
    with pytest.raises(BadInput) as refused:
        method_of("CNLPC", **options).fit(cohort[0], tmp_path)
    assert refused.value.code == "method_option" and next(iter(options)) in refused.value.message


def test_cnlpc_sees_the_largest_slice_of_the_tumor_only(cohort):
    case, method = cohort[0][0], method_of("CNLPC", modality="pet_ct")
    crop = case.crop(method.preprocessing)
    (view,) = method._view(method._prepared(case, None), None)
    areas = (crop.mask > 0).sum((0, 1))
    assert view.shape == (2, 32, 32) and view.min() >= 0 and view.max() <= 1
    assert (view[1] > 0).sum() == areas.max()
    random = np.random.default_rng(0)
    moved = [(method._view(method._prepared(case, None), random)[0][1] > 0.25).sum() for _ in range(20)]
    assert np.mean(moved) == pytest.approx(areas.max(), rel=0.1), "the tumor's size survives augmentation"


def test_three_d_mcl_sees_nothing_outside_the_mask(cohort):
    method = method_of("3DMCL")
    case = cohort[0][0]
    crop = case.crop(method.preprocessing)
    for random in (None, np.random.default_rng(1)):
        view, features = method._view((crop, np.zeros(3, np.float32)), random)
        inside = (view != 0).any(0).sum()
        assert inside == pytest.approx((crop.mask > 0).sum(), rel=0.2) and features.shape == (3,)


def test_mor_names_the_features_it_chose(cohort, tmp_path):
    method = method_of("MOR + 3D CNNs", epochs=1)
    method.fit(cohort[0], tmp_path / "job")
    method.save(tmp_path / "model")
    sets = json.loads((tmp_path / "model" / "method.json").read_text())["state"]["feature_sets"]
    names, _ = hybrids.hand_crafted(cohort[0][:1], "smoke")
    assert sets and all(chosen and set(chosen) <= set(names) for chosen in sets)
    machine, network = method.parts(cohort[1])
    fused, agreed = method.predict(cohort[1]), (machine > 0.5) == (network > 0.5)
    assert agreed.any() and ((fused > 0.5) == (machine > 0.5))[agreed].all()


def test_evidential_reasoning_agrees_with_the_recursive_algorithm():
    """Yang and Xu 2002, equations for complete assessments, worked one source after the other."""
    random = np.random.default_rng(2)
    beliefs, weights = random.dirichlet(np.ones(3), (4, 5)), np.array([0.1, 0.2, 0.3, 0.4])
    masses, rest = weights[0] * beliefs[0], np.full((5, 1), 1 - weights[0])
    for belief, weight in zip(beliefs[1:], weights[1:], strict=True):
        new, new_rest = weight * belief, 1 - weight
        joined = masses * new + masses * new_rest + rest * new
        unassigned = rest * new_rest
        scale = joined.sum(-1, keepdims=True) + unassigned
        masses, rest = joined / scale, unassigned / scale
    np.testing.assert_allclose(evidential_reasoning(beliefs, weights), masses / (1 - rest))


def test_evidential_reasoning_by_hand():
    # two sources of weight 1/2: 0.9 and 0.6 for the event, each half of it unassigned
    # support: 0.95 * 0.8 - 0.25 = 0.51 for, 0.55 * 0.7 - 0.25 = 0.135 against
    fused = evidential_reasoning(np.array([[[0.1, 0.9]], [[0.4, 0.6]]]), [1, 1])
    assert fused[0, 1] == pytest.approx(0.51 / 0.645)


def test_fronts_by_hand():
    points = np.array([[1.0, 0.2], [0.5, 0.5], [0.4, 0.4], [0.2, 1.0], [0.4, 0.3], [0.5, 0.5]])
    assert fronts(points).tolist() == [0, 0, 1, 0, 2, 0]


def test_the_machine_as_arrays_is_scikit_learns():
    random = np.random.default_rng(4)
    values, labels = random.normal(size=(30, 6)), np.arange(30) % 2
    values[:, 2] += 2 * labels
    folds = many_objective._folds(labels, 5, random)
    columns = np.array([0, 2, 5])
    ours = many_objective._support_vectors(values, labels, folds, columns)
    theirs = many_objective._machine(values[:, columns], labels)
    np.testing.assert_allclose(ours.decision(values), theirs.decision_function(values[:, columns]))
    assert ours.slope > 0


def test_the_search_finds_what_is_there_and_repeats_itself():
    random = np.random.default_rng(6)
    labels = np.arange(40) % 2
    values = random.normal(size=(40, 20))
    values[:, 7] += 3 * labels
    config = SearchConfig(8, 4, start=3, most=6)
    first, second = (fit_many_objective(values, labels, config, seed=9) for _ in range(2))
    assert all(7 in machine.columns for machine in first.machines)
    assert all(len(machine.columns) <= 6 for machine in first.machines)
    new = random.normal(size=(200, 20))
    new[:, 7] += 3 * (np.arange(200) % 2)
    assert auc(np.arange(200) % 2, first.risk(new)) > 0.9
    assert np.array_equal(first.risk(new), second.risk(new))
    back = many_objective.ManyObjectiveModel.from_arrays(first.arrays())
    assert np.array_equal(back.risk(new), first.risk(new))


def test_scaling_drops_gaps_constants_and_copies():
    random = np.random.default_rng(8)
    base = random.normal(5, 2, size=(30, 2))
    gaps, holed = np.full(30, np.nan), base[:, 1].copy()
    holed[3] = np.nan
    values = np.stack([base[:, 0], 2 * base[:, 0] + 1, np.full(30, 7.0), gaps, holed], axis=1)
    names = ["first", "copy", "constant", "missing", "holed"]
    scaling = FeatureScaling.fit(names, values)
    assert scaling.names == ["first", "holed"]
    scaled = scaling.apply(names, values)
    assert np.isfinite(scaled).all() and scaled[:, 0].std() == pytest.approx(1, rel=1e-4)
    far = scaling.apply(["holed"], np.array([[1e9]]))
    assert far[0, 0] == pytest.approx((scaling.median[0] - scaling.mean[0]) / scaling.scale[0])
    assert far[0, 1] == hybrids.LIMIT
    again = FeatureScaling.from_arrays(scaling.arrays())
    assert np.array_equal(again.apply(names, values), scaled)


def test_features_that_say_nothing_are_refused():
    with pytest.raises(BadInput) as refused:
        FeatureScaling.fit(["a", "b"], np.ones((5, 2)))
    assert refused.value.code == "method_features"


def test_each_method_says_where_it_comes_from_and_what_is_inferred():
    for name in NAMES:
        (method,) = find(name)
        assert method.GROUP == "Table I" and method.SOURCE and "Inferred here" in method.OPEN
        assert set(method.PAPER) == {"accuracy", "sensitivity", "specificity", "precision", "f1", "auc"}
