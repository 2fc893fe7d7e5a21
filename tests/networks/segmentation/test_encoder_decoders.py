import itertools

import pytest
import torch
from torch.nn import functional

from secondread.networks.segmentation.residual import ResidualSegmenter
from secondread.networks.segmentation.wide_residual import (
    PreActivatedBlock,
    WideResidualSegmenter,
    stages_of,
)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_depths_mean_five_or_six_stages_of_some_blocks():
    assert [stages_of(depth) for depth in (16, 26, 19, 31)] == [(5, 1), (5, 2), (6, 1), (6, 2)]
    for depth in (6, 7, 17, 20):
        with pytest.raises(ValueError, match="depth of 10 n"):
            stages_of(depth)


def block_numbers(before, after):
    """Two convolutions 3x3, two normalisations and, where channels change, a convolution 1x1."""
    return 9 * after * (before + after) + 2 * (before + after) + (before * after if before != after else 0)


@pytest.mark.parametrize(
    ("depth", "outputs", "widths"),
    [(16, 1, (16, 64, 128, 256, 256, 256, 128, 64, 16, 1)),
     (19, 5, (16, 64, 128, 256, 256, 256, 256, 128, 128, 64, 16, 5))],
)  # fmt: skip
def test_the_papers_wide_residual_networks_have_these_widths(depth, outputs, widths):
    with torch.device("meta"):
        network = WideResidualSegmenter(2, 1, outputs, (256, 256), depth=depth, width=4)
    expected = 9 * 16 + sum(block_numbers(*pair) for pair in itertools.pairwise(widths))
    assert count(network) == expected
    assert network(torch.zeros(1, 1, 256, 256, device="meta")).shape == (1, outputs, 256, 256)


def test_a_block_adds_its_shortcut_to_what_it_computes():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    same = PreActivatedBlock(2, 4, 4, change="half").eval()
    torch.nn.init.zeros_(same.conv2.weight)
    torch.testing.assert_close(same(x), functional.avg_pool2d(x, 2))
    wider = PreActivatedBlock(2, 4, 3, change="double").eval()
    torch.nn.init.zeros_(wider.conv2.weight)
    active = functional.relu(x / (1 + 1e-5) ** 0.5)
    small = functional.conv2d(active, wider.shortcut.weight)
    torch.testing.assert_close(wider(x), small.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("size", [(32, 64), (16, 16, 32)])
def test_both_give_a_map_on_the_images_grid(size):
    rank = len(size)
    x = torch.rand(2, 2, *size)
    assert WideResidualSegmenter(rank, 2, 3, size, depth=16, width=1)(x).shape == (2, 3, *size)
    pool = rank == 2
    assert ResidualSegmenter(rank, 2, 3, size, width=4, pool=pool)(x).shape == (2, 3, *size)


def test_the_papers_residual_network_is_resnet_18_with_a_thin_decoder():
    with torch.device("meta"):
        network = ResidualSegmenter(2, 1, 1, (224, 224), width=64, pool=True)
    encoder = 11_689_512 - (512 * 1000 + 1000) - 2 * 49 * 64  # without classes, of one channel
    up = sum(
        9 * before * after + 9 * after**2 + before * after + 6 * after
        for before, after in ((128, 64), (64, 32), (32, 16))
    )
    assert count(network) == encoder + 512 * 256 + 256 * 128 + up + 49 * 16
    assert network(torch.zeros(1, 1, 224, 224, device="meta")).shape == (1, 1, 224, 224)


def test_sizes_that_do_not_halve_often_enough_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        WideResidualSegmenter(2, 1, 1, (24, 32), depth=16, width=1)
    with pytest.raises(ValueError, match="multiples of 32"):
        WideResidualSegmenter(2, 1, 1, (48, 32), depth=19, width=1)
    with pytest.raises(ValueError, match=r"multiples of 32.*set pool to false"):
        ResidualSegmenter(2, 1, 1, (48, 48), width=4, pool=True)
    with pytest.raises(ValueError, match="multiples of 16"):
        ResidualSegmenter(3, 1, 1, (8, 16, 16), width=4, pool=False)
    with pytest.raises(ValueError, match="multiple of 4"):
        ResidualSegmenter(2, 1, 1, (32, 32), width=6, pool=False)
