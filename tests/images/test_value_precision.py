from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from secondread.images.acquisition import thumbnail
from secondread.images.image import ImageError
from secondread.images.precision import as_float, told_apart_by_float32
from secondread.images.read import read_image

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(40, 30))


@pytest.mark.parametrize(
    "values",
    [
        RNG.integers(0, 65536, (50, 50), dtype=np.uint16),
        RNG.integers(-1000, 3000, (50, 50)).astype(np.int32),
        NOISE,
        NOISE * 1e6 + 1000,
        np.zeros((5, 5)),
        np.full((5, 5), np.nan),
        np.float32(1e9) + np.arange(100, dtype=np.float32),
    ],
)
def test_usual_values_become_float32(values: np.ndarray) -> None:
    assert as_float(values).dtype == np.float32


@pytest.mark.parametrize(
    "values",
    [
        NOISE + 1e9,
        np.where(NOISE > 2, 0.0, NOISE + 1e9),
        np.where(NOISE > 0, 1e9, 1e9 + 1),
        RNG.integers(0, 255, (50, 50)).astype(np.uint32) + np.uint32(2**31),
        np.array([0.0, 1e39]),
    ],
)
def test_values_at_a_great_offset_stay_in_64_bits(values: np.ndarray) -> None:
    assert not told_apart_by_float32(values) or np.abs(values).max() > 1e38
    np.testing.assert_array_equal(as_float(values), values.astype(np.float64))


def beyond(folder: Path, kind: str, make_dicom: Callable[..., Path]) -> str:
    values = NOISE.copy()
    values[3, 4:6] = 1e39
    path = folder / f"x.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, values)
    elif kind == "npz":
        np.savez(path, train_images=values[np.newaxis])
        return f"{path}#train_images/0"
    elif kind == "nii":
        nibabel.save(nibabel.Nifti1Image(values[..., np.newaxis], np.eye(4)), path)
    elif kind == "scaled.nii":
        stored = nibabel.Nifti1Image(np.ones((40, 30, 1), np.int16), np.eye(4))
        stored.header["magic"] = b"n+1"
        nibabel.save(stored, path)
        data = bytearray(path.read_bytes())
        data[352 : 352 + 2400] = np.where(values > 1e38, 30000, 1).astype("<i2").tobytes(order="F")
        data[112:116] = np.float32(3e34).tobytes()
        path.write_bytes(data)
    elif kind == "dcm":
        return str(make_dicom(values))
    else:
        stored = np.where(values > 1e38, 30000, 1).astype(np.uint16)
        return str(make_dicom(stored, RescaleSlope="3E34", RescaleIntercept="0"))
    return str(path)


@pytest.mark.parametrize("kind", ["tif", "npz", "nii", "scaled.nii", "dcm", "scaled.dcm"])
def test_values_beyond_float32_are_refused_and_never_infinite(
    tmp_path: Path, kind: str, make_dicom: Callable[..., Path]
) -> None:
    with pytest.raises(ImageError, match=r"2 of 1,200 values are beyond"):
        read_image(beyond(tmp_path, kind, make_dicom))


def test_a_rescale_to_a_great_offset_keeps_what_was_stored(
    tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    stored = RNG.integers(0, 200, (20, 30), dtype=np.uint16)
    image = read_image(make_dicom(stored, RescaleSlope="1", RescaleIntercept="1000000000"))
    np.testing.assert_array_equal(image.pixels[0], stored + 1e9)
    usual = read_image(make_dicom(stored, RescaleSlope="1", RescaleIntercept="-1024"))
    assert usual.pixels.dtype == np.float32
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti1Image(stored[..., np.newaxis].astype(np.int16), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([1.0, 1e9], np.float32).tobytes()
    path.write_bytes(data)
    back = read_image(path)
    np.testing.assert_array_equal(back.geometry.to_file_axes(back.pixels[0]), stored + 1e9)


def test_thumbnails_at_a_great_offset_are_not_all_alike(tmp_path: Path) -> None:
    small = []
    for offset in (0.0, 1e9):
        tifffile.imwrite(tmp_path / "x.tif", np.add.outer(np.arange(64.0), np.arange(48.0)) + offset)
        small.append(thumbnail(read_image(tmp_path / "x.tif")))
    np.testing.assert_allclose(small[0], small[1], atol=1e-4)
