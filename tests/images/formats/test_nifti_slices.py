"""Slices of a volume as pictures: which voxels, seen how, and where in the patient."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.images import kept_file
from secondread.images.image import ImageError
from secondread.images.masks import mask_on
from secondread.images.read import read_image

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
LPS = np.diag([-1.0, -2.0, 3.0, 1.0])


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = LPS) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        ("axial", VOXELS[:, :, 2].T),  # rows from front to back, columns from the patient's right to left
        ("coronal", VOXELS[:, 2, ::-1].T),  # rows from head to feet
        ("sagittal", VOXELS[2, :, ::-1].T),  # columns from front to back
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_slice_is_seen_alike_however_the_file_lies(
    tmp_path: Path, plane: str, expected: np.ndarray, turned: bool
) -> None:
    affine, voxels = LPS, VOXELS
    if turned:
        affine, voxels = LPS @ np.array([[0, 0, -1, 2], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]), VOXELS
        voxels = np.transpose(VOXELS[::-1], (1, 2, 0))
    path = save(tmp_path / "v.nii.gz", voxels, affine)
    image = read_image(f"{path}#slice/{plane}/2", as_volume=False)
    np.testing.assert_array_equal(image.pixels[0], expected)
    whole = read_image(path)
    assert image.digest == whole.digest
    for index in ((0, 0), (1, 2)):
        value = int(image.pixels[(0, *index)])
        place = tuple(int(i) for i in np.argwhere(whole.pixels[0] == value)[0])
        np.testing.assert_allclose(image.geometry.position(index), whole.geometry.position(place))


def test_a_mask_falls_on_the_slice_that_it_outlines(tmp_path: Path) -> None:
    outline = np.zeros(VOXELS.shape, np.uint8)
    outline[1, 3, 2] = 1
    image, mask = save(tmp_path / "v.nii.gz", VOXELS), save(tmp_path / "m.nii.gz", outline)
    for number, marked in ((2, 1), (1, 0)):
        picture = read_image(f"{image}#slice/axial/{number}")
        placed = mask_on(read_image(f"{mask}#slice/axial/{number}"), picture.geometry, picture.size, "v")
        assert placed.sum() == marked
    two = read_image(f"{mask}#slice/axial/2|{image}#slice/axial/2")
    assert two.pixels.shape == (2, 4, 3)


def test_several_volumes_and_their_mask_are_read_once_for_all_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [save(tmp_path / f"{name}.nii.gz", VOXELS) for name in ("t1", "flair", "seg")]
    reads: list[Path] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or whole(self))
    kept_file.let_go()
    for number in range(3):
        for file in files:
            read_image(f"{file}#slice/axial/{number}")
    assert reads == files


def test_what_is_no_slice_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii.gz", VOXELS)
    with pytest.raises(ImageError, match="the volume has axial slices 0 to 4"):
        read_image(f"{path}#slice/axial/5")
    with pytest.raises(ImageError, match="names nothing in this file"):
        read_image(f"{path}#slice/oblique/1")
    flat = save(tmp_path / "flat.nii.gz", VOXELS[:, :, :1])
    with pytest.raises(ImageError, match="a picture, which has no slices"):
        read_image(f"{flat}#slice/axial/0")
