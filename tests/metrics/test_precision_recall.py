import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from secondread.metrics.precision_recall import (
    average_precision,
    best_f1,
    precision_recall_curve,
    weighted_average_precision,
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12))
def test_average_precision_and_curve_equal_scikit_learn(seed, n, levels):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) < random.integers(1, n))
    scores = random.integers(0, levels, n).astype(float)
    assert average_precision(labels, scores) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-12
    )
    precision, recall, thresholds = reference.precision_recall_curve(labels, scores)
    curve = precision_recall_curve(labels, scores)
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds[::-1], thresholds)
    best = max(reference.f1_score(labels, scores >= t) for t in thresholds)
    assert best_f1(labels, scores).f1 == pytest.approx(best, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_weights_equal_repeated_images(seed):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(20) < 7)
    scores = random.integers(0, 9, 20).astype(float)
    weight = random.integers(0, 3, 20)
    drawn = np.repeat(np.arange(20), weight)
    value = weighted_average_precision(labels, scores, weight[None])[0]
    if 0 < labels[drawn].sum() < drawn.size:
        assert value == pytest.approx(
            reference.average_precision_score(labels[drawn], scores[drawn]), abs=1e-12
        )
    else:
        assert np.isnan(value)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        average_precision([1, 1], [0, 1])
