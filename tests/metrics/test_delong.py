import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from secondread.metrics.delong import delong, delong_means, delong_test


def placements(labels, scores):
    """Section 2 of the paper, word by word: the structural components as double sums."""
    x, y = scores[labels], scores[~labels]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return psi.mean(1), psi.mean(0), psi.mean()


@pytest.mark.parametrize("seed", range(5))
def test_variance_and_test_equal_the_definition(seed):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(70) < 25)
    a = np.round(labels + random.normal(size=70), 1)
    b = np.round(0.6 * labels + 0.5 * a + random.normal(size=70), 1)
    (xa, ya, area_a), (xb, yb, area_b) = placements(labels, a), placements(labels, b)
    expected = np.cov([xa, xb]) / 25 + np.cov([ya, yb]) / 45
    result = delong_test(labels, a, b)
    np.testing.assert_allclose(result.auroc, (area_a, area_b), atol=1e-12)
    np.testing.assert_allclose(result.auroc[0], roc_auc_score(labels, a), atol=1e-12)
    np.testing.assert_allclose(result.covariance, expected, atol=1e-12)
    z = (area_a - area_b) / np.sqrt(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
    assert result.z == pytest.approx(z, abs=1e-9)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(z)), abs=1e-9)
    single = delong(labels, a)
    assert single.variance == pytest.approx(expected[0, 0], abs=1e-12)
    assert single.low < area_a < single.high


def test_a_score_against_itself_is_no_difference():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([1.0, 3, 2, 4, 5])
    result = delong_test(labels, scores, 2 * scores)
    assert (result.z, result.p_value, result.difference) == (0.0, 1.0, 0.0)


def test_means_over_seeds_have_the_covariance_of_their_mean_placements():
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(60) < 20)
    scores = [np.round(labels + random.normal(size=(seeds, 60)), 1) for seeds in (3, 1, 2)]
    areas, covariance = delong_means(labels, scores)
    above, below = [], []
    for rows in scores:
        parts = [placements(labels, row) for row in rows]
        above.append(np.mean([part[0] for part in parts], axis=0))
        below.append(np.mean([part[1] for part in parts], axis=0))
    expected = [np.mean([roc_auc_score(labels, row) for row in rows]) for rows in scores]
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(above) / 20 + np.cov(below) / 40, atol=1e-12)


def test_one_seed_each_is_the_paired_test_and_equal_seeds_change_nothing():
    random = np.random.default_rng(1)
    labels = random.permutation(np.arange(50) < 20)
    a, b = labels + random.normal(size=(2, 50))
    single, repeated = delong_means(labels, [[a], [b]]), delong_means(labels, [[a, a], [b, b, b]])
    np.testing.assert_array_equal(single[1], delong_test(labels, a, b).covariance)
    np.testing.assert_allclose(single[0], repeated[0], atol=1e-12)
    np.testing.assert_allclose(single[1], repeated[1], atol=1e-12)


def test_intervals_cover_the_true_area():
    random = np.random.default_rng(1)
    true = norm.cdf(1 / np.sqrt(2))
    labels = np.arange(120) < 50
    hits = 0
    for _ in range(400):
        estimate = delong(labels, labels + random.normal(size=120))
        hits += estimate.low <= true <= estimate.high
    assert 0.91 < hits / 400 < 0.985


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="two of each"):
        delong([0, 0, 1], [1, 2, 3])
