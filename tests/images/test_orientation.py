"""Every volume reaches a detector in one orientation, and maps go back to the file's own grid."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from scipy.spatial.transform import Rotation

from secondread.images.image import Image
from secondread.images.orientation import canonical_axes
from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.images.write import write_map

SIZE = (4, 5, 6)
VALUES = np.random.default_rng(3).integers(0, 1000, SIZE).astype(np.int16)
"""`[slice, row, column]` from feet to head, front to back, right to left; 2, 1 and 1.5 mm apart."""
STEPS = np.array([[0, 0, 2.0], [0, 1.0, 0], [1.5, 0, 0]])
"""What one step along each of these axes is in LPS millimetres."""
CORNER = np.array([-7.0, 11.0, 3.0])
TURNS = list(product(permutations(range(3)), product((False, True), repeat=3)))
PLANES = [((0, 1, 2), "axial"), ((1, 0, 2), "coronal"), ((2, 0, 1), "sagittal"), ((2, 1, 0), "rows down")]
FLIPS = [(False, False, False), (True, True, False), (False, True, True), (True, False, True)]


def turned(axes: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The volume with its axes in another order and sense: values, steps and corner in LPS."""
    values = np.flip(np.transpose(VALUES, axes), [i for i, flip in enumerate(flips) if flip])
    steps, corner = STEPS[list(axes)].copy(), CORNER.copy()
    for i, flip in enumerate(flips):
        if flip:
            corner += steps[i] * (values.shape[i] - 1)
            steps[i] *= -1
    return values, steps, corner


def write_series(
    make_dicom: Callable[..., Path],
    axes: tuple[int, ...],
    flips: tuple[bool, ...],
    heights: list[float] | None,
) -> Path:
    values, steps, corner = turned(axes, flips)
    lengths = np.linalg.norm(steps, axis=1)
    path = Path()
    for number, slice_ in enumerate(values):
        path = make_dicom(
            np.ascontiguousarray(slice_),
            f"series/{(number * 7) % 11}.dcm",
            SeriesInstanceUID="1.2.3",
            ImagePositionPatient=list(corner + steps[0] * (number if heights is None else heights[number])),
            ImageOrientationPatient=[*(steps[2] / lengths[2]), *(steps[1] / lengths[1])],
            PixelSpacing=[lengths[1], lengths[2]],
        )
    return path.parent


def check_way_back(image: Image, tmp_path: Path) -> None:
    """A map written for the image lies where the image lies: its bright voxel is one point in space."""
    heat = np.zeros(image.size, np.float32)
    heat[1, 2, 3] = 1.0
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(heat), image.geometry)
    written = nibabel.load(path)
    bright = np.argwhere(np.asarray(written.dataobj) == 1.0)
    assert len(bright) == 1
    place = (written.affine @ (*bright[0], 1))[:3]
    np.testing.assert_allclose(place, image.geometry.position((1, 2, 3)), atol=1e-4)
    back = read_image(path)
    np.testing.assert_array_equal(back.pixels[0], heat)
    np.testing.assert_allclose(back.geometry.affine, image.geometry.affine, atol=1e-4)


