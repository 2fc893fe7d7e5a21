import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from secondread.estimators.shrunk_gaussian import (
    add_moments,
    mean_and_whitener,
    moments_and_shrinkage,
    samples_in,
)


@pytest.mark.parametrize("n", [5, 40, 1000])
def test_streamed_shrinkage_is_that_of_scikit_learn(n):
    x = np.random.default_rng(0).standard_normal((n, 6)) * np.arange(1, 7) + 3
    rows = np.concatenate((np.ones((n, 1)), (x**2).sum(axis=1, keepdims=True), x), axis=1)
    mean, covariance, shrinkage = moments_and_shrinkage(torch.from_numpy(rows.T @ rows))
    reference = LedoitWolf().fit(x)
    np.testing.assert_allclose(mean, reference.location_, rtol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(shrinkage, reference.shrinkage_, rtol=1e-7)


def test_moments_of_batches_are_those_of_all_samples_at_once():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)) * [1, 2, 3, 4] + 100)
    sums = None
    for batch in x.split(7):
        sums = add_moments(sums, batch)
    assert samples_in(None) == 0
    assert samples_in(sums) == 50
    mean, whitener = mean_and_whitener(sums)
    expected = np.sqrt(LedoitWolf().fit(x.numpy()).mahalanobis(x.numpy()))
    np.testing.assert_allclose(((x - mean) @ whitener.T).norm(dim=1), expected, rtol=1e-9)
