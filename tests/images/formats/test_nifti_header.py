from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
QFORM, SFORM, UNITS, OFFSET, SLOPE, DIM, PIXDIM = 252, 254, 123, 108, 112, 40, 76


def made(tmp_path: Path, *changes: tuple[int, str, object], affine: np.ndarray = AFFINE) -> Path:
    """A file with bytes of its header changed: (place, struct format, value)."""
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti1Image(VOXELS, affine), path)
    data = bytearray(path.read_bytes())
    for place, layout, value in changes:
        struct.pack_into("<" + layout, data, place, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("offset", [0.0, 8.0, 344.0, 348.0, 351.0, -352.0, 352.5, float("nan"), float("inf")])
def test_voxels_that_start_within_the_header_are_refused_as_nibabel_refuses_them(
    tmp_path: Path, offset: float
) -> None:
    path = made(tmp_path, (OFFSET, "f", offset))
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match="voxels start at byte"):
            read(path)


def test_voxels_behind_an_extension_are_read_from_where_they_start(tmp_path: Path) -> None:
    path = made(tmp_path, (OFFSET, "f", 360.0))
    data = path.read_bytes()
    path.write_bytes(data[:352] + b"\x08\0\0\0\x06\0\0\0" + data[352:])
    image = read_image(path)
    np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), VOXELS)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize(("code", "millimetres"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
@pytest.mark.parametrize("form", ["sform", "qform", "neither"])
def test_lengths_are_millimetres_whatever_unit_the_header_is_in(
    tmp_path: Path, code: int, millimetres: float, form: str
) -> None:
    forms = {"sform": (0, 2), "qform": (1, 0), "neither": (0, 0)}[form]
    affine = AFFINE.copy()
    affine[:3, 3] = -10, 20, 30
    path = made(
        tmp_path, (UNITS, "B", code | 8), (QFORM, "h", forms[0]), (SFORM, "h", forms[1]), affine=affine
    )
    image = read_image(path)
    assert image.geometry.spacing == pytest.approx(tuple(n * millimetres for n in (4, 3, 2)), rel=1e-5)
    assert read_header(path).spacing == pytest.approx(image.geometry.spacing)
    if form != "neither":
        np.testing.assert_allclose(image.geometry.file_affine[:3], affine[:3] * millimetres, rtol=1e-5)


def test_an_unknown_unit_and_two_forms_that_differ_and_shear_are_said(tmp_path: Path) -> None:
    assert not read_image(made(tmp_path)).geometry.remarks
    assert "unit of length" in read_image(made(tmp_path, (UNITS, "B", 5))).geometry.remarks[0]
    moved = read_image(made(tmp_path, (QFORM, "h", 1), (268, "f", 25.0))).geometry
    assert moved.remarks == ("sform and qform differ by up to 25 mm: the sform is used",)
    sheared = AFFINE.copy()
    sheared[1, 2] = 1.0
    assert "sheared" in " ".join(read_image(made(tmp_path, affine=sheared)).geometry.remarks)


@pytest.mark.parametrize("axes", [0, -1, 8, 255])
def test_a_number_of_axes_that_no_nifti_has_is_refused(tmp_path: Path, axes: int) -> None:
    with pytest.raises(ImageError, match=r"lengths|cannot be read|no image"):
        read_image(made(tmp_path, (DIM, "h", axes)))


@pytest.mark.parametrize("axis", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [0, -3])
def test_a_length_below_one_is_refused(tmp_path: Path, axis: int, length: int) -> None:
    with pytest.raises(ImageError, match="a header whose lengths are"):
        read_image(made(tmp_path, (DIM, "h", 4), (DIM + 2 * axis, "h", length)))


@pytest.mark.parametrize("size", [0.0, -2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("qform", [0, 1])
def test_voxel_sizes_that_cannot_be_are_refused_where_they_count(
    tmp_path: Path, size: float, qform: int
) -> None:
    change = (PIXDIM + 4, "f", size)
    with pytest.raises(ImageError, match=r"voxel sizes|not finite"):
        read_image(made(tmp_path, change, (QFORM, "h", qform), (SFORM, "h", 0)))
    assert read_image(made(tmp_path, change)).geometry.spacing == (4.0, 3.0, 2.0)


def test_a_flat_picture_needs_no_size_along_the_axis_that_it_lacks(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOXELS[:, :, 0], AFFINE), tmp_path / "v.nii")
    data = bytearray((tmp_path / "v.nii").read_bytes())
    struct.pack_into("<f", data, PIXDIM + 12, 0.0)
    struct.pack_into("<hh", data, QFORM, 0, 0)
    (tmp_path / "v.nii").write_bytes(data)
    assert read_image(tmp_path / "v.nii").geometry.spacing == (3.0, 2.0)


def test_a_handedness_of_zero_counts_as_one_and_minus_one_turns_the_third_axis(tmp_path: Path) -> None:
    def affine_with(handedness: float) -> np.ndarray:
        path = made(tmp_path, (PIXDIM, "f", handedness), (QFORM, "h", 1), (SFORM, "h", 0))
        return np.asarray(read_image(path).geometry.file_affine)

    np.testing.assert_allclose(affine_with(0.0), affine_with(1.0))
    assert affine_with(-1.0)[2, 2] == pytest.approx(-4.0)
    with pytest.raises(ImageError, match="cannot be read"):
        affine_with(-3.0)


def test_a_slope_of_zero_or_nan_means_no_scaling_and_an_infinite_one_is_refused(tmp_path: Path) -> None:
    for slope in (0.0, float("nan")):
        assert read_image(made(tmp_path, (SLOPE, "f", slope))).pixels.dtype == np.int16
    for place in (SLOPE, SLOPE + 4):
        with pytest.raises(ImageError, match=r"the (slope|intercept) of the values is infinite"):
            read_image(made(tmp_path, (SLOPE, "f", 1.0), (place, "f", float("inf"))))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_voxels_are_refused(tmp_path: Path, dtype: type) -> None:
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(dtype), AFFINE), tmp_path / "c.nii")
    with pytest.raises(ImageError, match="no grey or colour values"):
        read_image(tmp_path / "c.nii")


def packed(tmp_path: Path, change: Callable[[bytes], bytes]) -> Path:
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, AFFINE), tmp_path / "plain.nii")
    path = tmp_path / "v.nii.gz"
    path.write_bytes(change(gzip.compress((tmp_path / "plain.nii").read_bytes())))
    return path


def test_a_gzipped_volume_that_is_cut_or_has_a_wrong_check_sum_is_refused(tmp_path: Path) -> None:
    assert read_image(packed(tmp_path, lambda data: data)).size == (20, 20, 20)
    for cut in (1, 4, 8, 300):
        with pytest.raises(ImageError, match=r"no end|truncated"):
            read_image(packed(tmp_path, lambda data, cut=cut: data[:-cut]))
    with pytest.raises(ImageError, match="a wrong check sum"):
        read_image(packed(tmp_path, lambda data: data[:-8] + b"abcd" + data[-4:]))
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        read_image(packed(tmp_path, lambda data: data[:9000] + bytes(50) + data[9050:]))


def test_gzip_streams_one_after_another_are_one_volume(tmp_path: Path) -> None:
    def in_blocks(data: bytes) -> bytes:
        whole = gzip.decompress(data)
        return b"".join(gzip.compress(whole[at : at + 3000]) for at in range(0, len(whole), 3000))

    expected = read_image(packed(tmp_path, lambda data: data)).pixels
    np.testing.assert_array_equal(read_image(packed(tmp_path, in_blocks)).pixels, expected)
