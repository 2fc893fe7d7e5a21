from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.read import read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7, 4), dtype=np.uint16)
FILM = (np.add.outer(np.arange(64), np.arange(48)) + RNG.integers(0, 60, (64, 48))).astype(np.uint8)


def written(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def by_pillow(pixels: np.ndarray, compression: str, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    picture = Picture.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def with_segments(data: bytes, tag: str, change: object) -> bytes:
    """The file with a table of its strips or tiles (offsets or byte counts) changed by `change(list)`."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        found = tiff.pages[0].tags[tag]
        width = {3: 2, 4: 4}[int(found.dtype)]
        values = list(found.value if isinstance(found.value, tuple) else (found.value,))
        for number, value in enumerate(change(values)):  # type: ignore[operator]
            at = found.valueoffset + number * width
            changed[at : at + width] = int(value).to_bytes(width, "little")
    return bytes(changed)


def read(tmp_path: Path, data: bytes) -> np.ndarray:
    (tmp_path / "x.tif").write_bytes(data)
    return np.asarray(read_image(tmp_path / "x.tif").pixels)


def refusal(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "x.tif")
    return caught.value.problem


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_tiff_types_grey_and_colour(tmp_path: Path, dtype: type, compression: str | None) -> None:
    grey = RNG.integers(0, 100, (6, 5)).astype(dtype)
    colour = RNG.integers(0, 100, (6, 5, 3)).astype(dtype)
    tifffile.imwrite(tmp_path / "grey.tif", grey, compression=compression)
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb", compression=compression)
    planar = np.ascontiguousarray(np.moveaxis(colour, -1, 0))
    tifffile.imwrite(tmp_path / "planar.tif", planar, photometric="rgb", planarconfig="separate")
    for name, expected in (("grey", grey[np.newaxis]), ("colour", planar), ("planar", planar)):
        image = read_image(tmp_path / f"{name}.tif")
        assert image.pixels.dtype == dtype
        np.testing.assert_array_equal(image.pixels, expected)


def test_tiff_in_lzw_is_read_where_no_bit_is_lost(tmp_path: Path) -> None:
    Picture.fromarray(COLOUR).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "lzw.tif").pixels, np.moveaxis(COLOUR, -1, 0))
    Picture.fromarray(DEEP[..., 0]).save(tmp_path / "deep.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif").pixels[0], DEEP[..., 0])


def test_tiff_where_white_is_zero_is_turned(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "white.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "white.tif").pixels[0], 255 - GREY)


def test_tiff_of_several_pages_is_a_stack_and_each_page_an_image(tmp_path: Path) -> None:
    pages = RNG.integers(0, 9, (3, 6, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    image = read_image(tmp_path / "pages.tif")
    np.testing.assert_array_equal(image.pixels[0], pages)
    assert "without positions" in image.geometry.remarks[0]
    np.testing.assert_array_equal(read_image(f"{tmp_path}/pages.tif#frame/2").pixels[0], pages[2])
    with pytest.raises(ImageError, match="pages 0 to 2"):
        read_image(f"{tmp_path}/pages.tif#frame/3")


STRIPS = written(FILM, rowsperstrip=16)
TILES = written(FILM, tile=(32, 32))


@pytest.mark.parametrize(("data", "kind"), [(STRIPS, "Strip"), (TILES, "Tile")])
def test_strips_and_tiles_that_are_empty_cut_or_elsewhere_are_refused(
    tmp_path: Path, data: bytes, kind: str
) -> None:
    np.testing.assert_array_equal(read(tmp_path, data)[0], FILM)
    counts, offsets = f"{kind}ByteCounts", f"{kind}Offsets"
    half_empty = with_segments(data, counts, lambda c: [*c[:2], *(0 for _ in c[2:])])
    assert "2 of 4" in refusal(tmp_path, half_empty)
    assert "are empty" in refusal(tmp_path, with_segments(data, offsets, lambda o: [0, *o[1:]]))
    assert "holds" in refusal(tmp_path, with_segments(data, counts, lambda c: [c[0] // 2, *c[1:]]))
    assert "file's end" in refusal(tmp_path, with_segments(data, offsets, lambda o: [*o[:-1], len(data) - 9]))
    assert "overlap" in refusal(tmp_path, with_segments(data, offsets, lambda o: [o[0], o[0], *o[2:]]))
    assert "overlap" in refusal(tmp_path, with_segments(data, offsets, lambda o: [o[0], o[1] - 5, *o[2:]]))


def test_a_table_with_fewer_strips_than_the_picture_has_is_refused(tmp_path: Path) -> None:
    taller = bytearray(STRIPS)
    with tifffile.TiffFile(io.BytesIO(STRIPS)) as tiff:
        at = tiff.pages[0].tags["ImageLength"].valueoffset
    taller[at : at + 2] = (6400).to_bytes(2, "little")
    assert "4 of 400 strips are named" in refusal(tmp_path, bytes(taller))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"])
def test_packed_strips_that_are_too_short_are_refused(tmp_path: Path, compression: str) -> None:
    data = by_pillow(FILM, compression)
    assert read(tmp_path, data).shape == (1, 64, 48)
    for share in (0.5, 0.97):
        cut = with_segments(data, "StripByteCounts", lambda c, share=share: [int(c[0] * share)])
        assert "TIFF that cannot be decoded" in refusal(tmp_path, cut)


def test_a_deflated_strip_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    data = bytearray(written(FILM, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data[start + count // 2 : start + count] = bytes(count - count // 2)
    assert "TIFF that cannot be decoded" in refusal(tmp_path, bytes(data))


def test_fax_compression_is_refused_because_its_decoder_fills_up_what_is_missing(tmp_path: Path) -> None:
    assert "fax compression" in refusal(tmp_path, by_pillow(FILM, "group4", "1"))


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_are_right_or_refused_in_either_byte_order(tmp_path: Path, order: str) -> None:
    for dtype, compression in itertools.product(
        ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"], [None, "zlib"]
    ):
        pixels = (FILM.astype(np.int64) - (0 if dtype[0] == "u" else 90)).astype(dtype)
        found = read(tmp_path, written(pixels, byteorder=order, compression=compression))
        assert found.dtype.kind == dtype[0]
        np.testing.assert_array_equal(found[0], pixels)


def test_unsigned_numbers_above_two_thousand_million_stay_unsigned_in_lzw(tmp_path: Path) -> None:
    pixels = FILM.astype(np.int32) * 1000
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(read(tmp_path, buffer.getvalue())[0], pixels)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as tiff:
        at = tiff.pages[0].tags["SampleFormat"].valueoffset
    unsigned = bytearray(buffer.getvalue())
    unsigned[at : at + 2] = b"\1\0"
    assert read(tmp_path, bytes(unsigned)).dtype == np.uint32


def test_white_is_zero_is_turned_within_the_bits_or_within_the_floats(tmp_path: Path) -> None:
    floats = FILM.astype(np.float32) / 7
    found = read(tmp_path, written(floats, photometric="miniswhite"))[0]
    np.testing.assert_allclose(found, floats.min() + floats.max() - floats, rtol=1e-6)
    signed = FILM.astype(np.int16) - 90
    np.testing.assert_array_equal(read(tmp_path, written(signed, photometric="miniswhite"))[0], -1 - signed)
    bits = FILM > 90
    np.testing.assert_array_equal(read(tmp_path, written(bits, photometric="miniswhite"))[0], ~bits * 255)
    four = bytearray(written(FILM // 16 * 17, photometric="miniswhite"))
    with tifffile.TiffFile(io.BytesIO(bytes(four))) as tiff:
        tags = tiff.pages[0].tags
        four[tags["BitsPerSample"].valueoffset] = 4
        four[tags["ImageWidth"].valueoffset] = 96
    found = read(tmp_path, bytes(four))[0]
    np.testing.assert_array_equal(found, 255 - np.repeat(FILM // 16, 2, axis=1) * 17)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    expected = np.asarray(Picture.fromarray(colour).convert("CMYK").convert("RGB"), int)
    for compression in ("raw", "tiff_lzw"):
        found = read(tmp_path, by_pillow(colour, compression, "CMYK")).astype(int)
        assert np.abs(np.moveaxis(found, 0, -1) - expected).max() <= 1
    ink = np.zeros((4, 4, 4), np.uint16)
    ink[..., 3] = 65535 // 3
    assert set(np.unique(read(tmp_path, written(ink, photometric="separated")))) == {65535 - 65535 // 3}


def test_a_page_with_depth_is_a_volume_and_never_colour(tmp_path: Path) -> None:
    planes = np.stack([FILM, FILM // 2, FILM // 3])
    data = written(planes, volumetric=True, photometric="minisblack", tile=(1, 32, 32))
    found = read(tmp_path, data)
    assert found.shape == (1, 3, 64, 48)
    np.testing.assert_array_equal(found[0], planes)


def test_alpha_that_is_multiplied_already_is_not_multiplied_again(tmp_path: Path) -> None:
    pixels = np.dstack([FILM, FILM[::-1], FILM // 2, FILM])
    found = read(tmp_path, written(pixels, photometric="rgb", extrasamples=["assocalpha"]))
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), pixels[..., :3])
    found = read(tmp_path, written(pixels, photometric="rgb", extrasamples=["unassalpha"]))
    expected = np.rint(pixels[..., :3] * (pixels[..., 3:] / 255.0))
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), expected)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (written(np.dstack([FILM] * 3), photometric="cielab"), "photometric"),
        (written(np.dstack([FILM] * 3), photometric="ycbcr"), "YCbCr outside of JPEG"),
        (
            written(np.dstack([FILM] * 4), photometric="rgb", extrasamples=["unspecified"]),
            "neither colour nor",
        ),
        (
            written(np.dstack([FILM] * 2), photometric="minisblack", planarconfig="contig"),
            "neither colour nor",
        ),
        (written(FILM.astype(np.complex64)), "complex64"),
        (written(np.stack([FILM] * 3), photometric="minisblack", truncate=True), "several planes behind one"),
    ],
    ids=["cielab", "ycbcr", "unspecified", "two channels", "complex", "hidden planes"],
)
def test_what_cannot_be_told_as_grey_or_colour_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(tmp_path, data)
