"""Training: cohort and folds, samples and augmentation, Eq. 1, and a fold that is killed, resumed and exported."""

import csv
import math
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.network.presets import PRESETS
from CHMFLPredictorLib.phantom.phantom import write_phantom
from CHMFLTrainingLib.cohort.cohort import about_cohort, read_cohort, sts_cohort
from CHMFLTrainingLib.cohort.crops import MARGIN, Crop, center_crop, load_crop
from CHMFLTrainingLib.cohort.folds import draw_folds, read_folds
from CHMFLTrainingLib.commands import cli
from CHMFLTrainingLib.statistics.auc import auc
from CHMFLTrainingLib.statistics.segmentation import dice
from compared_run import numbers

SMOKE = PRESETS["smoke"].preprocessing


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six phantoms in two folds; those with DM have a hotter tumor. Returns the folder with cohort.csv and
    folds.csv."""
    folder = tmp_path_factory.mktemp("cohort")
    first = write_phantom(folder / "phantom")
    rows, fold_rows = [], []
    for number in range(6):
        pet = folder / f"pet_{number}.nii.gz"
        sitk.WriteImage(sitk.ReadImage(str(first["pet"])) * (1.0 + (number % 2)), str(pet))
        rows.append([f"P{number}", pet, first["ct"], first["mask"], number % 2])
        fold_rows.append([0, f"P{number}", number // 2 % 2])
    for name, header, content in (
        ("cohort.csv", ["patient_id", "pet", "ct", "mask", "label"], rows),
        ("folds.csv", ["repeat", "patient_id", "fold"], fold_rows),
    ):
        with open(folder / name, "w", newline="") as stream:
            csv.writer(stream).writerows([header, *content])
    return folder


def train(cohort, run, *options, method="CHMFL"):
    """``compare`` of one method, in this process. That the phantoms share their images is a finding."""
    files = ["--cohort", cohort / "cohort.csv", "--folds", cohort / "folds.csv", "--output", run]
    fixed = ["--methods", method, "--preset", "smoke", "--device", "cpu", "--threads", 1, "--jobs", 0, "--no-report"]
    fixed.append("--despite-findings")
    return cli.main(["compare", *map(str, [*files, *fixed, *options])])


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """A finished smoke run."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert train(cohort, folder) == 0
    return folder


def test_cohort_rows_that_cannot_be_used_are_all_named(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,pet,ct,mask,label\nA,a.nii,b.nii,c.nii,1\nA,cohort.csv,cohort.csv,cohort.csv,yes\n")
    with pytest.raises(BadInput) as refused:
        read_cohort(path)
    text = refused.value.message
    assert "line 2 (A): pet" in text and "line 3 (A): label is 'yes'" in text and "stands in 2 rows" in text


def test_cohort_without_columns_is_refused(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient,pet\n1,2\n")
    with pytest.raises(BadInput, match="patient_id, ct, mask, label"):
        read_cohort(path)


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        ("a|b\n1|2\n", "cohort_columns", "its first line has a|b"),
        ("patient_id;pet;ct;mask;label\n;;;;\n", "cohort_empty", "no patient"),
        ("patient_id,pet,ct,mask,label\nA,a,b.nii,c.nii,m.nii,1\n", "cohort_rows", "1 stands beyond the last column"),
        ("PK\x03\x04", "cohort_unreadable", "spreadsheet"),
    ],
)
def test_the_true_cause_is_named(tmp_path, content, code, word):
    path = tmp_path / "cohort.csv"
    path.write_text(content)
    with pytest.raises(BadInput) as refused:
        read_cohort(path)
    assert refused.value.code == code and word in refused.value.message and refused.value.hint


def test_folds_of_a_spreadsheet(cohort, tmp_path):
    patients = read_cohort(cohort / "cohort.csv")
    labeled = [one.patient_id for one in patients if one.label is not None]
    path = tmp_path / "folds.csv"
    path.write_text(
        "sep=;\nRepeat;Patient ID;Fold\n" + "".join(f"0,0;{name};{n}.0\n" for n, name in enumerate(labeled))
    )
    assert read_folds(path, 0, patients) == {name: n for n, name in enumerate(labeled)}
    path.write_text("repeat,patient_id,fold\n0,A,x\n")
    with pytest.raises(BadInput, match="fold in line 2 is 'x'"):
        read_folds(path, 0, patients)


