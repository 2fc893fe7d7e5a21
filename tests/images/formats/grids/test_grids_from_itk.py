"""NRRD and MetaImage give what ITK's NIfTI of the same volume gives: pixels, spacing, orientation."""

from __future__ import annotations

import itertools
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from itk_files import WAYS, itk_image, written

from secondread.images.image import Image
from secondread.images.masks import mask_on
from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.images.write import write_map

VOXELS = np.random.default_rng(0).integers(-900, 900, (6, 5, 4)).astype(np.int16)
_OBLIQUE = np.array([[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])
TURNS = [
    _OBLIQUE @ (np.eye(3)[:, list(axes)] * np.array(signs))
    for axes, signs in zip(
        itertools.permutations(range(3)),
        itertools.cycle([(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, 1)]),
        strict=False,
    )
]


def same(one: Image, other: Image) -> None:
    assert one.pixels.dtype == other.pixels.dtype
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.geometry.file_axes, one.geometry.file_flips) == (
        other.geometry.file_axes,
        other.geometry.file_flips,
    )
    np.testing.assert_allclose(one.geometry.spacing, other.geometry.spacing, rtol=1e-6)  # type: ignore[arg-type]
    for name in ("affine", "file_affine"):
        np.testing.assert_allclose(getattr(one.geometry, name), getattr(other.geometry, name), atol=1e-4)


@pytest.mark.parametrize("turn", TURNS)
def test_a_volume_is_that_of_nifti_in_every_orientation(tmp_path: Path, turn: np.ndarray) -> None:
    image = itk_image(VOXELS, turn)
    nifti = written(image, tmp_path / "v.nii.gz")
    for name, packed in WAYS:
        path = written(image, tmp_path / name, packed)
        found = read_image(path)
        same(found, read_image(nifti))
        assert found.geometry.remarks == ()
        header = read_header(path)
        assert (header.size, header.rank, header.frames) == (found.size, 3, 1)
        assert header.spacing == pytest.approx(found.geometry.spacing)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"])
def test_every_type_and_a_single_slice(tmp_path: Path, kind: str) -> None:
    image = itk_image(np.arange(20).reshape(1, 5, 4).astype(kind))
    nifti = read_image(written(image, tmp_path / "v.nii"))
    for name, packed in WAYS:
        found = read_image(written(image, tmp_path / name, packed))
        same(found, nifti)
        assert found.rank == 2


def test_a_fourth_axis_numbers_frames_which_have_slices(tmp_path: Path) -> None:
    image = sitk.JoinSeries([itk_image(VOXELS), itk_image(VOXELS[::-1].copy())])
    nifti = written(image, tmp_path / "v.nii")
    for name in ("v.mha", "v.nrrd"):
        path = written(image, tmp_path / name, True)
        assert read_header(path).frames == 2
        with pytest.raises(Exception, match=r"2 volumes in one file .*name one with #frame/N"):
            read_image(path)
        with pytest.raises(Exception, match="frames 0 to 1"):
            read_image(f"{path}#frame/2")
        for member in ("frame/1", "frame/0/slice/axial/2", "frame/1/slice/sagittal/3"):
            one, other = read_image(f"{path}#{member}"), read_image(f"{nifti}#{member}")
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_allclose(one.geometry.affine, other.geometry.affine, atol=1e-5)


def test_values_of_several_numbers_are_frames_and_colour_is_colour(tmp_path: Path) -> None:
    vectors = sitk.Compose(*[itk_image(VOXELS + step) for step in range(3)])
    colour = np.random.default_rng(1).integers(0, 255, (5, 4, 3)).astype(np.uint8)
    for name in ("v.mha", "v.nrrd"):
        path = written(vectors, tmp_path / name)
        assert read_header(path).frames == 3
        np.testing.assert_array_equal(read_image(f"{path}#frame/2").pixels[0], VOXELS + 2)
        path = written(itk_image(colour, colour=True), tmp_path / f"c{name}")
        found = read_image(path)
        np.testing.assert_array_equal(np.moveaxis(found.pixels, 0, -1), colour)
        assert (found.geometry.affine, found.geometry.spacing) == (None, (1.25, 0.5))
        assert (read_header(path).channels, read_header(path).size) == (3, (5, 4))


def test_maps_go_back_on_the_grid_and_masks_of_other_formats_fit(tmp_path: Path) -> None:
    image = itk_image(VOXELS, TURNS[3])
    mask = sitk.Cast(image > 0, sitk.sitkUInt8)
    outlined = written(mask, tmp_path / "m.nii.gz")
    for name in ("v.mha", "v.nrrd"):
        found = read_image(written(image, tmp_path / name))
        on = mask_on(read_image(outlined), found.geometry, found.size, "the image")
        np.testing.assert_array_equal(on, found.pixels[0] > 0)
        again = mask_on(read_image(written(mask, tmp_path / f"m{name}")), found.geometry, found.size, "it")
        np.testing.assert_array_equal(on, again)
        path = write_map(tmp_path / "map", found.geometry.to_file_axes(found.pixels[0]), found.geometry)
        back = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), VOXELS)
        np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-5)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_what_pynrrd_writes_is_read(tmp_path: Path, encoding: str) -> None:
    voxels = np.transpose(VOXELS, (2, 1, 0))
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([0.5, 1.25, 2.0]),
        "space origin": [1, 2, 3],
        "encoding": encoding,
        "endian": "big",
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / "v.nrrd"), voxels.astype(">i2"), header)
    nrrd.write(str(tmp_path / "d.nhdr"), voxels, header, detached_header=True)
    for name in ("v.nrrd", "d.nhdr"):
        found = read_image(tmp_path / name)
        np.testing.assert_array_equal(found.geometry.to_file_axes(found.pixels[0]), voxels)
        np.testing.assert_allclose(
            found.geometry.file_affine, [[0.5, 0, 0, 1], [0, 1.25, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]]
        )
