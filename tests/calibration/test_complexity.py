import numpy as np
import pytest
from scipy import ndimage

from secondread.calibration.complexity import complexity
from secondread.calibration.complexity_line import ComplexityLine


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 64), (1, 16, 24, 24), (2, 32, 32)])
def test_smooth_images_are_simpler_than_noise_and_constants_simplest(shape):
    noise = np.random.default_rng(0).random(shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (0, *[4] * (len(shape) - 1))).astype(np.float32)
    values = [complexity(x) for x in (np.zeros_like(noise), smooth, noise)]
    assert values[0] < values[1] < values[2]
    assert values[0] < 0.7
    assert 6 < values[2] < 8.8


def test_a_fixed_range_sees_contrast_and_the_own_range_does_not():
    noise = np.random.default_rng(1).random((1, 64, 64)).astype(np.float32)
    assert complexity(noise * 0.5) == pytest.approx(complexity(noise), abs=0.01)
    assert complexity(noise * 0.05, (0.0, 1.0)) < complexity(noise, (0.0, 1.0)) - 2


def test_a_pixel_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        complexity(np.full((1, 4, 4), np.nan, np.float32))


def test_the_line_is_found_despite_outliers():
    random = np.random.default_rng(2)
    x = random.uniform(2, 6, 300)
    y = 3.0 - 0.7 * x + 0.1 * random.normal(size=300)
    y[:20] += 8
    line = ComplexityLine.fit(x, y)
    assert line.slope == pytest.approx(-0.7, abs=0.03)
    residual = line.residual(x, y)
    assert residual.mean() == pytest.approx(0, abs=1e-9)
    assert residual.std() == pytest.approx(1, abs=1e-9)


def test_without_outliers_it_is_near_least_squares():
    random = np.random.default_rng(3)
    x = random.normal(size=500)
    y = 1 + 2 * x + random.normal(size=500)
    line = ComplexityLine.fit(x, y)
    slope, intercept = np.polyfit(x, y, 1)
    assert line.slope == pytest.approx(slope, abs=0.03)
    assert line.intercept == pytest.approx(intercept, abs=0.05)


@pytest.mark.parametrize(
    ("x", "y"), [([5.0] * 4, [1.0, 2, 3, 4]), ([1.0, 2, 3], [2.0, 2, 2]), ([1.0], [4.0])]
)
def test_constants_give_finite_residuals(x, y):
    line = ComplexityLine.fit(np.array(x), np.array(y))
    assert np.isfinite(line.residual(np.array(x), np.array(y))).all()


def test_an_exact_line_leaves_nothing():
    x = np.linspace(0, 1, 20)
    line = ComplexityLine.fit(x, 2 * x + 1)
    np.testing.assert_allclose(line.residual(x, 2 * x + 1), 0, atol=1e-9)
