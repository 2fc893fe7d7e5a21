from functools import partial

import numpy as np
import pytest

from secondread.estimators.linear_ratio import LinearRatio, cross_validated, gaussian_ratio, logistic_ratio
from secondread.estimators.mixture_proportion import anomaly_rate

SHIFT = np.array([1.0, -0.5, 0.0])
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.3], [0.0, 0.3, 0.5]])


@pytest.mark.parametrize("fit", [partial(logistic_ratio, penalty=1e-5), gaussian_ratio])
def test_the_ratio_of_two_gaussians_is_recovered(fit):
    random = np.random.default_rng(0)
    normal = random.multivariate_normal(np.zeros(3), COVARIANCE, 20000)
    unlabelled = random.multivariate_normal(SHIFT, COVARIANCE, 5000)
    weight = np.linalg.solve(COVARIANCE, SHIFT)
    ratio = fit(normal, unlabelled)
    np.testing.assert_allclose(ratio.weight, weight, atol=0.12)
    assert ratio.bias == pytest.approx(-weight @ SHIFT / 2, abs=0.12)


def test_a_strong_penalty_leaves_the_difference_of_the_means():
    random = np.random.default_rng(1)
    normal, unlabelled = random.normal(size=(300, 3)), random.normal(size=(200, 3)) + SHIFT
    weight = logistic_ratio(normal, unlabelled, penalty=100).weight
    difference = unlabelled.mean(axis=0) - normal.mean(axis=0)
    cosine = weight @ difference / np.linalg.norm(weight) / np.linalg.norm(difference)
    assert cosine > 0.999
    assert np.linalg.norm(weight) < 0.01


def test_features_that_are_constant_do_no_harm():
    x = np.random.default_rng(2).normal(size=(20, 4)) * [1, 1, 0, 0]
    for ratio in (gaussian_ratio(x[:12], x[12:]), logistic_ratio(x[:12], x[12:], 1.0)):
        assert np.isfinite(ratio(x)).all()


def test_every_image_is_scored_by_a_fit_that_had_not_seen_it():
    normal, unlabelled = np.arange(47.0)[:, None], np.arange(100.0, 112.0)[:, None]
    seen = []

    def fit(n, u):
        seen.append({*n[:, 0], *u[:, 0]})
        return LinearRatio(np.zeros(1), float(len(seen) - 1))

    for scores, sample in zip(cross_validated(normal, unlabelled, fit, 5), (normal, unlabelled), strict=True):
        for score, value in zip(scores, sample[:, 0], strict=True):
            assert value not in seen[int(score)]
    assert len(seen) == 5


def test_cross_validation_keeps_overfitting_out_of_the_anomaly_rate():
    random = np.random.default_rng(3)
    normal, unlabelled = random.normal(size=(200, 300)), random.normal(size=(200, 300))
    fit = partial(logistic_ratio, penalty=0.1)
    ratio = fit(normal, unlabelled)
    assert anomaly_rate(ratio(normal), ratio(unlabelled)) > 0.5
    assert anomaly_rate(*cross_validated(normal, unlabelled, fit, 5)) < 0.1
