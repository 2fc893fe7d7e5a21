import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from secondread.metrics.reliability import expected_calibration_error, reliability


def test_an_exactly_calibrated_probability_has_no_error():
    probability = np.repeat([0.1, 0.5, 0.9], 10)
    positive = np.concatenate([np.arange(10) < k for k in (1, 5, 9)])
    assert expected_calibration_error(probability, positive) == pytest.approx(0, abs=1e-12)


def test_the_error_worked_by_hand():
    # bins of 0.2: {0.1, 0.2}: mean 0.15, 1 of 2 positive; {0.5}: 0 of 1; {0.9, 1.0, 0.95}: 2 of 3
    probability = [0.1, 0.2, 0.5, 0.9, 1.0, 0.95]
    positive = [0, 1, 0, 1, 1, 0]
    expected = (2 * abs(1 / 2 - 0.15) + 1 * abs(0 - 0.5) + 3 * abs(2 / 3 - 0.95)) / 6
    assert expected_calibration_error(probability, positive, bins=5) == pytest.approx(expected)
    found = reliability(probability, positive, bins=5)
    assert found.count.tolist() == [2, 0, 1, 0, 3]
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(found.probability, [0.15, np.nan, 0.5, np.nan, 0.95])
    np.testing.assert_allclose(found.share_positive, [0.5, np.nan, 0, np.nan, 2 / 3])


def test_certainty_that_is_always_wrong_has_an_error_of_one():
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0


def test_one_bin_compares_the_means():
    probability, positive = [0.2, 0.4, 0.9], [0, 1, 1]
    assert expected_calibration_error(probability, positive, bins=1) == pytest.approx(abs(0.5 - 2 / 3))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 300), st.integers(1, 20))
def test_the_diagram_equals_that_of_scikit_learn(seed, n, bins):
    random = np.random.default_rng(seed)
    probability = random.random(n)
    positive = random.permutation(np.arange(n) < random.integers(1, n))
    found = reliability(probability, positive, bins)
    share, mean = calibration_curve(positive, probability, n_bins=bins)
    filled = found.count > 0
    np.testing.assert_allclose(found.share_positive[filled], share)
    np.testing.assert_allclose(found.probability[filled], mean)
    assert found.count.sum() == n
    assert 0 <= expected_calibration_error(probability, positive, bins) <= 1


def test_labels_drawn_from_the_probability_leave_a_small_error_and_overconfidence_a_large_one():
    random = np.random.default_rng(0)
    probability = random.random(50_000)
    positive = random.random(50_000) < probability
    assert expected_calibration_error(probability, positive) < 0.01
    sharpened = probability**4 / (probability**4 + (1 - probability) ** 4)
    assert expected_calibration_error(sharpened, positive) > 0.1


@pytest.mark.parametrize(
    ("probability", "positive", "bins", "message"),
    [
        ([0.5, 1.2], [0, 1], 5, "index 1 is 1.2"),
        ([0.5, np.nan], [0, 1], 5, "index 1 is nan"),
        ([0.5], [0, 1], 5, "one length"),
        ([0.5], [2], 5, "labels must be 0"),
        ([0.5], [1], 0, "bins"),
        ([], [], 5, "no probability"),
    ],
)
def test_what_is_no_probability_is_refused(probability, positive, bins, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(probability, positive, bins)
