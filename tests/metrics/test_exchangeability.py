import numpy as np
import pytest
from scipy.stats import kstest

from secondread.calibration.conformal import Conformal
from secondread.metrics.exchangeability import exchangeability


def compare(first, second):
    return exchangeability(
        first, second, calibration_weights=np.ones(len(first)), new_weights=np.ones(len(second))
    )


def test_p_values_are_uniform_where_normals_are_exchangeable():
    random = np.random.default_rng(0)
    found = np.array([compare(random.normal(size=60), random.normal(size=40)).p_value for _ in range(300)])
    assert np.mean(found <= 0.05) < 0.08
    assert np.mean(found <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_the_distance_is_that_of_the_p_values_from_uniform():
    random = np.random.default_rng(1)
    first, second = random.normal(size=400), random.normal(0.5, 1, size=300)
    found = compare(first, second)
    p_values = Conformal.fit(first, [None] * 400).p_values(second)
    assert found.distance == pytest.approx(kstest(p_values, "uniform").statistic, abs=0.01)
    assert found.p_value < 1e-6
    assert found.higher == pytest.approx(0.64, abs=0.04)


def test_many_images_of_a_patient_are_one_patient():
    random = np.random.default_rng(2)
    first, second = random.normal(size=40), random.normal(1, 1, size=30)
    single = compare(first, second)
    repeated = exchangeability(
        np.repeat(first, 5), np.repeat(second, 4),
        calibration_weights=np.full(200, 0.2), new_weights=np.full(120, 0.25),
    )  # fmt: skip
    assert repeated.patients == (40, 30)
    assert repeated.distance == pytest.approx(single.distance)
    assert repeated.higher == pytest.approx(single.higher)
    assert repeated.p_value == pytest.approx(single.p_value, abs=0.01)


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="no scores"):
        compare([], [1.0])
    with pytest.raises(ValueError, match="finite"):
        compare([np.nan], [1.0])
