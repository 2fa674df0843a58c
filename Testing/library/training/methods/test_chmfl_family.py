"""CHMFL and its relatives as methods: its training, a planted outcome, resuming, inner calibration."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort.planted import planted_cases
from CHMFLTrainingLib.methods import registry
from CHMFLTrainingLib.run.explanations import box_of
from CHMFLTrainingLib.statistics.auc import auc
from CHMFLTrainingLib.statistics.segmentation import dice
from CHMFLTrainingLib.statistics.survival import concordance
from CHMFLTrainingLib.training.settings import PRESETS, Settings
from tiny_presets import tiny_presets

# CFL's head, which reads the flattened deepest level alone, needs more patients than a test has
LEARNERS = ("CHMFL", "CHMFL + GN_c4", "CHMFL + GN_c16", "Mask + HMFL", "CHMFL w=0", "CHMFL w=0.75", "CHMFL staged")
ROWS = (*LEARNERS, "CFL", "CHMFL + GN_c8", "CHMFL w=0.25", "CHMFL w=1", "V-net")
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Little work."""
    with tiny_presets():
        yield


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Twenty patients to learn from and twenty others, by whether the outcome is planted."""
    found = {}
    for signal in (True, False):
        made = planted_cases(40, signal, 0, tmp_path_factory.mktemp("planted"))
        by_label = [[case for case in made if case.label == label] for label in (0, 1)]
        found[signal] = by_label[0][:10] + by_label[1][:10], by_label[0][10:] + by_label[1][10:]
    return found


def method_of(name, preset="smoke", seed=0, **options):
    (found,) = registry.find(name)
    return found(Settings(preset, seed, options=options))


def labels(cases):
    return np.array([case.label for case in cases])


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_planted_outcome_is_learned_and_noise_is_not(cases, tmp_path, name):
    for signal in (True, False):
        known, new = cases[signal]
        method = method_of(name, epochs=12, batch_size=4)
        method.fit(known, tmp_path / f"job_{signal}")
        risks = method.predict(new)
        assert risks.shape == (20,) and risks.min() >= 0 and risks.max() <= 1 and method.threshold == 0.5
        found = auc(labels(new), risks)
        assert found > 0.9 if signal else 0.2 < found < 0.8
        method.save(tmp_path / f"model_{signal}")
        loaded = type(method).load(tmp_path / f"model_{signal}")
        np.testing.assert_allclose(loaded.predict(new), risks, rtol=1e-6)


def dealt_anew(group):
    """Each patient with time and event of another, half of either kind of tumor with those of its own kind."""
    order = np.random.default_rng(3).permutation(10)
    others = [*order[:5], *order[5:] + 10, *order[:5] + 10, *order[5:]]
    return [replace(case, time=group[n].time, event=group[n].event) for case, n in zip(group, others, strict=True)]


def test_labels_reach_the_encoders_and_w_weighs_them(cases, tmp_path):
    """Eq. 1: other labels change the encoders of every row that is trained by its DM term, and only of those; a smaller
    w changes them more. Volume, uptake and masks stay the same.
    """
    known = cases[True][0][5:15]
    # some, not all: where all are exchanged, the head changes its sign and the encoders learn the same
    others = [replace(case, label=known[number - 3].label) for number, case in enumerate(known)]

    def encoders(name, group, folder):
        method = method_of(name, epochs=2)
        method.fit(group, tmp_path / folder)
        layers = method.network.state_dict()
        return np.concatenate([layers[key].numpy().ravel() for key in layers if key.startswith(("pet.", "ct."))])

    moved = {}
    for name in (
        "CHMFL",
        "CFL",
        "CHMFL + GN_c4",
        "Mask + HMFL",
        "CHMFL w=0",
        "CHMFL w=0.75",
        "CHMFL w=1",
        "CHMFL staged",
    ):
        folder = registry.slug(name)
        one, other = encoders(name, known, f"{folder}_a"), encoders(name, others, f"{folder}_b")
        moved[name] = float(np.abs(one - other).mean())
    assert moved.pop("CHMFL w=1") == 0 == moved.pop("CHMFL staged")
    assert min(moved.values()) > 1e-5
    assert moved["CHMFL w=0"] > moved["CHMFL"] > moved["CHMFL w=0.75"]


def test_the_papers_rows_learn_nothing_but_eq_1():
    """No measurement beside the label, no pooling at the place of highest uptake, no stages, in any preset."""
    for preset in PRESETS:
        for name in ROWS:
            method = method_of(name, preset)
            network, config = method.preset.network, method.training_config()
            if name == "CHMFL staged":
                assert config.head is not None and network.measurements == 2 and method.SOURCE == "ours"
                continue
            assert (network.measurements, network.pooling, network.pool_deepest) == (0, "max", False), (preset, name)
            assert config.head is None and config.patch is None
            assert config.loss.dice == (preset in ("compact", "smoke")), "in every segmenting row alike"


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "epochs"), [("smoke", 6)])
def test_cox_head_learns_planted_times_and_no_others(cases, tmp_path, preset, epochs):
    """Labels exchanged, times kept: the same risks."""
    for signal in (True, False):
        known, new = cases[True] if signal else map(dealt_anew, cases[True])
        method = method_of("CHMFL + Cox", preset, epochs=epochs, batch_size=4)
        method.fit(known, tmp_path / f"job_{signal}")
        risks = method.predict(new)
        assert risks.shape == (20,) and risks.min() >= 0 and risks.max() <= 1 and 0.3 < method.threshold < 0.7
        found = concordance([case.time for case in new], [case.event for case in new], risks)
        assert found > 0.7 if signal else 0.25 < found < 0.75
        method.save(tmp_path / f"model_{signal}")
        loaded = type(method).load(tmp_path / f"model_{signal}")
        np.testing.assert_allclose(loaded.predict(new), risks, rtol=1e-6)
        assert (loaded.horizon, loaded.threshold) == (method.horizon, method.threshold)
    assert method.segment(new[0]).shape == (16, 16, 16) and method.embedding(new[:2]).shape[0] == 2
    other = method_of("CHMFL + Cox", preset, epochs=epochs, batch_size=4)
    other.fit([replace(case, label=1 - case.label) for case in known], tmp_path / "labels")
    np.testing.assert_allclose(other.predict(new), risks, rtol=1e-5)


def test_cox_head_of_chmfl_needs_times(cases, tmp_path):
    without = [replace(case, time=None, event=None) for case in cases[True][0]]
    with pytest.raises(BadInput) as caught:
        method_of("CHMFL + Cox").fit(without, tmp_path)
    assert caught.value.code == "time_missing"


def test_weight_1_leaves_the_head_without_a_word(cases, tmp_path):
    method = method_of("CHMFL w=1", epochs=1)
    method.fit(cases[True][0][5:15], tmp_path)
    assert np.ptp(method.predict(cases[True][1])) == 0


@pytest.mark.parametrize("name", ["CHMFL", "CHMFL staged"])
def test_job_seed_is_that_of_training_and_fold(cases, tmp_path, name):
    """Job seed 2003 is seed 2 of training, fold 3: the same log-odds and the same segmentations."""
    import torch
    from CHMFLTrainingLib.training.fold_training import FoldTraining, predict_crop

    known, new = (group[6:14] for group in cases[True])
    method = method_of(name, seed=2003)
    settings = method.preset.preprocessing
    torch.set_num_threads(method.settings.threads)
    crops = [case.crop(settings) for case in known]
    training = FoldTraining(method.preset, replace(method.training_config(), seed=2), crops, 3, tmp_path / "fold")
    training.run()
    method.fit(known, tmp_path / "job")
    expected = [predict_crop(training.network, case.crop(settings), settings) for case in new]
    assert np.array_equal(method.log_odds(new), [log_odds for log_odds, _ in expected])
    assert np.ptp(method.log_odds(new)) > 0
    assert all(np.array_equal(method.segment(case), tumor) for case, (_, tumor) in zip(new, expected, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"validation": 3}])
def test_a_stopped_job_resumes_to_the_same_risks(cases, tmp_path, options):
    known, new = (group[5:15] for group in cases[True])
    options = {"epochs": 3, **options}
    whole = method_of("CHMFL", **options)
    seen = []
    whole.fit(known, tmp_path / "whole", seen.append)
    assert [(row["epoch"], row["epochs"]) for row in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(np.isfinite(row["loss"]) for row in seen)

    def stops(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method_of("CHMFL", **options).fit(known, tmp_path / "stopped", stops)
    again, rest = method_of("CHMFL", **options), []
    again.fit(known, tmp_path / "stopped", rest.append)
    assert [row["epoch"] for row in rest] == [3]
    assert np.array_equal(again.predict(new), whole.predict(new))


def test_a_damaged_checkpoint_is_named(cases, tmp_path):
    known = cases[True][0][5:15]
    method_of("CHMFL", epochs=1).fit(known, tmp_path)
    checkpoint = tmp_path / "checkpoint_latest.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(BadInput, match=r"checkpoint_latest\.pt") as refused:
        method_of("CHMFL", epochs=1).fit(known, tmp_path)
    assert refused.value.code == "checkpoint_damaged"


def test_a_damaged_model_is_refused(cases, tmp_path):
    method = method_of("CHMFL", epochs=1)
    method.fit(cases[True][0][5:15], tmp_path)
    method.save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadInput, match="truncated"):
        type(method).load(tmp_path)


def fold_training(cases, folder, **changes):
    """A fold of the smoke preset on some cases."""
    from CHMFLPredictorLib.network.presets import PRESETS
    from CHMFLTrainingLib.training.config import TRAINING_PRESETS
    from CHMFLTrainingLib.training.fold_training import FoldTraining

    crops = [case.crop(PRESETS["smoke"].preprocessing) for case in cases]
    return FoldTraining(PRESETS["smoke"], replace(TRAINING_PRESETS["smoke"], **changes), crops, 0, folder)


def test_validation_keeps_the_epoch_of_its_least_loss(cases, tmp_path, monkeypatch):
    """The patients held back take no step, both outcomes are among them, and the network of the best epoch stays."""
    import torch
    from CHMFLTrainingLib.training.fold_training import FoldTraining

    training = fold_training(cases[True][0], tmp_path, validation=5, epochs=4)
    held, used = ({crop.patient_id for crop in group} for group in (training.validation, training.crops))
    assert (len(held), len(used)) == (4, 16) and not held & used
    assert {crop.label for crop in training.validation} == {0, 1}
    given, stepped, states, step = [0.9, 0.5, 0.7, 0.6], set(), [], FoldTraining._step

    def watched(self, batch):
        stepped.update(crop.patient_id for crop in batch[0])
        return step(self, batch)

    def loss(self):
        states.append({key: value.clone() for key, value in self.network.state_dict().items()})
        return given[len(states) - 1]

    monkeypatch.setattr(FoldTraining, "_step", watched)
    monkeypatch.setattr(FoldTraining, "validation_loss", loss)
    training.run()
    assert stepped == used
    assert all(torch.equal(value, states[1][key]) for key, value in training.network.state_dict().items())
    assert (tmp_path / "checkpoint_best.pt").exists()
    with open(tmp_path / "history.csv") as stream:
        assert [float(row["validation_loss"]) for row in csv.DictReader(stream)] == given


def test_validation_loss_is_that_of_the_patients_held_back(cases, tmp_path):
    import torch
    from CHMFLTrainingLib.cohort.crops import center_crop
    from CHMFLTrainingLib.training.losses import total_loss

    training = fold_training(cases[True][0], tmp_path, validation=5, epochs=1)
    training.run()
    losses = []
    for crop in training.validation:
        inputs, mask, inside = (torch.from_numpy(a[None]) for a in center_crop(crop, training.preset.preprocessing))
        with torch.no_grad():
            features = training.network.encode(inputs)
            outputs = (training.network.classify(features), training.network.decode(features))
            targets = (torch.tensor([crop.label]), mask.long(), inside)
            losses.append(float(total_loss(outputs, targets, training.config.loss)))
    assert training.history[0]["validation_loss"] == pytest.approx(np.mean(losses), abs=1e-4)


def test_training_ends_when_the_loss_stays(cases, tmp_path, monkeypatch):
    from CHMFLTrainingLib.training.fold_training import FoldTraining

    losses = iter([1.0, 0.8, 0.85, 0.9, 0.1, 0.1])
    monkeypatch.setattr(FoldTraining, "_train_epoch", lambda self: next(losses))
    training = fold_training(cases[True][0], tmp_path, epochs=6, patience=2)
    training.run()
    assert [row["loss"] for row in training.history] == [1.0, 0.8, 0.85, 0.9]


def test_old_settings_without_validation_can_be_read():
    from CHMFLTrainingLib.training.config import TRAINING_PRESETS, TrainingConfig

    values = json.loads(json.dumps(TRAINING_PRESETS["compact"].to_dict()))
    assert TrainingConfig.from_dict(values) == TRAINING_PRESETS["compact"]
    del values["validation"], values["patience"]
    assert TrainingConfig.from_dict(values) == TRAINING_PRESETS["compact"]


def test_mask_hmfl_reads_the_label_in_both_branches(cases, tmp_path):
    from CHMFLTrainingLib.cohort.crops import branch_channels

    inputs, mask = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32), np.ones((4, 4, 4), np.uint8)
    given = branch_channels(inputs, mask, 2)
    assert np.array_equal(given[[0, 2]], inputs) and (given[[1, 3]] == 1).all() and given.dtype == np.float32
    assert branch_channels(inputs, mask, 1) is inputs
    known, new = cases[True]
    method = method_of("Mask + HMFL", epochs=2)
    method.fit(known[5:15], tmp_path)
    assert method.network.decoder is None and method.segment(new[0]) is None
    crop = new[0].crop(method.preset.preprocessing)
    from CHMFLTrainingLib.training.fold_training import predict_crop

    settings = method.preset.preprocessing
    with_mask, without = (
        predict_crop(method.network, c, settings)[0] for c in (crop, replace(crop, mask=0 * crop.mask))
    )
    assert with_mask == pytest.approx(method.log_odds(new[:1])[0]) and with_mask != without


def test_what_each_relative_changes():
    """The configuration of the network and of its training, by row."""
    shapes = {name: method_of(name, "paper").preset.network for name in ROWS}
    assert not shapes["CFL"].hierarchical and shapes["CFL"].constrained
    assert (shapes["Mask + HMFL"].branch_inputs, shapes["Mask + HMFL"].constrained) == (2, False)
    assert [shapes[f"CHMFL + GN_c{n}"].group_channels for n in (4, 8, 16)] == [4, 8, 16]
    for w in (0, 0.25, 0.5, 0.75, 1):
        assert method_of(f"CHMFL w={w:g}", "compact").training_config().loss.w == w
    assert method_of("CHMFL w=0.25", "compact", w=0.3).training_config().loss.w == 0.25, "a row's weight is its own"
    assert not method_of("CHMFL w=0", "paper").preset.network.constrained
    assert method_of("V-net", "compact", w=0.3).training_config().loss.w == 1
    asked = method_of("CHMFL", "compact", w=0.3, epochs=5, learning_rate=0.01, voxel_mm=4)
    assert (asked.training_config().loss.w, asked.training_config().epochs) == (0.3, 5)
    assert asked.training_config().learning_rate == 0.01 and asked.preset.preprocessing.voxel_mm == 4


def test_voxels_and_box_mean_one_thing_for_all_rows():
    """voxel_mm changes the voxel's side and keeps the count; box_voxels changes the count, of the network too."""
    for name in ("CHMFL", "V-net", "3D-CNN-PET-CT", "ResNet18-PET-CT", "CNLPC", "3DMCL"):
        plain, coarse, wide = (
            method_of(name, "paper", **o) for o in ({}, {"voxel_mm": 3}, {"box_voxels": "128,128,160"})
        )
        boxes = [box_of(one) for one in (plain, coarse, wide)]
        assert [(box.voxel_mm, box.size_voxels) for box in boxes] == [
            (2.0, (112, 112, 144)),
            (3.0, (112, 112, 144)),
            (2.0, (128, 128, 160)),
        ], name
    assert method_of("CHMFL", box_voxels=[32, 48, 64]).preset.network.input_size == (32, 48, 64)
    for wrong in ("100,112,144", "112,112", "112,112,wide", [112, 112, 144.5]):
        with pytest.raises(BadInput) as refused:
            method_of("CHMFL", "paper", box_voxels=wrong).preset  # noqa: B018  a property that refuses
        assert refused.value.code == "method_option" and "box_voxels" in refused.value.message


