import math

import pytest
import torch

from secondread.estimators.upper_share import upper_share


def mixture(n, rate, apart, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=generator)
    x[: round(rate * n)] += apart
    return x * 0.01 + 3


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_share_that_stands_out_is_found(rate):
    assert upper_share(mixture(400, rate, 6)) == pytest.approx(rate, abs=0.03)


def test_one_gaussian_or_two_that_overlap_are_one():
    assert upper_share(mixture(400, 0.0, 0)) == 0.0
    assert upper_share(mixture(400, 0.2, 0.5)) < 0.02


def test_scores_that_are_all_alike_have_no_share_and_few_tell_nothing():
    assert upper_share(torch.ones(40)) == 0.0
    assert math.isnan(upper_share(torch.arange(39.0)))
    assert math.isnan(upper_share(torch.full((40,), torch.nan)))
