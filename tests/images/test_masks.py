"""Masks that lie otherwise than their image."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.masks import mask_on
from secondread.images.read import read_image
from secondread.images.write import write_map

SIZE = (14, 12, 9)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 14], [0, 0, 3.0, -40], [0, 0, 0, 1]])
"""Right to left, front to back, feet to head: as most scanners' DICOM becomes NIfTI."""


def volume(path: Path, values: np.ndarray, affine: np.ndarray | None) -> Path:
    nibabel.Nifti1Image(values, affine).to_filename(path)
    return path


@pytest.fixture
def lesion() -> np.ndarray:
    marked = np.zeros(SIZE, np.uint8)
    marked[2:5, 7:9, 3:6] = 1
    return marked


@pytest.fixture
def image(tmp_path: Path, lesion: np.ndarray):
    values = np.random.default_rng(0).integers(0, 90, SIZE).astype(np.int16) + 500 * lesion.astype(np.int16)
    return read_image(volume(tmp_path / "image.nii.gz", values, AFFINE))


def placed(path: Path, image) -> np.ndarray:
    return mask_on(read_image(path), image.geometry, image.size, "its image")


def bright(image) -> np.ndarray:
    return image.pixels[0] >= 400


def test_a_mask_on_the_images_own_grid_is_itself(tmp_path, image, lesion):
    found = placed(volume(tmp_path / "m.nii", lesion, AFFINE), image)
    assert np.array_equal(found, bright(image))
    assert found.sum() == lesion.sum()


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "ASL", "SLP"])
def test_a_mask_stored_in_another_orientation_lies_where_it_lay(tmp_path, image, lesion, axes):
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes))
    nibabel.Nifti1Image(lesion, AFFINE).as_reoriented(turn).to_filename(tmp_path / "m.nii")
    assert np.array_equal(placed(tmp_path / "m.nii", image), bright(image))


def test_a_mask_cut_out_around_the_lesion_lies_where_it_was_cut(tmp_path, image, lesion):
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [1, 6, 2, 1])[:3]
    found = placed(volume(tmp_path / "m.nii", lesion[1:7, 6:11, 2:8], affine), image)
    assert np.array_equal(found, bright(image))


def test_a_finer_mask_gives_the_nearest_voxel(tmp_path, image, lesion):
    affine = AFFINE @ np.diag([0.5, 0.5, 1.0, 1.0])
    affine[:3, 3] = (AFFINE @ [-0.25, -0.25, 0, 1])[:3]
    fine = lesion.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(placed(volume(tmp_path / "m.nii", fine, affine), image), bright(image))


def test_an_oblique_mask_covers_the_same_place(tmp_path, image, lesion):
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = (AFFINE @ [*(np.array(SIZE) / 2), 1])[:3]
    affine = np.eye(4)
    affine[:3, 3] = middle - turn[:3, :3] @ [30, 30, 30]
    affine[:3, :3] = turn[:3, :3]
    marked = np.zeros((60, 60, 60), np.uint8)
    at = (affine @ np.stack([*np.indices(marked.shape).reshape(3, -1), np.ones(marked.size)])).T[:, :3]
    index = np.rint((np.linalg.inv(AFFINE) @ np.column_stack([at, np.ones(len(at))]).T).T[:, :3]).astype(int)
    there = np.all((index >= 0) & (index < SIZE), axis=1)
    marked.reshape(-1)[there] = lesion[tuple(index[there].T)]
    found = placed(volume(tmp_path / "m.nii", marked, affine), image)
    overlap = (found & bright(image)).sum()
    assert 2 * overlap / (found.sum() + bright(image).sum()) > 0.9


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.eye(4), "has an identity affine, and its image does"),
        (None, "does not say where it lies, and its image does"),
        (AFFINE + np.array([[0, 0, 0, 60], [0] * 4, [0] * 4, [0] * 4]), "lies elsewhere: .* share 0 %"),
        (AFFINE + np.array([[0, 0, 0, 14], [0] * 4, [0] * 4, [0] * 4]), "lies elsewhere: .* share 50 %"),
    ],
)
def test_a_mask_without_the_images_position_is_refused(tmp_path, image, lesion, affine, words):
    with pytest.raises(ImageError, match=words):
        placed(volume(tmp_path / "m.nii", lesion, affine), image)


def test_a_mask_that_marks_nothing_of_the_image_is_refused(tmp_path, image):
    marked = np.zeros((20, 12, 9), np.uint8)
    marked[17:] = 1
    with pytest.raises(ImageError, match="nothing of what it marks falls on its image"):
        placed(volume(tmp_path / "m.nii", marked, AFFINE), image)


