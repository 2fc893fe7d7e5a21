import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from secondread.detectors.blocks.variational.mixture_energy import (
    choice_divergence,
    component_log_probabilities,
    conditional_divergence,
    log_density,
)


@pytest.fixture
def drawn():
    g = torch.Generator().manual_seed(0)
    z_mean, z_log_variance = torch.randn(2, 2, 3, 4, 4, generator=g)
    mean, log_precision = torch.randn(2, 2, 5, 3, 4, 4, generator=g)
    return z_mean, z_log_variance, mean, log_precision


def components(mean, log_precision):
    return Normal(mean, (-0.5 * log_precision).exp())


def test_the_density_is_the_gaussians(drawn):
    z, _, mean, log_precision = drawn
    expected = components(mean, log_precision).log_prob(z[:, None]).sum(dim=2)
    torch.testing.assert_close(log_density(z, mean, log_precision), expected, rtol=1e-4, atol=1e-4)
    by_bayes = expected.exp() / expected.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(component_log_probabilities(z, mean, log_precision).exp(), by_bayes)


def test_a_wide_component_is_less_likely_at_its_own_mean_than_a_narrow_one():
    z = torch.zeros(1, 1, 1)
    log_precision = torch.tensor([0.0, -4.0]).view(1, 2, 1, 1)
    found = component_log_probabilities(z, torch.zeros(1, 2, 1, 1), log_precision).exp()
    assert found.flatten()[0].item() == pytest.approx(1 / (1 + math.exp(-2)))


def test_the_divergences_are_those_of_the_distributions(drawn):
    z_mean, z_log_variance, mean, log_precision = drawn
    q = Normal(z_mean, (0.5 * z_log_variance).exp())
    log_chosen = component_log_probabilities(z_mean, mean, log_precision)
    chosen = log_chosen.exp()
    each = kl_divergence(Normal(q.loc[:, None], q.scale[:, None]), components(mean, log_precision)).sum(dim=2)
    torch.testing.assert_close(
        conditional_divergence(*drawn, log_chosen), (chosen * each).sum(dim=1), rtol=1e-4, atol=1e-4
    )
    uniform = Categorical(torch.full((5,), 0.2))
    expected = kl_divergence(Categorical(chosen.movedim(1, -1)), uniform)
    torch.testing.assert_close(choice_divergence(log_chosen), expected, rtol=1e-4, atol=1e-5)


def test_a_certain_choice_costs_log_k_and_has_a_finite_slope():
    z = torch.zeros(1, 1, 1, requires_grad=True)
    mean = torch.tensor([0.0, 1e4, -1e4]).view(1, 3, 1, 1)
    cost = choice_divergence(component_log_probabilities(z, mean, torch.zeros(1, 3, 1, 1)))
    assert cost.item() == pytest.approx(math.log(3))
    cost.sum().backward()
    assert z.grad.item() == 0
