from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.read import read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7, 4), dtype=np.uint16)


def write_png_16(path: Path, pixels: np.ndarray, kind: int) -> None:
    """A 16-bit PNG whose rows use each of the five filters in turn (PNG specification, section 9)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, columns = pixels.shape[:2]
    lines = pixels.astype(">u2").reshape(rows, -1).view(np.uint8).astype(int)
    width = lines.shape[1] // columns
    packed = b""
    for row in range(rows):
        above = lines[row - 1] if row else np.zeros_like(lines[0])
        left = np.concatenate([np.zeros(width, int), lines[row][:-width]])
        corner = np.concatenate([np.zeros(width, int), above[:-width]])
        guess = left + above - corner
        distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
        predicted = (np.zeros_like(left), left, above, (left + above) // 2, paeth)[row % 5]
        packed += bytes([row % 5]) + ((lines[row] - predicted) % 256).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(packed))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_8_bit_pictures_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    Picture.fromarray(GREY).save(tmp_path / f"grey.{suffix}")
    Picture.fromarray(COLOUR).save(tmp_path / f"colour.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"grey.{suffix}").pixels, GREY[np.newaxis])
    np.testing.assert_array_equal(
        read_image(tmp_path / f"colour.{suffix}").pixels, np.moveaxis(COLOUR, -1, 0)
    )


def test_16_bit_grey_png_keeps_its_bits(tmp_path: Path) -> None:
    Picture.fromarray(DEEP[..., 0]).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png")
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels[0], DEEP[..., 0])
    assert image.header["bits"] == "16"


def test_16_bit_colour_png_keeps_its_bits(tmp_path: Path) -> None:
    write_png_16(tmp_path / "deep.png", DEEP[..., :3], 2)
    image = read_image(tmp_path / "deep.png")
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, np.moveaxis(DEEP[..., :3], -1, 0))


@pytest.mark.parametrize(("channels", "kind"), [(2, 4), (4, 6)])
def test_16_bit_png_with_opaque_alpha_keeps_its_bits(tmp_path: Path, channels: int, kind: int) -> None:
    pixels = DEEP[..., :channels].copy()
    pixels[..., -1] = 65535
    write_png_16(tmp_path / "deep.png", pixels, kind)
    image = read_image(tmp_path / "deep.png")
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels[..., :-1], -1, 0))
    assert image.header["alpha"] == "opaque"


def test_alpha_is_composited_on_black_and_noted(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[..., 3] = 51
    Picture.fromarray(pixels).save(tmp_path / "alpha.png")
    image = read_image(tmp_path / "alpha.png")
    assert image.pixels.shape == (1, 4, 4)
    assert set(np.unique(image.pixels)) == {40}
    assert image.header["alpha"] == "composited on black"


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK"])
def test_other_modes_become_grey_or_colour(tmp_path: Path, mode: str) -> None:
    picture = Picture.fromarray(COLOUR).convert(mode)
    path = tmp_path / ("other.jpg" if mode == "CMYK" else "other.png")
    picture.save(path)
    expected = np.asarray(Picture.open(path).convert("L" if mode in ("1", "LA") else "RGB"))
    pixels = read_image(path).pixels
    np.testing.assert_array_equal(pixels, np.moveaxis(np.atleast_3d(expected), -1, 0))


def test_a_jpeg_of_equal_channels_is_grey_and_its_quality_is_told(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    for quality in (30, 75, 92):
        Picture.fromarray(np.repeat(smooth[..., np.newaxis], 3, -1)).save(tmp_path / "x.jpg", quality=quality)
        image = read_image(tmp_path / "x.jpg")
        assert image.pixels.shape == (1, 64, 64)
        assert abs(int(image.header["jpeg_quality"]) - quality) <= 1
    assert "equal channels" in image.header["mode"]


def test_real_chest_films_are_grey(shared_data: Path) -> None:
    path = next((shared_data / "kermany-cxr").rglob("*.jpeg"), None) or next(
        (shared_data / "kermany-cxr").rglob("*.jpg")
    )
    image = read_image(path)
    assert image.pixels.shape == (1, 224, 224)
    assert image.pixels.dtype == np.uint8


def test_a_picture_has_no_members(tmp_path: Path) -> None:
    Picture.fromarray(GREY).save(tmp_path / "grey.png")
    with pytest.raises(ImageError, match="has no members"):
        read_image(f"{tmp_path}/grey.png#frame/0")


def test_a_hash_in_a_files_name_is_part_of_the_name(tmp_path: Path) -> None:
    Picture.fromarray(GREY).save(tmp_path / "a#b.png")
    assert read_image(tmp_path / "a#b.png").rank == 2
