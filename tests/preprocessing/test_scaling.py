import numpy as np
import pytest

from secondread.images.image import Geometry, Image, ImageError
from secondread.preprocessing.colour import to_grey, to_rgb
from secondread.preprocessing.percentiles import PercentileBounds, Percentiles
from secondread.preprocessing.picture import picture_of
from secondread.preprocessing.standardise import Standardisation, Standardise


def picture(values):
    return picture_of(Image(np.asarray(values)[np.newaxis], Geometry(), "a.png", "0" * 40))


def spike():
    values = np.zeros((32, 32), np.uint16)
    values[3, 4] = 65535
    return values


@pytest.mark.parametrize("step", [Percentiles(), Standardise()])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((8, 8), np.uint8),
        np.full((8, 8), 65535, np.uint16),
        np.full((8, 8), 1e30, np.float32),
        np.full((8, 8), -0.1, np.float32),
        spike(),
        np.linspace(-3e38, 3e38, 64, dtype=np.float32).reshape(8, 8),
    ],
)
def test_odd_images_stay_finite_and_bounded(step, values):
    result = step.apply(picture(values)).values
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert np.abs(result).max() <= 8.0


def test_constant_images_become_zero():
    for step in (Percentiles(), Standardise()):
        assert not step.apply(picture(np.full((8, 8), 0.1, np.float32))).values.any()


def test_a_single_spike_survives_percentiles():
    result = Percentiles().apply(picture(spike())).values[0]
    assert result[3, 4] == 1
    assert result.sum() == 1


def test_percentiles_do_not_depend_on_scale_and_offset():
    values = np.random.default_rng(0).normal(size=(40, 40))
    a, b = (Percentiles().apply(picture(v)).values for v in (values, 300 * values - 70))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_foreground_percentiles_ignore_the_background():
    values = np.zeros((64, 64))
    values[20:40, 20:40] = np.random.default_rng(0).uniform(50, 100, (20, 20))
    step = Percentiles(percentiles=PercentileBounds(low=0, high=50, over="foreground"))
    assert 0.4 < step.apply(picture(values)).values[0, 20:40, 20:40].mean() < 0.8


def test_standardised_images_have_mean_0_and_deviation_1():
    values = np.random.default_rng(1).gamma(2.0, 100.0, size=(64, 64))
    result = Standardise(standardise=Standardisation(clip=None)).apply(picture(values)).values
    assert abs(result.mean()) < 1e-5
    assert abs(result.std() - 1) < 1e-5


def test_grey_is_the_luminance_of_colour_and_rgb_repeats_grey():
    colour = np.random.default_rng(2).random((3, 5, 6)).astype(np.float32)
    grey = to_grey(colour, "a")
    np.testing.assert_allclose(grey[0], 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2], atol=1e-6)
    repeated = to_rgb(grey, "a")
    assert repeated.shape == (3, 5, 6)
    np.testing.assert_allclose(to_grey(repeated, "a"), grey, atol=1e-6)


def test_two_channels_are_neither_grey_nor_colour():
    with pytest.raises(ImageError, match="2 channels"):
        to_rgb(np.zeros((2, 4, 4), np.float32), "a")
