"""What makes training fast changes how it is computed, not what: each way against plain PyTorch, on this computer."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.network.presets import PRESETS
from CHMFLTrainingLib.cohort.crops import MARGIN, Crop, load_crop

SMOKE = PRESETS["smoke"]


def made_crop(number: int, size=(32, 32, 32)) -> Crop:
    """A crop with a hot ball, and noise around it, so that no two views are alike."""
    random, shape = np.random.default_rng(number), tuple(n + 2 * MARGIN for n in size)
    distance = np.linalg.norm(
        np.indices(shape) - (np.array(shape) / 2 + random.uniform(-2, 2, 3))[:, None, None, None], axis=0
    )
    mask = (distance < 5 + number % 3).astype(np.uint8)
    suv = (random.uniform(0.2, 1.5, shape) + (4 + number % 2) * mask).astype(np.float16)
    hu = (random.normal(0, 60, shape) + 40 * mask).astype(np.int16)
    inside = np.ones(shape, bool)
    inside[:3] = False
    return Crop(f"P{number}", number % 2, suv, hu, mask, inside, random.normal(size=2).astype(np.float32))


@pytest.fixture(scope="module")
def crops():
    return [made_crop(number) for number in range(4)]


def training_of(crops, folder, speed=None, **changes):
    from CHMFLTrainingLib.training.config import TRAINING_PRESETS
    from CHMFLTrainingLib.training.fold_training import FoldTraining

    config = replace(TRAINING_PRESETS["smoke"], **changes)
    return FoldTraining(SMOKE, config, crops, 0, folder, speed=speed)


def one_epoch(crops, folder, speed):
    """Loss of an epoch, and the network's state after it."""
    training = training_of(crops, folder, speed)
    return training._train_epoch(), training.network.state_dict()


def plain_speed(**changes):
    from CHMFLTrainingLib.training.speed import Speed

    return Speed(**changes)


# the same numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "threads", "depth"), [(1, 1, 4), (1, 2, 4), (3, 1, 4), (5, 1, 6), (5, 1, 2)])
def test_planes_are_the_convolution(kernel, threads, depth):
    """Values and gradients."""
    import torch
    from CHMFLTrainingLib.training.planar_convolution import pointwise, split

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        x = torch.randn(2, 6, depth, 5, 7).to(memory_format=torch.channels_last_3d).requires_grad_()
        convolution = torch.nn.Conv3d(6, 2, kernel, padding=kernel // 2)
        sought = (x, convolution.weight, convolution.bias)
        own, expected = (pointwise if kernel == 1 else split)(*sought), convolution(x)
        for a, b in zip(
            (own, *torch.autograd.grad(own.square().sum(), sought)),
            (expected, *torch.autograd.grad(expected.square().sum(), sought)),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "change",
    [
        {"channels_last": True},
        {"planar": True},
        {"fused": True},
        {"ahead": 2},
        {"resident": True},
        {"recomputed": True},
        {"channels_last": True, "planar": True, "fused": True, "ahead": 2},
    ],
    ids="+".join,
)
def test_each_way_trains_as_plain_pytorch_does(crops, tmp_path, change):
    """Loss of an epoch and running statistics after it; weights may differ by Adam's answer to rounding."""
    loss, state = one_epoch(crops, tmp_path, plain_speed())
    own, found = one_epoch(crops, tmp_path, plain_speed(**change))
    assert own == pytest.approx(loss, rel=2e-4)
    for name in (name for name in state if "running" in name or "tracked" in name):
        np.testing.assert_allclose(found[name].numpy(), state[name].numpy(), rtol=1e-2, atol=1e-3, err_msg=name)


def test_the_fast_way_repeats_itself(crops, tmp_path):
    first, second = (one_epoch(crops, tmp_path, None) for _ in range(2))
    assert first[0] == second[0]
    assert all(bool((value == second[1][name]).all()) for name, value in first[1].items())


def test_recomputing_gives_the_same_gradients(crops, tmp_path):
    import torch

    gradients = []
    for recomputed in (False, True):
        training = training_of(crops, tmp_path, plain_speed(recomputed=recomputed))
        training.network.train()
        training.loss((crops[:2], training.views.plain(crops[:2]))).backward()
        gradients.append([parameter.grad for parameter in training.network.parameters()])
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, kept, rtol=1e-4, atol=1e-6)