@pytest.mark.parametrize("options", [{"w": 1.5}, {"w": "half"}, {"epochs": 0}, {"epochs": 2.5}, {"epochs": True}])
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(BadInput) as refused:
        method_of("CHMFL", **options).training_config()
    assert refused.value.code == "method_option" and next(iter(options)) in refused.value.message


def test_inner_log_odds_come_from_heads_that_did_not_see_the_patient():
    """Features that name the patient let a head learn noise by heart. In the log-odds for the calibration that leak
    must not show."""
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network, dm_log_odds
    from CHMFLPredictorLib.network.presets import PRESETS
    from CHMFLTrainingLib.training.fold_training import HeadStage
    from CHMFLTrainingLib.training.head import HeadConfig, fit_head
    from CHMFLTrainingLib.training.head_calibration import inner_log_odds

    torch.manual_seed(0)
    head = build_network(PRESETS["smoke"].network).head
    random, patients = np.random.default_rng(1), 40
    config = HeadConfig(views=2, steps=200, decays=(0.1,), inner_folds=5, measurements=0.0)
    own = random.normal(size=(patients, head.first.in_features)) * 2
    vectors = torch.from_numpy(np.concatenate([own, own + 0.1 * random.normal(size=own.shape)]).astype(np.float32))
    outcome = random.permutation(np.arange(patients) % 2)
    stage = HeadStage(head, vectors, np.tile(outcome, 2), np.zeros((2 * patients, 2), np.float32), 0.1)
    before = head.first.weight.detach().clone()
    log_odds, found = inner_log_odds(stage, config, seed=0)
    assert np.array_equal(found, outcome) and torch.equal(before, head.first.weight)
    assert 0.25 < auc(outcome, log_odds) < 0.75
    fit_head(head, vectors, stage.labels, stage.measurements, config, 0.1, seed=0)
    with torch.no_grad():
        assert auc(stage.labels, dm_log_odds(head.layers(vectors)[0]).numpy()) > 0.95


