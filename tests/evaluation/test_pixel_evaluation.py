from pathlib import Path

import nibabel
import numpy as np
import pytest
from made_dicom import dicom_dataset
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image as Picture

from secondread.evaluation.pixels import _Pair, read_map_and_mask
from secondread.images.image import ImageError
from secondread.images.masks import nearest
from secondread.images.read import read_image
from secondread.images.write import write_map


def test_a_mask_of_the_same_size_is_itself():
    mask = np.eye(3, dtype=bool)
    assert nearest(mask, (3, 3)) is mask


def test_a_mask_of_half_the_size_covers_the_same_field():
    mask = np.array([[True, False], [False, False]])
    assert nearest(mask, (4, 4)).tolist() == np.kron(mask, np.ones((2, 2))).astype(bool).tolist()


def test_a_larger_mask_keeps_its_share():
    mask = np.zeros((90, 60), bool)
    mask[:45] = True
    assert nearest(mask, (30, 30)).mean() == 0.5


AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 14], [0, 0, 3.0, -40], [0, 0, 0, 1]])


def dice(values: np.ndarray, mask: np.ndarray) -> float:
    found = values > 0.5
    return 2 * (found & mask).sum() / (found.sum() + mask.sum())


@pytest.fixture
def lesion() -> np.ndarray:
    marked = np.zeros((14, 12, 9), np.uint8)
    marked[2:5, 7:9, 3:6] = 1
    return marked


def perfect_map(folder: Path, reference: Path | str) -> str:
    """As scoring writes it: what the image shows, on the file's own grid."""
    image = read_image(reference)
    heat = (image.pixels[0] > 0).astype(np.float32)
    return str(write_map(folder / "a.map", image.geometry.to_file_axes(heat), image.geometry))


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLP"])
def test_a_perfect_map_is_perfect_whatever_the_masks_orientation(tmp_path, lesion, axes):
    image, mask = tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"
    nibabel.Nifti1Image(lesion, AFFINE).to_filename(image)
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes))
    nibabel.Nifti1Image(lesion, AFFINE).as_reoriented(turn).to_filename(mask)
    found = read_map_and_mask(_Pair(perfect_map(tmp_path, image), str(mask), str(image)))
    assert dice(*found) == 1.0


def test_a_mask_without_the_images_affine_is_a_failure_and_no_low_dice(tmp_path, lesion):
    image, mask = tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"
    nibabel.Nifti1Image(lesion, AFFINE).to_filename(image)
    nibabel.Nifti1Image(lesion, np.eye(4)).to_filename(mask)
    with pytest.raises(ImageError, match="identity affine"):
        read_map_and_mask(_Pair(perfect_map(tmp_path, image), str(mask), str(image)))


def test_maps_of_stacks_without_positions_are_not_mirrored(tmp_path, lesion):
    np.savez(tmp_path / "set.npz", images=lesion[np.newaxis], masks=lesion[np.newaxis])
    image, mask = (f"{tmp_path}/set.npz#{name}/0" for name in ("images", "masks"))
    assert dice(*read_map_and_mask(_Pair(perfect_map(tmp_path, image), mask, image))) == 1.0


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_maps_and_masks_of_a_turned_picture_meet(tmp_path, lesion, orientation):
    exif = Picture.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "m.png"):
        Picture.fromarray(lesion[..., 4] * 255).save(tmp_path / name, exif=exif)
    image = str(tmp_path / "a.png")
    found = read_map_and_mask(_Pair(perfect_map(tmp_path, image), str(tmp_path / "m.png"), image))
    assert dice(*found) == 1.0


def test_a_slice_in_nifti_meets_its_mask_in_another_orientation(tmp_path, lesion):
    image, mask = tmp_path / "a.nii", tmp_path / "m.nii"
    single = nibabel.Nifti1Image(lesion[..., 4:5], AFFINE)
    single.to_filename(image)
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt("ARS"))
    single.as_reoriented(turn).to_filename(mask)
    found = read_map_and_mask(_Pair(perfect_map(tmp_path, image), str(mask), str(image)))
    assert dice(*found) == 1.0


def test_a_map_of_unevenly_spaced_slices_meets_a_mask_of_another_grid(tmp_path):
    (tmp_path / "series").mkdir()
    for number, height in enumerate((0, 2, 6, 8, 13)):
        made = dicom_dataset(
            np.where(number == 2, np.pad(np.ones((3, 4)), ((2, 7), (5, 3))), 0).astype(np.int16),
            SeriesInstanceUID="1.2",
            ImagePositionPatient=[0, 0, height],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
        )
        made.save_as(tmp_path / "series" / f"{number}.dcm", enforce_file_format=True)
    image = str(tmp_path / "series")
    mask = np.zeros((12, 12, 16), np.uint8)
    mask[5:9, 2:5, 6] = 1
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    nibabel.Nifti1Image(mask, affine).to_filename(tmp_path / "m.nii")
    found = read_map_and_mask(_Pair(perfect_map(tmp_path, image), str(tmp_path / "m.nii"), image))
    assert dice(*found) == 1.0
