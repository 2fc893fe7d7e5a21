"""Convolutions by the rank of the image. `make processors-quick` runs these as a CPU with AVX2 would."""

import pytest
import torch
from torch import nn

from secondread.networks.by_rank import channel_mean, channels_last, convolution, transposed_convolution


@pytest.mark.parametrize("channels", range(1, 10))
def test_the_gradients_of_a_strided_pointwise_convolution_are_those_of_double_precision(channels):
    torch.manual_seed(0)
    layer = convolution(2, channels, 4, 1, 2).to(memory_format=torch.channels_last)
    for side in (5, 8, 16):
        x = torch.randn(8, channels, side, side, requires_grad=True)
        layer.zero_grad()
        layer(channels_last(x)).square().sum().backward()
        exact = nn.Conv2d(channels, 4, 1, 2).double()
        exact.load_state_dict(layer.state_dict())
        there = x.detach().double().requires_grad_()
        exact(there).square().sum().backward()
        torch.testing.assert_close(x.grad.double(), there.grad, rtol=1e-4, atol=1e-4)
        for ours, theirs in zip(layer.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_convolution_is_that_of_torch_with_its_parameters(rank):
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
    for kernel, padding, channels in ((1, 0, 3), (1, 0, 8), (3, 1, 3)):
        ours = convolution(rank, channels, 4, kernel, (2,) * rank, padding)
        plain = kind(channels, 4, kernel, 2, padding)
        plain.load_state_dict(ours.state_dict())
        x = torch.randn(2, channels, *[6] * rank)
        torch.testing.assert_close(ours(x), plain(x))


@pytest.mark.parametrize("channels", range(1, 10))
@pytest.mark.parametrize("bias", [False, True])
def test_a_strided_transposed_pointwise_convolution_is_that_of_double_precision(channels, bias):
    torch.manual_seed(0)
    layer = transposed_convolution(2, 3, channels, 1, 2, output_padding=1, bias=bias)
    layer = layer.to(memory_format=torch.channels_last)
    exact = nn.ConvTranspose2d(3, channels, 1, 2, output_padding=1, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    for side in (4, 5, 16):
        x = torch.randn(8, 3, side, side, requires_grad=True)
        there = x.detach().double().requires_grad_()
        layer.zero_grad()
        exact.zero_grad()
        ours, theirs = layer(channels_last(x)), exact(there)
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)
        ours.square().sum().backward()
        theirs.square().sum().backward()
        torch.testing.assert_close(x.grad.double(), there.grad, rtol=1e-4, atol=1e-4)
        for one, other in zip(layer.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-3)


def test_the_mean_of_one_channel_is_that_channel():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(channel_mean(x), x.mean(dim=1, keepdim=True))
    assert channel_mean(x[:, :1]).shape == (2, 1, 4, 5)
    assert torch.equal(channel_mean(x[:, :1]), x[:, :1])
