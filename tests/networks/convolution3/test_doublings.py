"""Compiled layers of decoders against sums in float64, and where they run one after another."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondread.networks.as_graph import writing_a_graph
from secondread.networks.convolution3.doublings import run_layers
from secondread.networks.convolution3.doublings.kernel import CODE
from secondread.networks.decoder import Decoder
from secondread.networks.native import build

COMPILED = CODE
pytestmark = pytest.mark.usefixtures("compiled")
TOLERANCE = 1e-5
"""Of the largest value."""
CASES = [  # channels, widths, channels out, batch, rows, columns
    (16, (16,), 1, 3, 5, 7),
    (17, (33, 20), 2, 1, 8, 9),
    (40, (64, 16), 3, 2, 6, 8),
    (130, (18,), 5, 2, 11, 4),
    (3, (), 1, 1, 1, 1),
    (20, (), 9, 5, 3, 2),
    (16, (16,), 1, 3, 300, 200),  # more than pass at once
]


def layers(channels, widths, channels_out):
    """Of which one is not rectified."""
    made, before = [], channels
    for width in widths:
        made += [nn.ConvTranspose2d(before, width, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
        made += [nn.ReLU()] if len(made) < 4 else []
        before = width
    return [*made, nn.ConvTranspose2d(before, channels_out, 2, 2, bias=channels_out > 1), nn.Tanh()]


def exactly(x, steps):
    return copy.deepcopy(nn.Sequential(*steps)).double()(x.double())


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_layers_agree_with_float64_whatever_the_threads_and_the_batch(case, calls, threads):
    *sizes, images, rows, columns = case
    steps, x = layers(*sizes), torch.randn(images, sizes[0], rows, columns)
    found = run_layers(x, steps)
    assert error(found, exactly(x, steps)) < TOLERANCE
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found[-1:], run_layers(x[-1:], steps))
    for count in (2, 3):
        threads(count)
        assert torch.equal(found, run_layers(x, steps))
        assert torch.equal(found[:1], run_layers(x[:1], steps))
    assert len(calls) == 6


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 48), (50, 61)])
def test_a_decoder_is_one_call(calls, size, monkeypatch):
    decoder, z = Decoder(2, 20, (32, 16), 1, size), torch.randn(2, 20, 8, 6)
    found = decoder(z)
    assert len(calls) == 1
    monkeypatch.setenv(build.SWITCH, "0")
    torch.testing.assert_close(found, decoder(z), rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("channels", "size"), [(1, (64, 48)), (2, (19, 37)), (3, (24, 7)), (1, (12, 13))])
def test_what_comes_out_is_interpolated(calls, threads, channels, size):
    steps, x = layers(16, (16,), channels)[:-1], torch.randn(3, 16, 6, 8)
    found = run_layers(x, steps, size)
    exact = functional.interpolate(exactly(x, steps), size, mode="bilinear", align_corners=False).tanh()
    assert found.shape == exact.shape
    assert error(found, exact) < TOLERANCE
    threads(3)
    assert torch.equal(found, run_layers(x, steps, size))
    assert torch.equal(found[1:2], run_layers(x[1:2], steps, size))
    assert len(calls) == 3


@torch.no_grad()
def test_what_is_not_a_number_comes_out_as_such(calls):
    steps, x = layers(16, (), 1), torch.randn(1, 16, 5, 6)
    x[0, 3, 2, 1] = torch.nan
    found = run_layers(x, steps)
    assert torch.equal(found.isnan(), exactly(x, steps).isnan())
    x[0, 3, 2, 1], steps = torch.inf, layers(16, (), 3)
    assert torch.equal(run_layers(x, steps).abs() > 1 - 1e-6, exactly(x, steps).abs() > 1 - 1e-6)
    assert len(calls) == 2


@torch.no_grad()
def test_a_parameter_that_changes_counts_at_once(calls):
    steps, x = layers(16, (16,), 1), torch.randn(1, 16, 6, 8)
    before = run_layers(x, steps)
    copied = copy.deepcopy(nn.Sequential(*steps))
    for values in (steps[0].weight, steps[2].bias, steps[4].weight):
        values.add_(0.1)
        assert error(run_layers(x, steps), exactly(x, steps)) < TOLERANCE
    assert torch.equal(run_layers(x, list(copied)), before)
    assert len(calls) == 5


class Other(nn.Conv2d):
    pass


def test_layers_run_one_after_another_where_compiled_code_does_not_suit(calls):
    x, plain = torch.randn(1, 16, 8, 8), layers(16, (16,), 1)
    assert run_layers(x, plain) is None  # with gradients
    with torch.no_grad():
        for other in (
            nn.Conv2d(16, 16, 3),
            nn.Conv2d(16, 16, 5, padding=2),
            nn.Conv2d(16, 16, 3, padding=1, groups=2),
            nn.Conv2d(16, 8, 3, padding=1),  # to fewer channels than there are
            nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
            Other(16, 16, 3, padding=1),
            nn.ConvTranspose2d(16, 16, 4, 2, 1),
            nn.ConvTranspose2d(16, 16, 2, 2, groups=2),
            nn.Sigmoid(),
        ):
            assert run_layers(x, [plain[0], other]) is None
        assert run_layers(x, [nn.Conv2d(16, 16, 3, padding=1), nn.Tanh()]) is None
        assert run_layers(x.double(), list(nn.Sequential(*layers(16, (16,), 1)).double())) is None
        assert run_layers(x[0], plain) is None
        assert run_layers(x[:, :8], plain) is None
        assert run_layers(x[:, :, :2, :2], plain) is None  # of so few tiles
        hooked = layers(16, (16,), 1)
        hooked[2].register_forward_hook(lambda *_: None)
        assert run_layers(x, hooked) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert run_layers(x, plain) is None
        with writing_a_graph():
            assert run_layers(x, plain) is None
        assert Decoder(3, 16, (16,), 1, (8, 8, 8))(torch.randn(1, 16, 2, 2, 2)).shape[1:] == (1, 8, 8, 8)
        Decoder(2, 16, (16,), 1, (32, 32), tanh_everywhere=True)(x)
    assert len(calls) == 1  # the last, whose layers all are transposed ones
