import pytest
import torch
from torch import nn

from secondread.networks.one_class.lenet import LeNet, LeNetDecoder


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("rank", "size", "code"), [(2, (32, 32), 128), (3, (8, 8, 8), 64)])
def test_an_image_becomes_a_code_and_a_code_an_image_in_0_to_1(rank, size, code):
    widths = (8, 16, 32) if rank == 2 else (4,)
    encoder = LeNet(rank, 1, size, widths=widths, code=code)
    decoder = LeNetDecoder(rank, 1, encoder.grid, widths=widths, code=code)
    codes = encoder(torch.rand(3, 1, *size))
    rebuilt = decoder(codes)
    assert codes.shape == (3, code)
    assert rebuilt.shape == (3, 1, *size)
    assert 0 <= rebuilt.min() <= rebuilt.max() <= 1


def test_there_is_no_bias_and_batch_normalisation_has_neither_scale_nor_offset():
    encoder = LeNet(2, 1, (32, 32), widths=(4, 8), code=64)
    assert {name.rpartition(".")[2] for name, _ in encoder.named_parameters()} == {"weight"}
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [norm.affine for norm in norms] == [False, False]
    assert not encoder.eval()(torch.zeros(1, 1, 32, 32)).any()  # nothing in, nothing out


def test_sizes_and_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="sizes that are multiples of 8 along 2 axes, not 36×32"):
        LeNet(2, 1, (36, 32), widths=(4, 4, 4), code=16)
    with pytest.raises(ValueError, match="code is 24, and the decoder takes it as a map of 4×4 cells"):
        LeNetDecoder(2, 1, (4, 4), widths=(4,), code=24)
