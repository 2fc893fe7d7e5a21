"""Intervals of shares at their edges, and where patients have several images."""

import numpy as np
import pytest
from scipy.stats import binomtest

from secondread.metrics.shares import clopper_pearson, effective_size, share_interval


@pytest.mark.parametrize(("k", "n"), [(30, 30), (0, 60), (29, 30), (7, 20), (1, 1)])
def test_one_image_for_each_patient_gives_the_exact_interval_of_k_of_n(k, n):
    expected = binomtest(k, n).proportion_ci(method="exact")
    assert share_interval(np.arange(n) < k) == pytest.approx((expected.low, expected.high))
    assert share_interval(np.arange(n) < k, range(n)) == pytest.approx((expected.low, expected.high))


def test_thirty_right_of_thirty_are_not_certain():
    low, high = share_interval([True] * 30)
    assert (round(low, 2), high) == (0.88, 1.0)


def test_images_that_all_say_the_same_count_as_their_patients():
    right = np.repeat(np.arange(40) < 28, 5)
    size = effective_size(right, np.repeat(np.arange(40), 5))
    assert size == pytest.approx(40)
    assert share_interval(right, np.repeat(np.arange(40), 5)) == pytest.approx(clopper_pearson(28, 40))


def test_images_that_say_nothing_of_one_another_count_nearly_all():
    right = np.tile([True, True, True, True, False], 40)  # each patient has one error: no clustering at all
    assert effective_size(right, np.repeat(np.arange(40), 5)) == 200
    random = np.random.default_rng(0)
    size = effective_size(random.random(3_000) < 0.8, np.repeat(np.arange(1_000), 3))
    assert 2_600 < size <= 3_000


def test_errors_of_a_few_patients_do_not_show_how_alike_images_are():
    right = np.ones(60, bool)
    right[[0, 6]] = False
    assert effective_size(right, np.repeat(np.arange(10), 6)) == pytest.approx(10)


def test_unequal_patients_count_for_less_than_their_number():
    patients = np.repeat(np.arange(4), [57, 1, 1, 1])
    assert effective_size(np.ones(60), patients) == pytest.approx(60**2 / (57**2 + 3))


def test_what_images_do_not_show_widens_the_interval():
    right = np.arange(100) < 80
    low, high = share_interval(right, extra_variance=0.02**2)
    plain = share_interval(right)
    assert low < plain[0] < plain[1] < high


@pytest.mark.parametrize(("patients", "images", "alike", "share"), [(30, 3, 0.3, 0.8), (30, 6, 0.8, 0.95)])
def test_clustered_intervals_hold_the_true_share(patients, images, alike, share):
    random, hits = np.random.default_rng(0), 0
    whose = np.repeat(np.arange(patients), images)
    scale = (1 - alike) / alike
    for _ in range(200):
        own = random.beta(share * scale, (1 - share) * scale, patients)
        low, high = share_interval(random.random(whose.size) < own[whose], whose)
        hits += low <= share <= high
    assert hits >= 186


def test_no_answer_and_other_patients_are_refused():
    with pytest.raises(ValueError, match="no share"):
        share_interval([])
    with pytest.raises(ValueError, match="2 patients are given for 3 images"):
        share_interval([1, 0, 1], ["a", "b"])
