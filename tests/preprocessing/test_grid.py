import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from secondread.preprocessing.grid import fit_grid
from secondread.preprocessing.resample import resize

sizes = st.integers(3, 70)
fits = st.sampled_from(["stretch", "pad", "crop", "place"])


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (301, 200), (224, 17)])
def test_resizing_agrees_with_pillows_bilinear(size):
    values = np.random.default_rng(0).random((129, 200)).astype(np.float32)
    expected = np.asarray(Pillow.fromarray(values).resize(size[::-1], Pillow.Resampling.BILINEAR))
    np.testing.assert_allclose(resize(values, size), expected, atol=2e-6)


def test_volumes_are_resized_axis_by_axis():
    values = np.random.default_rng(1).random((2, 10, 12, 14)).astype(np.float32)
    flat = resize(resize(values, (12, 14)), (5, 12, 14))
    np.testing.assert_allclose(resize(values, (5, 12, 14)), flat, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, fits)
def test_a_map_lies_exactly_on_the_files_grid_and_constants_stay_constant(rows, columns, height, width, fit):
    grid = fit_grid((rows, columns), (height, width), fit)
    assert grid.resample(np.full((1, rows, columns), 3.0, np.float32)).shape == (1, height, width)
    back = grid.bring_back(np.full((height, width), 2.5, np.float32))
    assert back.shape == (rows, columns)
    np.testing.assert_allclose(back, 2.5, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, fits)
def test_what_stands_on_padding_has_no_influence_on_the_files_map(rows, columns, height, width, fit):
    grid = fit_grid((rows, columns), (height, width), fit)
    inside = grid.inside()
    if inside is None or not inside.any():
        return
    smooth = np.random.default_rng(0).random((height, width)).astype(np.float32)
    dirty = np.where(inside, smooth, 1e6).astype(np.float32)
    np.testing.assert_array_equal(grid.bring_back(smooth), grid.bring_back(dirty))


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop", "place"])
@pytest.mark.parametrize("array_size", [(61, 48), (30, 30), (90, 33), (40, 44, 36)])
def test_a_smooth_picture_comes_back_to_its_place(fit, array_size):
    index = np.indices(array_size, dtype=np.float32)
    picture = sum((a + 1) * index[a] / n for a, n in enumerate(array_size)).astype(np.float32)
    grid = fit_grid(array_size, (40,) * len(array_size), fit)
    back = grid.bring_back(grid.resample(picture[np.newaxis])[0])
    seen = grid.seen()
    inner = tuple(slice(3, -3) for _ in array_size)
    wrong = np.abs(back - picture)[inner][seen[inner]]
    assert seen.mean() > 0.2
    assert np.quantile(wrong, 0.9) < 0.01
    assert wrong.max() < 0.12


def test_padding_shows_the_whole_image_and_cropping_fills_the_size():
    padded, cropped = fit_grid((50, 100), (40, 40), "pad"), fit_grid((50, 100), (40, 40), "crop")
    assert padded.seen().all()
    assert padded.inside().sum() == 20 * 40
    assert cropped.inside() is None
    assert cropped.seen().sum() == 50 * 50


def test_placing_after_resampling_keeps_millimetres():
    grid = fit_grid((10, 100, 100), (30, 60, 60), "place", factors=(0.4, 2.0, 2.0))
    assert grid.scale == (0.4, 2.0, 2.0)
    assert grid.inside().sum() == 25 * 50 * 50 or grid.inside().sum() == 26 * 50 * 50


def test_an_image_of_one_pixel_can_be_prepared_and_brought_back():
    for fit in ("stretch", "pad", "crop", "place"):
        grid = fit_grid((1, 1), (8, 8), fit)
        assert np.isfinite(grid.resample(np.ones((1, 1, 1), np.float32))).all()
        assert grid.bring_back(np.ones((8, 8), np.float32)).tolist() == [[1]]
