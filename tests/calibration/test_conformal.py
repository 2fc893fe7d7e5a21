import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from secondread.calibration.conformal import Conformal, patients_needed


def test_p_values_count_calibration_scores_at_or_above():
    conformal = Conformal.fit([3.0, 1.0, 2.0, 2.0], ["a", "b", "c", "d"])
    np.testing.assert_allclose(conformal.p_values([3.5, 3, 2, 1.5, 0]), [1 / 5, 2 / 5, 4 / 5, 4 / 5, 1])


def test_several_images_of_a_patient_weigh_one_together():
    conformal = Conformal.fit([5.0, 4.0, 3.0, 1.0], ["a", "a", "a", "b"])
    assert conformal.patients == 2
    np.testing.assert_allclose(conformal.p_values([5, 4, 2, 0]), [4 / 9, 5 / 9, 2 / 3, 1], atol=1e-9)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 12)), max_size=60),
    st.floats(0.01, 0.6),
    st.lists(st.floats(-12, 12), min_size=1, max_size=20),
)
def test_the_threshold_flags_exactly_where_the_p_value_is_at_most_the_rate(calibration, rate, new):
    scores = [float(s) for s, _ in calibration]
    conformal = Conformal.fit(scores, [p for _, p in calibration])
    values = np.array([*new, *scores, *np.nextafter(scores, np.inf), *np.nextafter(scores, -np.inf)])
    flagged = values >= conformal.threshold(rate)
    np.testing.assert_array_equal(flagged, conformal.p_values(values) <= rate * (1 + 1e-12))


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.07, 14), (0.5, 1), (0.3, 3)]
)
def test_a_rate_needs_so_many_patients_and_with_one_fewer_nothing_is_flagged(rate, needed):
    assert patients_needed(rate) == needed
    enough = Conformal.fit(np.arange(needed), range(needed))
    assert enough.threshold(rate) == np.nextafter(needed - 1, np.inf)
    few = Conformal.fit(np.arange(needed - 1), range(needed - 1))
    assert few.threshold(rate) == math.inf
    assert few.realised_range(rate) is None


def test_no_calibration_normal_gives_p_of_one_and_no_flag():
    empty = Conformal.fit([], [])
    assert empty.p_values([100.0])[0] == 1.0
    assert empty.threshold(0.5) == math.inf


def test_the_promised_rate_holds_and_p_values_are_superuniform():
    random = np.random.default_rng(0)
    rates = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.9])
    below = np.zeros((1000, rates.size))
    for repeat in range(1000):
        conformal = Conformal.fit(random.gamma(2, size=59), range(59))
        p = conformal.p_values(random.gamma(2, size=200))
        below[repeat] = (p[:, None] <= rates).mean(0)
    error = below.std(0) / np.sqrt(1000)
    assert (below.mean(0) <= rates + 4 * error).all()
    # without ties the promise is tight: floor(rate (n + 1)) / (n + 1)
    np.testing.assert_allclose(below.mean(0), np.floor(rates * 60 + 1e-9) / 60, atol=0.012)


def test_the_promise_holds_for_new_patients_where_patients_have_many_images():
    random = np.random.default_rng(1)
    alarms, naive = [], []
    for _ in range(1500):
        images = random.choice([1, 2, 30], size=29)
        patients = np.repeat(np.arange(29), images)
        # patients with many images score higher: counting images alike would be wrong
        effect = random.normal(size=29) - 0.8 * (images == 30)
        scores = effect[patients] + 0.3 * random.normal(size=patients.size)
        new_images = random.choice([1, 2, 30], size=40)
        new = random.normal(size=40) - 0.8 * (new_images == 30) + 0.3 * random.normal(size=40)
        alarms.append((new >= Conformal.fit(scores, patients).threshold(0.1)).mean())
        naive.append((new >= Conformal.fit(scores, [None] * scores.size).threshold(0.1)).mean())
    assert np.mean(alarms) <= 0.1 + 4 * np.std(alarms) / np.sqrt(1500)
    assert np.mean(alarms) > 0.05
    assert np.mean(naive) > 0.13


def test_the_realised_rate_lies_in_its_range_as_often_as_said():
    random = np.random.default_rng(2)
    inside = []
    for _ in range(2000):
        conformal = Conformal.fit(random.normal(size=80), range(80))
        low, high = conformal.realised_range(0.05)
        inside.append(low <= stats.norm.sf(conformal.threshold(0.05)) <= high)
    assert 0.93 < np.mean(inside) < 0.97


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_refused_with_its_index(wrong):
    with pytest.raises(ValueError, match="calibration image 1 is"):
        Conformal.fit([0.0, wrong], [None, None])
    with pytest.raises(ValueError, match="image 2 is"):
        Conformal.fit([0.0], [None]).p_values([1.0, 2.0, wrong])


def test_damaged_calibration_is_refused():
    with pytest.raises(ValueError, match="ascend"):
        Conformal(np.array([2.0, 1.0]), np.ones(2), 2)
    with pytest.raises(ValueError, match="add up"):
        Conformal(np.array([1.0, 2.0]), np.ones(2), 3)
