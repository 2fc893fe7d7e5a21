"""The compiled convolution of frozen networks against sums in float64."""

import copy

import pytest
import torch
from torch import nn

from secondread.networks.convolution3 import frozen
from secondread.networks.convolution3.frozen_kernel import CODE
from secondread.networks.convolution3.fused_convolution import convolve
from secondread.networks.native import build

SINGLE = torch.float32
TOLERANCE = 3e-5
"""Of the largest value."""
SHAPES = [
    (2, 16, 16, 1, 1),
    (1, 17, 35, 13, 6),
    (3, 19, 64, 5, 18),
    (1, 300, 33, 16, 15),
    (2, 40, 16, 30, 31),
]


@pytest.fixture(scope="module")
def kernel():
    found = CODE.native(SINGLE)
    if found is None:
        pytest.skip(CODE.why_not(SINGLE))
    return found


def last(x):
    return x.contiguous(memory_format=torch.channels_last)


def maps(*shape):
    return last(torch.randn(*shape))


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_agrees_with_float64(kernel, shape, added):
    images, ins, outs, *size = shape
    x, weight, bias = maps(images, ins, *size), torch.randn(outs, ins, 3, 3), torch.randn(outs)
    add = maps(images, outs, *size) if added else None
    spread = kernel.spread(weight, bias)
    exact = nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    exact = exact if add is None else exact + add
    assert error(kernel.convolve(x, spread, add, relu=False), exact) < TOLERANCE
    found = kernel.convolve(x, spread, add, relu=True)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.min() >= 0
    assert error(found, exact.relu()) < TOLERANCE


def test_bits_are_the_same_alone_in_a_batch_and_for_any_number_of_threads(kernel):
    x, add = maps(5, 24, 18, 21), maps(5, 40, 18, 21)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            spread = kernel.spread(torch.arange(40 * 24 * 9.0).sin().view(40, 24, 3, 3), torch.ones(40))
            found.append(kernel.convolve(x, spread, add, relu=True))
            found.append(
                torch.cat(
                    [kernel.convolve(x[i : i + 1], spread, add[i : i + 1], relu=True) for i in range(5)]
                )
            )
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)


def test_what_is_not_a_number_comes_out_as_such(kernel):
    x = maps(2, 16, 9, 9)
    x[0, 3, 4, 4] = float("nan")
    found = kernel.convolve(x, kernel.spread(torch.randn(16, 16, 3, 3), torch.zeros(16)), None, relu=True)
    assert found[0, :, 3:6, 3:6].isnan().all()
    assert found[1].isfinite().all()


def test_tensors_of_other_shapes_and_orders_are_refused(kernel):
    spread = kernel.spread(torch.randn(16, 20, 3, 3), torch.zeros(16))
    x = maps(1, 20, 8, 8)
    for wrong in (x.contiguous(), x[:, :19], x.double(), x[:0], x[0]):
        with pytest.raises(ValueError, match="x is"):
            kernel.convolve(wrong, spread, None, relu=False)
    with pytest.raises(ValueError, match="add is"):
        kernel.convolve(x, spread, maps(1, 16, 8, 9), relu=False)
    with pytest.raises(ValueError, match="from 15 to 16 channels"):
        kernel.spread(torch.randn(16, 15, 3, 3), torch.zeros(16))


@pytest.fixture
def calls(monkeypatch, kernel):
    """Of the compiled convolution, which is taken without a trial."""
    monkeypatch.setenv(build.SWITCH, "1")
    found = []
    passes = type(kernel).convolve
    monkeypatch.setattr(
        type(kernel), "convolve", lambda *given, **more: found.append(given) or passes(*given, **more)
    )
    return found


def layers(channels_in=16, channels_out=32, **settings):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(channels_out).eval()
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    settings = {"padding": 1, **settings}
    made = nn.Conv2d(channels_in, channels_out, 3, **settings)
    return made.to(memory_format=torch.channels_last), norm  # as scoring has it


@torch.no_grad()
@pytest.mark.parametrize("relu", [False, True])
def test_a_frozen_network_takes_it_with_norm_addition_and_rectifier(calls, relu):
    convolution, norm = layers()
    x, add = maps(1, 16, 16, 15), torch.randn(1, 32, 16, 15)
    exact = norm(convolution(x)) + add
    found = convolve(x, convolution, norm, add=add, relu=relu)
    assert error(found, (exact.relu() if relu else exact).double()) < TOLERANCE
    assert len(calls) == 1


@torch.no_grad()
def test_a_changed_parameter_is_seen_and_a_copy_gives_the_same(calls):
    convolution, norm = layers()
    x = maps(1, 16, 16, 16)
    before = convolve(x, convolution, norm)
    assert torch.equal(convolve(x, copy.deepcopy(convolution), norm), before)
    convolution.weight.mul_(2)
    norm.running_mean.copy_(torch.zeros(32))
    norm.num_batches_tracked.add_(1)
    assert error(convolve(x, convolution, norm), norm(convolution(x)).relu().double()) < TOLERANCE
    assert len(calls) == 3


def test_where_it_cannot_stand_for_torch_it_does_not(calls):
    x = maps(1, 16, 16, 16)
    convolve(x, *layers())  # of which a gradient is wanted
    with torch.no_grad():
        with torch.autocast("cpu"):
            assert convolve(x, *layers()).dtype == torch.bfloat16
        convolve(x.contiguous(), *layers())
        convolve(x, *layers(), relu=6.0)
        for setting in ({"stride": 2}, {"padding": 0}, {"groups": 2}, {"padding": 2, "dilation": 2}):
            convolve(x, *layers(**setting))
        convolve(maps(1, 15, 16, 16), *layers(15))
        convolve(maps(8, 16, 8, 16), *layers())  # of which one image has too few tiles
        convolve(maps(1, 16, 1, 64), *layers())
    assert not calls


def test_it_is_told(monkeypatch, kernel):
    assert "times as fast as oneDNN here" in frozen.CHOICE.told()
    monkeypatch.setenv(build.SWITCH, "0")
    assert frozen.CHOICE.told() == "by oneDNN (switched off by SECONDREAD_NATIVE=0)"
