import numpy as np
import pytest
from scipy.stats import norm

from secondread.metrics.bootstrap import auroc_interval
from secondread.metrics.delong import delong_test
from secondread.metrics.planning.areas import (
    expected_auroc_interval,
    patients_for_auroc,
    patients_for_difference,
    power_of_difference,
)
from secondread.metrics.roc import auroc


@pytest.mark.parametrize(("power", "published"), [(0.80, 652), (0.90, 897), (0.95, 1131)])
def test_two_aurocs_need_as_many_patients_as_in_the_table_of_hanley_and_mcneil(power, published):
    """Radiology 143 (1982), table III: 0.70 against 0.75, one-sided at 5 %, different patients."""
    abnormal, normal = patients_for_difference(0.70, 0.75, correlation=0, power=power, level=0.90)
    assert abs(abnormal - normal) <= 1
    assert abnormal == pytest.approx(published, rel=0.004)


@pytest.mark.parametrize(("area", "abnormal", "normal"), [(0.8, 100, 100), (0.9, 30, 60), (0.7, 20, 80)])
def test_expected_intervals_are_as_wide_as_those_of_samples(area, abnormal, normal):
    random, labels = np.random.default_rng(0), np.arange(abnormal + normal) < abnormal
    shift, widths = norm.ppf(area) * np.sqrt(2), []
    for run in range(60):
        found = auroc_interval(
            labels, shift * labels + random.normal(size=labels.size), repeats=150, seed=run
        )
        widths.append(found.high - found.low)
    low, high = expected_auroc_interval(area, abnormal, normal)
    assert 0.95 < (high - low) / np.mean(widths) < 1.2  # the formula errs on the wide side


def test_one_patient_less_is_not_enough():
    abnormal, normal = patients_for_auroc(0.85, 0.1, prevalence=0.3)
    assert abnormal / (abnormal + normal) == pytest.approx(0.3, abs=0.01)
    low, high = expected_auroc_interval(0.85, abnormal, normal)
    assert high - low <= 0.1
    low, high = expected_auroc_interval(0.85, abnormal, normal - 1)
    assert high - low > 0.1


def test_the_power_is_the_share_of_samples_that_a_test_tells_apart():
    random, found, runs = np.random.default_rng(1), 0, 300
    labels = np.arange(160) < 80
    first, second = (norm.ppf(area) * np.sqrt(2) for area in (0.75, 0.85))
    areas = np.empty((runs, 2))
    for run in range(runs):
        common, own = random.normal(size=160), random.normal(size=(2, 160))
        scores = np.sqrt(0.5) * (common + own)
        one, other = scores[0] + first * labels, scores[1] + second * labels
        found += delong_test(labels, one, other).p_value < 0.05
        areas[run] = auroc(labels, one), auroc(labels, other)
    correlation = np.corrcoef(areas.T)[0, 1]
    expected = power_of_difference(0.75, 0.85, 80, 80, correlation=correlation)
    assert found / runs == pytest.approx(expected, abs=0.07)


def test_what_is_out_of_range_is_refused():
    for call in (
        lambda: patients_for_auroc(1.0, 0.1),
        lambda: patients_for_auroc(0.8, 0.0),
        lambda: patients_for_auroc(0.8, 0.1, prevalence=1.0),
        lambda: patients_for_difference(0.8, 0.8),
        lambda: patients_for_difference(0.8, 0.9, correlation=1.0),
        lambda: patients_for_difference(0.8, 0.9, power=1.0),
        lambda: patients_for_auroc(0.8, 1e-9),
    ):
        with pytest.raises(ValueError, match=r"between|from 0|differ|patients would be needed"):
            call()
