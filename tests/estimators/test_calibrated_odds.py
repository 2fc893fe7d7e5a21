import numpy as np
import pytest
from scipy.special import expit, logit

from secondread.estimators.calibrated_odds import calibrated_line
from secondread.metrics.reliability import expected_calibration_error

RATE, APART = 0.1, 2.5


def odds(n, abnormal, seed):
    """True log odds at the rate of two unit Gaussians that far apart."""
    x = np.random.default_rng(seed).normal(size=n) + APART * abnormal
    return APART * x - APART**2 / 2 + logit(RATE)


def cases(seed=0, normals=4_000, unlabelled=8_000):
    abnormal = round(RATE * unlabelled)
    found = np.r_[odds(unlabelled - abnormal, 0, seed + 1), odds(abnormal, 1, seed + 2)]
    return odds(normals, 0, seed), found


@pytest.mark.parametrize(("slope", "shift"), [(5.0, 0.0), (0.2, 0.0), (3.0, -4.0), (40.0, 100.0)])
def test_odds_that_a_line_spoilt_come_back(slope, shift):
    normal, unlabelled = (slope * own + shift for own in cases())
    a, b = calibrated_line(normal, unlabelled, RATE)
    np.testing.assert_allclose((a * slope, a * shift + b), (1, 0), atol=0.15)
    assert expit(a * unlabelled + b).mean() == pytest.approx(RATE, abs=1e-6)


def test_posteriors_that_are_too_sure_become_frequencies_on_new_cases():
    before, after = [], []
    new, labels = np.r_[odds(9_000, 0, 90), odds(1_000, 1, 91)], np.repeat([0, 1], [9_000, 1_000])
    for seed in range(0, 50, 10):
        normal, unlabelled = cases(seed, normals=600, unlabelled=1_600)
        a, b = calibrated_line(8 * normal, 8 * unlabelled, RATE)
        before.append(expected_calibration_error(expit(8 * new), labels))
        after.append(expected_calibration_error(expit(a * 8 * new + b), labels))
    assert np.mean(before) > 0.035
    assert np.mean(after) < 0.02


def test_normals_that_lie_lower_than_those_among_the_unlabelled_do_not_make_it_endlessly_sure():
    normal, unlabelled = cases(normals=150, unlabelled=400)
    a, _ = calibrated_line(normal - 2.0, unlabelled, RATE)
    assert a < 10


@pytest.mark.parametrize(
    ("normal", "unlabelled", "rate"),
    [([], [1.0], 0.1), ([1.0], [], 0.1), ([1.0], [1.0], 0.0), ([np.nan], [1.0], 0.1)],
)
def test_nothing_to_calibrate_on_is_refused(normal, unlabelled, rate):
    with pytest.raises(ValueError, match="calibrated"):
        calibrated_line(np.array(normal), np.array(unlabelled), rate)


def test_odds_that_are_all_alike_get_the_rate():
    a, b = calibrated_line(np.zeros(5), np.zeros(7), 0.2)
    assert expit(b) == pytest.approx(0.2)
    assert a > 0