def test_inner_parts_hold_each_patient_once_and_both_outcomes():
    from CHMFLTrainingLib.training.head_calibration import inner_parts

    outcome = np.array([0, 1] * 10)
    parts = inner_parts(outcome, 5, seed=0)
    assert len(parts) == 5 and np.array_equal(np.sum(parts, axis=0), np.ones(20))
    assert all(set(outcome[part]) == {0, 1} for part in parts)
    assert len(inner_parts(np.array([0, 0, 0, 0, 1, 1, 1]), 5, seed=0)) == 3
    assert inner_parts(np.array([0, 0, 1]), 5, seed=0) == []


def test_calibration_tempers_and_never_turns_round():
    from CHMFLTrainingLib.statistics.calibration import LEAST_SLOPE, fit_platt

    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    outcome = (random.random(4000) < 1 / (1 + np.exp(-truth))).astype(int)
    slope, intercept = fit_platt(5 * truth + 3, outcome)  # five times too sure, and shifted
    assert slope == pytest.approx(0.2, abs=0.03) and intercept == pytest.approx(-0.6, abs=0.15)
    slope, intercept = fit_platt(-truth, outcome)
    assert slope == LEAST_SLOPE
    assert (1 / (1 + np.exp(-(slope * -truth + intercept)))).mean() == pytest.approx(outcome.mean(), abs=0.01)


