"""Every metric that scikit-learn or scipy has too, on random cases with ties, to 1e-12."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from secondread.metrics.decisions import at_threshold
from secondread.metrics.precision_recall import average_precision, best_f1, weighted_average_precision
from secondread.metrics.ranks import spearman
from secondread.metrics.reliability import expected_calibration_error, reliability
from secondread.metrics.roc import (
    area_to_limit,
    auroc,
    roc_curve,
    sensitivity_at_specificity,
    weighted_auroc,
    youden,
)

EXACT = 1e-12


def partial_area(labels, scores, limit):
    """The mean sensitivity up to a false-positive rate of `limit`."""
    curve = roc_curve(labels, scores)
    return area_to_limit(curve.false_positive_rate, curve.sensitivity, limit)


@st.composite
def cases(draw):
    """Labels of both classes, scores with many, some or no ties, and weights, some of them 0."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(2, 80))
    labels = random.permutation(np.arange(n) < random.integers(1, n))
    scores = random.normal(size=n) + draw(st.sampled_from([0.0, 1.0, 3.0])) * labels
    digits = draw(st.sampled_from([0, 1, 12]))
    weights = random.random((3, n)) * (random.random((3, n)) < 0.8)
    return labels, np.round(scores, digits), weights


def both_classes(labels, weights):
    return weights[labels].sum() > 0 and weights[~labels].sum() > 0


@settings(deadline=None, max_examples=100)
@given(cases())
def test_areas_equal_scikit_learn_and_the_rank_test_of_scipy(case):
    labels, scores, _ = case
    area = auroc(labels, scores)
    assert area == pytest.approx(reference.roc_auc_score(labels, scores), abs=EXACT)
    pairs = labels.sum() * (~labels).sum()
    assert area == pytest.approx(
        stats.mannwhitneyu(scores[labels], scores[~labels], method="asymptotic").statistic / pairs, abs=EXACT
    )
    assert average_precision(labels, scores) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=EXACT
    )


@settings(deadline=None, max_examples=100)
@given(cases())
def test_weighted_areas_equal_scikit_learn(case):
    labels, scores, weights = case
    areas, precisions = weighted_auroc(labels, scores, weights), weighted_average_precision(*case)
    for weight, area, precision in zip(weights, areas, precisions, strict=True):
        if not both_classes(labels, weight):
            assert np.isnan(area)
            assert np.isnan(precision)
            continue
        expected = reference.roc_auc_score(labels, scores, sample_weight=weight)
        assert area == pytest.approx(expected, abs=EXACT)
        expected = reference.average_precision_score(labels, scores, sample_weight=weight)
        assert precision == pytest.approx(expected, abs=EXACT)


def test_a_resample_without_normals_has_no_areas_however_its_weights_are_rounded():
    labels, scores = np.arange(19) != 5, np.arange(19) % 3
    weights = np.random.default_rng(0).random((100, 19))
    weights[:, 5] = 0.0
    assert np.isnan(weighted_auroc(labels, scores, weights)).all()
    assert np.isnan(weighted_average_precision(labels, scores, weights)).all()


@settings(deadline=None, max_examples=100)
@given(cases(), st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.99]))
def test_partial_area_equals_scikit_learns_before_it_is_standardised(case, limit):
    labels, scores, _ = case
    # McClish 1989: 1/2 (1 + (A - least) / (most - least)), least = limit^2 / 2, most = limit
    standardised = 0.5 * (1 + (partial_area(labels, scores, limit) - limit / 2) / (1 - limit / 2))
    expected = reference.roc_auc_score(labels, scores, max_fpr=limit)
    assert standardised == pytest.approx(expected, abs=EXACT)


@settings(deadline=None, max_examples=100)
@given(cases(), st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_points_read_off_the_curve_equal_those_of_scikit_learns_curve(case, specificity):
    labels, scores, _ = case
    rate, sensitivity, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    allowed = 1 - rate >= specificity - 1e-12
    assert sensitivity_at_specificity(labels, scores, specificity) == pytest.approx(
        sensitivity[allowed].max(), abs=EXACT
    )
    assert youden(labels, scores).index == pytest.approx((sensitivity - rate).max(), abs=EXACT)
    precision, recall, _ = reference.precision_recall_curve(labels, scores)
    total = np.maximum(precision + recall, 1e-300)
    assert best_f1(labels, scores).f1 == pytest.approx((2 * precision * recall / total).max(), abs=EXACT)


def measures_of_scikit_learn(labels, flags):
    options = {"zero_division": np.nan}
    return {
        "sensitivity": reference.recall_score(labels, flags, **options),
        "specificity": reference.recall_score(~labels, ~flags, **options),
        "precision": reference.precision_score(labels, flags, **options),
        "f1": reference.f1_score(labels, flags, **options),
        "accuracy": reference.accuracy_score(labels, flags),
    }


@settings(deadline=None, max_examples=100)
@given(cases(), st.sampled_from([-9.0, 0.0, 0.5, 1.0, 9.0]))
def test_decisions_equal_scikit_learn(case, threshold):
    labels, scores, _ = case
    flags = scores >= threshold
    table = at_threshold(labels, scores, threshold)
    for name, expected in measures_of_scikit_learn(labels, flags).items():
        assert getattr(table, name) == pytest.approx(expected, abs=EXACT, nan_ok=True)
    assert (table.sensitivity + table.specificity) / 2 == pytest.approx(
        reference.balanced_accuracy_score(labels, flags), abs=EXACT
    )


@settings(deadline=None, max_examples=60)
@given(cases(), st.sampled_from([1, 4, 10, 15]))
def test_calibration_error_equals_the_gaps_of_scikit_learns_curve(case, bins):
    labels, scores, _ = case
    probability = stats.norm.cdf(scores)
    share, mean = calibration_curve(labels, probability, n_bins=bins)
    found = reliability(probability, labels, bins)
    filled = found.count > 0
    np.testing.assert_allclose(found.share_positive[filled], share, atol=EXACT)
    np.testing.assert_allclose(found.probability[filled], mean, atol=EXACT)
    expected = np.sum(found.count[filled] * np.abs(share - mean)) / labels.size
    assert expected_calibration_error(probability, labels, bins) == pytest.approx(expected, abs=EXACT)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_rank_correlation_equals_pearsons_of_scipys_ranks(case):
    labels, scores, weights = case
    if labels.size < 3 or np.ptp(scores) == 0 or np.ptp(weights[0]) == 0:
        return
    found = spearman(scores, weights[0])
    expected = stats.pearsonr(stats.rankdata(scores), stats.rankdata(weights[0])).statistic
    assert found.rho == pytest.approx(expected, abs=EXACT)
    assert found.p_value == pytest.approx(stats.spearmanr(scores, weights[0]).pvalue, abs=EXACT)
