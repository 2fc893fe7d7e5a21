"""The truncation of a log-determinant's series: which coefficients are drawn, and that their mean is one."""

import pytest
import torch

from secondread.flows.residual.series import Truncation


@pytest.mark.parametrize("truncation", [Truncation(2, "geometric", 0.5), Truncation(3, "poisson", 2.0)])
def test_the_mean_coefficient_of_every_term_is_one(truncation):
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000  # the distribution itself
    found = truncation.coefficients(u)
    torch.testing.assert_close(found.mean(dim=0)[:9], torch.ones(9, dtype=torch.float64), atol=0.005, rtol=0)
    assert bool((found[:, : truncation.exact] == 1).all())


def test_the_roulette_has_no_bias_where_the_fixed_series_has_one():
    """log det of 1 + J for numbers J: the mean over the number of terms is the logarithm."""
    j = 0.7
    powers = torch.tensor([(-1) ** (k + 1) * j**k / k for k in range(1, 70)], dtype=torch.float64)
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    drawn = Truncation(2, "geometric", 0.5).coefficients(u)
    mean = float((drawn * powers[: drawn.shape[1]]).sum(dim=1).mean())
    expected = float(torch.log1p(torch.tensor(j, dtype=torch.float64)))
    assert mean == pytest.approx(expected, abs=1e-3)
    fixed = Truncation(2, "none").coefficients(u[:1])
    assert fixed.tolist() == [[1.0, 1.0]]
    assert abs(float((fixed * powers[:2]).sum()) - expected) > 0.05


def test_an_image_s_terms_are_those_of_its_own_number():
    together = Truncation(2, "geometric", 0.5).coefficients(torch.tensor([0.1, 0.99, 0.6]))
    alone = Truncation(2, "geometric", 0.5).coefficients(torch.tensor([0.6]))
    assert torch.equal(together[2, : alone.shape[1]], alone[0])
    assert not together[2, alone.shape[1] :].any()
