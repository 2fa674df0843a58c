"""Every engine agrees with plain PyTorch: closely in float32, and in bfloat16 as well as the product promises."""

import copy
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from CHMFLPredictorLib.errors import BadInput, MissingDependency, OutOfMemory
from CHMFLPredictorLib.network import engines
from CHMFLPredictorLib.network.engines import fold_batch_norm, open_engine
from CHMFLPredictorLib.network.presets import PRESETS
from random_networks import random_inputs, random_network

SMOKE = PRESETS["smoke"].network
PAPER_LIKE = replace(SMOKE, projection=False, decoder_kernel=5, pooling="max", pool_deepest=False, measurements=0)
CONFIGS = {
    "smoke": SMOKE,
    "compact": PRESETS["compact"].network,
    "paper-like": PAPER_LIKE,
    "wide and projected": replace(PAPER_LIKE, projection=True, input_size=(32, 16, 16), channels=(16, 16, 16, 16, 16)),
    "group norm": replace(SMOKE, group_channels=4),
    "group norm, wide": replace(PAPER_LIKE, group_channels=4),
    "CFL": replace(PAPER_LIKE, hierarchical=False),
    "Mask + HMFL": replace(SMOKE, branch_inputs=2, constrained=False),
}
pytestmark = pytest.mark.usefixtures("float32")  # bfloat16 has tests of its own
ENGINES = ["torch", pytest.param("openvino", marks=pytest.mark.skipif(not find_spec("openvino"), reason="no OpenVINO"))]


def opened(config, engine, members=1):
    networks = [random_network(config, seed) for seed in range(members)]
    shape = (2 * config.branch_inputs, *config.input_size)
    return open_engine(networks, shape, device="cpu", engine=engine, threads=2)


def capabilities():
    """What OpenVINO finds in this processor."""
    from CHMFLPredictorLib.network.engine_openvino import core

    return core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def dice(a, b):
    return 2 * np.sum(a & b) / (np.sum(a) + np.sum(b))


def keeps_the_promise(ours, reference, inputs):
    """What the product says of bfloat16: the risk within 0.01, the segmentation with a Dice of at least 0.99."""
    risks = [1 / (1 + np.exp(-each.log_odds(inputs)[0])) for each in (ours, reference)]
    assert abs(risks[0] - risks[1]) < 0.01
    got, expected = ours.tumor_probability(inputs), reference.tumor_probability(inputs)
    if expected is None:
        assert got is None
        return
    # a threshold that the probabilities really cross
    threshold = np.median(expected)
    assert dice(got > threshold, expected > threshold) >= 0.99


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_engine_agrees_with_eager(name, engine):
    config = CONFIGS[name]
    inputs = random_inputs(config)
    reference, ours = opened(config, "eager"), opened(config, engine)
    expected, got = reference.log_odds(inputs), ours.log_odds(inputs)
    assert abs(expected[0]) > 1e-3  # or agreeing would be no achievement
    np.testing.assert_allclose(1 / (1 + np.exp(-got)), 1 / (1 + np.exp(-expected)), atol=1e-4)
    expected, got = reference.tumor_probability(inputs), ours.tumor_probability(inputs)
    if not config.constrained:
        assert expected is None
        assert got is None
        return
    assert got.shape == config.input_size
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-3)
    # a threshold that the probabilities really cross
    threshold = np.median(expected)
    assert dice(got > threshold, expected > threshold) >= 0.99


@pytest.mark.parametrize("engine", ENGINES)
def test_eager_is_the_module_itself(engine):
    network, inputs = random_network(SMOKE), random_inputs(SMOKE)
    with torch.no_grad():
        logits, segmentation = network(torch.from_numpy(inputs)[None])
    ours = opened(SMOKE, engine)
    assert ours.log_odds(inputs)[0] == pytest.approx(float(logits[0, 1] - logits[0, 0]), abs=1e-4)
    expected = torch.softmax(segmentation, dim=1)[0, 1].numpy()
    np.testing.assert_allclose(ours.tumor_probability(inputs), expected, atol=1e-4)


