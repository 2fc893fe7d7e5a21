import numpy as np

from secondread.images.image import Geometry, Image, Voi
from secondread.readings.display import display


def grey(values, **more):
    return Image(np.asarray(values)[np.newaxis], Geometry(), "x", "0", **more)


def test_the_header_window_decides_what_is_seen():
    shown = display(grey(np.array([[-1000, 0, 40, 80, 3000]], np.int16), voi=Voi(40, 80)))
    assert shown.tolist() == [[[0, 0, 128, 255, 255]]]


def test_without_a_window_percentiles_do():
    values = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    shown = display(grey(values))
    assert shown.min() == 0
    assert shown.max() == 255
    assert abs(int(np.median(shown)) - 127) <= 1


def test_padding_and_non_finite_voxels_are_dark():
    values = np.array([[5.0, 1.0, np.nan, 9.0]], np.float32)
    shown = display(grey(values, padding=np.array([[False, False, False, True]])))
    assert shown[0, 0, 2] == 0
    assert shown[0, 0, 3] == 0


def test_a_constant_image_is_shown():
    assert display(grey(np.full((4, 4), 7, np.uint8))).shape == (1, 4, 4)
