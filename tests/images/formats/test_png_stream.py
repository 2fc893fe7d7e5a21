from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.formats.png_stream import png_header
from secondread.images.image import ImageError
from secondread.images.read import read_image

RNG = np.random.default_rng(0)
ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def filtered(pixels: np.ndarray, bits: int) -> bytes:
    """Rows `[rows, columns, samples]`, each with filter 0, samples packed to `bits`."""
    rows = []
    for row in pixels.reshape(len(pixels), -1):
        if bits < 8:
            spread = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
            rows.append(np.packbits(spread.astype(np.uint8)).tobytes())
        else:
            rows.append(row.astype(f">u{bits // 8}").tobytes())
    return b"".join(b"\0" + row for row in rows)


def png(
    pixels: np.ndarray, bits: int, kind: int, *, interlaced: bool = False, keep: float = 1.0, rows: int = 0
) -> bytes:
    """A PNG of `[rows, columns, samples]` with this share of its filtered rows, or another height told."""
    passes = [pixels[a::b, c::d] for a, b, c, d in ADAM7] if interlaced else [pixels]
    body = b"".join(filtered(part, bits) for part in passes if part.size)
    size = (pixels.shape[1], rows or pixels.shape[0])
    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, int(interlaced))
    palette = chunk(b"PLTE", RNG.bytes(3 * 2**bits)) if kind == 3 else b""
    packed = zlib.compress(body[: int(keep * len(body))])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + palette
        + chunk(b"IDAT", packed[:50])
        + chunk(b"IDAT", packed[50:])
        + chunk(b"IEND", b"")
    )


LAYOUTS = [(1, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 3), (8, 4), (16, 4), (8, 6), (16, 6)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("bits", "kind"), LAYOUTS)
def test_a_whole_png_is_read_and_part_of_one_refused(
    tmp_path: Path, bits: int, kind: int, interlaced: bool
) -> None:
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    pixels = RNG.integers(0, 2**bits, (21, 13, samples))
    path = tmp_path / "x.png"
    path.write_bytes(png(pixels, bits, kind, interlaced=interlaced))
    found = read_image(path).pixels
    assert found.shape[1:] == (21, 13)
    if kind in (0, 2):
        top = 255 if bits < 8 else 2**bits - 1
        np.testing.assert_array_equal(np.moveaxis(found, 0, -1), pixels * top // (2**bits - 1))
    for share in (0.0, 0.5, 0.97):
        path.write_bytes(png(pixels, bits, kind, interlaced=interlaced, keep=share))
        with pytest.raises(ImageError, match=r"bytes of pixels|cannot hold"):
            read_image(path)


def test_a_header_of_other_rows_than_the_data_is_refused(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (64, 32, 1))
    for rows in (32, 63, 65, 128):
        (tmp_path / "x.png").write_bytes(png(pixels, 8, 0, rows=rows))
        with pytest.raises(ImageError, match="PNG that cannot be decoded"):
            read_image(tmp_path / "x.png")


def test_millions_of_rows_in_a_hundred_bytes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(np.zeros((4, 4, 1), int), 8, 0, rows=16_000_000))
    read_image_refused(path)
    tracemalloc.start()
    read_image_refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def read_image_refused(path: Path) -> None:
    with pytest.raises(ImageError, match="compressed bytes cannot hold 16,000,000 rows"):
        read_image(path)


def test_pixels_with_a_wrong_check_sum_are_refused(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (64, 32, 1))
    data = bytearray(png(pixels, 8, 0))
    data[300] ^= 1
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ImageError, match="check sum"):
        read_image(tmp_path / "x.png")


def test_the_bytes_of_an_interlaced_picture_are_those_of_its_passes() -> None:
    for rows, columns in ((1, 1), (5, 3), (8, 8), (21, 13)):
        pixels = np.zeros((rows, columns, 1), int)
        body = b"".join(filtered(p, 8) for p in (pixels[a::b, c::d] for a, b, c, d in ADAM7) if p.size)
        assert png_header(png(pixels, 8, 0, interlaced=True)).bytes_of_rows == len(body)


def test_pictures_of_pillow_are_let_through(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"):
        picture = Picture.fromarray(RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8)).convert(
            "L" if mode == "I;16" else mode
        )
        picture.convert(mode).save(tmp_path / "x.png", optimize=True)
        assert read_image(tmp_path / "x.png").size == (30, 20)
