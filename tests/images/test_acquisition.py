from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.acquisition import acquisition, thumbnail
from secondread.images.image import Geometry, Image
from secondread.images.read import read_image


def test_size_storage_and_border_are_told(tmp_path: Path) -> None:
    pixels = np.zeros((100, 200), np.uint8)
    pixels[:3], pixels[-3:], pixels[:, :6], pixels[:, -6:] = 10, 10, 10, 10
    pixels[50, 100] = 255
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    facts = acquisition(read_image(tmp_path / "a.png"))
    assert (facts["rows"], facts["columns"], facts["channels"], facts["bits"]) == (100.0, 200.0, 1.0, 8.0)
    assert facts["file_bytes"] == (tmp_path / "a.png").stat().st_size
    assert facts["bytes_per_pixel"] == facts["file_bytes"] / 20000  # type: ignore[operator]
    assert (facts["border_mean"], facts["border_sd"]) == (10.0, 0.0)
    assert facts["format"] == "PNG"


def test_a_thumbnail_is_the_mean_over_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (1, 64, 48)).astype(np.uint16)
    small = thumbnail(Image(pixels, Geometry(), "x", "0"))
    expected = pixels[0].reshape(16, 4, 16, 3).mean(axis=(1, 3))
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, expected, rtol=1e-5)


def test_a_volume_shows_its_middle_slice() -> None:
    pixels = np.zeros((1, 5, 16, 16), np.int16)
    pixels[0, 2] = 7
    image = Image(pixels, Geometry(spacing=(3.0, 1.0, 1.0)), "x", "0")
    np.testing.assert_array_equal(thumbnail(image), np.full((16, 16), 7))
    facts = acquisition(image)
    assert (facts["slices"], facts["slice_spacing"]) == (5.0, 3.0)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (17, 2)])
def test_tiny_and_narrow_images_have_facts_too(size: tuple[int, int]) -> None:
    image = Image(np.ones((3, *size), np.uint8), Geometry(), "x", "0")
    assert thumbnail(image).shape == (16, 16)
    assert np.isfinite(acquisition(image)["border_mean"])  # type: ignore[arg-type]
