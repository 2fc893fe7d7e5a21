"""The border channel tells a coupling where the image ends, and nothing inside."""

import pytest
import torch
from made_glow import make_glow


def at(glow, place):
    """A spot of 2 by 2 (by 2) pixels, one cell of the squeeze, on an empty image."""
    x = torch.zeros(1, 1, *glow.size, dtype=torch.float64)
    spot = torch.arange(1.0, 2**glow.rank + 1).double().view([2] * glow.rank)
    x[(0, 0, *(slice(start, start + 2) for start in place))] = spot
    return x


@pytest.mark.parametrize("rank", [2, 3])
def test_a_pattern_moved_inside_keeps_its_density_and_loses_it_at_the_edge(rank):
    glow = make_glow(rank, size=(24,) * rank, levels=1, depth=1)
    with torch.no_grad():
        here = glow.log_density(at(glow, (10,) * rank))
        inside = glow.log_density(at(glow, (12,) + (10,) * (rank - 1)))
        edge = glow.log_density(at(glow, (0,) + (10,) * (rank - 1)))
    torch.testing.assert_close(inside, here)
    assert abs(float(edge - here)) > 1e-3


@pytest.mark.parametrize("rank", [2, 3])
def test_the_weights_of_the_border_act_at_the_edge_alone(rank):
    """Two convolutions of 3 see the edge from two cells away, so from four pixels."""
    glow = make_glow(rank, size=(16,) * rank, levels=1, depth=1)
    x = torch.randn(2, 1, *glow.size, generator=torch.Generator().manual_seed(0)).double()
    before = glow.log_density_map(x)
    with torch.no_grad():
        net = glow.levels[0].steps[0].net
        net.first_weight[:, -1] += 1.0
        net.last_border += 1.0
    moved = glow.log_density_map(x) - before
    inner = (slice(None), slice(None), *[slice(4, -4)] * rank)
    assert float(moved[inner].abs().max()) < 1e-10
    moved[inner] = torch.inf
    assert float(moved.abs().min()) > 1e-6


def test_a_zero_image_is_even_where_nothing_marks_its_edge():
    """Without border and without biases of the networks, zeros beyond the edge are like zeros inside."""
    glow = make_glow(size=(16, 16), levels=1, depth=1, border=False)
    with torch.no_grad():
        step = glow.levels[0].steps[0]
        for bias in (step.mixing.bias, step.net.first_bias, step.net.middle_bias):
            bias.zero_()
        found = glow.log_density_map(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
    torch.testing.assert_close(found, found.mean().expand_as(found))
