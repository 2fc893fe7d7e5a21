"""From few patients: intervals that hold the truth as often as they say, and no p-value from a handful."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from secondread.metrics.bootstrap import auroc_interval
from secondread.metrics.decisions import decision_intervals
from secondread.metrics.delong import delong, delong_test
from secondread.metrics.few_patients import (
    FEWEST,
    difference_of_aurocs,
    newcombe_auroc,
    smallest_p_value,
)
from secondread.metrics.paired import resampled_aurocs
from secondread.metrics.ranks import holm
from secondread.metrics.shares import clopper_pearson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 12), (3, 12), (12, 12), (400, 1_000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_of_a_share_is_scipys_exact_one(k: int, n: int, level: float) -> None:
    expected = binomtest(k, n).proportion_ci(level, method="exact")
    assert clopper_pearson(k, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_that_is_none_is_refused() -> None:
    for k, n in ((1, 0), (-1, 3), (4, 3), (math.nan, 3)):
        with pytest.raises(ValueError, match="no share"):
            clopper_pearson(k, n)


@pytest.mark.parametrize(("abnormal", "normal"), [(2, 2), (10, 10), (3, 40), (200, 150)])
@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_ends_of_an_aurocs_interval_solve_newcombes_equation(area, abnormal, normal) -> None:
    low, high = newcombe_auroc(area, abnormal, normal)
    assert 0 <= low <= area <= high <= 1
    assert low < high
    for end in (low, high):
        if end in (0.0, 1.0):
            continue
        mean = (abnormal + normal) / 2 - 1
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)  # of Hanley and McNeil, in their own form
        variance = (end * (1 - end) + mean * (q1 - end**2) + mean * (q2 - end**2)) / (abnormal * normal)
        assert (area - end) ** 2 == pytest.approx(norm.ppf(0.975) ** 2 * variance, rel=1e-5)
    mirrored = newcombe_auroc(1 - area, abnormal, normal)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


@pytest.mark.parametrize(("count", "shift"), [(3, 1.0), (5, 2.0), (8, 1.0), (8, 3.0), (12, 4.0), (30, 4.0)])
def test_intervals_of_few_patients_hold_the_true_auroc(count: int, shift: float) -> None:
    random, hits, runs = np.random.default_rng(0), 0, 120
    labels, true = np.arange(2 * count) < count, norm.cdf(shift / math.sqrt(2))
    for _ in range(runs):
        found = auroc_interval(labels, shift * labels + random.normal(size=2 * count), repeats=200)
        hits += found.low <= true <= found.high
    assert hits / runs >= 0.92


@pytest.mark.parametrize(("count", "share"), [(4, 0.9), (8, 0.95), (15, 0.98), (30, 0.99)])
def test_intervals_of_shares_hold_the_true_one_where_resampling_gives_a_point(count, share) -> None:
    random, hits, runs = np.random.default_rng(1), 0, 150
    labels = np.arange(2 * count) < count
    for _ in range(runs):
        flags = np.where(labels, random.random(2 * count) < share, random.random(2 * count) > share)
        found = decision_intervals(labels, flags)["sensitivity"]
        assert found is not None
        assert found[0] < found[1]
        hits += found[0] <= share <= found[1]
    assert hits / runs >= 0.92


def test_every_share_of_perfect_flags_has_a_lower_end_below_1() -> None:
    labels = np.arange(24) < 12
    found = decision_intervals(labels, labels)
    exact = binomtest(12, 12).proportion_ci().low
    assert found["sensitivity"][0] == pytest.approx(exact)
    assert found["specificity"][0] == pytest.approx(exact)
    assert found["precision"][0] == pytest.approx(exact)
    assert found["f1"][0] == pytest.approx(2 * exact / (1 + exact))
    assert found["accuracy"][0] == pytest.approx(binomtest(24, 24).proportion_ci().low)
    assert all(interval[1] == 1 for interval in found.values())


def test_many_images_of_few_patients_count_as_few() -> None:
    labels, patients = np.repeat([True, False], 60), np.repeat(np.arange(6), 20)
    found = decision_intervals(labels, labels, patients)
    assert found["sensitivity"][0] == pytest.approx(binomtest(3, 3).proportion_ci().low)
    area = auroc_interval(labels, labels + np.linspace(0, 0.5, 120), patients, repeats=50)
    assert area.low == pytest.approx(newcombe_auroc(1.0, 3, 3)[0])


def test_one_abnormal_patient_among_many_has_an_interval() -> None:
    labels = np.arange(200) < 1
    found = decision_intervals(labels, labels)["sensitivity"]
    assert found == pytest.approx((0.025, 1.0))


def test_four_images_give_no_p_value_and_no_point() -> None:
    labels = np.array([0, 0, 1, 1])
    perfect, inverted = np.array([1.0, 2, 3, 4]), np.array([4.0, 3, 2, 1])
    test = delong_test(labels, perfect, inverted)
    assert test.difference == 1
    assert math.isnan(test.p_value)
    paired = resampled_aurocs(labels, [[perfect], [inverted]], [None] * 4, repeats=100)
    found = paired.difference(0, 1)
    assert math.isnan(found.p_value)
    assert found.interval.low < 0.5 < found.interval.high
    assert [interval.low < interval.high for interval in paired.intervals()] == [True, True]
    assert delong(labels, perfect).low < 0.5


def test_no_p_value_is_below_that_of_an_exact_test() -> None:
    labels = np.arange(24) < 12
    perfect = labels + np.linspace(0, 0.5, 24)
    expected = smallest_p_value(24)
    assert expected == 2.0**-23
    assert delong_test(labels, perfect, -perfect).p_value == expected
    paired = resampled_aurocs(labels, [[perfect], [-perfect]], [None] * 24, repeats=100)
    assert paired.difference(0, 1).p_value == expected


def test_two_perfect_methods_do_not_differ_but_might() -> None:
    labels = np.arange(40) < 20
    scores = [[labels + np.random.default_rng(seed).random(40) / 2] for seed in (0, 1)]
    found = resampled_aurocs(labels, scores, [None] * 40, repeats=100).difference(0, 1)
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert found.interval.low == pytest.approx(-found.interval.high, abs=1e-6)
    assert 0.05 < found.interval.high < 0.2


def test_two_seeds_that_agree_do_not_make_a_point() -> None:
    labels = np.arange(24) < 12
    scores = labels + np.linspace(0, 0.5, 24)
    paired = resampled_aurocs(labels, [[scores, scores]], [None] * 24, repeats=50)
    assert paired.intervals()[0].low == pytest.approx(newcombe_auroc(1.0, 12, 12)[0])


@pytest.mark.parametrize("count", [FEWEST, 2 * FEWEST])
def test_delongs_test_holds_its_level_from_the_fewest_patients_on(count: int) -> None:
    random, rejected, runs = np.random.default_rng(2), 0, 600
    labels = np.arange(2 * count) < count
    for _ in range(runs):
        common, own = random.normal(size=2 * count), random.normal(size=(2, 2 * count))
        first, second = labels + 0.7 * common + 0.7 * own
        rejected += delong_test(labels, first, second).p_value < 0.05
    assert rejected / runs < 0.075


def test_a_difference_is_as_wide_as_both_of_its_aurocs() -> None:
    low, high = difference_of_aurocs((0.9, 0.8, 0.95), (0.7, 0.6, 0.8))
    assert low == pytest.approx(0.2 - math.hypot(0.1, 0.1))
    assert high == pytest.approx(0.2 + math.hypot(0.05, 0.1))


def test_holm_leaves_out_what_was_not_tested() -> None:
    found = holm([0.01, math.nan, 0.04])
    assert found[[0, 2]] == pytest.approx(holm([0.01, 0.04]))
    assert math.isnan(found[1])
    assert math.isnan(holm([math.nan])[0])