def test_the_staged_head_is_calibrated_and_the_papers_is_not(cases, tmp_path):
    known = cases[True][0]
    staged, joint = method_of("CHMFL staged", epochs=1), method_of("CHMFL", epochs=1)
    staged.fit(known, tmp_path / "staged")
    joint.fit(known, tmp_path / "joint")
    assert staged.calibration != (1.0, 0.0) and joint.calibration == (1.0, 0.0)
    slope, intercept = staged.calibration
    expected = 1 / (1 + np.exp(-(slope * staged.log_odds(known[:3]) + intercept)))
    assert staged.predict(known[:3]) == pytest.approx(expected)


def test_any_weight_of_the_segmentation_is_a_row_of_its_own():
    (row,) = registry.find("chmfl w=0.30")
    assert (row.NAME, row.W, row.GROUP) == ("CHMFL w=0.3", 0.3, "Figure 5") and registry.slug(row.NAME) == "CHMFL_w_0.3"
    assert registry.find(row.NAME) == [row] == registry.find(registry.slug(row.NAME))
    sweep = registry.find("Figure 5, CHMFL w=0.3, CHMFL w=0.50")
    assert sweep.pop() is registry.find("CHMFL")[0], "w = 0.5 is CHMFL, and is not trained twice"
    assert sorted(one.W for one in sweep) == [0, 0.25, 0.3, 0.75, 1]
    order = sorted(sweep, key=lambda one: one.ROW)
    assert [one.W for one in order] == sorted(one.W for one in sweep)
    everything = registry.find("all")
    assert len([one for one in everything if one.GROUP == "Figure 5"]) == 4
    assert registry.find("all,-Figure 5") == [one for one in everything if one.GROUP != "Figure 5"]


