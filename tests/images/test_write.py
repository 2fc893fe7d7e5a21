from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from secondread.images.image import Geometry
from secondread.images.read import read_image
from secondread.images.write import map_on, write_map

VALUES = np.random.default_rng(0).integers(0, 90, size=(6, 5, 4)).astype(np.int16)
DIRECTIONS = {"axial": [1, 0, 0, 0, 1, 0], "sagittal": [0, 1, 0, 0, 0, -1], "coronal": [1, 0, 0, 0, 0, -1]}


@pytest.fixture(params=["tiff", "nifti", *DIRECTIONS, "uneven", "one axial", "one sagittal"])
def volume(request, tmp_path: Path, make_dicom) -> Path:
    if request.param == "tiff":
        tifffile.imwrite(tmp_path / "volume.tiff", VALUES.astype(np.uint16), photometric="minisblack")
        return tmp_path / "volume.tiff"
    if request.param == "nifti":
        affine = np.array([[0.2, -2, 0, 3], [2, 0.2, 0.5, 1], [0, 0.5, -3, 2], [0, 0, 0, 1]])
        nibabel.Nifti1Image(VALUES, affine).to_filename(tmp_path / "volume.nii.gz")
        return tmp_path / "volume.nii.gz"
    direction = DIRECTIONS.get(request.param.removeprefix("one "), DIRECTIONS["axial"])
    normal = np.cross(direction[:3], direction[3:])
    heights = [0, 3, 6, 8, 9, 15] if request.param == "uneven" else [3 * number for number in range(6)]
    for number, height in enumerate(heights[: 1 if request.param.startswith("one") else None]):
        path = make_dicom(
            np.ascontiguousarray(VALUES[number]),
            f"series/{(number * 5) % 7}.dcm",
            SeriesInstanceUID="1.2",
            ImagePositionPatient=list(normal * height),
            ImageOrientationPatient=direction,
            PixelSpacing=[1, 2],
        )
    return path.parent


def test_a_map_lies_on_its_images_array_again(volume: Path, tmp_path: Path) -> None:
    image = read_image(volume)
    assert image.rank == 3
    values = image.pixels[0].astype(np.float32)
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(values), image.geometry)
    found = map_on(read_image(path), image)
    assert found is not None
    np.testing.assert_array_equal(found, values)
    assert map_on(read_image(write_map(tmp_path / "other", values[:, 1:], image.geometry)), image) is None


def test_a_2d_map_is_written_as_float_and_read_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    path = write_map(tmp_path / "deep" / "film.jpeg.map", values, Geometry())
    assert path == tmp_path / "deep" / "film.jpeg.map.tiff"
    np.testing.assert_array_equal(read_image(path).pixels[0], values)


def test_a_volume_without_an_affine_keeps_its_spacing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    image = read_image(write_map(tmp_path / "map", values, Geometry(spacing=(3.0, 2.0, 1.0))))
    assert image.geometry.spacing == (3.0, 2.0, 1.0)
    assert image.size == (3, 4, 5)


def test_other_ranks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 or 3 axes"):
        write_map(tmp_path / "map", np.zeros(3), Geometry())


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tifffile

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(OSError, match="No space"):
        write_map(tmp_path / "map", np.zeros((2, 2)), Geometry())
    assert list(tmp_path.iterdir()) == []
