import numpy as np
import pytest

from secondread.estimators.mixture_proportion import anomaly_rate


def mixture(random, rate, n, shift=3.0):
    abnormal = round(rate * n)
    return np.concatenate((random.normal(size=n - abnormal), random.normal(shift, 1, abnormal)))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.8])
def test_the_rate_is_found_from_samples_of_a_few_hundred(rate):
    random = np.random.default_rng(0)
    found = [anomaly_rate(random.normal(size=500), mixture(random, rate, 400)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(rate, abs=0.03)
    assert np.std(found) < 0.04


def test_samples_without_abnormal_images_seldom_seem_to_have_them():
    random = np.random.default_rng(3)
    found = [anomaly_rate(random.normal(size=500), random.normal(size=400)) for _ in range(100)]
    assert np.mean(np.array(found) >= 0.05) < 0.1


def test_the_order_decides_and_not_the_scale():
    random = np.random.default_rng(1)
    normal, unlabelled = random.normal(size=300), mixture(random, 0.3, 300)
    assert anomaly_rate(np.exp(normal), np.exp(unlabelled)) == anomaly_rate(normal, unlabelled)


def test_what_looks_normal_is_not_found():
    random = np.random.default_rng(2)
    assert anomaly_rate(random.normal(size=1000), mixture(random, 0.3, 1000, shift=0)) < 0.1


def test_equal_scores_say_nothing():
    assert anomaly_rate(np.zeros(10), np.zeros(20)) == 0
    assert anomaly_rate(np.zeros(10), np.ones(20)) == 1


@pytest.mark.parametrize("scores", [[], [np.nan, 1.0], [[1.0]]])
def test_samples_that_say_nothing_are_refused(scores):
    with pytest.raises(ValueError, match="scores must be"):
        anomaly_rate([1.0, 2.0], scores)
