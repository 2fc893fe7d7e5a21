import torch
from torch.distributions import Normal, kl_divergence

from secondread.detectors.blocks.variational.normal_divergence import normal_divergence


def test_the_divergence_of_each_number_is_that_from_a_standard_normal_distribution():
    mean, log_variance = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).unbind()
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(normal_divergence(mean, log_variance), expected, rtol=1e-4, atol=1e-5)
