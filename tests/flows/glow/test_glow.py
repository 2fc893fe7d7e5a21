"""Law 7 for Glow: it inverts, its log-determinant is the Jacobian's, its density integrates to one."""

import copy
import math
import pickle

import pytest
import torch
from made_glow import SCHEMES, images, make_glow
from plain_glow import plain_glow

from pairs import each_pair
from secondread.flows.glow.glow import Glow

FORMS = {"mixing": ["plain", "lu"], "border": [True, False]}


def joined(latents):
    return torch.cat([z.flatten(1) for z in latents], dim=1)


@each_pair(rank=[2, 3], scheme=SCHEMES, **FORMS)
def test_inverse_undoes_transform_and_transform_undoes_inverse(rank, scheme, mixing, border):
    glow = make_glow(rank, scheme=scheme, mixing=mixing, border=border, channels=3)
    x = images(glow)
    latents, _ = glow.transform(x)
    assert joined(latents).shape == (3, glow.dimensions)
    torch.testing.assert_close(glow.inverse(latents), x)
    shuffled = [z.flip(0) for z in latents]
    for found, expected in zip(glow.transform(glow.inverse(shuffled))[0], shuffled, strict=True):
        torch.testing.assert_close(found, expected)


@each_pair(rank=[2, 3], scheme=SCHEMES, **FORMS)
def test_log_determinant_equals_the_jacobian_of_autograd(rank, scheme, mixing, border):
    size = {2: (4, 4), 3: (2, 4, 2)}[rank]
    levels = {2: 2, 3: 1}[rank]
    glow = make_glow(rank, scheme=scheme, mixing=mixing, border=border, size=size, levels=levels)
    x = images(glow, n=2).requires_grad_()
    latents, found = glow.transform(x)
    # an image's latents are its own: the gradient of a sum over images has a row of each image's Jacobian
    rows = [torch.autograd.grad(z.sum(), x, retain_graph=True)[0] for z in joined(latents).T]
    expected = torch.linalg.slogdet(torch.stack([row.flatten(1) for row in rows], dim=1))[1]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rank", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_density_integrates_to_one(rank, scheme):
    """By 2^15 quasi-random points of a multivariate t with 2 degrees of freedom, wider than the flow."""
    amplitude = 0.04 if scheme == "spline" else 0.15
    glow = make_glow(rank, scheme=scheme, size=(2,) * rank, levels=1, amplitude=amplitude)
    count, dimensions, freedom = 2**15, glow.dimensions, 2
    pilot = glow.sample(4000, torch.Generator().manual_seed(0)).flatten(1)
    spread = 1.2 * torch.linalg.cholesky(pilot.T.cov())
    points = torch.quasirandom.SobolEngine(dimensions + 1, scramble=True, seed=0).draw(
        count, dtype=torch.float64
    )
    points = points.clamp(1e-9, 1 - 1e-9)
    radius = (freedom / (-2 * points[:, -1].log())).sqrt()
    away = torch.special.ndtri(points[:, :-1]) * radius[:, None]
    log_proposal = (
        math.lgamma((freedom + dimensions) / 2)
        - math.lgamma(freedom / 2)
        - dimensions / 2 * math.log(freedom * math.pi)
        - spread.diagonal().log().sum()
        - (freedom + dimensions) / 2 * torch.log1p(away.square().sum(dim=1) / freedom)
    )
    with torch.no_grad():
        log_density = glow.log_density((pilot.mean(dim=0) + away @ spread.T).view(count, 1, *glow.size))
    weights = (log_density - log_proposal).exp()
    assert float(weights.std()) < 1.6  # the proposal covers the flow: the error of the mean stays below 1 %
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_fresh_flow_without_couplings_is_a_gaussian_of_known_density(rank):
    """The last convolution starts at zero, so that all is linear: s = sigmoid(2) at every coupling."""
    glow = Glow(rank, 1, (4,) * rank, levels=1, depth=1, width=4, generator=torch.Generator().manual_seed(0))
    glow = glow.double()
    x = images(glow)
    latents, log_determinant = glow.transform(x)
    half = glow.dimensions // 2
    expected = half * math.log(1 / (1 + math.exp(-2)))
    torch.testing.assert_close(log_determinant, torch.full((3,), expected, dtype=torch.float64))
    normal = -0.5 * joined(latents).square().sum(dim=1) - 0.5 * glow.dimensions * math.log(2 * math.pi)
    torch.testing.assert_close(glow.log_density(x), normal + expected)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("levels", [1, 2])