def test_bfloat16_keeps_weights_and_loss_in_float32(crops, tmp_path):
    import torch

    losses = []
    for bfloat16 in (False, True):
        training = training_of(crops, tmp_path, plain_speed(bfloat16=bfloat16))
        training.network.eval()
        with torch.no_grad():
            features = training._outputs(training.views.plain(crops[:1])[0])
            losses.append(training.loss((crops[:1], training.views.plain(crops[:1]))))
        assert all(output.dtype == torch.float32 for output in features)
    assert losses[0] != losses[1] and float(losses[1]) == pytest.approx(float(losses[0]), rel=0.03)
    assert all(parameter.dtype == torch.float32 for parameter in training.network.parameters())


# views ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, (16, 16, 24)], ids=["box", "patch"])
def test_views_made_on_the_device_are_those_of_the_processor(crops, size):
    import torch
    from CHMFLTrainingLib.training.augmentation import Augmentation, augment
    from CHMFLTrainingLib.training.device_views import DeviceViews

    views = DeviceViews(SMOKE.preprocessing, torch.device("cpu"))
    for seed, share in ((1, 0.0), (2, 1.0), (3, 1.0)):
        limits = Augmentation(turn_share=share)
        own = views.augment(crops[0], limits, np.random.default_rng(seed), size)
        expected = augment(crops[0], SMOKE.preprocessing, limits, np.random.default_rng(seed), size)
        for a, b in zip(own, expected, strict=True):
            assert a.numpy().dtype == b.dtype
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-4, atol=1e-4)


def test_the_papers_normalization_on_the_device():
    import torch
    from CHMFLPredictorLib.network.preprocessing import normalize, standardized
    from CHMFLTrainingLib.training.device_views import normalized

    crop = made_crop(1)
    suv, hu = crop.suv.astype(np.float32), crop.hu.astype(np.float32)
    settings = standardized(PRESETS["paper"].preprocessing, [(suv, hu, crop.inside)])
    expected = normalize(suv, hu, settings)
    own = normalized(torch.from_numpy(suv), torch.from_numpy(hu), settings).numpy()
    # a voxel at the edge of "background" may fall to the other side: its neighbors' drift changes by a little
    assert np.quantile(np.abs(own - expected), 0.999) < 1e-3 and np.abs(own - expected).max() < 0.05


def test_a_turned_view_is_linear_interpolation(crops):
    """Against PyTorch's sampling of points in space."""
    import torch
    from CHMFLTrainingLib.training.augmentation import Change, _turned

    crop, size, shift, angle = crops[1], (16, 20, 24), np.array([3, -2, 5]), 0.2
    change = Change(shift, np.array([True, False, True]), angle, np.float32(1), np.float32(0))
    suv, _, mask, _ = _turned(crop, size, change)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    axes = [np.arange(n) - (n - 1) / 2 for n in size]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ (turn @ np.diag([-1.0, 1.0, -1.0])).T + shift
    grid = torch.from_numpy((points * [2 / n for n in crop.suv.shape])[..., ::-1].copy())[None]
    both = torch.from_numpy(np.stack([crop.suv, crop.mask]).astype(np.float64))[None]
    expected = torch.nn.functional.grid_sample(both, grid, align_corners=False)[0].numpy()
    np.testing.assert_allclose(suv, expected[0], atol=1e-5)
    assert (mask != (expected[1] >= 0.5)).mean() < 1e-3 and mask.any()


def test_views_are_made_ahead_in_order_by_one_thread():
    from CHMFLTrainingLib.training.speed import made_ahead

    makers, random = set(), np.random.default_rng(0)

    def make(part):
        makers.add(threading.current_thread())
        return part, random.random()

    expected = np.random.default_rng(0)
    with made_ahead(make, list(range(7)), 2) as made:
        assert [next(made) for _ in range(7)] == [(n, expected.random()) for n in range(7)]
    assert len(makers) == 1 and threading.main_thread() not in makers
    with made_ahead(make, [1, 2], 0) as made:
        assert [part for part, _ in made] == [1, 2]
    assert threading.main_thread() in makers


