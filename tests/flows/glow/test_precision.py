"""In bfloat16 the networks round; state, log-determinants and priors do not."""

import math

import pytest
import torch
from made_glow import SCHEMES, images, make_glow
from plain_glow import plain_glow

BITS_PER_DIMENSION = 0.005
"""By how much log p of a flow fitted to its images may move where its networks run in bfloat16."""


def fitted(rank, scheme):
    glow = make_glow(rank, scheme=scheme, width=32, depth=4, amplitude=0.02).float()
    x = images(glow, n=16).float()
    glow.initialise(x)
    return glow, x


def _far(found, expected):
    return float((found - expected).detach().square().mean())


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("learning", [True, False])
def test_log_density_in_bfloat16_is_close_to_that_in_float32(rank, scheme, learning):
    glow, x = fitted(rank, scheme)
    with torch.set_grad_enabled(learning):
        exact = glow.log_density(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = glow.log_density(x)
            throughout = plain_glow(glow).log_density(x)
    apart = (rounded - exact).detach().abs().max() / (glow.dimensions * math.log(2))
    assert 0 < float(apart) < BITS_PER_DIMENSION
    assert _far(rounded, exact) < _far(throughout, exact)


@pytest.mark.parametrize("rank", [2, 3])
def test_state_and_log_determinants_stay_in_full_precision(rank):
    glow, x = fitted(rank, "glow")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents, log_determinant = glow.transform(x)
        assert {z.dtype for z in latents} == {torch.float32}
        assert log_determinant.dtype in (torch.float32, torch.float64)
        assert glow.log_density(x).dtype == torch.float64
        assert glow.log_density_map(x).dtype == torch.float32
        back = glow.inverse([z.detach() for z in latents])
        drawn = glow.sample(2, torch.Generator().manual_seed(0))
    assert back.dtype == drawn.dtype == torch.float32
    assert float((back - x).abs().max()) < 0.02  # the input of a network, rounded, may differ


def test_a_precision_is_not_carried_over_to_the_next_score():
    glow, x = fitted(2, "glow")
    with torch.no_grad():
        exact = glow.log_density(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = glow.log_density(x)
        assert not torch.equal(rounded, exact)
        assert torch.equal(glow.log_density(x), exact)
