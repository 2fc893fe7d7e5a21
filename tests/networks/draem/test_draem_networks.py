import pytest
import torch
from torch import nn

from secondread.networks.draem.reconstruction import ReconstructionNetwork
from secondread.networks.draem.segmentation import SegmentationNetwork


@pytest.mark.parametrize("size", [(16, 24), (8, 8, 16)])
def test_both_keep_the_size_and_give_an_image_and_two_logits(size):
    x = torch.rand(2, 3, *size)
    assert ReconstructionNetwork(len(size), 3, 2, 2).eval()(x).shape == x.shape
    assert SegmentationNetwork(len(size), 3, 2, 3).eval()(x).shape == (2, 2, *size)


def test_widths_are_the_authors():
    with torch.device("meta"):
        rebuilds, compares = ReconstructionNetwork(2, 3, 128, 4), SegmentationNetwork(2, 6, 64, 5)

    def steps(network):
        return [(m.in_channels, m.out_channels) for m in network if isinstance(m, nn.Conv2d)]

    assert rebuilds.encoder.widths == [128, 256, 512, 1024, 1024]
    assert compares.encoder.widths == [64, 128, 256, 512, 512, 512]
    pairs = [steps(block) for block in rebuilds.decoder[:8]]
    assert pairs[1::2] == [
        [(1024, 1024), (1024, 512)],
        [(512, 512), (512, 256)],
        [(256, 256), (256, 128)],
        [(128, 128), (128, 128)],
    ]
    assert [steps(block)[0] for block in compares.join] == [
        (1024, 512), (768, 256), (384, 128), (192, 64), (128, 64),
    ]  # fmt: skip


def test_what_rebuilds_sees_the_image_through_its_deepest_level_alone():
    network = ReconstructionNetwork(2, 1, 2, 2).eval()
    levels = network.encoder(torch.rand(1, 1, 8, 8))
    assert [level.shape[2] for level in levels] == [8, 4, 2]
    torch.testing.assert_close(network.decoder(levels[-1]).shape, torch.Size((1, 1, 8, 8)))
    last = network.encoder.levels[-1]
    last.register_forward_hook(lambda *_: torch.zeros(2, 8, 2, 2))
    first, second = network(torch.rand(2, 1, 8, 8))
    assert torch.equal(first, second)


def test_weights_begin_about_nought_and_gains_about_one():
    torch.manual_seed(0)
    network = SegmentationNetwork(2, 2, 8, 2)
    kernels = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.Conv2d)])
    gains = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(kernels.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(gains.mean()) == pytest.approx(1, abs=0.01)
    assert float(gains.std()) == pytest.approx(0.02, rel=0.3)
