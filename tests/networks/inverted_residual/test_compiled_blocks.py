"""Compiled blocks against sums in float64, and where layers run instead."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondread.networks.as_graph import writing_a_graph
from secondread.networks.efficientnet_lite import EfficientNetLite
from secondread.networks.inverted_residual import InvertedResidual, Layer, Scale, run_blocks
from secondread.networks.inverted_residual.kernel import CODE

COMPILED = CODE
pytestmark = pytest.mark.usefixtures("compiled")
TOLERANCE = 3e-6
"""Of the largest value."""
CASES = [  # channels, width (0 = no expansion), channels out, kernel, stride, batch, rows, columns
    (5, 0, 7, 3, 1, 1, 6, 9),
    (9, 13, 9, 5, 1, 2, 7, 7),
    (8, 48, 24, 3, 2, 1, 8, 11),
    (3, 20, 40, 5, 2, 11, 5, 4),
    (4, 240, 4, 5, 1, 1, 1, 1),
    (17, 130, 17, 3, 1, 1, 33, 40),
    (1, 8, 1, 3, 2, 4, 512, 400),  # more than pass at once
]


def layer(channels_in, channels_out, kernel=1, stride=1, groups=1, bias=False):
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=bias)
    norm = nn.BatchNorm2d(channels_out, eps=1e-3)
    for values in (norm.weight, norm.running_var):
        nn.init.uniform_(values, 0.5, 1.5)
    for values in (norm.bias, norm.running_mean):
        nn.init.normal_(values)
    return Layer(convolution, norm.eval())


def block(channels, width, channels_out, kernel, stride):
    inner = width or channels
    return InvertedResidual(
        layer(channels, width) if width else None,
        layer(inner, inner, kernel, stride, inner),
        layer(inner, channels_out, bias=True),
        shortcut=stride == 1 and channels == channels_out,
    )


def exactly(x, blocks):
    """In float64, by the plainest operations."""
    x = x.double()
    for one in blocks:
        h = x
        for step in one.layers:
            convolution, norm = step
            (size, _), (stride, _) = convolution.kernel_size, convolution.stride
            short = [max(0, (-(-side // stride) - 1) * stride + size - side) for side in h.shape[:1:-1]]
            h = functional.pad(h, [zeros for s in short for zeros in (s // 2, s - s // 2)])
            bias = None if convolution.bias is None else convolution.bias.double()
            weight = convolution.weight.double()
            h = functional.conv2d(h, weight, bias, stride, groups=convolution.groups)
            mean, variance = norm.running_mean.double(), norm.running_var.double()
            h = functional.batch_norm(
                h, mean, variance, norm.weight.double(), norm.bias.double(), eps=norm.eps
            )
            h = h if step is one.layers[-1] else h.clamp(0, 6)
        x = h + x if one.shortcut else h
    return x


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_a_block_agrees_with_float64_whatever_the_threads_and_the_batch(case, calls, threads):
    *sizes, images, rows, columns = case
    made, x = block(*sizes), torch.randn(images, sizes[0], rows, columns)
    found = run_blocks(x, [made])
    assert error(found, exactly(x, [made])) < TOLERANCE
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found[-1:], run_blocks(x[-1:], [made]))
    for count in (2, 3):
        threads(count)
        assert torch.equal(found, run_blocks(x, [made]))
        assert torch.equal(found[:1], run_blocks(x[:1], [made]))
    assert len(calls) == 6


@torch.no_grad()
def test_blocks_in_a_row_begin_with_a_dense_convolution_of_an_image(calls, threads):
    first = block(10, 0, 6, 3, 1)._replace(expand=layer(3, 10, 3, 2))
    blocks = [first, block(6, 36, 6, 5, 1), block(6, 36, 12, 3, 2)]
    x = torch.randn(9, 3, 35, 26)
    found = run_blocks(x, blocks)
    assert found.shape == (9, 12, 9, 7)
    assert error(found, exactly(x, blocks)) < TOLERANCE
    threads(2)
    assert torch.equal(found, run_blocks(x.contiguous(memory_format=torch.channels_last), blocks))
    assert len(calls) == 2


@torch.no_grad()
@pytest.mark.parametrize("colours", [1, 3])
def test_images_are_scaled_on_the_way(calls, colours):
    scale = Scale(torch.rand(1, 3, 1, 1), torch.rand(1, 3, 1, 1) + 0.5)
    dense = block(10, 0, 6, 3, 1)._replace(expand=layer(3, 10, 3, 2))
    images = torch.rand(2, colours, 11, 70)
    found = run_blocks(images, [dense], scale)
    assert calls[0][-1] is scale
    assert error(found, exactly(scale(images), [dense])) < TOLERANCE
    plain = block(3, 12, 6, 3, 1)
    assert error(run_blocks(images, [plain], scale), exactly(scale(images), [plain])) < TOLERANCE


@torch.no_grad()
def test_of_grey_images_that_are_scaled_alike_one_channel_is_seen(calls):
    scale = Scale(torch.full((1, 3, 1, 1), 0.4), torch.full((1, 3, 1, 1), 0.7))
    dense = block(10, 0, 6, 3, 1)._replace(expand=layer(3, 10, 3, 2))
    images = torch.rand(2, 1, 11, 70)
    found = run_blocks(images, [dense], scale)
    assert calls[0][2][0].into == 1
    assert error(found, exactly(scale(images), [dense])) < TOLERANCE
    in_colour = run_blocks(images.repeat(1, 3, 1, 1), [dense], scale)
    assert calls[1][2][0].into == 3
    assert error(in_colour, exactly(scale(images), [dense])) < TOLERANCE
    scale.deviation[0, 1] = 0.8
    assert error(run_blocks(images, [dense], scale), exactly(scale(images), [dense])) < TOLERANCE
    assert calls[2][2][0].into == 3


@torch.no_grad()
def test_what_is_not_a_number_spreads_as_it_does_layer_by_layer(calls):
    made = block(8, 48, 8, 3, 1)
    x = torch.randn(1, 8, 9, 9)
    x[0, 3, 4, 5] = torch.nan
    found, plain = run_blocks(x, [made]), exactly(x, [made])
    assert torch.equal(found.isnan(), plain.isnan())
    assert 0 < found.isnan().sum() < found.numel()
    assert len(calls) == 1


@torch.no_grad()
@pytest.mark.parametrize("width", [13, 24])
def test_what_is_infinite_is_cut_off_whatever_the_length_of_vectors(calls, width):
    made, x = block(8, width, 8, 3, 2), torch.randn(1, 8, 9, 9)
    x[0, 3, 4, 5] = torch.inf
    assert error(run_blocks(x, [made]), exactly(x, [made])) < TOLERANCE
    assert len(calls) == 1


@torch.no_grad()
def test_a_parameter_that_changes_counts_at_once(calls):
    made, x = block(4, 24, 4, 3, 1), torch.randn(1, 4, 8, 8)
    before = run_blocks(x, [made])
    copied = copy.deepcopy(nn.ModuleList(part for step in made.layers for part in step))
    for values in (made.project.convolution.bias, made.expand.norm.running_mean, made.by_channel.norm.weight):
        values.add_(0.5)
        found = run_blocks(x, [made])
        assert error(found, exactly(x, [made])) < TOLERANCE
        assert not torch.equal(found, before)
        before = found
    own = [Layer(copied[place], copied[place + 1]) for place in (0, 2, 4)]
    assert not torch.equal(run_blocks(x, [InvertedResidual(*own, shortcut=True)]), before)
    assert len(calls) == 5


def test_layers_run_where_compiled_code_does_not_suit(calls):
    made, x = block(4, 24, 4, 3, 1), torch.randn(1, 4, 8, 8)
    exact = exactly(x, [made]).detach()
    assert error(run_blocks(x, [made]).detach(), exact) < TOLERANCE  # with gradients
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert run_blocks(x, [made]).dtype is torch.bfloat16
        with writing_a_graph():
            assert error(run_blocks(x, [made]), exact) < TOLERANCE
        wide = block(4, 24, 4, 7, 1)
        assert error(run_blocks(x, [wide]), exactly(x, [wide])) < TOLERANCE
        made.project.norm.train()
        run_blocks(x, [made])
        assert made.project.norm.num_batches_tracked == 1
    assert not calls


@torch.no_grad()
def test_an_encoder_is_one_call_from_layer_to_layer(calls):
    network = EfficientNetLite(0.25, 0.5).eval()
    network.drop_after("stage3")
    x = torch.randn(1, 3, 20, 24)
    expected, h = {}, x
    for name, step in network.steps():
        h = expected[name] = step(h)
    calls.clear()
    h = x
    for name, step in network.runs(("stage2", "stage3")):
        h = step(h)
        torch.testing.assert_close(h, expected[name], rtol=1e-5, atol=1e-5)
    assert len(calls) == 2
