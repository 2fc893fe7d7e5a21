import numpy as np
import pytest

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.map_mixture import CalibratedMaps
from secondread.calibration.map_moments import MapMoments

VALUES = np.random.default_rng(0).random((20, 10, 10)).astype(np.float32)


def moments(values) -> MapMoments:
    found = MapMoments()
    found.update({"error": values})
    return found


def calibrated(values, rate=0.01) -> CalibratedMaps:
    settings = CalibrationSettings(pixel_false_alarm_rate=rate)
    maps = CalibratedMaps.fit(moments(values), {"error": 1.0}, settings, scaled=False)
    return maps.with_threshold(moments(values), rate)


def test_the_threshold_is_the_quantile_of_normals_pixels():
    assert calibrated(VALUES).threshold == np.quantile(VALUES, 0.99)


def test_where_most_pixels_are_alike_only_pixels_above_them_are_called():
    values = np.where(VALUES > 0.997, VALUES, np.float32(0))
    maps = calibrated(values)
    assert maps.threshold == values[values > 0].min()
    assert maps.low == 0
    assert maps.high == pytest.approx(np.quantile(values[values > 0], 0.995), rel=1e-6)
    assert (values >= maps.threshold).mean() <= 0.01


def test_where_all_pixels_are_alike_none_is_called():
    maps = calibrated(np.zeros_like(VALUES))
    assert not (maps.threshold <= np.zeros(3, np.float32)).any()
