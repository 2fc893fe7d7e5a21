"""The compiled convolution against sums in float64."""

import pytest
import torch
from torch import nn

from secondread.networks.convolution3.kernel import CODE
from secondread.networks.convolution3.winograd import Convolution3
from secondread.networks.native import build

SINGLE = torch.float32
TOLERANCE = 3e-5
"""Of the largest value."""
SHAPES = [(2, 3, 5, 7, 9), (1, 20, 33, 32, 36), (1, 5, 4, 3, 140), (3, 8, 8, 1, 1)]


@pytest.fixture(scope="module")
def kernel():
    found = CODE.native(SINGLE)
    if found is None:
        pytest.skip(CODE.why_not(SINGLE))
    return found


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_passes_agree_with_float64(kernel, shape, threads):
    images, ins, outs, *size = shape
    x, weight = torch.randn(images, ins, *size), torch.randn(outs, ins, 3, 3)
    bias, gradient = torch.randn(outs), torch.randn(images, outs, *size)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = (
            kernel.forward(x, weight, bias),
            kernel.to_input(gradient, weight),
            kernel.to_weight(x, gradient),
        )
    finally:
        torch.set_num_threads(before)
    x, weight = x.double().requires_grad_(), weight.double().requires_grad_()
    y = nn.functional.conv2d(x, weight, bias.double(), padding=1)
    exact = (y.detach(), *torch.autograd.grad(y, (x, weight), gradient.double()))
    assert max(map(error, found, exact)) < TOLERANCE


def test_an_image_comes_out_the_same_beside_others(kernel):
    x, weight = torch.randn(3, 6, 9, 21), torch.randn(7, 6, 3, 3)
    together = kernel.forward(x, weight, None)
    assert torch.equal(together[1:2], kernel.forward(x[1:2].contiguous(), weight, None))


def test_tensors_of_other_shapes_are_refused(kernel):
    x, weight = torch.randn(1, 6, 8, 8), torch.randn(7, 6, 3, 3)
    with pytest.raises(ValueError, match="x is"):
        kernel.forward(x[:, :5].contiguous(), weight, None)
    with pytest.raises(ValueError, match="not contiguous"):
        kernel.forward(x.transpose(2, 3), weight, None)
    with pytest.raises(ValueError, match="gradient is"):
        kernel.to_weight(x, x[..., :7].contiguous())


@pytest.fixture
def layer(monkeypatch, kernel):
    """A layer, and the gradients that it gives, with the compiled kernel and without; and calls of that."""
    monkeypatch.setenv(build.SWITCH, "1")
    made = Convolution3(32, 32)
    calls = []
    passes = type(kernel).forward
    monkeypatch.setattr(type(kernel), "forward", lambda *given: calls.append(given) or passes(*given))
    return made, calls


def test_a_layer_trains_by_it_and_scores_without(layer):
    made, calls = layer
    x = torch.randn(2, 32, 32, 36, requires_grad=True)
    y = made(x)
    assert len(calls) == 1
    plain = nn.functional.conv2d(x, made.weight, made.bias, padding=1)
    wanted, ways = (x, made.weight, made.bias), torch.randn_like(y)
    pairs = zip(torch.autograd.grad(y, wanted, ways), torch.autograd.grad(plain, wanted, ways), strict=True)
    assert error(y, plain.double()) < TOLERANCE
    assert all(error(found, exact.double()) < TOLERANCE for found, exact in pairs)
    with torch.no_grad():
        assert torch.equal(made(x), plain)
    with torch.autocast("cpu"):
        assert made(x).dtype == torch.bfloat16
    assert len(calls) == 1


def test_gradients_of_its_gradients_are_those_of_torch(layer):
    made, _ = layer
    x = torch.randn(2, 32, 32, 36, requires_grad=True)
    found = []
    for y in (made(x), nn.functional.conv2d(x, made.weight, made.bias, padding=1)):
        (slope,) = torch.autograd.grad(y.square().mean(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), made.weight)[0])
    assert error(found[0], found[1].double()) < TOLERANCE


def test_its_parameters_are_those_of_torch():
    torch.manual_seed(0)
    made = Convolution3(3, 5)
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 5, 3, padding=1)
    assert made.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in made.state_dict().items())