def test_what_fails_in_the_making_is_raised_where_the_view_is_needed():
    from CHMFLTrainingLib.training.speed import made_ahead

    def make(part):
        if part == 2:
            raise ValueError("part 2")
        return part

    with pytest.raises(ValueError, match="part 2"), made_ahead(make, [0, 1, 2, 3], 2) as made:
        list(made)
    with made_ahead(make, [0, 1, 3], 2) as made:
        assert next(made) == 0  # who stops early is not held up
    assert not any(thread.name.startswith("views") for thread in threading.enumerate())


def test_a_damaged_cached_box_is_made_again(phantom, tmp_path, caplog):
    from CHMFLTrainingLib.cohort.cohort import Patient

    patient = Patient("P", *(phantom / f"{name}.nii.gz" for name in ("PET", "CT", "mask")), label=1)
    first = load_crop(patient, SMOKE.preprocessing, tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:1000])
    again = load_crop(patient, SMOKE.preprocessing, tmp_path)
    assert np.array_equal(first.suv, again.suv) and entry.name in caplog.text


# checkpoints ----------------------------------------------------------------------------------------------------------


def test_a_stop_between_checkpoints_is_on_disk(crops, tmp_path, monkeypatch):
    """Where writing takes long, most epochs leave no checkpoint; a stop does, and what follows is the same."""
    import torch
    from CHMFLTrainingLib.training import checkpoints

    training_of(crops, tmp_path / "whole", epochs=3).run()
    monkeypatch.setattr(checkpoints.Pace, "due", lambda self: False)

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_of(crops, tmp_path / "parts", epochs=3).run(stop)
    rest = training_of(crops, tmp_path / "parts", epochs=3)
    rest.resume()
    assert rest.epoch == 2
    rest.run()
    states = [torch.load(tmp_path / name / checkpoints.LATEST, weights_only=True) for name in ("whole", "parts")]
    assert [row["loss"] for row in states[0]["history"]] == [row["loss"] for row in states[1]["history"]]
    assert all(torch.equal(value, states[1]["network"][name]) for name, value in states[0]["network"].items())


def test_checkpoints_cost_a_tenth_of_the_time(tmp_path, monkeypatch):
    from CHMFLTrainingLib.training import checkpoints

    clock = iter([100.0, 103.0, 120.0, 133.5])  # the save takes 3 s
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(checkpoints, "save", lambda path, state: None)
    pace = checkpoints.Pace()
    monkeypatch.setattr(pace, "_took", 0.0)
    pace.save(tmp_path / "x", {})
    assert [pace.due(), pace.due()] == [False, True]