def test_the_map_of_log_density_sums_to_it(rank, levels):
    glow = make_glow(rank, levels=levels, channels=2)
    x = images(glow)
    found = glow.log_density_map(x)
    assert found.shape == (3, 1, *glow.size)
    torch.testing.assert_close(found.flatten(1).sum(dim=1), glow.log_density(x))


@pytest.mark.parametrize("memory", ["recompute", "store", "invert"])
def test_log_density_is_the_same_with_and_without_gradient(memory):
    glow = make_glow(memory=memory, depth=3, anchors=2)
    x = images(glow)
    with torch.no_grad():
        torch.testing.assert_close(glow.log_density(x), glow.log_density(x.clone()))
        without = glow.log_density(x)
    torch.testing.assert_close(glow.log_density(x), without)
    torch.testing.assert_close(glow(x), without)


def test_an_image_scores_the_same_alone_and_in_a_batch():
    glow = make_glow(size=(16, 24), width=32).float()
    x = images(glow, n=5).float()
    with torch.no_grad():
        together = glow.log_density(x)
        alone = torch.cat([glow.log_density(image[None]) for image in x])
        channels_last = glow.log_density(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(alone, together, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(channels_last, together, rtol=0, atol=0)


def test_a_changed_parameter_is_seen_by_the_next_score():
    glow, other = make_glow(seed=0), make_glow(seed=5)
    x = images(glow)
    optimiser = torch.optim.Adamax(glow.parameters(), lr=0.1)
    glow.log_density(x).sum().backward()
    with torch.no_grad():
        before = glow.log_density(x)
        optimiser.step()
        after = glow.log_density(x)
        assert not torch.allclose(before, after)
        torch.testing.assert_close(after, plain_glow(glow).log_density(x))
        glow.load_state_dict(other.state_dict())
        assert torch.equal(glow.log_density(x), other.log_density(x))


def test_a_glow_that_has_scored_is_copied_and_sent_to_other_processes():
    glow = make_glow(width=32).float()
    x = images(glow).float()
    with torch.no_grad():
        expected = glow.log_density(x)
        for other in (copy.deepcopy(glow), pickle.loads(pickle.dumps(glow))):
            assert torch.equal(other.log_density(x), expected)


def test_a_step_of_a_fused_optimiser_is_seen_by_the_next_score():
    glow = make_glow()
    x = images(glow)
    optimiser = torch.optim.Adam(glow.parameters(), lr=0.1, fused=True)
    glow.log_density(x).sum().backward()
    with torch.no_grad():
        glow.log_density(x)
        optimiser.step()
        torch.testing.assert_close(glow.log_density(x), plain_glow(glow).log_density(x))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (4, 4, 4)])
def test_a_pixel_that_is_not_a_number_shows_in_its_image_alone(size, precision):
    glow = make_glow(len(size), size=size, width=32, amplitude=0.03).float()
    x = images(glow).float()
    x[1].view(-1)[5] = -math.nan
    with torch.no_grad(), torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        assert glow.log_density(x).isnan().tolist() == [False, True, False]


def test_a_weight_that_is_not_a_number_shows_in_the_score():
    """As x86 makes it of inf - inf: with the sign set."""
    glow = make_glow(width=32, amplitude=0.03).float()
    with torch.no_grad():
        glow.levels[0].steps[0].net.middle_weight[3].fill_(-math.nan)
        assert bool(glow.log_density(images(glow).float()).isnan().all())


def test_scores_under_inference_mode_do_not_stand_in_the_way_of_training():
    glow = make_glow(size=(16, 8))
    x = images(glow)
    with torch.inference_mode():
        scored = glow.log_density(x)
    found = glow.log_density(x)
    found.sum().backward()
    torch.testing.assert_close(found, scored)
    assert glow.sample(1, torch.Generator().manual_seed(0)).shape == (1, 1, 16, 8)


def test_the_same_seed_gives_the_same_flow_and_leaves_the_global_generator_alone():
    def made(seed):
        return Glow(2, 1, (8, 8), levels=2, depth=2, width=4, generator=torch.Generator().manual_seed(seed))

    state = torch.get_rng_state()
    first, again, other = (made(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        Glow(2, 1, (16, 20), levels=3)
    with pytest.raises(ValueError, match="multiple of 2"):
        Glow(3, 1, (16, 16), levels=1)


def test_one_pass_gives_density_map_and_latents():
    glow = make_glow()
    x = images(glow)
    density, by_place, latents = glow.density_map_and_latents(x)
    with torch.no_grad():
        expected, variables = glow.density_and_latents(x)
    assert torch.equal(density, expected)
    assert torch.equal(by_place, glow.log_density_map(x))
    assert all(torch.equal(one, other) for one, other in zip(latents, variables, strict=True))