def test_sts_cohort_has_the_papers_patients(sts, tmp_path):
    assert cli.main(["cohort", "--sts", str(sts), "--output", str(tmp_path / "c.csv")]) == 0
    patients = read_cohort(tmp_path / "c.csv")
    labels = [patient.label for patient in patients]
    assert (len(labels), labels.count(1), labels.count(0), labels.count(None)) == (51, 24, 24, 3)
    assert "Vallieres" in about_cohort(tmp_path / "c.csv")["citation"]
    assert [p.patient_id for p in patients] == [p.patient_id for p in sts_cohort(sts)]
    folds = read_folds(sts / "folds.csv", 0, patients)
    assert sorted(folds.values()) == sorted(list(range(6)) * 8)


def test_folds_of_strangers_are_refused(cohort, tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("repeat,patient_id,fold\n0,P0,0\n0,X,1\n")
    with pytest.raises(BadInput, match="X"):
        read_folds(path, 0, read_cohort(cohort / "cohort.csv"))
    with pytest.raises(BadInput, match="no repeat 7"):
        read_folds(path, 7, [])


@pytest.mark.parametrize("text", ["repeat,patient_id,fold\n0,P0,first\n", None])
def test_files_that_are_no_folds_are_refused(cohort, tmp_path, text, capsys):
    path = tmp_path / "folds.csv"
    if text:
        path.write_text(text)
    code = train(cohort, tmp_path / "run", "--folds", path)
    assert code == 2 and "folds_unreadable" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_gpu_that_is_not_there_is_refused(cohort, tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert train(cohort, tmp_path / "run", "--device", "cuda") == 2
    assert "gpu_absent" in capsys.readouterr().err


def test_drawn_folds_are_equal_and_balanced(sts):
    patients = sts_cohort(sts)
    folds = draw_folds(patients, 6, seed=3)
    label = {patient.patient_id: patient.label for patient in patients}
    for fold in range(6):
        members = [label[name] for name, number in folds.items() if number == fold]
        assert (len(members), sum(members)) == (8, 4)


def test_crop_is_cached_until_a_file_changes(cohort, tmp_path):
    patient = read_cohort(cohort / "cohort.csv")[0]
    copy = replace(patient, pet=tmp_path / "pet.nii.gz")
    shutil.copyfile(patient.pet, copy.pet)
    cache = tmp_path / "cache"
    crop = load_crop(copy, SMOKE, cache)
    made = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = load_crop(copy, SMOKE, cache)
    assert np.array_equal(crop.suv, again.suv) and {p: p.stat().st_mtime_ns for p in cache.iterdir()} == made
    sitk.WriteImage(sitk.ReadImage(str(patient.pet)) * 3.0, str(copy.pet))
    assert load_crop(copy, SMOKE, cache).suv.max() > 2 * crop.suv.max()
    assert len(list(cache.iterdir())) == 2


def test_crop_measures_the_mask(cohort):
    patient = read_cohort(cohort / "cohort.csv")[0]
    crop = load_crop(patient, SMOKE, cohort / "cache")
    mask = sitk.ReadImage(str(patient.mask))
    volume_ml = sitk.GetArrayViewFromImage(mask).sum() * math.prod(mask.GetSpacing()) / 1000
    assert math.exp(crop.measurements[0]) == pytest.approx(volume_ml, rel=0.1)
    # the tumor lies in the middle of the crop
    center = np.argwhere(crop.mask).mean(0)
    assert np.allclose(center, (np.array(crop.mask.shape) - 1) / 2, atol=0.75)


def planted_crop():
    """A crop with one hot voxel cube off the middle, and a mask that marks it."""
    shape = tuple(n + 2 * MARGIN for n in SMOKE.size_voxels)
    suv, hu = np.zeros(shape, np.float16), np.full(shape, -1000, np.int16)
    place = tuple(slice(n // 2, n // 2 + 4) for n in shape)
    suv[place], hu[place] = 8, 50
    return Crop("P", 1, suv, hu, (suv > 0).astype(np.uint8), np.ones(shape, bool), np.zeros(2, np.float32))


def test_augmentation_moves_image_and_mask_together_and_keeps_size():
    from CHMFLTrainingLib.training.augmentation import Augmentation, augment

    crop, random, places = planted_crop(), np.random.default_rng(0), set()
    for _ in range(20):
        inputs, mask, inside = augment(crop, SMOKE, Augmentation(suv_spread=0, hu_shift=0), random)
        hot = inputs[0] > (math.log1p(4.0) - 0.7) / 0.7
        assert mask.sum() == pytest.approx(64, rel=0.35)  # neither grown nor shrunk, but for the voxels' rounding
        assert dice(hot, mask) > 0.9
        assert inside.mean() > 0.8  # a turn brings corners from beyond the cached crop
        places.add(tuple(np.argwhere(mask).mean(0).round()))
    assert len(places) > 10


def test_no_augmentation_is_the_center_crop():
    from CHMFLTrainingLib.training.augmentation import Augmentation, augment

    still = Augmentation(shift_mm=0, turn_degrees=0, mirror=False, suv_spread=0, hu_shift=0)
    crop = planted_crop()
    inputs, mask, _ = augment(crop, SMOKE, still, np.random.default_rng(0))
    expected, expected_mask, _ = center_crop(crop, SMOKE)
    assert np.allclose(inputs, expected, atol=1e-3) and np.array_equal(mask, expected_mask)


def test_equation_1_by_hand():
    import torch
    from CHMFLTrainingLib.training.losses import LossConfig, total_loss

    dm, segmentation = torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2, 1, 1, 2)
    segmentation[0, 1, 0, 0] = torch.tensor([1.0, 5.0])
    tumor, inside = torch.tensor([[[[0, 1]]]]), torch.tensor([[[[True, False]]]])
    targets = (torch.tensor([1]), tumor, inside)
    head, voxel = (
        math.log(1 + math.exp(-2)),
        math.log(1 + math.exp(1)),
    )  # the second voxel lies outside and does not count
    for w in (0.0, 0.3, 1.0):
        loss = total_loss((dm, segmentation), targets, LossConfig(w=w))
        assert float(loss) == pytest.approx((1 - w) * head + w * voxel, rel=1e-5)


def test_dice_term_rewards_overlap():
    import torch
    from CHMFLTrainingLib.training.losses import segmentation_loss

    tumor = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    tumor[0, :2] = 1
    inside = torch.ones(1, 4, 4, 4, dtype=torch.bool)
    right = torch.stack([-9.0 * (2 * tumor - 1), 9.0 * (2 * tumor - 1)], dim=1)
    extra = [
        float(segmentation_loss(x, tumor, inside, True) - segmentation_loss(x, tumor, inside, False))
        for x in (right, -right)
    ]
    assert extra[0] == pytest.approx(0, abs=0.01) and extra[1] == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_numbers(cohort, run, tmp_path, monkeypatch):
    from CHMFLTrainingLib.training import fold_training

    step, steps = fold_training.FoldTraining._step, []

    def dies_in_the_second_epoch(self, *arguments):
        if self.epoch == 1:
            raise KeyboardInterrupt
        steps.append(1)
        return step(self, *arguments)

    monkeypatch.setattr(fold_training.FoldTraining, "_step", dies_in_the_second_epoch)
    assert train(cohort, tmp_path / "run") == 3 and steps
    monkeypatch.setattr(fold_training.FoldTraining, "_step", step)
    assert train(cohort, tmp_path / "run", "--resume") == 0
    assert numbers(tmp_path / "run") == numbers(run)


@pytest.mark.slow
def test_unfinished_run_is_not_exported(cohort, run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "CHMFL" / "repeat_0" / "fold_1" / "predictions.csv").unlink()
    assert cli.main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "bundle")]) == 2
    assert "[1]" in capsys.readouterr().err and not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_export_makes_a_bundle_that_predicts_as_the_folds_did(cohort, run, tmp_path):
    import torch
    from CHMFLPredictorLib.model.bundle import load_bundle
    from CHMFLPredictorLib.network import preprocessing
    from CHMFLPredictorLib.network.chmfl import dm_log_odds
    from CHMFLPredictorLib.reading import volumes

    assert cli.main(["export", str(run), "--output", str(tmp_path / "bundle")]) == 0
    bundle = load_bundle(tmp_path / "bundle")
    networks = bundle.networks()
    assert len(networks) == 2 and bundle.card["training"]["patients"] == 6
    with open(tmp_path / "bundle" / "out_of_fold.csv") as stream:
        rows = {row["patient_id"]: row for row in csv.DictReader(stream)}
    assert sorted(rows) == [f"P{n}" for n in range(6)]
    patient = read_cohort(cohort / "cohort.csv")[2]  # of fold 1
    pet, ct = volumes.read_pet(patient.pet).image, volumes.read_ct(patient.ct).image
    from CHMFLPredictorLib.tumor import location

    network_input = preprocessing.prepare(
        pet, ct, location.from_mask(sitk.ReadImage(str(patient.mask))).center_ras, bundle.preprocessing
    )
    with torch.inference_mode():
        found = float(dm_log_odds(networks[1](torch.from_numpy(network_input.inputs[None]))[0]))
    assert found == pytest.approx(float(rows["P2"]["mask_log_odds"]), abs=0.02)