@pytest.mark.parametrize("fused", [False, True])
def test_a_checkpoint_of_the_other_optimizer_is_read(crops, tmp_path, fused):
    def stop(row):
        raise KeyboardInterrupt

    written = training_of(crops, tmp_path, plain_speed(fused=fused), epochs=2)
    with pytest.raises(KeyboardInterrupt):
        written.run(stop)
    other = training_of(crops, tmp_path, plain_speed(fused=not fused), epochs=2)
    other.run()
    assert other.epoch == 2 and other.optimizer.param_groups[0]["fused"] is not fused


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    import torch
    from CHMFLTrainingLib.training import checkpoints

    checkpoints.save(tmp_path / "c.pt", {"a": torch.ones(2)})

    def full(state, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path / "c.pt", {"a": torch.zeros(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
    assert checkpoints.load(tmp_path / "c.pt", torch.device("cpu"))["a"].sum() == 2
    (tmp_path / "c.pt").write_bytes(b"half")
    with pytest.raises(BadInput) as refused:
        checkpoints.load(tmp_path / "c.pt", torch.device("cpu"))
    assert refused.value.code == "checkpoint_damaged"


# choices --------------------------------------------------------------------------------------------------------------


def test_choices_by_device(monkeypatch):
    import torch
    from CHMFLTrainingLib.training.speed import fastest

    network = PRESETS["compact"].network
    for found in ({"avx512_bf16": False}, {"avx512_bf16": True, "amx_bf16": True}):  # the same on every processor
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        cpu = fastest(torch.device("cpu"), network, 300_000)
        assert (cpu.bfloat16, cpu.planar, cpu.fused, cpu.ahead, cpu.resident) == (False, True, True, 2, False)
    assert fastest(torch.device("cpu"), network, 300_000, "bfloat16").bfloat16
    for capability, bfloat16 in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        gpu = fastest(torch.device("cuda"), PRESETS["compact"].network, 300_000)
        assert (gpu.bfloat16, gpu.resident, gpu.fused, gpu.ahead) == (bfloat16, True, True, 0)
        assert not fastest(torch.device("cuda"), network, 300_000, "float32").bfloat16


def test_the_papers_network_recomputes_where_it_would_not_fit(monkeypatch):
    import torch
    from CHMFLTrainingLib.training.speed import fastest, kept_gigabytes

    config, voxels = PRESETS["paper"].network, 112 * 112 * 144
    full, half = kept_gigabytes(config, voxels, False), kept_gigabytes(config, voxels, True)
    weights = 12 * 281e6 / 1e9
    assert full == pytest.approx(weights + 3.2, abs=0.4)  # activations as measured for the design: 3.2 GB
    assert half - weights == pytest.approx((full - weights) / 2, rel=0.05)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert fastest(torch.device("cpu"), config, voxels).recomputed
    assert not fastest(torch.device("cpu"), PRESETS["compact"].network, 2 * 64 * 64 * 80).recomputed
    without = replace(config, constrained=False)
    assert not fastest(torch.device("cpu"), without, voxels).recomputed


def test_default_jobs_of_a_computer_with_gpus(monkeypatch):
    from CHMFLTrainingLib.run import dask_jobs, job_process

    monkeypatch.setattr(job_process, "choose_device", lambda wanted, slot=0: "cuda:0")
    monkeypatch.setattr(dask_jobs, "gpu_count", lambda torch: 2)
    assert dask_jobs.default_jobs("compact", "auto") == 2
    assert dask_jobs.default_jobs("compact", "cuda:1") == 1


# benchmark ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    import benchmark_train

    monkeypatch.setattr(benchmark_train, "STS", tmp_path / "absent")
    monkeypatch.setitem(benchmark_train.FLOPS_SIDE, "cpu", 64)
    monkeypatch.setattr(benchmark_train, "WARM_UP", 1)
    return benchmark_train


@pytest.mark.slow
def test_benchmark_measures_both_ways_on_the_same_views(benchmark, tmp_path, monkeypatch):
    """In this process; the loss shows that both trained on the same."""
    import torch

    def in_this_process(variant, cache, options, count=1):
        threads = torch.get_num_threads()
        try:
            return [benchmark.measure(variant, tmp_path, options) for _ in range(count)]
        finally:
            torch.set_num_threads(threads)

    monkeypatch.setattr(benchmark, "in_child", in_this_process)
    arguments = ["--preset", "smoke", "--device", "cpu", "--patients", "2", "--steps", "1", "--rounds", "1"]
    output = tmp_path / "found.json"
    assert benchmark.main([*arguments, "--variants", "plain,images,fast", "--output", str(output)]) == 0
    import json

    found = json.loads(output.read_text())
    plain, images, fast = (found["runs"][name][0] for name in ("plain", "images", "fast"))
    assert fast["loss"] == pytest.approx(plain["loss"], rel=1e-2) and images["loss"] == pytest.approx(plain["loss"])
    assert plain["speed"]["ahead"] == 0 and fast["speed"]["ahead"] == 2
    assert fast["flops_a_step"] > 1e6 and 0 <= fast["waiting_share"] <= 1 and fast["peak_gb"] > 0.05


def test_benchmarks_ratios_are_those_of_the_rounds(benchmark):
    def run(rate, processor):
        return {"steps_a_second": rate, "processor_s_a_step": processor, "peak_gb": 0.5, "waiting_share": 0.01}

    runs = {
        "plain": [run(1.0, 1.0), run(0.5, 1.0), run(1.0, 2.0)],
        "fast": [run(2.0, 0.5), run(1.5, 0.5), run(9.0, 0.5)],
    }
    results = {"runs": runs, "device": "cpu", "preset": "compact"}
    results["summary"] = benchmark.summary(results)
    assert results["summary"]["fast"]["ratio"] == 3.0 and results["summary"]["fast"]["ratio_of_processor_time"] == 2.0
    results["computer"] = {"cpu": {"cpu_name": "X"}, "threads": 1, "torch": "2", "load_before": 0.0}
    results["preprocessing"] = {"prepare_s": 1.0, "from_cache_s": 0.01}
    assert "| fast | 2 | 0.5 | 3.00 | 2.00 | 1.0% | 0.50 GB |" in benchmark.markdown(results)