def test_ensemble_has_a_number_for_each_member_and_the_mean_segmentation():
    inputs, calls = random_inputs(SMOKE), []
    ensemble = opened(SMOKE, "torch", members=3)
    probability = ensemble.tumor_probability(inputs, lambda done, count: calls.append((done, count)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    log_odds, maps = [], []
    for seed in range(3):
        single = open_engine([random_network(SMOKE, seed)], inputs.shape, device="cpu", engine="eager")
        log_odds.append(single.log_odds(inputs)[0])
        maps.append(single.tumor_probability(inputs))
    np.testing.assert_allclose(ensemble.log_odds(inputs), log_odds, atol=1e-4)
    np.testing.assert_allclose(probability, np.mean(maps, axis=0), atol=1e-4)
    assert len(set(log_odds)) == 3


def test_canceling_between_members_passes_through():
    class Stop(Exception):
        pass

    def stop(_done, _count):
        raise Stop

    with pytest.raises(Stop):
        opened(SMOKE, "torch").tumor_probability(random_inputs(SMOKE), stop)


def test_folding_is_exact_and_leaves_the_original_alone():
    network = random_network(SMOKE)
    x = torch.from_numpy(random_inputs(SMOKE))[None]
    state = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in folded.modules())
    with torch.no_grad():
        for got, expected in zip(folded(x), network(x), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_folding_a_channel_that_never_varied():
    network = random_network(SMOKE)
    norm = network.pet.levels[0][1]
    norm.running_var[0], norm.running_mean[0] = 0.0, 2.0
    x = torch.from_numpy(random_inputs(SMOKE))[None]
    with torch.no_grad():
        torch.testing.assert_close(fold_batch_norm(network)(x)[1], network(x)[1], rtol=1e-3, atol=1e-3)


def test_auto_takes_openvino_where_it_is_installed(monkeypatch):
    for config in (PAPER_LIKE, SMOKE):
        assert opened(config, "auto").name == ("openvino" if find_spec("openvino") else "torch")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert opened(SMOKE, "auto").name == "torch"
    with pytest.raises(MissingDependency, match="OpenVINO is not installed"):
        opened(SMOKE, "openvino")


def test_device_is_said_in_words():
    assert opened(SMOKE, "torch").device == f"CPU, PyTorch {torch.__version__.partition('+')[0]}, 2 threads"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_absent_gpu_is_refused(device):
    with pytest.raises(BadInput) as caught:
        open_engine([random_network(SMOKE)], (2, *SMOKE.input_size), device=device)
    assert caught.value.code == "gpu_absent"
    assert device in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""])
def test_unknown_device_is_refused(device):
    with pytest.raises(BadInput) as caught:
        open_engine([random_network(SMOKE)], (2, *SMOKE.input_size), device=device)
    assert caught.value.code == "device_unknown"


def test_wrong_shape_is_a_defect():
    with pytest.raises(ValueError, match=r"\(2, 32, 32, 32\), not \(2, 16, 32, 32\)"):
        opened(SMOKE, "torch").log_odds(np.zeros((2, 16, 32, 32), np.float32))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
@pytest.mark.parametrize("call", ["log_odds", "tumor_probability"])
def test_exhausted_memory_has_its_error(error, call):
    ours = opened(SMOKE, "torch")

    def exhausted(_x):
        raise error

    setattr(ours.members[0], call, exhausted)
    with pytest.raises(OutOfMemory):
        getattr(ours, call)(random_inputs(SMOKE))


def test_memory_that_is_really_refused_has_its_error():
    ours = opened(SMOKE, "torch")
    ours.members[0].log_odds = lambda _x: torch.empty(1 << 60)
    with pytest.raises(OutOfMemory):
        ours.log_odds(random_inputs(SMOKE))


def test_other_defects_are_not_hidden():
    ours = opened(SMOKE, "torch")
    ours.members[0].log_odds = lambda _x: {}["absent"]
    with pytest.raises(KeyError):
        ours.log_odds(random_inputs(SMOKE))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_on_a_cpu_keeps_the_promise(name, engine, bfloat16):
    """Risk within 0.01 and Dice of at least 0.99. PyTorch emulates what the processor lacks, OpenVINO does not."""
    if engine == "openvino" and "BF16" not in capabilities():
        pytest.skip("this processor has no bfloat16, and OpenVINO does not emulate it")
    config = CONFIGS[name]
    inputs = random_inputs(config)
    ours, reference = opened(config, engine), opened(config, "eager")
    if engine == "torch":
        assert ours.members[0].bfloat16
    keeps_the_promise(ours, reference, inputs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: bfloat16 on a GPU is not tested")
@pytest.mark.parametrize("name", ["compact", "paper-like"])
def test_gpu_agrees_with_eager(name):
    config = CONFIGS[name]
    inputs = random_inputs(config)
    gpu = open_engine([random_network(config)], inputs.shape, device="cuda")
    keeps_the_promise(gpu, opened(config, "eager"), inputs)
    assert "cuda:0" in gpu.device
