import numpy as np
import pytest

from secondread.images.image import Geometry, Image
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings

PLAIN = np.random.default_rng(0).integers(0, 200, (32, 32))
STEPS = {
    "window": [{"window": "header"}],
    "minmax": [{"window": "minmax"}],
    "ddad": [{"window": "ddad"}],
    "percentiles": [{"percentiles": {}}],
    "foreground": [{"percentiles": {"over": "foreground"}}],
    "standardise": [{"standardise": {}}],
}


def prepared(values, steps):
    settings = {"size": [32, 32], "steps": steps}
    image = Image(values[np.newaxis], Geometry(), "a.tif", "ab" * 20)
    return Preprocessing(PreprocessingSettings.model_validate(settings)).apply(image)


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(
    ("dtype", "offset"), [("u4", 2**31), ("f8", 1e9), ("i8", -(2**40)), ("f8", -3e12), ("i4", 10**9)]
)
def test_an_offset_however_great_does_not_change_what_is_seen(steps, dtype, offset):
    plain, moved = prepared(PLAIN.astype("f8"), steps), prepared(PLAIN.astype(dtype) + offset, steps)
    assert moved.pixels.dtype == np.float32
    np.testing.assert_allclose(moved.pixels, plain.pixels, atol=1e-4)
    assert not any("constant" in remark for remark in moved.placement.remarks)


def test_a_given_window_lies_where_the_values_lie():
    steps = [{"window": {"low": 1e9 + 50, "high": 1e9 + 150}}]
    found = prepared(PLAIN + 1e9, steps).pixels[0]
    np.testing.assert_allclose(found, np.clip((PLAIN - 50) / 100, 0, 1), atol=1e-5)


def test_colour_at_a_great_offset_becomes_grey_first():
    colour = np.stack([PLAIN, PLAIN.T, PLAIN[::-1]]).astype("f8")
    settings = PreprocessingSettings.model_validate({"size": [32, 32], "steps": STEPS["minmax"]})
    plain, moved = (
        Preprocessing(settings).apply(Image(values, Geometry(), "a.tif", "ab" * 20)).pixels
        for values in (colour, colour + 1e9)
    )
    np.testing.assert_allclose(moved, plain, atol=1e-4)


@pytest.mark.parametrize("steps", [[], *STEPS.values()])
def test_a_constant_prepared_image_is_said(steps):
    found = prepared(np.full((32, 32), 7, np.uint16), steps)
    assert any("constant after preprocessing" in remark for remark in found.placement.remarks)
    outside = prepared(PLAIN.astype(np.int16), [{"window": "bone"}])
    assert not any("constant" in remark for remark in outside.placement.remarks)
    air = prepared(PLAIN.astype(np.int16) - 2000, [{"window": "bone"}])
    assert "constant after preprocessing (every value is 0)" in air.placement.remarks[-1]