@pytest.mark.parametrize(("name", "code"), [("CHMFL w=1.2", "method_option"), ("CHMFL w=half", "method_unknown")])
def test_a_weight_that_is_none_is_refused(name, code):
    with pytest.raises(BadInput) as refused:
        registry.find(name)
    assert refused.value.code == code


@pytest.fixture(scope="module", params=["CHMFL", "Mask + HMFL", "CFL"])
def seen(request, cases, tmp_path_factory):
    """A method that has learned the planted outcome."""
    method = method_of(request.param, epochs=12, batch_size=4)
    method.fit(cases[True][0], tmp_path_factory.mktemp("seen"))
    return method


def test_the_embedding_is_what_the_output_layer_reads(seen, cases):
    import torch

    new = cases[True][1][:4]
    vectors, third = seen.embedding(new), seen.network.head.third
    assert vectors.shape == (4, seen.preset.network.hidden[1]) and vectors.dtype == np.float32
    with torch.no_grad():
        logits = third(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], seen.log_odds(new), rtol=1e-4, atol=1e-5)
    assert seen.embedding([]).shape == (0, seen.preset.network.hidden[1])


def test_relevance_lies_on_the_box_and_in_the_tumor(seen, cases):
    case = max(cases[True][1], key=lambda one: one.label)
    found = seen.relevance(case)
    tumor = case.crop(seen.preset.preprocessing).mask[(slice(8, -8),) * 3] > 0
    assert found.shape == tumor.shape == (16, 16, 16) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() == pytest.approx(1)
    assert found[tumor].mean() > found[~tumor].mean()


