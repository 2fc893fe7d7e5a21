import numpy as np
import pytest

from secondread.tiling.tiles import blend_weights, corner_count, corners, starts, tile_at
from secondread.tiling.window_settings import WindowSettings


@pytest.mark.parametrize(
    ("length", "side", "overlap"), [(10, 4, 0.5), (11, 4, 0.25), (7, 7, 0.5), (9, 2, 0.9)]
)
def test_tiles_cover_an_axis_evenly_and_end_at_its_end(length: int, side: int, overlap: float) -> None:
    found = starts(length, side, overlap)
    assert found[0] == 0
    assert found[-1] == length - side
    steps = np.diff(found)
    assert not len(steps) or (steps.max() <= side and steps.max() - steps.min() <= 1)


def test_corners_cover_an_image_and_are_counted() -> None:
    seen = np.zeros((9, 10, 7), int)
    found = corners(seen.shape, (4, 5, 7), 0.5)
    for corner in found:
        seen[tile_at(corner, (4, 5, 7))] += 1
    assert seen.min() >= 1
    assert len(found) == corner_count(seen.shape, (4, 5, 7), 0.5) == len(set(found))


def test_weights_fall_off_from_the_middle_and_stay_above_zero() -> None:
    weights = blend_weights((8, 9), "gaussian")
    assert weights.max() == weights[3, 4] == weights[4, 4] == 1
    assert 0 < weights.min() == weights[0, 0] < 0.01
    assert (blend_weights((8, 9), "mean") == 1).all()


def test_a_window_that_is_no_part_of_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="as many axes as the images and is not longer along any"):
        WindowSettings(size=(32, 32)).refuse_misfit((64, 64, 64))
    with pytest.raises(ValueError, match="not longer along any"):
        WindowSettings(size=(32, 65)).refuse_misfit((64, 64))
    with pytest.raises(ValueError, match="into 16,769,025 tiles, and 65,536 are the most"):
        WindowSettings(size=(4, 4)).refuse_misfit((8192, 8192))
