"""Compiled normalisation of features against float64."""

import copy

import pytest
import torch

from secondread.estimators.compiled_normalisation.kernel import CODE
from secondread.estimators.feature_normalisation import FeatureNormalisation
from secondread.networks.native import build

COMPILED = CODE
TOLERANCE = 2e-6
"""Of the largest value."""
CASES = [  # channels, directions, batch, rows, columns
    (5, 3, 3, 6, 9),
    (40, 33, 2, 5, 4),
    (130, 64, 1, 1, 1),
]


def normalisation(channels, directions, size, standardise="position", compress=True):
    made = FeatureNormalisation(
        channels, size, compress=compress, standardise=standardise, projection=directions
    )
    torch.nn.init.normal_(made.mean)
    torch.nn.init.uniform_(made.scale, 0.5, 1.5)
    torch.nn.init.normal_(made.matrix)
    return made


def features(*shape):
    """From far below to far above one, of either sign, and zeros."""
    x = torch.randn(shape) * 10 ** torch.empty(shape).uniform_(-6, 4)
    return torch.where(torch.rand(shape) < 0.2, 0.0, x)


def exactly(h, made):
    h = h.double()
    h = h.abs().log1p().copysign(h) if made.compress else h
    rows = (h - made.mean.double()) / made.scale.double()
    return torch.einsum("kc,nchw->nkhw", made.matrix.double(), rows)


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("standardise", ["position", "centre", "channel"])
@pytest.mark.parametrize("case", CASES)
def test_it_agrees_with_float64_whatever_the_threads_and_the_batch(case, standardise, calls, threads):
    channels, directions, images, *size = case
    made, h = normalisation(channels, directions, size, standardise), features(images, channels, *size)
    found = made(h)
    assert error(found, exactly(h, made)) < TOLERANCE
    threads(3)
    assert torch.equal(found, made(h))
    assert torch.equal(found[-1:], made(h[-1:]))
    made.compress = False
    assert error(made(h), exactly(h, made)) < TOLERANCE
    assert len(calls) == 4


@torch.no_grad()
def test_what_is_not_finite_is_seen_where_it_is_without_it(calls, monkeypatch):
    made, h = normalisation(5, 3, (2, 4)), features(1, 5, 2, 4)
    h[0, 1, 0, 2], h[0, 2, 1, 3], h[0, 3, 1, 0] = torch.nan, torch.inf, -torch.inf
    found = made(h)
    monkeypatch.setenv(build.SWITCH, "0")
    torch.testing.assert_close(found, made(h), equal_nan=True, rtol=1e-4, atol=1e-4)
    assert len(calls) == 1


@torch.no_grad()
def test_a_buffer_that_changes_counts_at_once(calls):
    made, h = normalisation(5, 3, (2, 4)), features(1, 5, 2, 4)
    before = made(h)
    copied = copy.deepcopy(made)
    for values in (made.mean, made.scale, made.matrix):
        values.add_(0.5)
        assert error(made(h), exactly(h, made)) < TOLERANCE
    assert torch.equal(copied(h), before)
    assert len(calls) == 5


def test_torch_runs_where_compiled_code_does_not_suit(calls):
    made, h = normalisation(5, 3, (2, 4)), features(1, 5, 2, 4)
    made(h)
    with torch.no_grad():
        FeatureNormalisation(5, (2, 4), standardise="position")(h)  # without a projection
        normalisation(5, 3, (2, 4, 2))(features(1, 5, 2, 4, 2))
        with torch.autocast("cpu", torch.bfloat16):
            made(h)
    assert not calls
