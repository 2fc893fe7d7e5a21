"""A Gaussian mixture per class, in R^D and for the pooled part of a map: densities, posteriors, draws."""

import math

import pytest
import torch
from scipy import stats
from torch import distributions

from secondread.flows.flow import Flow
from secondread.flows.latent import UnitGaussian
from secondread.flows.mixture import GaussianMixture, PooledMixture


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def uneven(components=3, dimensions=2, covariance="diagonal", **options):
    """A mixture in float64 with weights and deviations that differ."""
    weights = torch.arange(1.0, components + 1) / sum(range(1, components + 1))
    mixture = GaussianMixture(
        components, dimensions, separation=2.0, covariance=covariance, weights=weights.tolist(), **options
    ).double()
    if covariance != "unit":
        with torch.no_grad():
            mixture.log_deviation.copy_(0.3 * torch.randn(mixture.log_deviation.shape, generator=seeded(9)))
    return mixture


def same_by_torch(mixture):
    deviation = mixture.log_deviation.exp().expand(-1, mixture.dimensions)
    each = distributions.Independent(distributions.Normal(mixture.means, deviation), 1)
    return distributions.MixtureSameFamily(distributions.Categorical(logits=mixture.logits), each)


@pytest.mark.parametrize("covariance", ["unit", "isotropic", "diagonal"])
def test_the_density_of_a_mixture_integrates_to_one(covariance):
    mixture = uneven(covariance=covariance)
    line = torch.linspace(-9, 11, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    cell = (line[1] - line[0]) ** 2
    assert float(mixture.log_density(grid).exp().sum().detach() * cell) == pytest.approx(1, abs=1e-6)
    total = mixture.class_log_density(grid).exp().sum(dim=0) * cell
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


@pytest.mark.parametrize("covariance", ["unit", "isotropic", "diagonal"])
def test_the_density_of_a_mixture_equals_that_of_torch(covariance):
    mixture = uneven(4, 5, covariance)
    s = 3 * torch.randn(50, 5, generator=seeded(), dtype=torch.float64)
    known = same_by_torch(mixture)
    torch.testing.assert_close(mixture.log_density(s), known.log_prob(s))
    each = known.component_distribution.log_prob(s[:, None])
    torch.testing.assert_close(mixture.class_log_density(s), each)
    standard = UnitGaussian().log_density(s)[:, None]
    torch.testing.assert_close(mixture.class_log_ratio(s), each - standard)


def test_posteriors_sum_to_one_and_follow_from_bayes():
    mixture = uneven(4, 5)
    s = 3 * torch.randn(50, 5, generator=seeded(), dtype=torch.float64)
    posterior = mixture.log_posterior(s)
    torch.testing.assert_close(posterior.exp().sum(dim=1), torch.ones(50, dtype=torch.float64))
    joint = mixture.class_log_density(s) + mixture.log_weights
    torch.testing.assert_close(posterior, joint - mixture.log_density(s)[:, None])


def test_the_ratio_is_accurate_in_float32_where_the_dimension_is_large():
    mixture = GaussianMixture(2, 200_000)
    s = 3 * torch.randn(2, 200_000, generator=seeded())
    assert mixture.class_log_ratio(s)[:, 0].tolist() == [0.0, 0.0]
    torch.testing.assert_close(mixture.class_log_ratio(s)[:, 1], 6 * s[:, 0] - 18, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("components", [2, 3, 5])
@pytest.mark.parametrize("dimensions", [4, 10, 3_000])
def test_simplex_means_lie_at_one_distance_in_any_dimension(components, dimensions):
    means = GaussianMixture(components, dimensions, separation=4.5).means
    assert means[0].abs().max() == 0
    torch.testing.assert_close(torch.pdist(means), torch.full((math.comb(components, 2),), 4.5))


def test_random_means_move_apart_with_the_dimension():
    means = GaussianMixture(2, 5_000, means="random", separation=1.0, generator=seeded()).means
    assert float(torch.pdist(means)) == pytest.approx(math.sqrt(2 * 5_000), rel=0.05)
    again = GaussianMixture(2, 5_000, means="random", separation=1.0, generator=seeded()).means
    assert torch.equal(means, again)


def test_given_means_are_used():
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(GaussianMixture(2, 2, means=given).means, given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": 4, "dimensions": 2}, "need 3 dimensions"),
        ({"components": 2, "dimensions": 2, "means": torch.zeros(2, 3)}, r"must be \[2, 2\]"),
        ({"components": 2, "dimensions": 2, "weights": (0.5, 0.6)}, "sum 1"),
        ({"components": 2, "dimensions": 2, "weights": (1.0, 0.0)}, "> 0"),
        ({"components": 2, "dimensions": 2, "concentration": (1.0,)}, "2 values > 0"),
        ({"components": 2, "dimensions": 2, "separation": 0.0}, "separation"),
        ({"components": 0, "dimensions": 2}, "needs components"),
        ({"components": 2, "dimensions": 2, "means": "corners"}, "not corners"),
        ({"components": 2, "dimensions": 2, "covariance": "full"}, "not full"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**options)


@pytest.mark.parametrize("learned", [True, False])
def test_given_weights_are_put_in_place(learned):
    mixture = GaussianMixture(2, 1, learn_weights=learned)
    torch.testing.assert_close(mixture.log_weights.exp(), torch.tensor([0.5, 0.5]))
    mixture.set_weights((0.93, 0.07))
    torch.testing.assert_close(mixture.log_weights.exp(), torch.tensor([0.93, 0.07]))
    assert ("logits" in dict(mixture.named_parameters())) == learned
    with pytest.raises(ValueError, match="sum 1"):
        mixture.set_weights((0.9, 0.2))


def test_the_prior_of_the_weights_equals_that_of_scipy():
    beta = GaussianMixture(2, 1, weights=(0.8, 0.2), concentration=(9, 2)).double()
    assert float(beta.log_weight_prior().detach()) == pytest.approx(stats.beta.logpdf(0.8, 9, 2), abs=1e-6)
    three = GaussianMixture(3, 2, weights=(0.5, 0.3, 0.2), concentration=(2, 3, 0.5)).double()
    known = stats.dirichlet.logpdf([0.5, 0.3, 0.2], [2, 3, 0.5])
    assert float(three.log_weight_prior().detach()) == pytest.approx(known, abs=1e-6)
    assert float(GaussianMixture(2, 1).log_weight_prior()) == 0


def test_the_prior_pulls_learned_weights_to_its_mode():
    mixture = GaussianMixture(2, 1, concentration=(10, 2))
    optimiser = torch.optim.Adam(mixture.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        (-mixture.log_weight_prior()).backward()
        optimiser.step()
    assert float(mixture.log_weights[0].exp().detach()) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "learned"),
    [
        ({}, {"logits"}),
        ({"learn_weights": False}, set()),
        ({"covariance": "isotropic", "learn_weights": False}, {"log_deviation"}),
        ({"covariance": "shared", "learn_covariance": False}, {"logits"}),
        ({"learn_means": True, "covariance": "diagonal"}, {"means", "log_deviation", "logits"}),
    ],
)
def test_gradients_reach_the_learned_parts_only(options, learned):
    mixture = GaussianMixture(3, 4, **options)
    s = torch.randn(5, 4, generator=seeded(), requires_grad=True)
    mixture.log_density(s).sum().backward()
    parameters = dict(mixture.named_parameters())
    assert parameters.keys() == learned
    assert all(p.grad.abs().sum() > 0 for p in parameters.values())
    assert s.grad.abs().sum() > 0
    assert set(mixture.state_dict()) == {"means", "log_deviation", "logits"}


def test_draws_have_the_moments_of_the_mixture():
    mixture = uneven(3, 2)
    s = mixture.sample(40_000, seeded()).detach()
    known = same_by_torch(mixture)
    torch.testing.assert_close(s.mean(0), known.mean.detach(), atol=0.03, rtol=0)
    torch.testing.assert_close(s.var(0), known.variance.detach(), atol=0, rtol=0.03)
    one = mixture.sample(40_000, seeded(), component=1, temperature=0.5).detach()
    torch.testing.assert_close(one.mean(0), mixture.means[1], atol=0.03, rtol=0)
    torch.testing.assert_close(one.std(0), 0.5 * mixture.log_deviation[1].exp().detach(), atol=0, rtol=0.03)
    assert torch.equal(mixture.sample(9, seeded(3)), mixture.sample(9, seeded(3)))
    with pytest.raises(ValueError, match="no component 3"):
        mixture.sample(1, seeded(), component=3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_results_come_in_float64_for_float64_and_in_float32_otherwise(dtype):
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    latent = PooledMixture(3, GaussianMixture(2, 2))
    s, z = torch.randn(4, 2).to(dtype), torch.randn(4, 3, 5).to(dtype)
    for value in (latent.mixture.log_density(s), latent.mixture.log_posterior(s), latent.pooled(z)):
        assert value.dtype == expected
    for value in (latent.log_density(z), latent.class_log_density(z), latent.replaced(z, s)):
        assert value.dtype == expected


def orthonormal_basis(channels, k, positions, valid=None):
    """An orthonormal basis of maps `[channels * positions]`; its first k vectors are the pooled ones."""
    weight = torch.ones(positions) if valid is None else valid.flatten().float()
    pooled = torch.zeros(channels * positions, k, dtype=torch.float64)
    for channel in range(k):
        pooled[channel * positions : (channel + 1) * positions, channel] = weight / weight.norm()
    filled = torch.cat((pooled, torch.eye(channels * positions, dtype=torch.float64)), dim=1)
    basis = torch.linalg.qr(filled)[0]
    return basis * torch.sign((basis[:, :k] * pooled).sum(0)).repeat_interleave(
        torch.tensor([1] * (k - 1) + [channels * positions - k + 1])
    )


@pytest.mark.parametrize("masked", [False, True])
def test_the_pooled_density_is_that_of_a_mixture_of_whole_maps(masked):
    channels, k, size = 3, 2, (2, 3)
    latent = PooledMixture(channels, uneven(3, k))
    valid = torch.tensor([[True, False, True], [True, True, False]])[None, None] if masked else None
    basis = orthonormal_basis(channels, k, 6, valid)
    mixture, values = latent.mixture, channels * 6
    z = 2 * torch.randn(20, channels, *size, generator=seeded(), dtype=torch.float64)
    where = None if valid is None else valid.expand(20, -1, -1, -1)
    torch.testing.assert_close(latent.pooled(z, where), z.flatten(1) @ basis[:, :k])
    each = []
    for mean, deviation in zip(mixture.means, mixture.log_deviation.detach().exp(), strict=True):
        variances = torch.cat((deviation.square(), torch.ones(values - k)))
        covariance = basis @ torch.diag(variances.double()) @ basis.T
        whole = distributions.MultivariateNormal(basis[:, :k] @ mean, covariance)
        each.append(whole.log_prob(z.flatten(1)))
    known = torch.stack(each, dim=1)
    torch.testing.assert_close(latent.class_log_density(z, where).detach(), known)
    marginal = torch.logsumexp(known + mixture.log_weights, dim=1)
    torch.testing.assert_close(latent.rest.log_density(z) + latent.log_ratio(z, where), marginal)
    torch.testing.assert_close(
        latent.log_posterior(z, where), known + mixture.log_weights - marginal[:, None]
    )
    if not masked:
        torch.testing.assert_close(latent.log_density(z), marginal)
        assert latent.log_density_map(z).shape == (20, 1, *size)


def test_the_pooled_part_of_a_standard_normal_map_is_standard_normal():
    latent = PooledMixture(2, GaussianMixture(2, 2))
    s = latent.pooled(torch.randn(20_000, 2, 7, generator=seeded()))
    torch.testing.assert_close(s.T.cov(), torch.eye(2), atol=0.03, rtol=0)
    assert s.mean(0).abs().max() < 0.03


def test_one_component_at_the_origin_is_the_unit_gaussian():
    latent = PooledMixture(3, GaussianMixture(1, 2))
    z = torch.randn(4, 3, 2, 2, generator=seeded())
    torch.testing.assert_close(latent.log_density_map(z), UnitGaussian().log_density_map(z))


@pytest.mark.parametrize("masked", [False, True])
def test_replacing_the_pooled_part_changes_nothing_else(masked):
    latent = PooledMixture(4, GaussianMixture(2, 2))
    z = torch.randn(3, 4, 5, 6, generator=seeded())
    valid = (torch.rand(3, 1, 5, 6, generator=seeded(1)) < 0.6) if masked else None
    s = torch.randn(3, 2, generator=seeded(2))
    replaced = latent.replaced(z, s, valid)
    torch.testing.assert_close(latent.pooled(replaced, valid), s)
    assert torch.equal(replaced[:, 2:], z[:, 2:])
    torch.testing.assert_close(latent.replaced(replaced, latent.pooled(z, valid), valid), z)
    if valid is not None:
        outside = ~valid.expand_as(z)
        assert torch.equal(replaced[outside], z[outside])


def test_an_image_without_a_valid_position_has_a_pooled_part_of_zero():
    latent = PooledMixture(2, GaussianMixture(2, 1))
    assert latent.pooled(torch.ones(1, 2, 3), torch.zeros(1, 1, 3, dtype=torch.bool)).tolist() == [[0.0]]


def test_drawn_maps_have_the_pooled_part_of_their_class():
    latent = PooledMixture(3, GaussianMixture(2, 1, separation=5.0, weights=(0.75, 0.25)))
    z = latent.sample((8_000, 3, 4), seeded(), component=1)
    assert float(latent.pooled(z).mean()) == pytest.approx(5, abs=0.05)
    torch.testing.assert_close(z.mean((0, 2)), torch.tensor([2.5, 0.0, 0.0]), atol=0.03, rtol=0)
    torch.testing.assert_close(
        z.var(), 1 + torch.tensor([2.5, 0.0, 0.0]).var(correction=0), atol=0.05, rtol=0
    )
    both = latent.sample((8_000, 3, 4), seeded()).detach()
    share = (latent.log_posterior(both).argmax(1) == 1).float().mean()
    assert float(share) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(latent.sample((2, 3, 4), seeded(5)), latent.sample((2, 3, 4), seeded(5)))


def test_a_latent_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="cannot come from 2"):
        PooledMixture(2, GaussianMixture(2, 3))
    with pytest.raises(ValueError, match=r"takes \[N, 2, \*S\]"):
        PooledMixture(2, GaussianMixture(2, 1)).pooled(torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match=r"takes \[N, 1\]"):
        GaussianMixture(2, 1).log_density(torch.zeros(1, 3))


def test_a_flow_takes_the_latent_that_it_is_given():
    latent = PooledMixture(4, GaussianMixture(2, 2))
    flow = Flow(2, 4, blocks=2, hidden=4, latent=latent, generator=seeded())
    x = torch.randn(2, 4, 3, 3, generator=seeded())
    z, log_determinant = flow(x)
    torch.testing.assert_close(flow.log_density(x), latent.log_density(z) + log_determinant)
    assert "latent.mixture.logits" in dict(flow.named_parameters())
    assert isinstance(Flow(2, 4, blocks=1, hidden=4).latent, UnitGaussian)


def test_a_shared_covariance_makes_log_odds_linear():
    mixture = GaussianMixture(2, 3, covariance="shared")
    with torch.no_grad():
        mixture.log_deviation.copy_(torch.tensor([[0.2, -0.3, 0.1]]))
    s = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    ratio = mixture.class_log_ratio(s)
    odds = ratio[:, 1] - ratio[:, 0]
    middle = mixture.class_log_ratio((s[:1] + s[1:2]) / 2)
    torch.testing.assert_close((odds[0] + odds[1]) / 2, (middle[:, 1] - middle[:, 0])[0])
    drawn = mixture.sample(4000, torch.Generator().manual_seed(1), component=1)
    torch.testing.assert_close(drawn.std(dim=0), mixture.log_deviation[0].exp(), atol=0.05, rtol=0)
