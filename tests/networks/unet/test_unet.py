import copy

import pytest
import torch
from torch.nn import functional

from secondread.networks.unet.standardised_convolution import StandardisedConvolution2d, standardised
from secondread.networks.unet.unet import UNet, groups


def test_weights_of_each_output_channel_have_mean_0_and_deviation_1():
    weight = torch.tensor([[[[1.0, 2.0, 3.0]]], [[[0.0, 0.0, 6.0]]]])
    found = standardised(weight)
    torch.testing.assert_close(found[0].flatten(), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4, rtol=0)
    third = 2 / (2 * 3**0.5)  # deviations 2, 2, 4 from the mean: sd = sqrt(24 / 2)
    torch.testing.assert_close(
        found[1].flatten(), torch.tensor([-third, -third, 2 * third]), atol=1e-4, rtol=0
    )


def test_a_standardised_convolution_reflects_the_image_at_its_edges():
    layer = StandardisedConvolution2d(2, 3, 3, padding=1, padding_mode="reflect")
    x = torch.rand(2, 2, 5, 6)
    around = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(layer(x), functional.conv2d(around, standardised(layer.weight), layer.bias))


@pytest.mark.parametrize(("channels", "expected"), [(16, 4), (32, 8), (64, 8), (128, 16), (7, 7), (1, 1)])
def test_groups_are_the_middle_divisor(channels, expected):
    assert groups(channels) == expected


@pytest.mark.parametrize("size", [(16, 24), (8, 8, 16)])
def test_an_image_comes_back_in_its_shape(size):
    network = UNet(len(size), 2, 3, size, width=2, depth=3)
    assert network(torch.rand(2, 2, *size)).shape == (2, 3, *size)


def test_what_the_first_level_had_reaches_the_output_directly():
    """The skips carry detail: a network whose way through the lowest level is cut still sees each pixel."""
    network = UNet(2, 1, 1, (16, 16), width=2, depth=2)
    for grow in network.grow:
        torch.nn.init.zeros_(grow.weight)
    x = torch.rand(1, 1, 16, 16, requires_grad=True)
    network(x).sum().backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize("size", [(12, 16), (8, 8), (16, 16, 16)])
def test_sizes_that_do_not_halve_often_enough_are_refused(size):
    with pytest.raises(ValueError, match=r"multiples of 8 and at least 16.*lower depth"):
        UNet(2, 1, 1, size, width=2, depth=4)


def test_a_convolution_without_gradient_is_the_one_with_gradient():
    layer = StandardisedConvolution2d(32, 48, 3, padding=1, padding_mode="reflect")
    x = torch.rand(2, 32, 16, 16)
    expected, drawn = layer(x).detach(), torch.get_rng_state()
    rounding = {"atol": 1e-5 * expected.abs().max().item(), "rtol": 0}
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected, **rounding)
        torch.testing.assert_close(layer(x), expected, **rounding)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(layer)(x), expected, **rounding)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_standardised_weights_are_kept_until_a_parameter_changes():
    layer = StandardisedConvolution2d(2, 3, 3, padding=1, bias=False)
    x = torch.rand(1, 2, 8, 8)
    with torch.no_grad():
        before = layer(x)
        layer.weight[:, 0] += 1
        after = layer(x)
        assert not torch.allclose(before, after)
        torch.testing.assert_close(after, functional.conv2d(x, standardised(layer.weight), padding=1))
        layer.weight.data = torch.randn_like(layer.weight)
        torch.testing.assert_close(layer(x), functional.conv2d(x, standardised(layer.weight), padding=1))
    layer(x).sum().backward()
    assert layer.weight.grad is not None
