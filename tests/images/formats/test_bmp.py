from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.read_header import read_header

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


def header(
    columns: int, rows: int, bits: int, size: int, *, colours: int = 0, compression: int = 0, offset: int = 54
) -> bytes:
    return struct.pack(
        "<2sIHHIIiiHHIIiiII",
        b"BM", offset + size, 0, 0, offset, 40, columns, rows, 1, bits, compression, size, 0, 0, colours, 0,
    )  # fmt: skip


def rows_of(lines: list[bytes]) -> bytes:
    return b"".join(line + bytes(-len(line) % 4) for line in lines)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_bmp_is_read_as_the_png_of_it(tmp_path: Path, mode: str) -> None:
    picture = Picture.fromarray(COLOUR).convert(mode)
    picture.save(tmp_path / "a.bmp")
    picture.save(tmp_path / "a.png")
    one, other = read_image(tmp_path / "a.bmp"), read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.geometry.remarks == ()
    assert (one.header["format"], one.header["bits"], one.rank) == ("BMP", "8", 2)
    found = read_header(tmp_path / "a.bmp")
    assert (found.kind, found.size, found.rank) == ("bmp", (5, 7), 2)


def test_rows_may_run_down_and_bytes_be_run_lengths(tmp_path: Path) -> None:
    greys = b"".join(bytes([n, n, n, 0]) for n in range(256))
    plain = header(7, 5, 8, 40, colours=256, offset=1078) + greys
    down = header(7, -5, 8, 40, colours=256, offset=1078) + greys
    packed = b"".join(b"".join(bytes([1, int(v)]) for v in row) + b"\0\0" for row in GREY[::-1]) + b"\0\1"
    encoded = header(7, 5, 8, len(packed), colours=256, compression=1, offset=1078) + greys
    for name, data in (
        ("up", plain + rows_of([row.tobytes() for row in GREY[::-1]])),
        ("down", down + rows_of([row.tobytes() for row in GREY])),
        ("runs", encoded + packed),
    ):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_image(tmp_path / name).pixels[0], GREY, err_msg=name)
        assert read_header(tmp_path / name).size == (5, 7)


def test_a_mask_of_two_colours_may_have_a_byte_a_pixel(tmp_path: Path) -> None:
    mask = (GREY > 100).astype(np.uint8)
    data = header(7, 5, 8, 40, colours=2, offset=62) + bytes([0, 0, 0, 0, 255, 255, 255, 0])
    (tmp_path / "mask.bmp").write_bytes(data + rows_of([row.tobytes() for row in mask[::-1]]))
    np.testing.assert_array_equal(read_image(tmp_path / "mask.bmp").pixels[0], mask * 255)
    dark = GREY % 16
    nibbles = [
        bytes((row[i] << 4) | (row[i + 1] if i + 1 < 7 else 0) for i in range(0, 7, 2))
        for row in dark[::-1].tolist()
    ]
    greys = b"".join(bytes([n, n, n, 0]) for n in range(16))
    (tmp_path / "dark.bmp").write_bytes(
        header(7, 5, 4, 20, colours=16, offset=118) + greys + rows_of(nibbles)
    )
    np.testing.assert_array_equal(read_image(tmp_path / "dark.bmp").pixels[0], dark)


def test_alpha_that_nobody_set_is_ignored(tmp_path: Path) -> None:
    for alpha, remarks in ((0, 0), (255, 0), (128, 1)):
        pixels = np.concatenate([COLOUR[..., ::-1], np.full((5, 7, 1), alpha, np.uint8)], axis=-1)[::-1]
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        start = bytearray(header(7, 5, 32, pixels.size, compression=3, offset=70))
        start[14:18] = struct.pack("<I", 56)
        (tmp_path / "a.bmp").write_bytes(bytes(start) + masks + pixels.tobytes())
        found = read_image(tmp_path / "a.bmp")
        assert len(found.geometry.remarks) == remarks
        if not remarks:
            np.testing.assert_array_equal(np.moveaxis(found.pixels, 0, -1), COLOUR)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (header(7, 5, 24, 120) + bytes(60), "a BMP that cannot be decoded"),
        (header(7, 5, 24, 120), "a BMP that cannot be decoded"),
        (header(0, 5, 24, 120) + bytes(120), "a header without rows or columns"),
        (header(-7, 5, 24, 120) + bytes(120), "a header without rows or columns"),
        (header(7, 5, 23, 120) + bytes(120), "a BMP that cannot be decoded"),
        (header(7, 5, 24, 120, compression=4) + bytes(120), "a BMP that cannot be decoded"),
        (header(7, 5, 8, 120, compression=1) + bytes(120), "a BMP that cannot be decoded"),
        (header(1 << 30, 1 << 30, 24, 0), "the limit is"),
    ],
)
def test_a_bmp_that_is_cut_or_claims_too_much(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "a.bmp").write_bytes(data)
    with pytest.raises(ImageError, match=told):
        read_image(tmp_path / "a.bmp")


def test_a_large_picture_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Picture.fromarray(COLOUR).save(stream, "BMP")
    (tmp_path / "a.bmp").write_bytes(stream.getvalue())
    with pytest.raises(ImageError, match="the limit is 100"):
        read_image(tmp_path / "a.bmp", limits=ReadLimits(max_voxels=100))
    with pytest.raises(ImageError, match="a BMP has no members"):
        read_image(f"{tmp_path / 'a.bmp'}#frame/0")
