from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.formats.web_picture import webp_size
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.read_header import read_header

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
BITS = (GREY > 100).astype(np.uint8)


def as_text(values: np.ndarray) -> bytes:
    return b"\n".join(b" ".join(b"%d" % value for value in row) for row in values.reshape(len(values), -1))


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_a_pnm_is_read_as_the_png_of_it(tmp_path: Path, mode: str) -> None:
    picture = Picture.fromarray(COLOUR).convert(mode)
    picture.save(tmp_path / "a.ppm")
    picture.save(tmp_path / "a.png")
    one, other = read_image(tmp_path / "a.ppm"), read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.header["format"], one.header["bits"], one.header["mode"]) == ("PNM", "8", mode)
    found = read_header(tmp_path / "a.ppm")
    assert (found.kind, found.size, found.channels) == ("pnm", (5, 7), 3 if mode == "RGB" else 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P2\n7 5\n255\n" + as_text(GREY), GREY),
        (b"P2 # greys\n# of a film\n7\n#\n5 255 " + as_text(GREY) + b"\n# behind\n", GREY),
        (b"P3 7 5 255\n" + as_text(COLOUR), COLOUR),
        (b"P1 7 5\n" + as_text(1 - BITS), BITS * 255),
        (b"P1 7 5\n" + as_text(1 - BITS).replace(b" ", b""), BITS * 255),
        (b"P4\n7 5\n" + np.packbits(1 - BITS, axis=1).tobytes(), BITS * 255),
        (b"P5 7 5 255\n" + GREY.tobytes() + b"\n", GREY),
        (b"P5 7 5 15\n" + (GREY % 16).tobytes(), GREY % 16 * 17),
        (b"P5 7 5 4095\n" + (GREY * np.uint16(17)).astype(">u2").tobytes(), GREY * np.uint16(17)),
        (b"P6 7 5 65535\n" + (COLOUR * np.uint16(257)).astype(">u2").tobytes(), COLOUR * np.uint16(257)),
        (b"P2 7 5 4095\n" + as_text(GREY * np.uint16(17)), GREY * np.uint16(17)),
    ],
)
def test_each_form_gives_what_was_written(tmp_path: Path, data: bytes, expected: np.ndarray) -> None:
    path = tmp_path / "film.pgm"
    path.write_bytes(data)
    found = read_image(path)
    channels = expected[np.newaxis] if expected.ndim == 2 else np.moveaxis(expected, -1, 0)
    np.testing.assert_array_equal(found.pixels, channels)
    assert found.pixels.dtype == expected.dtype
    assert read_header(path).size == (5, 7)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"P5 7 5 255\n" + GREY.tobytes()[:-1], "rows are missing"),
        (b"P4 7 5\n" + bytes(4), "rows are missing"),
        (b"P2 7 5 255\n" + as_text(GREY)[:-4], "34 values where there should be 35"),
        (b"P2 7 5 255\n" + as_text(GREY) + b" 3", "36 values where there should be 35"),
        (b"P2 7 5 100\n" + as_text(GREY), "values above 100"),
        (b"P2 7 5 255\n-" + as_text(GREY), ""),
        (b"P2 7 5 255\n" + as_text(GREY).replace(b"7", b"x"), "cannot be decoded"),
        (b"P1 7 5\n" + as_text(BITS).replace(b"0", b"2"), "values"),
        (b"P5 7 5 0\n" + GREY.tobytes(), "a value of white"),
        (b"P5 0 5 255\n", "without rows"),
        (b"P5 7 5\n", "no header"),
        (b"P5 7 5 255\n" + GREY.tobytes() + b"P5 7 5 255\n" + GREY.tobytes(), "several pictures in one file"),
    ],
)
def test_what_is_cut_or_contradicts_itself_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "film.pgm"
    path.write_bytes(data)
    if told:
        with pytest.raises(ImageError, match=f"a PNM that cannot be decoded.*{told}|{told}"):
            read_image(path)
    else:  # minus nothing is nothing
        np.testing.assert_array_equal(read_image(path).pixels[0], GREY)


def test_a_picture_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "large.pbm"
    path.write_bytes(b"P4 900000000 900000000\n")
    with pytest.raises(ImageError, match="900000000"):
        read_image(path, limits=ReadLimits())


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_gif_and_webp_of_one_frame_are_read_as_the_png_of_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    pictures = [Picture.fromarray(COLOUR), Picture.fromarray(COLOUR).convert("RGBA"), Picture.fromarray(GREY)]
    pictures[1].putalpha(Picture.fromarray((255 - BITS * 255).astype(np.uint8)))
    for picture in pictures:
        picture.save(path, kind, lossless=True, exact=True)
        with Picture.open(path) as again:
            again.convert("RGBA" if picture.mode == "RGBA" else "RGB").save(tmp_path / "a.png")
        one, other = read_image(path), read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.header["format"].upper() == kind
        assert read_header(path).size == (5, 7)


def test_the_size_of_a_webp_is_known_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    transparent = Picture.fromarray(COLOUR).convert("RGBA")
    transparent.putalpha(128)
    for picture, how in (
        (Picture.fromarray(COLOUR), {"lossless": True}),
        (Picture.fromarray(COLOUR), {"quality": 80}),
        (transparent, {"quality": 80}),
    ):
        picture.save(path, "WEBP", **how)
        assert webp_size(path.read_bytes()) == (5, 7), how
    data = bytearray(path.read_bytes())
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xfe\x3f\0\xfe\x3f\0"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="16383"):
        read_image(path, limits=ReadLimits(max_voxels=10**8))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_a_picture_that_is_cut_is_refused_or_whole(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    Picture.fromarray(noise).save(stream, kind, lossless=True)
    data, path = stream.getvalue(), tmp_path / "a"
    path.write_bytes(data)
    whole = read_image(path).pixels
    for length in range(20, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        try:
            found = read_image(path).pixels
        except ImageError:
            continue
        np.testing.assert_array_equal(found, whole, err_msg=f"cut to {length} of {len(data)}")


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_one_that_moves_is_refused_with_what_to_do(tmp_path: Path, kind: str) -> None:
    frames = [Picture.fromarray(GREY), Picture.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="of several frames; write its frames as PNG"):
        read_image(tmp_path / "a")
