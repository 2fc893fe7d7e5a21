import numpy as np
import pytest
from scipy.ndimage import median_filter

from secondread.postprocessing.masked_median import masked_median

VALUES = np.random.default_rng(0).normal(size=(9, 11)).astype(np.float32)


def test_inside_an_area_it_is_scipys_median_filter():
    found = masked_median(VALUES, None, 3)
    np.testing.assert_array_equal(found[1:-1, 1:-1], median_filter(VALUES, 3)[1:-1, 1:-1])


@pytest.mark.parametrize(("shape", "side"), [((9, 11), 3), ((9, 11), 5), ((6, 5, 7), 3)])
def test_it_is_the_median_of_the_windows_positions_in_the_area(shape, side):
    generator = np.random.default_rng(1)
    values, area = generator.normal(size=shape).astype(np.float32), generator.random(shape) < 0.7
    area[..., :5] = True
    found = masked_median(values, area, side)
    radius = side // 2
    for at in np.ndindex(*shape):
        window = tuple(slice(max(0, i - radius), i + radius + 1) for i in at)
        expected = np.median(values[window][area[window]]) if area[at] else values[at]
        assert found[at] == pytest.approx(expected, abs=1e-7)


def test_a_speck_goes_and_what_lies_outside_the_area_has_no_say():
    values, area = np.zeros((7, 7), np.float32), np.zeros((7, 7), bool)
    area[:, :3] = True
    values[:, :2], values[:, 3:] = 1.0, -100.0
    values[3, 0] = 50.0
    found = masked_median(values, area, 3)
    assert found[3, 0] == 1
    np.testing.assert_array_equal(found[:, 2], 0.5)
    np.testing.assert_array_equal(found[:, 3:], -100)


def test_a_side_of_one_changes_nothing():
    assert masked_median(VALUES, None, 1) is VALUES


def test_where_nothing_is_in_the_area_nothing_changes():
    np.testing.assert_array_equal(masked_median(VALUES, np.zeros(VALUES.shape, bool), 3), VALUES)