def test_volumes_that_both_say_nothing_lie_alike(tmp_path, lesion):
    image = read_image(volume(tmp_path / "i.nii", 500 * lesion.astype(np.int16), None))
    assert np.array_equal(placed(volume(tmp_path / "m.nii", lesion, None), image), bright(image))
    with pytest.raises(ImageError, match="its image does not say where it lies"):
        placed(volume(tmp_path / "other.nii", lesion, AFFINE), image)


def test_stacks_without_positions_lie_alike_and_not_beside_nifti(tmp_path, image, lesion):
    np.savez(tmp_path / "set.npz", images=500 * lesion.astype(np.int16)[np.newaxis], masks=lesion[np.newaxis])
    stack = read_image(f"{tmp_path}/set.npz#images/0")
    assert np.array_equal(placed(f"{tmp_path}/set.npz#masks/0", stack), bright(stack))
    with pytest.raises(ImageError, match="does not say where it lies, and its image does"):
        placed(f"{tmp_path}/set.npz#masks/0", image)
    with pytest.raises(ImageError, match="formats differ"):
        placed(volume(tmp_path / "m.nii", lesion, None), stack)


def picture(path: Path, values: np.ndarray, orientation: int = 1) -> Path:
    found = Picture.fromarray(values)
    exif = Picture.Exif()
    exif[0x0112] = orientation
    found.save(path, exif=exif)
    return path


def test_a_picture_that_is_turned_on_reading_turns_its_mask(tmp_path):
    values = np.zeros((20, 30), np.uint8)
    values[3:7, 20:28] = 200
    image = read_image(picture(tmp_path / "i.png", values, 6))
    assert image.size == (30, 20)
    marked = (values > 0).astype(np.uint8)
    for mask in (
        picture(tmp_path / "tagged.png", marked, 6),
        picture(tmp_path / "stored.png", marked),
        picture(tmp_path / "shown.png", np.rot90(marked, -1)),
    ):
        assert np.array_equal(placed(mask, image), image.pixels[0] > 0), mask
    square = read_image(picture(tmp_path / "s.png", values[:, 10:], 6))
    with pytest.raises(ImageError, match="turned on reading"):
        placed(picture(tmp_path / "m.png", marked[:, 10:]), square)


def test_a_picture_of_other_proportions_is_no_mask(tmp_path):
    image = read_image(picture(tmp_path / "i.png", np.zeros((20, 30), np.uint8)))
    half = picture(tmp_path / "half.png", np.eye(10, 15, dtype=np.uint8))
    assert placed(half, image).sum() == 40
    with pytest.raises(ImageError, match="its size 30×20 is not the image's 20×30"):
        placed(picture(tmp_path / "m.png", np.ones((30, 20), np.uint8)), image)


@pytest.mark.parametrize("direction", [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]])
def test_a_mask_of_unevenly_spaced_slices_lies_where_the_slices_lie(tmp_path, make_dicom, direction):
    normal = np.cross(direction[:3], direction[3:])
    for number, height in enumerate((0, 2, 6, 8)):
        path = make_dicom(
            np.zeros((6, 7), np.int16),
            f"series/{number}.dcm",
            SeriesInstanceUID="1.2",
            ImagePositionPatient=list(normal * height),
            ImageOrientationPatient=direction,
            PixelSpacing=[1, 1],
        )
    series = read_image(path.parent)
    fine = np.zeros((30, 30, 30), np.uint8)
    affine = np.eye(4)
    affine[:3, 3] = -15
    marked = {(0, 1, 2), (1, 2, 3), (2, 3, 1), (3, 2, 2)}
    for index in marked:
        fine[tuple(np.round(series.geometry.position(index) + 15).astype(int))] = 1
    found = placed(volume(tmp_path / "m.nii", fine, affine), series)
    assert {tuple(map(int, index)) for index in np.argwhere(found)} == marked


@pytest.mark.parametrize("direction", [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]])
def test_a_mask_of_one_slice_fits_a_series_of_one(tmp_path, make_dicom, direction):
    path = make_dicom(
        np.zeros((6, 7), np.int16),
        "series/1.dcm",
        SeriesInstanceUID="1.2",
        ImagePositionPatient=[5, 6, 7],
        ImageOrientationPatient=direction,
        PixelSpacing=[1, 2],
    )
    series = read_image(path.parent)
    assert series.rank == 3
    marked = np.zeros(series.size, np.uint8)
    marked[np.unravel_index([3, 11, 30], series.size)] = 1
    written = write_map(
        tmp_path / "m", series.geometry.to_file_axes(marked.astype(np.float32)), series.geometry
    )
    assert np.array_equal(placed(written, series), marked == 1)
    elsewhere = nibabel.load(written)
    elsewhere.affine[:3, 3] += 20
    volume(tmp_path / "elsewhere.nii.gz", np.asarray(elsewhere.dataobj), elsewhere.affine)
    with pytest.raises(ImageError, match="lies elsewhere"):
        placed(tmp_path / "elsewhere.nii.gz", series)
