"""Every actnorm starts with zero mean and unit variance behind it, whatever the images."""

import pytest
import torch
from made_glow import SCHEMES, make_glow
from plain_glow import plain_glow

from pairs import each_pair


def blurred(glow, n=64, seed=0):
    """Images with structure, off centre: their channels differ after the squeeze."""
    x = torch.randn(n, glow.channels, *glow.size, generator=torch.Generator().manual_seed(seed)).double()
    for axis in range(2, x.dim()):
        x = x.cumsum(dim=axis)
    return 0.1 * x + 3.0


@each_pair(rank=[2, 3], scheme=SCHEMES, mixing=["plain", "lu"])
def test_zero_mean_and_unit_variance_behind_every_actnorm(rank, scheme, mixing):
    glow = make_glow(rank, scheme=scheme, mixing=mixing, depth=3)
    x = blurred(glow)
    assert not bool(glow.initialised)
    glow.initialise(x)
    assert bool(glow.initialised)
    plain = plain_glow(glow)
    plain.watch = []
    plain.transform(x)
    assert len(plain.watch) == 2 * 3 * 3  # levels, steps, actnorms of a step
    for seen in plain.watch:
        values = seen.movedim(1, 0).flatten(1).detach()
        torch.testing.assert_close(values.mean(dim=1), torch.zeros_like(values[:, 0]), atol=1e-8, rtol=0)
        deviation = values.std(dim=1, correction=0)
        alive = deviation > 1e-9  # a channel that never varies cannot be given a variance
        torch.testing.assert_close(deviation[alive], torch.ones_like(deviation[alive]), atol=1e-6, rtol=0)
        assert float(alive.double().mean()) > 0.5


def test_the_fit_does_not_depend_on_what_was_there_before():
    first, second = make_glow(seed=0), make_glow(seed=0)
    first.initialise(5 * blurred(first, seed=1) - 7)
    for glow in (first, second):
        glow.initialise(blurred(glow))
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name])


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("value", [0.0, -0.5, 1e4])
def test_constant_images_give_finite_numbers(rank, value):
    glow = make_glow(rank, channels=2).float()
    x = torch.full((8, 2, *glow.size), value)
    glow.initialise(x)
    assert all(bool(parameter.isfinite().all()) for parameter in glow.parameters())
    log_density = glow.log_density(x)
    log_density.sum().backward()
    assert bool(log_density.isfinite().all())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in glow.parameters())


def test_one_constant_channel_does_not_disturb_the_others():
    glow = make_glow(channels=2)
    x = blurred(glow)
    x[:, 1] = 0.25
    glow.initialise(x)
    plain = plain_glow(glow)
    plain.watch = []
    plain.transform(x)
    values = plain.watch[0].movedim(1, 0).flatten(1).detach()
    expected = torch.tensor([1.0] * 4 + [0.0] * 4, dtype=torch.float64)
    torch.testing.assert_close(values.std(dim=1, correction=0), expected)
    assert bool(glow.log_density(x).isfinite().all())


def test_autocast_does_not_touch_it_and_the_flag_is_saved():
    exact, rounded = make_glow().float(), make_glow().float()
    x = blurred(exact).float()
    exact.initialise(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded.initialise(x)
    for name, value in exact.state_dict().items():
        assert torch.equal(value, rounded.state_dict()[name])
    assert bool(exact.state_dict()["initialised"])
