import numpy as np
import pytest
from scipy.stats import norm

from secondread.metrics.bootstrap import auroc_interval, average_precision_interval, patient_weights
from secondread.metrics.delong import delong_means
from secondread.metrics.paired import Resampled, resampled_aurocs
from secondread.metrics.precision_recall import weighted_average_precision
from secondread.metrics.roc import auroc, weighted_auroc


def methods(random, n=80, seeds=(3, 3), *, shift=1.0, of_seed=0.0, of_image=0.0):
    """Labels and scores of equally good methods, whose seeds differ in strength and on single images."""
    labels = np.arange(n) < n // 2
    common = random.normal(size=n)
    scores = [
        (shift + of_seed * random.normal(size=(count, 1))) * labels
        + common
        + 0.7 * random.normal(size=n)
        + of_image * random.normal(size=(count, n))
        for count in seeds
    ]
    return labels, scores


def test_a_draw_is_the_mean_over_seeds_moved_by_the_seeds_drawn():
    random = np.random.default_rng(0)
    labels, scores = methods(random, seeds=(3, 1, 3, 2), of_seed=0.5)
    patients = np.arange(80) // 2
    found = resampled_aurocs(labels, scores, patients, repeats=40, seed=5)
    weights = np.concatenate(list(patient_weights(patients, 40, 5)))
    moves = {}
    for column, rows in enumerate(scores):
        values = np.array([auroc(labels, row) for row in rows])
        np.testing.assert_allclose(found.seed_values[column], values, atol=1e-12)
        mean = np.mean([weighted_auroc(labels, row, weights) for row in rows], axis=0)
        count = len(rows)
        if count == 1:
            np.testing.assert_allclose(found.draws[:, column], mean, atol=1e-12)
            continue
        drawn = np.random.default_rng([5, count]).integers(0, count, size=(40, count))
        move = np.sqrt(count / (count - 1)) * (values[drawn].mean(1) - values.mean())
        np.testing.assert_allclose(found.draws[:, column] - mean, move, atol=1e-12)
        moves.setdefault(count, []).append(drawn)
    np.testing.assert_array_equal(*moves[3])


def test_other_methods_do_not_change_a_methods_draws():
    random = np.random.default_rng(1)
    labels, scores = methods(random, seeds=(3, 2, 5), of_seed=0.3)
    every = resampled_aurocs(labels, scores, [None] * 80, repeats=30)
    alone = resampled_aurocs(labels, scores[2:], [None] * 80, repeats=30)
    np.testing.assert_array_equal(every.draws[:, 2], alone.draws[:, 0])
    again = resampled_aurocs(labels, scores, [None] * 80, repeats=30)
    np.testing.assert_array_equal(every.draws, again.draws)


def test_one_seed_has_the_interval_of_the_patients_bootstrap():
    labels, scores = methods(np.random.default_rng(2), seeds=(1,))
    patients = np.arange(80) // 4
    found = resampled_aurocs(labels, scores, patients, repeats=300, seed=7)
    expected = auroc_interval(labels, scores[0][0], patients, repeats=300, seed=7)
    assert found.intervals()[0].low == pytest.approx(expected.low, abs=1e-12)
    assert found.intervals()[0].high == pytest.approx(expected.high, abs=1e-12)
    precision = resampled_aurocs(
        labels, scores, patients, repeats=300, seed=7, statistic=weighted_average_precision
    )
    expected = average_precision_interval(labels, scores[0][0], patients, repeats=300, seed=7)
    assert precision.intervals()[0].high == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_spread_of_few_seeds_is_not_underestimated(count):
    values = np.random.default_rng(count).normal(size=count)

    def first_score(labels, scores, weights):
        return np.full(len(weights), scores[0])

    scores = np.tile(values[:, None], 4)
    found = resampled_aurocs([0, 1, 0, 1], [scores], [None] * 4, repeats=20_000, statistic=first_score)
    assert found.draws.var() == pytest.approx(values.var(ddof=1) / count, rel=0.05)


def test_without_a_seed_effect_the_covariance_is_delongs():
    labels, scores = methods(np.random.default_rng(3), n=400, seeds=(1, 1, 1), of_image=0.5)
    found = resampled_aurocs(labels, scores, [None] * 400)
    areas, covariance = delong_means(labels, scores)
    np.testing.assert_allclose(found.means, areas, atol=1e-12)
    np.testing.assert_allclose(np.cov(found.draws.T), covariance, rtol=0.15)


def test_a_method_does_not_differ_from_itself():
    labels, scores = methods(np.random.default_rng(4), of_seed=0.5)
    found = resampled_aurocs(labels, [scores[0], 3 * scores[0]], [None] * 80, repeats=100)
    result = found.difference(0, 1)
    assert (result.value, result.z, result.p_value) == (0.0, 0.0, 1.0)
    assert (result.interval.low, result.interval.high) == (0.0, 0.0)
    assert [(rank.mean, rank.low, rank.high) for rank in found.ranks()] == [(1.5, 1.5, 1.5)] * 2


