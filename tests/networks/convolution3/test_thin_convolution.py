"""Convolutions of a few channels as matrix products."""

import pytest
import torch
from torch import nn

from secondread.networks.convolution3 import convolution3
from secondread.networks.convolution3.thin import ThinConvolution3
from secondread.networks.convolution3.winograd import Convolution3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels_in", "channels_out"), [(2, 32), (32, 2)])
def test_a_thin_one_gives_what_torch_gives(channels_in, channels_out, bias):
    made = convolution3(2, channels_in, channels_out, bias=bias)
    assert isinstance(made, ThinConvolution3)
    x = torch.randn(3, channels_in, 5, 8, requires_grad=True)
    wanted = [x, *made.parameters()]
    plain = nn.functional.conv2d(x, made.weight, made.bias, padding=1)
    y = made(x)
    ways = torch.randn_like(y)
    torch.testing.assert_close(y, plain)
    for found, exact in zip(
        torch.autograd.grad(y, wanted, ways), torch.autograd.grad(plain, wanted, ways), strict=True
    ):
        torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert torch.equal(made(x), plain)


def test_others_are_told_by_rank_and_channels():
    assert isinstance(convolution3(2, 32, 64), Convolution3)
    assert isinstance(convolution3(3, 2, 32), nn.Conv3d)
