import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from secondread.calibration.calibration import Calibration
from secondread.calibration.conformal import TOLERANCE, WIDEST, Conformal, tolerance
from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Mixture
from secondread.metrics.realised_rate import patients_needed


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
    st.sampled_from([0.0, 1e-9, 0.3, 0.5, 2.0]),
)
def test_the_threshold_flags_exactly_where_the_p_value_is_at_most_the_rate(calibration, rate, new, tolerance):
    scores = [float(s) for s, _ in calibration]
    conformal = Conformal.fit(scores, [p for _, p in calibration], tolerance=tolerance)
    values = np.array([*new, *scores, *np.nextafter(scores, np.inf), *np.nextafter(scores, -np.inf)])
    values = np.concatenate([values, np.nextafter(values + tolerance, np.inf), values + tolerance])
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


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    st.lists(st.floats(-1, 1), min_size=40, max_size=40),
    st.floats(1e-6, 0.2),
)
def test_a_calibration_image_keeps_its_p_value_where_rounding_moves_its_score(scores, shifts, tolerance):
    assume(widest_group_of_ties(scores, tolerance) <= WIDEST)  # wider ones are cut
    conformal = Conformal.fit(scores, range(len(scores)), tolerance=tolerance)
    moved = np.array(scores) + 0.99 * tolerance * np.array(shifts[: len(scores)])
    np.testing.assert_array_equal(conformal.p_values(moved), conformal.p_values(scores))
    for rate in (0.05, 0.3):
        threshold = conformal.threshold(rate)
        np.testing.assert_array_equal(moved >= threshold, np.array(scores) >= threshold)


def widest_group_of_ties(scores, tolerance):
    """In tolerances: how far scores reach that are no farther apart than two of them, each from the next."""
    ordered = np.sort(scores)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > 2 * tolerance) + 1)
    return max(group[-1] - group[0] for group in groups) / tolerance


def test_where_a_wide_group_of_ties_is_cut_an_image_has_the_p_value_of_one_of_its_neighbours():
    scores = np.arange(40) * 0.05
    conformal = Conformal.fit(scores, range(40), tolerance=0.05)
    assert widest_group_of_ties(scores, 0.05) > WIDEST
    whole = conformal.p_values(scores)
    levels = np.unique(whole)
    assert 2 <= levels.size <= 40 / WIDEST + 1  # groups of ten tolerances, not one of all
    for shift in (-0.049, 0.049):
        moved = np.searchsorted(levels, conformal.p_values(scores + shift))
        assert np.abs(moved - np.searchsorted(levels, whole)).max() <= 1


def test_ties_count_against_the_image_and_change_nothing_elsewhere():
    scores = [1.0, 2.0, 2.005, 3.0]
    plain, tied = (Conformal.fit(scores, "abcd", tolerance=t) for t in (0.0, 0.01))
    values = np.linspace(0, 4, 4001)
    assert (tied.p_values(values) >= plain.p_values(values)).all()
    far = np.abs(values[:, None] - scores).min(axis=1) > 0.011
    np.testing.assert_array_equal(tied.p_values(values)[far], plain.p_values(values)[far])
    # both of the two that are tied with each other count for either, and for a score just above them
    np.testing.assert_allclose(tied.p_values([2.0, 2.005, 2.014, 2.016]), [4 / 5, 4 / 5, 4 / 5, 2 / 5])


def test_ties_of_dense_calibration_scores_cost_no_more_than_ten_tolerances():
    scores = np.arange(10_000) * 1e-3
    plain, tied = (Conformal.fit(scores, range(10_000), tolerance=t) for t in (0.0, 1e-3))
    values = np.linspace(-1, 11, 997)
    assert (tied.p_values(values) >= plain.p_values(values)).all()
    assert (tied.p_values(values) <= plain.p_values(values - 12e-3)).all()
    assert tied.threshold(0.05) - plain.threshold(0.05) < 12e-3


def test_the_tolerance_is_a_share_of_the_spread_whatever_a_few_outliers_do():
    scores = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    assert tolerance(scores) == pytest.approx(2.0 * TOLERANCE, rel=0.05)
    assert tolerance([*scores, 1e12, -1e12]) == pytest.approx(tolerance(scores), rel=0.01)
    assert tolerance([7.0] * 9 + [8.0]) == pytest.approx(0.3 * TOLERANCE)
    assert tolerance([]) == tolerance([3.0]) == 0.0


def test_where_normals_hardly_differ_the_tolerance_is_that_of_the_numbers_behind_their_scores():
    values = 1e5 + np.random.default_rng(0).normal(0, 0.01, 200)
    raw = RawScores({"bits": values}, {"bits": "upper"})
    moved = RawScores({"bits": values.astype(np.float32).astype(np.float64)}, {"bits": "upper"})
    for scaled in (False, True):
        calibration = Calibration.fit(raw, raw, mixture=Mixture({"bits": 1.0}, scaled=scaled))
        apart = np.abs(calibration.combine(moved) - calibration.combine(raw)).max()
        assert 0 < apart < calibration.images.tolerance


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="tolerance"):
        Conformal.fit([1.0], [None], tolerance=wrong)


def test_no_calibration_normal_gives_p_of_one_and_no_flag():
    empty = Conformal.fit([], [])
    assert empty.p_values([100.0])[0] == 1.0
    assert empty.threshold(0.5) == math.inf


def test_the_promised_rate_holds_and_p_values_are_superuniform():
    random = np.random.default_rng(0)
    rates = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.9])
    below = np.zeros((1000, rates.size))
    for repeat in range(1000):
        normals = random.gamma(2, size=59)
        conformal = Conformal.fit(normals, range(59), tolerance=tolerance(normals))
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
