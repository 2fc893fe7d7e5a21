from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondread.cohorts.listing.index import index
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.read_header import read_header

DRAWS = np.random.default_rng(0)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "u2", "f2", "f4", ">f8", "i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((6, 7), (6, 7)),
        ((1, 6, 7), (6, 7)),
        ((6, 7, 1), (6, 7)),
        ((5, 6, 7), (5, 6, 7)),
        ((2, 6, 7), (2, 6, 7)),
        ((1, 5, 6, 7), (5, 6, 7)),
        ((5, 6, 7, 1), (5, 6, 7)),
    ],
)
def test_an_array_is_a_picture_or_a_volume(
    tmp_path: Path, dtype: str, order: str, shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    array = np.asarray(DRAWS.integers(0, 100, shape), dtype, order=order)
    path = saved(tmp_path / "a.npy", array)
    found = read_image(path)
    np.testing.assert_array_equal(found.pixels, array.reshape(1, *size))
    assert found.pixels.dtype.isnative
    assert found.geometry.spacing is None
    header = read_header(path)
    assert (header.kind, header.size, header.rank, header.channels) == ("npy", size, len(size), 1)


@pytest.mark.parametrize("shape", [(6, 7, 3), (5, 6, 7, 3), (1, 6, 7, 3)])
def test_a_last_axis_of_three_is_colour(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = DRAWS.integers(0, 256, shape, np.uint8)
    path = saved(tmp_path / "a.npy", array)
    expected = np.moveaxis(array[0] if shape[0] == 1 else array, -1, 0)
    np.testing.assert_array_equal(read_image(path).pixels, expected)
    assert read_header(path).channels == 3


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 6, 7)), "may be a volume of 3 slices or a picture with its channels; move channels"),
        (np.zeros((4, 6, 7)), "may be a volume of 4 slices"),
        (np.zeros(9), r"shape \(9,\) is no image; save it as"),
        (np.zeros((2, 3, 4, 5, 6)), "is no image"),
        (np.zeros((0, 6)), "is no image"),
        (np.zeros((6, 7), complex), "complex128 is no image"),
        (np.array([["a", "b"]]), "is no image; save numbers"),
        (np.array([[{}, {}]], dtype=object), "is no image"),
        (np.full((6, 7), np.nan), "42"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, array: np.ndarray, told: str) -> None:
    path = saved(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=told):
        read_image(path)


def test_what_is_cut_or_too_large_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.zeros((6, 7)))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(ImageError, match="335 bytes of values where its header says 336; copy it again"):
        read_image(path)
    path.write_bytes(data[:60])
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match=r"header cannot be read.*; save it again"):
            read(path)
    path.write_bytes(data.replace(b"(6, 7)", b"(99999, 999999)"))
    with pytest.raises(ImageError):
        read_image(path, limits=ReadLimits())


def test_index_lists_arrays_and_says_which_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "normal").mkdir(parents=True)
    saved(folder / "normal" / "a.npy", np.zeros((6, 7)))
    saved(folder / "normal" / "features.npy", np.zeros(512))
    found = index(folder, workers=0)
    assert [row.path for row in found.manifest.rows] == ["normal/a.npy"]
    (aside,) = found.set_aside
    assert "is no image" in str(aside)
