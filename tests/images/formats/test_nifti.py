from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.write import write_map

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray, kind: type = nibabel.Nifti1Image) -> Path:
    nibabel.save(kind(voxels, affine), path)
    return path


def orientations() -> list[str]:
    return ["".join(axes) for axes in itertools.permutations("RAS")] + ["LPS", "LAS", "PIR", "SLA"]


def affine_of(axes: str) -> np.ndarray:
    affine = np.zeros((4, 4))
    for column, (axis, length) in enumerate(zip(axes, (1.0, 2.0, 3.0), strict=True)):
        world, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[axis]
        affine[world, column] = sign * length
    affine[:3, 3] = (11, -7, 5)
    affine[3, 3] = 1
    return affine


@pytest.mark.parametrize("axes", orientations())
def test_every_orientation_is_turned_alike_and_keeps_its_place(tmp_path: Path, axes: str) -> None:
    affine = affine_of(axes)
    image = read_image(save(tmp_path / "v.nii.gz", VOXELS, affine))
    assert image.geometry.affine is not None
    assert nibabel.aff2axcodes(image.geometry.affine) == ("S", "P", "L")
    found = {
        int(image.pixels[(0, *index)]): image.geometry.position(index) for index in np.ndindex(image.size)
    }
    for index in np.ndindex(VOXELS.shape):
        np.testing.assert_allclose(found[int(VOXELS[index])], (affine @ [*index, 1])[:3])


@pytest.mark.parametrize("axes", orientations())
def test_maps_go_back_on_the_files_own_grid(tmp_path: Path, axes: str) -> None:
    source = save(tmp_path / "v.nii.gz", VOXELS, affine_of(axes))
    image = read_image(source)
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(image.pixels[0]), image.geometry)
    assert path.name == "map.nii.gz"
    written, original = nibabel.load(path), nibabel.load(source)
    np.testing.assert_array_equal(np.asarray(written.dataobj), VOXELS)
    np.testing.assert_allclose(written.affine, original.affine)
    assert list(tmp_path.iterdir()) == [path, source] or set(tmp_path.iterdir()) == {path, source}


def test_an_oblique_affine_is_kept(tmp_path: Path) -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1, 2, 3])
    image = read_image(save(tmp_path / "v.nii", VOXELS, affine))
    assert image.geometry.spacing == pytest.approx((3, 2, 1))
    np.testing.assert_allclose(image.geometry.file_affine, affine, atol=1e-6)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    volume = nibabel.Nifti1Image(np.arange(8, dtype=np.float64).reshape(2, 2, 2) / 3, np.eye(4))
    volume.set_data_dtype(np.int16)
    nibabel.save(volume, tmp_path / "scaled.nii")
    image = read_image(tmp_path / "scaled.nii")
    assert image.pixels.dtype == np.float32
    back = image.geometry.to_file_axes(image.pixels[0])
    np.testing.assert_allclose(back, nibabel.load(tmp_path / "scaled.nii").get_fdata(), atol=1e-6)


def test_values_without_scaling_keep_their_type(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "v.nii.gz", VOXELS, np.eye(4))).pixels.dtype == np.int16


def test_nifti_2_and_big_endian_are_read(tmp_path: Path) -> None:
    save(tmp_path / "two.nii", VOXELS, np.eye(4), nibabel.Nifti2Image)
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(">i2"), np.eye(4), header), tmp_path / "big.nii")
    for name in ("two.nii", "big.nii"):
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), VOXELS)


def test_a_grid_of_one_slice_is_a_2d_image(tmp_path: Path) -> None:
    voxels = VOXELS[:, :, :1]
    image = read_image(save(tmp_path / "flat.nii", voxels, affine_of("RAS")))
    assert image.rank == 2
    np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), voxels[..., 0])
    for index in np.ndindex(image.size):
        place = image.geometry.position(index)
        found = np.linalg.inv(affine_of("RAS")) @ [*place, 1]
        assert voxels[tuple(np.rint(found[:3]).astype(int))] == image.pixels[(0, *index)]


def test_a_fourth_axis_asks_for_one_volume(tmp_path: Path) -> None:
    voxels = np.stack([VOXELS, VOXELS + 100], axis=-1)
    path = save(tmp_path / "time.nii.gz", voxels, np.eye(4))
    with pytest.raises(ImageError, match="2 volumes in one file"):
        read_image(path)
    image = read_image(f"{path}#frame/1")
    np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), VOXELS + 100)


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", VOXELS, np.eye(4))
    data = bytearray(path.read_bytes())
    data[280:328] = bytes(48)
    data[252:256] = b"\0\0\x02\0"
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="affine is singular"):
        read_image(path)


@pytest.mark.slow
def test_real_volumes_agree_with_nibabel(shared_data: Path) -> None:
    for path in [
        *sorted((shared_data / "hippocampus-mr").glob("*.nii.gz"))[:2],
        *(shared_data / "nifti").rglob("*.nii*"),
    ]:
        image = read_image(path)
        volume = nibabel.load(path)
        back = image.geometry.to_file_axes(image.pixels[0])
        np.testing.assert_allclose(back, volume.get_fdata(), rtol=1e-6)
        np.testing.assert_allclose(image.geometry.file_affine, volume.affine)
