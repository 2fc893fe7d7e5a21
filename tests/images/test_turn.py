from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.images.turn import TURNED
from secondread.images.write import write_map

SMOOTH = (np.add.outer(np.arange(16) * 3, np.arange(24) * 5)).astype(np.uint8)
TAGS = range(1, 9)
SHOWN = {
    1: SMOOTH,
    2: SMOOTH[:, ::-1],
    3: SMOOTH[::-1, ::-1],
    4: SMOOTH[::-1],
    5: SMOOTH.T,
    6: np.rot90(SMOOTH, -1),
    7: SMOOTH[::-1, ::-1].T,
    8: np.rot90(SMOOTH),
}


def exif(tag: int) -> bytes:
    found = Picture.Exif()
    found[0x0112] = tag
    return found.tobytes()


def jpeg(path: Path, tag: int) -> None:
    """The comment stands before the EXIF segment, as some programs write it."""
    buffer = io.BytesIO()
    Picture.fromarray(SMOOTH).save(buffer, "JPEG", quality=100, exif=exif(tag))
    data = buffer.getvalue()
    path.write_bytes(data[:2] + b"\xff\xfe\x00\x52" + b"c" * 80 + data[2:])


def png(path: Path, tag: int) -> None:
    Picture.fromarray(SMOOTH).save(path, "PNG", exif=exif(tag))


def png_with_exif_last(path: Path, tag: int) -> None:
    buffer = io.BytesIO()
    Picture.fromarray(SMOOTH).save(buffer, "PNG")
    body = b"eXIf" + exif(tag)[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:])


def tiff(path: Path, tag: int) -> None:
    tifffile.imwrite(path, SMOOTH, extratags=[(274, "H", 1, tag, True)])


def tiff_in_lzw(path: Path, tag: int) -> None:
    Picture.fromarray(SMOOTH).save(path, "TIFF", compression="tiff_lzw", tiffinfo={274: tag})


@pytest.mark.parametrize("write", [jpeg, png, png_with_exif_last, tiff, tiff_in_lzw])
@pytest.mark.parametrize("tag", TAGS)
def test_a_picture_is_read_as_a_viewer_shows_it(
    tmp_path: Path, write: Callable[[Path, int], None], tag: int
) -> None:
    write(tmp_path / "x", tag)
    image = read_image(tmp_path / "x")
    np.testing.assert_allclose(image.pixels[0].astype(int), SHOWN[tag], atol=2)
    assert image.geometry.remarks == ((TURNED,) if tag > 1 else ())
    stored = image.geometry.to_file_axes(image.pixels[0])
    np.testing.assert_allclose(stored.astype(int), SMOOTH, atol=2)
    assert read_header(tmp_path / "x").size == image.size


@pytest.mark.parametrize("tag", TAGS)
def test_a_map_lies_on_the_files_own_grid_and_is_shown_as_the_picture_is(tmp_path: Path, tag: int) -> None:
    tiff(tmp_path / "x", tag)
    image = read_image(tmp_path / "x")
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(image.pixels[0]), image.geometry)
    np.testing.assert_array_equal(tifffile.imread(path), SMOOTH)
    np.testing.assert_array_equal(read_image(path).pixels, image.pixels)


def test_pages_are_turned_each_within_its_plane(tmp_path: Path) -> None:
    pages = np.stack([SMOOTH, SMOOTH // 2])
    tifffile.imwrite(tmp_path / "x", pages, photometric="minisblack", extratags=[(274, "H", 1, 6, False)])
    image = read_image(tmp_path / "x")
    assert image.size == read_header(tmp_path / "x").size == (2, 24, 16)
    np.testing.assert_array_equal(image.pixels[0], np.rot90(pages, -1, axes=(1, 2)))
    np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), pages)


def test_metadata_in_disorder_ask_for_no_turn(tmp_path: Path) -> None:
    for content in (b"Exif\0\0nonsense", b"Exif\0\0" + exif(6)[6:20], exif(77)):
        Picture.fromarray(SMOOTH).save(tmp_path / "x", "JPEG", exif=content)
        assert read_image(tmp_path / "x").size == SMOOTH.shape