@pytest.mark.slow
def test_v_net_is_monais():
    from CHMFLTrainingLib.networks.v_net import narrow_v_net
    from monai.networks.nets.vnet import VNet

    made, own = narrow_v_net(16).state_dict(), VNet(3, in_channels=2, out_channels=2).state_dict()
    assert {key: value.shape for key, value in made.items()} == {key: value.shape for key, value in own.items()}


@pytest.mark.slow
def test_v_net_segments_and_its_tlg_predicts(cases, tmp_path):
    known, new = cases[True]
    method = method_of("V-net", epochs=15, batch_size=4)
    method.fit(known, tmp_path / "job")
    risks = method.predict(new)
    assert auc(labels(new), risks) > 0.9 and np.ptp(risks) > 0.2
    truths = [case.crop(method.preset.preprocessing).mask[(slice(8, -8),) * 3] for case in new[:3] + new[-3:]]
    found = [method.segment(case) for case in new[:3] + new[-3:]]
    assert all(one.dtype == np.uint8 and one.shape == (16, 16, 16) for one in found)
    assert dice(np.stack(found), np.stack(truths)) > 0.5, "over all voxels: the smaller tumors are 20 voxels each"
    assert method.embedding(new) is None and method.relevance(new[0]) is None
    method.save(tmp_path / "model")
    np.testing.assert_allclose(type(method).load(tmp_path / "model").predict(new[:3]), risks[:3], rtol=1e-6)
    noise = method_of("V-net", epochs=2, batch_size=4)
    noise.fit(cases[False][0], tmp_path / "noise")
    assert 0.2 < auc(labels(cases[False][1]), noise.predict(cases[False][1])) < 0.8


def test_v_net_is_in_float32_on_a_cpu():
    """Its numbers are the same where a training is in bfloat16, whose gradients are wrong in images of 2 voxels."""
    import torch

    network = method_of("V-net").build(method_of("V-net").preset.network).eval()
    image = torch.rand(1, 2, 32, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = network.decode(network.encode(image))
    with torch.no_grad():
        assert found.dtype == torch.float32 and torch.equal(found, network.net(image))


def test_tlg_of_a_segment_by_hand(cases):
    from CHMFLPredictorLib.network.presets import PRESETS

    settings = PRESETS["smoke"].preprocessing
    crop = cases[True][0][0].crop(settings)
    log_tlg = sys.modules[type(method_of("V-net")).__module__].log_tlg
    inner = crop.suv[(slice(8, -8),) * 3]
    tumor = np.zeros(inner.shape, bool)
    tumor[8, 8, 8:10] = True
    expected = np.log1p(float(inner[8, 8, 8]) * 0.729 + float(inner[8, 8, 9]) * 0.729)
    assert log_tlg(crop, tumor, settings) == pytest.approx(expected, rel=1e-4)
    assert log_tlg(crop, np.zeros_like(tumor), settings) == 0
