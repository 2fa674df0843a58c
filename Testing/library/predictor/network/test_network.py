"""The network against Table SI and against numbers computed another way: parameters, shapes, work."""

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest
import torch
from CHMFLPredictorLib.network.chmfl import CHMFL, NetworkConfig, build_network, dm_log_odds
from CHMFLPredictorLib.network.presets import PRESETS
from torch.utils.flop_counter import FlopCounterMode

PAPER = PRESETS["paper"].network
SMOKE = PRESETS["smoke"].network
WIDTHS = (16, 32, 64, 128, 256)


def on_meta(config):
    """The network without memory: only shapes."""
    with torch.device("meta"):
        return CHMFL(config).eval()


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def unit_parameters(inputs, outputs, kernel):
    """Weights and biases of a convolution and the two numbers a channel of its normalization."""
    return inputs * outputs * kernel**3 + outputs + 2 * outputs


def forward_tflop(config):
    network = on_meta(config)
    x = torch.empty((1, 2 * config.branch_inputs, *config.input_size), device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() / 1e12


def flops_by_hand(size, kernel=5):
    """Two for each multiplication and addition of Table SI's network, level by level."""
    voxels = [prod(side // 2**level for side in size) for level in range(5)]
    encoder = 2 * (
        125 * 16 * voxels[0] + sum(8 * a * b * v for a, b, v in zip(WIDTHS[:-1], WIDTHS[1:], voxels[1:], strict=True))
    )
    decoder, below = 0, 512
    for level, convolutions in zip((3, 2, 1, 0), (2, 2, 1, 1), strict=True):
        width = WIDTHS[level]
        decoder += below * width * voxels[level]  # each voxel of an up-convolution of stride 2 comes from one
        below = 3 * width
        decoder += convolutions * kernel**3 * below**2 * voxels[level]
    decoder += (kernel**3 * below * 2 + 4) * voxels[0]
    head = (2 * sum(WIDTHS[:4]) + 512 * voxels[4]) * 1024 + 1024 * 256 + 256 * 2
    return 2 * (encoder + decoder + head)


def test_paper_network_has_281_million_parameters():
    network = on_meta(PAPER)
    branch = unit_parameters(1, 16, 5) + sum(unit_parameters(a, b, 2) for a, b in pairwise(WIDTHS))
    assert parameters(network.pet) == parameters(network.ct) == branch
    vector = 2 * (16 + 32 + 64 + 128) + 512 * 7 * 7 * 9
    head = (vector + 1) * 1024 + 1025 * 256 + 257 * 2
    assert parameters(network.head) == head
    ups = sum(unit_parameters(a, b, 2) for a, b in ((512, 128), (384, 64), (192, 32), (96, 16)))
    residual = sum(n * unit_parameters(c, c, 5) for c, n in ((384, 2), (192, 2), (96, 1), (48, 1)))
    output = unit_parameters(48, 2, 5) + 2 * 2 + 2
    assert parameters(network.decoder) == ups + residual + output
    assert parameters(network) == pytest.approx(281e6, rel=0.005)


def test_pooling_level_5_leaves_50_million_parameters():
    assert parameters(on_meta(replace(PAPER, pool_deepest=True))) == pytest.approx(50e6, rel=0.02)


def test_shapes_follow_table_si():
    network = on_meta(PAPER)
    x = torch.empty((1, 2, 112, 112, 144), device="meta")
    features = network.encode(x)
    sizes = [(112, 112, 144), (56, 56, 72), (28, 28, 36), (14, 14, 18), (7, 7, 9)]
    assert [tuple(level.shape) for level in features] == [
        (1, 2 * width, *size) for width, size in zip(WIDTHS, sizes, strict=True)
    ]
    below, decoded = features[-1], []
    for block, horizontal in zip(network.decoder.blocks, features[-2::-1], strict=True):
        below = block(below, horizontal)
        decoded.append(tuple(below.shape[1:]))
    assert decoded == [(c, *size) for c, size in zip((384, 192, 96, 48), sizes[3::-1], strict=True)]
    assert network.decode(features).shape == (1, 2, 112, 112, 144)
    assert network.classify(features).shape == (1, 2)


def test_work_of_the_paper_network_against_the_formula():
    assert forward_tflop(PAPER) == pytest.approx(flops_by_hand(PAPER.input_size) / 1e12, rel=1e-6)
    assert forward_tflop(PAPER) == pytest.approx(2.4, abs=0.05)


def test_risk_alone_is_a_hundredth_of_the_work():
    network, x = on_meta(PAPER), torch.empty((1, 2, 112, 112, 144), device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.classify(network.encode(x))
    assert counter.get_total_flops() / 1e12 == pytest.approx(0.022, abs=0.002)


@pytest.mark.parametrize(
    ("changes", "tflop"),
    [
        ({"decoder_kernel": 3}, 0.58),
        ({"projection": True}, 0.31),
        ({"projection": True, "decoder_kernel": 3}, 0.09),
        ({"input_size": (64, 64, 80)}, 2.4 * 64 * 64 * 80 / (112 * 112 * 144)),
    ],
)
def test_work_of_the_cheaper_relatives(changes, tflop):
    assert forward_tflop(replace(PAPER, **changes)) == pytest.approx(tflop, rel=0.06)


def test_cfl_reads_the_deepest_level_only():
    network = on_meta(replace(PAPER, hierarchical=False))
    assert network.head.first.in_features == 512 * 7 * 7 * 9
    assert on_meta(PAPER).head.first.in_features == 512 * 7 * 7 * 9 + 480


def test_cfl_risk_ignores_shallow_features():
    torch.manual_seed(0)
    network = randomized(replace(SMOKE, hierarchical=False))
    features = network.encode(torch.randn(1, 2, *SMOKE.input_size))
    before = dm_log_odds(network.classify(features))
    changed = [level + 1 for level in features[:-1]] + features[-1:]
    assert torch.equal(dm_log_odds(network.classify(changed)), before)
    assert not torch.equal(dm_log_odds(network.classify(features[:-1] + [features[-1] + 1])), before)


def test_mask_hmfl_takes_the_label_and_has_no_decoder():
    config = replace(SMOKE, branch_inputs=2, constrained=False)
    network = randomized(config)
    x = torch.randn(1, 4, *config.input_size)
    logits, segmentation = network(x)
    assert segmentation is None
    assert network.pet.levels[0][0].in_channels == network.ct.levels[0][0].in_channels == 2
    relabeled = x.clone()
    relabeled[:, 3] = 1 - relabeled[:, 3]
    assert not torch.equal(network(relabeled)[0], logits)


def test_pet_and_ct_have_branches_of_their_own():
    network = randomized(SMOKE)
    x = torch.randn(1, 2, *SMOKE.input_size)
    other = x.clone()
    other[:, 1] = 0
    width = SMOKE.channels[0]
    first, second = network.encode(x)[0], network.encode(other)[0]
    assert torch.equal(first[:, :width], second[:, :width])
    assert not torch.equal(first[:, width:], second[:, width:])


@pytest.mark.parametrize("channels", [4, 8, 16])
def test_group_normalization_normalizes_groups_of_channels(channels):
    network = on_meta(replace(PAPER, group_channels=channels))
    kinds = {type(module).__name__ for module in network.modules()}
    assert "GroupNorm" in kinds
    assert "BatchNorm3d" not in kinds
    assert network.pet.levels[2][1].num_groups == 64 // channels
    assert network.decoder.blocks[0].residual[0][1].num_groups == 384 // channels


def test_the_residual_is_the_sum_of_the_joined_features_and_the_convolutions():
    torch.manual_seed(1)
    block = randomized(replace(SMOKE, projection=False)).decoder.blocks[0]
    below, horizontal = torch.randn(1, 32, 2, 2, 2), torch.randn(1, 16, 4, 4, 4)
    joined = torch.cat([block.up(below), horizontal], dim=1)
    expected = torch.nn.functional.elu(joined + block.residual(joined))
    torch.testing.assert_close(block(below, horizontal), expected)


def test_configuration_survives_its_dictionary():
    for preset in PRESETS.values():
        assert NetworkConfig.from_dict(preset.network.to_dict()) == preset.network
    with pytest.raises(TypeError, match="colour"):
        NetworkConfig.from_dict({"colour": 1})


def test_sides_that_cannot_be_halved_four_times_are_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        NetworkConfig(input_size=(100, 112, 144))


def randomized(config):
    """A small network in evaluation mode whose head's last layer, zero at the start, has weights."""
    network = build_network(config).eval()
    torch.nn.init.normal_(network.head.third.weight)
    return network
