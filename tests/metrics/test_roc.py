import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from secondread.metrics.roc import (
    area_to_limit,
    auroc,
    roc_curve,
    sensitivity_at_specificity,
    weighted_auroc,
    youden,
)


def partial_area(labels, scores, limit):
    """The mean sensitivity up to a false-positive rate of `limit`."""
    curve = roc_curve(labels, scores)
    return area_to_limit(curve.false_positive_rate, curve.sensitivity, limit)


@st.composite
def labelled(draw):
    n = draw(st.integers(2, 60))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda v: any(v) and not all(v)))
    scores = draw(st.lists(st.integers(-8, 8), min_size=n, max_size=n))
    return np.array(labels), np.array(scores, dtype=float)


@settings(deadline=None, max_examples=60)
@given(labelled())
def test_area_and_curve_equal_scikit_learn_with_ties(case):
    labels, scores = case
    assert auroc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    fpr, tpr, thresholds = reference.roc_curve(labels, scores, drop_intermediate=False)
    curve = roc_curve(labels, scores)
    np.testing.assert_allclose(curve.false_positive_rate, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.sensitivity, tpr, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@settings(deadline=None, max_examples=60)
@given(labelled())
def test_monotone_transforms_do_not_change_the_area(case):
    labels, scores = case
    assert auroc(labels, np.arctan(scores) * 3 + 1) == auroc(labels, scores)
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(labelled(), st.integers(0, 1000))
def test_weights_equal_repeated_images(case, seed):
    labels, scores = case
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, labels.size))
    areas = weighted_auroc(labels, scores, weights)
    for weight, area in zip(weights, areas, strict=True):
        drawn = np.repeat(np.arange(labels.size), weight)
        if drawn.size and 0 < labels[drawn].sum() < drawn.size:
            assert area == pytest.approx(reference.roc_auc_score(labels[drawn], scores[drawn]), abs=1e-12)
        else:
            assert np.isnan(area)


def test_perfect_and_useless_orders():
    assert auroc([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0
    assert auroc([0, 1, 0, 1], [5, 5, 5, 5]) == 0.5


def test_youden_is_the_best_point_of_the_curve():
    labels, scores = [0, 0, 0, 1, 1, 1], [1, 2, 5, 4, 6, 7]
    point = youden(labels, scores)
    assert point.threshold == 6
    assert point.sensitivity == pytest.approx(2 / 3)
    best = max(np.mean(np.array(scores)[3:] >= t) + np.mean(np.array(scores)[:3] < t) - 1 for t in scores)
    assert point.index == pytest.approx(best, abs=1e-12)


def test_sensitivity_at_a_specificity_reads_the_curve():
    labels = [0] * 10 + [1] * 4
    scores = [*range(10), 8.5, 9.5, 9.6, 0.0]
    assert sensitivity_at_specificity(labels, scores, 1.0) == 0.5
    assert sensitivity_at_specificity(labels, scores, 0.9) == 0.75
    assert sensitivity_at_specificity(labels, scores, 0.0) == 1.0


def test_partial_area_to_one_is_the_whole_area():
    random = np.random.default_rng(0)
    labels = random.random(80) < 0.4
    scores = labels + random.normal(size=80)
    assert partial_area(labels, scores, 1.0) == pytest.approx(auroc(labels, scores), abs=1e-12)
    assert partial_area([0, 1], [0, 1], 0.3) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 0], [1, 2], "all 2 labels are normal"),
        ([1, 1], [1, 2], "all 2 labels are abnormal"),
        ([0, 1], [1, np.nan], "index 1"),
        ([0, 1], [np.inf, 0], "index 0"),
        ([0, 2], [0, 1], "labels must be 0"),
        ([0, 1], [0, 1, 2], "one length"),
    ],
)
def test_wrong_input_is_said_plainly(labels, scores, words):
    with pytest.raises(ValueError, match=words):
        auroc(labels, scores)