@pytest.mark.slow
def test_network_learns_a_planted_signal():
    """Forty steps on two patients that differ in uptake: the head must tell them apart, which it cannot before."""
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network, dm_log_odds
    from CHMFLTrainingLib.training.losses import LossConfig, total_loss

    torch.manual_seed(0)
    layout = torch.channels_last_3d
    still = replace(PRESETS["smoke"].network, dropout=(0.0, 0.0))  # forty steps are few for so narrow a head
    network = build_network(still).to(memory_format=layout)
    hot, cold = planted_crop(), planted_crop()
    cold.suv = cold.suv * np.float16(0.3)
    views = [center_crop(crop, SMOKE) for crop in (hot, cold)]
    inputs = torch.from_numpy(np.stack([view[0] for view in views])).contiguous(memory_format=layout)
    tumor = torch.from_numpy(np.stack([view[1] for view in views]).astype(np.int64))
    targets = (torch.tensor([1, 0]), tumor, torch.ones_like(tumor, dtype=torch.bool))
    rates = ((network.pet, 1e-2), (network.ct, 1e-2), (network.decoder, 1e-2), (network.head, 3e-3))
    optimizer = torch.optim.Adam([{"params": part.parameters(), "lr": rate} for part, rate in rates])

    def overlap(segmentation):
        return dice((segmentation[0, 1] > segmentation[0, 0]).numpy(), tumor[0].numpy())

    dm, segmentation = network(inputs)
    assert np.ptp(dm_log_odds(dm).detach().numpy()) == 0 and overlap(segmentation.detach()) < 0.05
    for _ in range(40):
        features = network.encode(inputs)
        loss = total_loss((network.classify(features), network.decode(features)), targets, LossConfig(dice=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.head.eval()  # no dropout; the batch's own statistics stay
    dm, segmentation = network(inputs)
    log_odds = dm_log_odds(dm).detach()
    assert log_odds[0] - log_odds[1] > 1
    assert overlap(segmentation.detach()) > 0.4


def test_head_alone_learns_a_planted_signal_and_stays_at_chance_on_noise():
    """Eight informative features among 160 predict new patients; without them the staged head is left with chance."""
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network, dm_log_odds
    from CHMFLTrainingLib.methods.chmfl_staged import ChmflStaged
    from CHMFLTrainingLib.training.head import HeadConfig, fit_head

    random = np.random.default_rng(0)
    for planted in (True, False):
        torch.manual_seed(0)
        head = build_network(replace(PRESETS["smoke"].network, **ChmflStaged.NETWORK)).head
        labels = np.tile([0, 1], 60)
        x = random.normal(size=(120, head.first.in_features)).astype(np.float32) * 3 + 10
        x[:, :8] += planted * 6 * labels[:, None]
        measured = np.stack([labels, labels], axis=1) * 2.0 - 1 if planted else random.normal(size=(120, 2))
        fit_head(head, torch.from_numpy(x[:60]), labels[:60], measured[:60], HeadConfig(steps=150), decay=1.0, seed=0)
        with torch.no_grad():
            found = auc(labels[60:], dm_log_odds(head.layers(torch.from_numpy(x[60:]))[0]).numpy())
        assert found > 0.9 if planted else 0.3 < found < 0.7


@pytest.mark.slow
def test_staged_training_runs_and_resumes(cohort, tmp_path, monkeypatch):
    """The segmentation, then the head; a kill between them is mended."""
    from CHMFLTrainingLib.training import fold_training, head

    quick = partial(head.HeadConfig, views=2, steps=20, decays=(1.0, 30.0), inner_folds=2)
    monkeypatch.setattr(head, "HeadConfig", quick)
    options = ("--option", "epochs=1")
    assert train(cohort, tmp_path / "one", *options, method="CHMFL staged") == 0

    def killed(*_, **__):
        raise KeyboardInterrupt

    fit_head = fold_training.fit_head
    monkeypatch.setattr(fold_training, "fit_head", killed)
    assert train(cohort, tmp_path / "two", *options, method="CHMFL staged") == 3
    assert numbers(tmp_path / "two") == {}
    monkeypatch.setattr(fold_training, "fit_head", fit_head)
    assert train(cohort, tmp_path / "two", "--resume", method="CHMFL staged") == 0
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")


def test_decay_is_chosen_on_patients_left_out():
    """Where features are noise, the strongest decay has the least log loss; the choice leaves the head as it was."""
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network
    from CHMFLTrainingLib.training.head import HeadConfig, choose_decay

    torch.manual_seed(0)
    head = build_network(PRESETS["smoke"].network).head
    before = head.first.weight.detach().clone()
    labels, config = np.tile([0, 1], 40), HeadConfig(2, 100, decays=(0.0, 300.0), inner_folds=2)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(80, head.first.in_features)).astype(np.float32))
    assert choose_decay(head, x, labels, np.zeros((80, 2), np.float32), config, seed=0) == 300.0
    assert torch.equal(before, head.first.weight)
