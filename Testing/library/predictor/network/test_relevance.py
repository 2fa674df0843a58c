"""The relevance map on networks whose reason is known, because it is planted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from CHMFLPredictorLib.network.chmfl import build_network
from CHMFLPredictorLib.network.engines import open_engine
from CHMFLPredictorLib.network.presets import PRESETS
from CHMFLPredictorLib.network.relevance import relevance_map
from random_networks import random_inputs, random_network

SMOKE = PRESETS["smoke"].network
SIZE = SMOKE.input_size
HOT = (slice(4, 12), slice(4, 12), slice(16, 24))  # where the PET is hot
DENSE = (slice(20, 28), slice(20, 28), slice(4, 12))  # where the CT is dense


def planted(config, branch, level, sign=1.0):
    """A network whose first feature of each level is the image's mean; its risk follows one branch at one level."""
    network = build_network(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.weight.fill_(1)
        for encoder in (network.pet, network.ct):
            encoder.levels[0][0].weight[0, 0, 2, 2, 2] = 1
            for unit in list(encoder.levels)[1:]:
                unit[0].weight[0, 0] = 1 / 8
        head = network.head
        pools = 1 if config.pooling == "max" else 2
        start = sum(pools * 2 * width for width in config.channels[:level]) if config.hierarchical else 0
        width = config.channels[level]
        if level == 4 and not config.pool_deepest:
            voxels = np.prod(config.input_size) // 16**3
            start += branch * width * voxels
            head.first.weight[0, start : start + voxels] = 1
        else:
            head.first.weight[0, start + branch * width] = 1
        head.second.weight[0, 0] = 1
        head.third.weight[1, 0] = sign
    return network


def two_places():
    """PET with one hot cube, CT with one dense cube elsewhere, over a little noise."""
    x = np.random.default_rng(0).normal(0.5, 0.02, (2, *SIZE)).astype(np.float32)
    x[0][HOT] += 4
    x[1][DENSE] += 4
    return x


@pytest.mark.parametrize("pooling", ["max", "max_uptake"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(("branch", "place", "other"), [(0, HOT, DENSE), (1, DENSE, HOT)])
def test_the_planted_reason_is_found(pooling, level, branch, place, other):
    relevance = relevance_map([planted(replace(SMOKE, pooling=pooling), branch, level)], two_places())
    assert relevance.shape == SIZE
    assert relevance.dtype == np.float32
    assert relevance.min() >= 0
    assert relevance.max() == pytest.approx(1)
    inside = np.zeros(SIZE, bool)
    inside[place] = True
    assert inside[np.unravel_index(relevance.argmax(), SIZE)]
    assert relevance[place].mean() > 0.6  # coarse levels fade toward the edge of the cube
    assert relevance[other].mean() < 0.05


def test_flattened_deepest_level_is_read_voxel_by_voxel():
    config = replace(SMOKE, input_size=(64, 32, 32), pooling="max", pool_deepest=False, hierarchical=False)
    x = np.zeros((2, 64, 32, 32), np.float32)
    x[0, :16, :16, :16] = 4  # exactly one voxel of level 5
    relevance = relevance_map([planted(config, 0, 4)], x)
    assert relevance[:12, :12, :12].min() > 0.2
    assert np.all(relevance[32:] == 0)


def test_what_speaks_against_dm_is_relevant_too():
    against = relevance_map([planted(SMOKE, 0, 1, sign=-1.0)], two_places())
    np.testing.assert_allclose(against, relevance_map([planted(SMOKE, 0, 1)], two_places()), atol=1e-6)


def test_members_are_averaged():
    relevance = relevance_map([planted(SMOKE, 0, 0), planted(SMOKE, 1, 0)], two_places())
    assert relevance[HOT].mean() == pytest.approx(relevance[DENSE].mean(), rel=0.1)
    assert relevance[HOT].mean() > 0.7


def test_an_untrained_head_gives_no_relevance():
    relevance = relevance_map([build_network(SMOKE).eval()], two_places())
    assert np.all(relevance == 0)


def test_a_scan_without_contrast_gives_finite_numbers():
    assert np.all(np.isfinite(relevance_map([random_network(SMOKE)], np.zeros((2, *SIZE), np.float32))))


@pytest.mark.parametrize("engine", ["eager", "torch"])
def test_the_map_is_the_same_after_the_engine_took_the_networks(engine):
    config = replace(SMOKE, decoder_kernel=5)
    inputs = random_inputs(config)
    expected = relevance_map([random_network(config)], inputs)
    networks = [random_network(config)]
    open_engine(networks, inputs.shape, device="cpu", engine=engine).log_odds(inputs)
    np.testing.assert_allclose(relevance_map(networks, inputs), expected, atol=1e-4)


def test_the_decoder_has_no_part_in_it():
    network, inputs = random_network(SMOKE), random_inputs(SMOKE)
    expected = relevance_map([network], inputs)
    network.decoder = None
    np.testing.assert_array_equal(relevance_map([network], inputs), expected)