def check_place(image: Image) -> None:
    np.testing.assert_array_equal(image.pixels[0], VALUES)
    assert image.geometry.spacing == pytest.approx((2.0, 1.0, 1.5))
    for index in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):
        place = (CORNER + np.array(index) @ STEPS) * (-1, -1, 1)
        np.testing.assert_allclose(image.geometry.position(index), place, atol=1e-4)


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_a_nifti_in_any_of_48_orientations_is_one_volume(
    tmp_path: Path, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    values, steps, corner = turned(axes, flips)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps.T, corner
    affine[:2] *= -1
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values), affine), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    check_place(image)
    np.testing.assert_array_equal(image.geometry.to_file_axes(image.pixels[0]), values)


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("axes", [axes for axes, _ in PLANES], ids=[name for _, name in PLANES])
def test_a_dicom_series_in_any_plane_is_the_same_volume(
    make_dicom: Callable[..., Path], tmp_path: Path, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    image = read_image(write_series(make_dicom, axes, flips, None))
    check_place(image)
    check_way_back(image, tmp_path)


@pytest.mark.parametrize("axes", [axes for axes, _ in PLANES[:3]], ids=[name for _, name in PLANES[:3]])
def test_enhanced_frames_in_any_plane_are_the_same_volume(
    make_dicom: Callable[..., Path], tmp_path: Path, axes: tuple[int, ...]
) -> None:
    values, steps, corner = turned(axes, (True, False, False))
    lengths = np.linalg.norm(steps, axis=1)

    def one(**elements: object) -> Sequence:
        item = Dataset()
        for keyword, element in elements.items():
            setattr(item, keyword, element)
        return Sequence([item])

    shared = Dataset()
    direction = [*(steps[2] / lengths[2]), *(steps[1] / lengths[1])]
    shared.PlaneOrientationSequence = one(ImageOrientationPatient=direction)
    shared.PixelMeasuresSequence = one(PixelSpacing=[lengths[1], lengths[2]], SliceThickness=lengths[0])
    frames, shuffled = [], np.random.default_rng(0).permutation(len(values))
    for number in shuffled:
        frames.append(Dataset())
        frames[-1].PlanePositionSequence = one(ImagePositionPatient=list(corner + steps[0] * number))
    path = make_dicom(
        np.ascontiguousarray(values[shuffled]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
    )
    image, header = read_image(path), read_header(path)
    check_place(image)
    check_way_back(image, tmp_path)
    assert header.size == image.size
    assert header.spacing == pytest.approx((2.0, 1.0, 1.5))


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1)], ids=["coronal", "sagittal"])
def test_uneven_slices_keep_their_places_when_they_are_turned(
    make_dicom: Callable[..., Path], axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    heights = [0.0, 1.0, 1.5, 3.0, 4.0, 6.5][: SIZE[axes[0]]]
    image = read_image(write_series(make_dicom, axes, flips, heights))
    _, steps, corner = turned(axes, flips)
    np.testing.assert_array_equal(image.pixels[0], VALUES)
    stack_index = [2, 1, 3]
    index = [stack_index[axes.index(axis)] for axis in range(3)]
    for i, flip in enumerate(flips):
        if flip:
            index[axes[i]] = SIZE[axes[i]] - 1 - index[axes[i]]
    place = corner + steps[0] * heights[2] + steps[1] * 1 + steps[2] * 3
    np.testing.assert_allclose(image.geometry.position(tuple(index)), place * (-1, -1, 1), atol=1e-4)


def test_an_oblique_grid_goes_to_its_nearest_axes() -> None:
    for seed in range(20):
        tilt = Rotation.from_euler("xyz", np.random.default_rng(seed).uniform(-25, 25, 3), degrees=True)
        for axes, flips in TURNS[::5]:
            affine = np.eye(4)
            straight = np.zeros((3, 3))
            for file_axis, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
                direction = np.array([[0, 0, 1.0], [0, -1, 0], [-1, 0, 0]])[axis]
                straight[:, file_axis] = -direction if flip else direction
            affine[:3, :3] = tilt.as_matrix() @ straight * (0.5, 1, 3)
            assert canonical_axes(affine) == (axes, flips)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_grid_turned_by_45_degrees_is_turned_alike_whatever_its_order_and_last_digits(axis: int) -> None:
    turn = Rotation.from_rotvec(np.deg2rad(45) * np.eye(3)[axis]).as_matrix()
    found = set()
    for seed, (order, signs) in enumerate(product(permutations(range(3)), product((1, -1), repeat=3))):
        noise = np.random.default_rng(seed).uniform(-1e-6, 1e-6, (3, 3))
        columns = (turn[:, order] + noise) * signs
        axes, flips = canonical_axes(columns)
        ways = np.stack([columns[:, axes.index(a)] * (-1 if flips[axes.index(a)] else 1) for a in range(3)])
        found.add(tuple(np.round(ways, 3).ravel() + 0.0))
    assert len(found) == 1