def test_a_p_value_can_be_smaller_than_one_in_the_number_of_draws():
    random = np.random.default_rng(5)
    labels, scores = methods(random, n=400, seeds=(1, 1), shift=3)
    found = resampled_aurocs(labels, [scores[0], random.normal(size=(1, 400))], [None] * 400, repeats=200)
    assert found.difference(0, 1).p_value < 1e-12
    assert found.difference(1, 0).value == -found.difference(0, 1).value


def test_all_pairs_are_compared_and_the_best_ranks_first():
    random = np.random.default_rng(6)
    labels = np.arange(200) < 100
    scores = [shift * labels + random.normal(size=(2, 200)) for shift in (0.2, 3.0, 1.0)]
    found = resampled_aurocs(labels, scores, [None] * 200, repeats=300)
    assert [(d.first, d.second) for d in found.differences()] == [(0, 1), (0, 2), (1, 2)]
    assert [d.z < 0 for d in found.differences()] == [True, True, False]
    assert [rank.mean for rank in found.ranks()] == pytest.approx([3, 1, 2], abs=0.05)
    draws = np.array([[1.0, 2, 2], [3, 1, 2]])
    assert [rank.mean for rank in Resampled(found.seed_values, draws).ranks()] == [2.0, 2.25, 1.75]


def test_uncertainty_of_few_seeds_is_told_from_that_of_images():
    few = [np.array([0.7, 0.9]), np.array([0.8, 0.8])]
    variance = np.var([-0.1, 0.1], ddof=1) / 2
    draws = np.random.default_rng(7).normal(0, np.sqrt(2 * variance), size=(100_000, 1)) * [[1, 0]]
    assert Resampled(tuple(few), draws).difference(0, 1).degrees_of_freedom == pytest.approx(4, rel=0.05)
    one = Resampled((few[0][:1], few[1][:1]), draws).difference(0, 1)
    assert one.degrees_of_freedom == np.inf
    assert one.p_value == pytest.approx(2 * norm.sf(abs(one.z)), abs=1e-12)


@pytest.mark.parametrize(
    ("of_seed", "of_image"), [pytest.param(0.0, 0.0, marks=pytest.mark.slow), (0.2, 0.3)]
)
def test_intervals_cover_the_true_difference_and_p_values_hold_their_level(of_seed, of_image):
    random = np.random.default_rng(8)
    covered = rejected = 0
    for repeat in range(300):
        labels, scores = methods(random, of_seed=of_seed, of_image=of_image)
        found = resampled_aurocs(labels, scores, [None] * 80, repeats=200, seed=repeat).difference(0, 1)
        covered += found.interval.low <= 0 <= found.interval.high
        rejected += found.p_value <= 0.05
    assert 0.91 < covered / 300 < 0.985
    assert 0.015 < rejected / 300 < 0.085


def test_seeds_are_paired_by_their_number_and_not_by_their_place():
    random = np.random.default_rng(9)
    labels, scores = methods(random, seeds=(2, 2, 2), of_seed=0.5)
    found = resampled_aurocs(labels, scores, [None] * 80, seeds=[[0, 1], [0, 2], [0, 1]], repeats=4000)
    a, b, _ = found.seed_values
    assert found._seed_variances(0, 1) == [(values.var(ddof=1) / 2, 2) for values in (a, b)]
    assert found._seed_variances(0, 2) == [((a - found.seed_values[2]).var(ddof=1) / 2, 2)]
    weights = np.concatenate(list(patient_weights([None] * 80, 4000, 0)))
    means = [np.mean([weighted_auroc(labels, row, weights) for row in rows], axis=0) for rows in scores]
    moves = found.draws - np.stack(means, axis=1)
    correlation = np.corrcoef(moves.T)
    assert abs(correlation[0, 1]) < 0.06
    assert abs(correlation[0, 2]) == pytest.approx(1)


def test_wrong_input_of_a_comparison_is_said_plainly():
    with pytest.raises(ValueError, match="2 patients are given for 3 images"):
        resampled_aurocs([0, 1, 1], [[[1, 2, 3]]], ["a", "b"])
    with pytest.raises(ValueError, match="a seed for each row"):
        resampled_aurocs([0, 1, 1], [[[1, 2, 3]]], ["a", "b", "c"], seeds=[[0, 1]])
    with pytest.raises(ValueError, match=r"scores of method 1 are \(3,\)"):
        resampled_aurocs([0, 1, 1], [[[1, 2, 3]], [1, 2, 3]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="no method"):
        resampled_aurocs([0, 1, 1], [], ["a", "b", "c"])
    with pytest.raises(ValueError, match="index 2 is nan"):
        resampled_aurocs([0, 1, 1], [[[1, 2, np.nan]]], ["a", "b", "c"])
