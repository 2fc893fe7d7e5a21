import numpy as np
import pytest
from scipy.stats import norm

from secondread.metrics.bootstrap import (
    area_draws,
    auroc_interval,
    average_precision_interval,
    bootstrap,
    patient_weights,
    precision_recall_band,
    roc_band,
)
from secondread.metrics.delong import delong
from secondread.metrics.patients import patient_numbers
from secondread.metrics.precision_recall import (
    WeightedAveragePrecision,
    average_precision,
    weighted_average_precision,
)
from secondread.metrics.roc import WeightedAuroc, auroc, weighted_auroc
from secondread.metrics.shares import clopper_pearson


def example(seed, n=150, shift=1.0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    return labels, shift * labels + random.normal(size=n)


def test_all_images_of_a_patient_are_drawn_together():
    patients = ["a", "b", "a", None, None, "b"]
    weights = np.concatenate(list(patient_weights(patients, 50, seed=1)))
    assert weights.shape == (50, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 5])
    assert (weights[:, 3] != weights[:, 4]).any()
    np.testing.assert_array_equal(weights[:, [0, 1, 3, 4]].sum(1), 4)


def test_the_same_seed_gives_the_same_interval():
    labels, scores = example(0)
    assert auroc_interval(labels, scores, seed=4) == auroc_interval(labels, scores, seed=4)
    assert auroc_interval(labels, scores, seed=4) != auroc_interval(labels, scores, seed=5)


def test_the_fast_statistic_equals_the_plain_one():
    labels, scores = example(1, n=40)

    def of_weights(weights):
        drawn = [np.repeat(np.arange(40), row.astype(int)) for row in weights]
        return np.array([auroc(labels[i], scores[i]) if 0 < labels[i].sum() < 40 else np.nan for i in drawn])

    plain = bootstrap(of_weights, [None] * 40, repeats=200, seed=3)
    fast = bootstrap(
        lambda weights: weighted_auroc(labels, scores, weights), [None] * 40, repeats=200, seed=3
    )
    assert (plain.low, plain.high) == pytest.approx((fast.low, fast.high), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 9])
def test_areas_by_patient_are_those_of_their_images_to_the_last_bit(digits):
    labels, scores = example(9)
    scores, patients = scores.round(digits), np.arange(150) // 4 * 3
    number = patient_numbers(patients)
    weights = np.concatenate(list(patient_weights(patients.tolist(), 40, 0)))
    for of_patients, of_images in (
        (WeightedAuroc, weighted_auroc),
        (WeightedAveragePrecision, weighted_average_precision),
    ):
        drawn = area_draws([of_patients(labels, scores, number)], number, repeats=40, seed=0)[0]
        np.testing.assert_array_equal(drawn, of_images(labels, scores, weights))


def test_without_clusters_it_agrees_with_delong():
    labels, scores = example(2, n=400)
    estimate, found = delong(labels, scores), auroc_interval(labels, scores)
    assert found.low == pytest.approx(estimate.low, abs=0.012)
    assert found.high == pytest.approx(estimate.high, abs=0.012)


def test_repeated_images_of_a_patient_do_not_narrow_the_interval():
    labels, scores = example(3, n=60)
    single = auroc_interval(labels, scores)
    patients = np.repeat(np.arange(60), 10)
    repeated = auroc_interval(np.repeat(labels, 10), np.repeat(scores, 10), patients)
    assert repeated.low == pytest.approx(single.low, abs=1e-9)
    as_if_independent = auroc_interval(np.repeat(labels, 10), np.repeat(scores, 10))
    assert as_if_independent.high - as_if_independent.low < 0.5 * (single.high - single.low)


def test_clustered_intervals_cover_the_true_area():
    random = np.random.default_rng(5)
    true = norm.cdf(1 / np.sqrt(2 * (1 + 1)))
    patients = np.repeat(np.arange(60), 4)
    labels = patients < 30
    hits = 0
    for repeat in range(200):
        scores = labels + random.normal(size=60)[patients] + random.normal(size=240)
        found = auroc_interval(labels, scores, patients, repeats=300, seed=repeat)
        hits += found.low <= true <= found.high
    assert 0.88 < hits / 200 < 0.99


def test_bands_hold_the_curve():
    labels, scores = example(6, n=300)
    roc = roc_band(labels, scores, repeats=200)
    assert roc.x[0] == 0
    assert roc.x[-1] == 1
    assert (roc.low <= roc.high).all()
    assert roc.high[-1] == roc.low[-1] == 1
    area = auroc(labels, scores)
    assert np.trapezoid(roc.low, roc.x) < area < np.trapezoid(roc.high, roc.x)
    precision = precision_recall_band(labels, scores, repeats=200)
    assert ((precision.low > 0) & (precision.high <= 1)).all()
    share = labels.mean()
    assert precision.low[-1] <= share + 0.1
    assert precision.high[10] > share


def test_an_average_precision_has_an_interval_at_1_too():
    labels, scores = example(7)
    found = average_precision_interval(labels, scores, repeats=300)
    assert 0 < found.low < found.high < 1
    perfect = average_precision_interval(labels, labels, repeats=50)
    assert (perfect.low, perfect.high) == pytest.approx(clopper_pearson(labels.sum(), labels.sum()))


def test_the_band_of_a_perfect_curve_has_a_width():
    labels = np.arange(80) < 40
    band = roc_band(labels, labels, repeats=50)
    assert band.low[0] == pytest.approx(clopper_pearson(40, 40)[0])
    assert (band.high == 1).all()
    assert band.low[-1] == 1


@pytest.mark.parametrize(("shift", "count"), [(2.7, 12), (2.7, 40)])
def test_intervals_of_high_areas_hold_the_true_ones(shift, count):
    random = np.random.default_rng(2)
    labels, true = np.arange(2 * count) < count, norm.cdf(shift / np.sqrt(2))
    many = np.arange(200_000) < 100_000
    true_precision = average_precision(many, shift * many + random.normal(size=many.size))
    hits = np.zeros(2)
    for repeat in range(100):
        scores = shift * labels + random.normal(size=labels.size)
        for i, (make, truth) in enumerate(
            [(auroc_interval, true), (average_precision_interval, true_precision)]
        ):
            found = make(labels, scores, repeats=150, seed=repeat)
            hits[i] += found.low <= truth <= found.high
    assert (hits >= 91).all()


def test_a_difference_of_two_scores_is_paired():
    labels, scores = example(8)
    same = bootstrap(
        lambda w: weighted_auroc(labels, scores, w) - weighted_auroc(labels, 3 * scores, w),
        [None] * 150,
        repeats=50,
    )
    assert (same.low, same.high) == (0.0, 0.0)


def _one_class_seed():
    """A seed whose only draw leaves out the patient with the normal image."""
    patients = ["b", "a", "a", "a"]
    return next(s for s in range(99) if next(patient_weights(patients, 1, s))[0, 0] == 0)


def test_too_few_patients_of_a_class_are_refused():
    with pytest.raises(ValueError, match="too few patients"):
        auroc_interval([0, 1, 1, 1], [1, 2, 3, 4], ["b", "a", "a", "a"], repeats=1, seed=_one_class_seed())


def test_patients_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 patients are given for 3 images"):
        auroc_interval([0, 1, 1], [1, 2, 3], ["a", "b"])
