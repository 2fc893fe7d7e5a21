"""What headers may say in other words, and what of them is refused, each in one line."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.read_header import read_header

VOXELS = np.arange(24, dtype="<i2").reshape(4, 3, 2)
NRRD = {
    "type": "short",
    "dimension": "3",
    "sizes": "2 3 4",
    "endian": "little",
    "encoding": "raw",
    "space": "left-posterior-superior",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    "space origin": "(10,20,30)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 20 30",
    "ElementSpacing": "1 2 3",
    "DimSize": "2 3 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def nrrd(path: Path, data: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    fields = {**NRRD, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    path.write_bytes("\n".join(["NRRD0005", *lines, "", ""]).encode() + data)
    return path


def meta(path: Path, data: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    fields = {**META, **changes}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    path.write_bytes("\n".join([*lines, ""]).encode() + data)
    return path


def refusal(path: Path, *, also_header: bool = True) -> str:
    said = []
    for read in (read_image, read_header) if also_header else (read_image,):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        said.append(str(caught.value))
    return said[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "SIGNED short", "encoding": "RAW"},
        {"space": "LPS"},
        {"space": "RAS", "space_directions": "(-1,0,0) (0,-2,0) (0,0,3)", "space_origin": "(-10,-20,30)"},
        {"space": "LAS", "space_directions": "(1,0,0) (0,-2,0) (0,0,3)", "space_origin": "(10,-20,30)"},
        {
            "space_directions": "(0.1, 0, 0) (0, 0.2, 0) (0, 0, 0.3)",
            "space_origin": "(1,2,3)",
            "space_units": '"cm" "cm" "cm"',
        },
        {"kinds": "domain domain domain", "labels": '"it\'s" "" ""', "a_key": None},
    ],
)
def test_an_nrrd_says_the_same_in_other_words(tmp_path: Path, changes: dict[str, str]) -> None:
    one, other = (read_image(path) for path in (nrrd(tmp_path / "a"), nrrd(tmp_path / "b", **changes)))
    np.testing.assert_array_equal(one.pixels, VOXELS[np.newaxis])
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_allclose(one.geometry.affine, other.geometry.affine)
    assert other.geometry.remarks == ()


def test_a_comment_of_several_lines_is_passed_over(tmp_path: Path) -> None:
    found = read_image(meta(tmp_path / "a", Comment="a line\nand another"))
    np.testing.assert_array_equal(found.pixels[0], VOXELS)


def test_the_same_volume_in_both_formats(tmp_path: Path) -> None:
    one, other = read_image(nrrd(tmp_path / "a")), read_image(meta(tmp_path / "b"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_allclose(one.geometry.affine, other.geometry.affine)


@pytest.mark.parametrize(
    ("pack", "encoding"), [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lambda data: data, "raw")]
)
def test_lines_and_bytes_before_the_voxels_are_passed_over(tmp_path: Path, pack, encoding: str) -> None:
    data = b"a line\nand one\n" + pack(b"four" + VOXELS.tobytes())
    found = read_image(nrrd(tmp_path / "a", data, encoding=encoding, line_skip="2", byte_skip="4"))
    np.testing.assert_array_equal(found.pixels[0], VOXELS)
    if encoding == "raw":
        (tmp_path / "d.raw").write_bytes(b"whatever" + VOXELS.tobytes())
        found = read_image(nrrd(tmp_path / "b", b"", byte_skip="-1", data_file="d.raw"))
        np.testing.assert_array_equal(found.pixels[0], VOXELS)
        found = read_image(meta(tmp_path / "c", b"", HeaderSize="-1", ElementDataFile="d.raw"))
        np.testing.assert_array_equal(found.pixels[0], VOXELS)
        found = read_image(meta(tmp_path / "c", b"", HeaderSize="8", ElementDataFile="d.raw"))
        np.testing.assert_array_equal(found.pixels[0], VOXELS)


def test_interleaved_values_big_endian(tmp_path: Path) -> None:
    both = np.stack([VOXELS, VOXELS + 100], axis=-1).astype(">i2")
    directions = "none (1,0,0) (0,2,0) (0,0,3)"
    path = nrrd(
        tmp_path / "a", both.tobytes(), dimension="4", sizes="2 2 3 4", endian="BIG",
        space_directions=directions, kinds="list domain domain domain",
    )  # fmt: skip
    np.testing.assert_array_equal(read_image(f"{path}#frame/1").pixels[0], VOXELS + 100)
    path = meta(tmp_path / "b", both.tobytes(), ElementNumberOfChannels="2", BinaryDataByteOrderMSB="True")
    np.testing.assert_array_equal(read_image(f"{path}#frame/1").pixels[0], VOXELS + 100)
    np.testing.assert_array_equal(read_image(f"{path}#frame/1/slice/axial/2").pixels[0], VOXELS[2] + 100)


def test_what_is_not_said_of_space_is_remarked_or_left_open(tmp_path: Path) -> None:
    bare = {"space": None, "space_directions": None, "space_origin": None}
    found = read_image(nrrd(tmp_path / "a", **bare, spacings="1 2 3"))
    np.testing.assert_array_equal(found.pixels[0], VOXELS)
    assert found.geometry.spacing == (3, 2, 1)
    assert "no orientation in the header" in found.geometry.remarks[0]
    found = read_image(nrrd(tmp_path / "a", **bare))
    assert (found.geometry.spacing, found.geometry.affine, found.size) == (None, None, (4, 3, 2))
    found = read_image(nrrd(tmp_path / "a", space=None, space_dimension="3"))
    assert found.geometry.remarks == ("the header does not name its space: read as left-posterior-superior",)
    found = read_image(meta(tmp_path / "b", TransformMatrix=None, AnatomicalOrientation="LPI"))
    assert "no orientation in the header (TransformMatrix)" in found.geometry.remarks[0]
    assert (
        read_image(meta(tmp_path / "b", TransformMatrix=None, ElementSpacing=None)).geometry.spacing is None
    )
    found = read_image(meta(tmp_path / "b", ElementToIntensityFunctionSlope="2"))
    assert found.geometry.remarks == ("ElementToIntensityFunction is not applied, as ITK does not",)
    np.testing.assert_array_equal(found.pixels[0], VOXELS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sizes": "2 3 4.7"}, "sizes in the header is not 3 whole numbers"),
        ({"sizes": "2 3"}, "sizes in the header is not 3 whole"),
        ({"sizes": "2 0 4"}, "sizes in the header is not all above 0"),
        ({"sizes": "99999 99999 99999"}, "the limit is"),
        ({"sizes": "4294967296 4294967296 1"}, "the limit is"),
        ({"dimension": "17"}, "1 to 16 are possible"),
        ({"dimension": None}, "dimension is missing from the header"),
        ({"type": "block"}, "block"),
        ({"type": "complex"}, "type in the header is none of"),
        ({"endian": None}, "endian is missing"),
        ({"encoding": "ascii"}, "written as text; save it with encoding raw or gzip"),
        ({"encoding": "zstd"}, "encoding in the header is none of raw, gzip, bzip2"),
        ({"space_directions": "(1,0,0) (0,2,0) (0,0,0)"}, "singular or not finite"),
        ({"space_directions": "(1,0,0) (1,0,0) (0,0,1)"}, "singular or not finite; repair"),
        ({"space_directions": "(1,0,0) (0,nan,0) (0,0,3)"}, "singular or not finite"),
        ({"space_directions": "(1,0,0) (0,2,0)"}, "not 3 vectors"),
        ({"space_directions": "(1,0,0) (0,2) (0,0,3)"}, "not of vectors of one length"),
        ({"space_directions": "(1,0,0) none none"}, "1 of its axes lie in space"),
        ({"space_origin": "(nan,0,0)"}, "singular or not finite"),
        ({"space_origin": "10 20 30"}, "space origin in the header is not 3 numbers"),
        ({"kinds": "domain"}, "kinds in the header is not 3 words"),
        ({"byte_skip": "-5"}, "below 0"),
        ({"byte_skip": "999999"}, "truncated"),
    ],
)
def test_an_nrrd_header_that_makes_no_sense(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    assert told in refusal(nrrd(tmp_path / "a", **changes), also_header="limit" not in told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"DimSize": "2 3"}, "DimSize in the header is not 3 whole numbers"),
        ({"DimSize": "2 -3 4"}, "not above 0"),
        ({"DimSize": "99999 99999 99999"}, "the limit is"),
        ({"NDims": "1"}, "2 to 16 are possible"),
        ({"ObjectType": "Tube"}, "a MetaIO object that is no image"),
        ({"BinaryData": "False"}, "written as text"),
        ({"ElementType": "MET_STRING"}, "none of the types of numbers"),
        ({"ElementSpacing": "1 0 3"}, "ElementSpacing in the header is 0 along an axis"),
        ({"ElementSpacing": "1 inf 3"}, "not 3 finite numbers"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "singular or not finite; repair"),
        ({"TransformMatrix": "1 0 0 1"}, "TransformMatrix in the header is not 9 finite"),
        ({"CompressedData": "maybe"}, "CompressedData in the header is none of"),
        ({"ElementDataFile": "LIST"}, "several files; join them in one file"),
        ({"ElementDataFile": "slice%03d.raw 1 4 1"}, "several files"),
    ],
)
def test_a_metaimage_header_that_makes_no_sense(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    assert told in refusal(meta(tmp_path / "a", **changes), also_header="limit" not in told)


def test_a_header_without_an_end(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a", key="x" * (1 << 20))
    assert "its header has no end within 1,048,576 bytes" in refusal(path)
    assert read_header(nrrd(tmp_path / "b", key="x" * (1 << 18))).size == (4, 3, 2)
    assert "no end within" in refusal(meta(tmp_path / "c", Comment="x" * (1 << 20)))


def test_damaged_and_cut_voxels(tmp_path: Path) -> None:
    raw = VOXELS.tobytes()
    assert "truncated: 47 of 48 bytes of voxels; copy it again" in refusal(nrrd(tmp_path / "a", raw[:-1]))
    assert "truncated: 47 of 48 bytes of voxels" in refusal(meta(tmp_path / "a", raw[:-1]))
    for packed, make, name in (
        (gzip.compress(raw), lambda data: nrrd(tmp_path / "a", data, encoding="gzip"), "gzip"),
        (bz2.compress(raw), lambda data: nrrd(tmp_path / "a", data, encoding="bzip2"), "bzip2"),
        (zlib.compress(raw), lambda data: meta(tmp_path / "a", data, CompressedData="True"), "zlib"),
    ):
        np.testing.assert_array_equal(read_image(make(packed)).pixels[0], VOXELS)
        assert "truncated" in refusal(make(packed[: len(packed) // 3]), also_header=False)
        assert f"the {name} stream is damaged" in refusal(make(packed[:-1]), also_header=False)
        broken = bytearray(packed)
        broken[-6] ^= 255
        assert f"the {name} stream is damaged" in refusal(make(bytes(broken)), also_header=False)
        assert "truncated" in refusal(make(b""), also_header=False)


def test_a_small_file_does_not_become_a_large_one(tmp_path: Path) -> None:
    bomb = bytes(1 << 24)
    limits = ReadLimits(max_bytes=1 << 20, max_voxels=1 << 26)
    sizes = "256 256 256"
    for path in (
        nrrd(tmp_path / "a", gzip.compress(bomb), encoding="gzip", sizes=sizes, type="uchar"),
        nrrd(tmp_path / "b", bz2.compress(bomb), encoding="bzip2", sizes=sizes, type="uchar"),
        meta(tmp_path / "c", zlib.compress(bomb), CompressedData="1", DimSize=sizes, ElementType="MET_UCHAR"),
    ):
        assert read_image(path).size == (256, 256, 256)
        with pytest.raises(ImageError, match="above the limit of 1,048,576"):
            read_image(path, limits=limits)
    # what a stream holds beyond the voxels is not unpacked
    path = nrrd(tmp_path / "d", gzip.compress(VOXELS.tobytes() + bomb), encoding="gzip")
    np.testing.assert_array_equal(read_image(path, limits=limits).pixels[0], VOXELS)
