from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header

STORED = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def one(**elements: object) -> Sequence:
    item = Dataset()
    for keyword, element in elements.items():
        setattr(item, keyword, element)
    return Sequence([item])


def enhanced(heights: list[float], slopes: list[float] | None = None) -> dict[str, object]:
    shared = Dataset()
    shared.PlaneOrientationSequence = one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = one(PixelSpacing=[0.5, 0.25], SliceThickness=2)
    frames = []
    for index, height in enumerate(heights):
        frame = Dataset()
        frame.PlanePositionSequence = one(ImagePositionPatient=[10, 20, height])
        if slopes:
            frame.PixelValueTransformationSequence = one(RescaleSlope=slopes[index], RescaleIntercept=0)
        frames.append(frame)
    return {
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(frames),
    }


def test_frames_with_positions_are_a_volume_in_space(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, **enhanced([7.0, 4.0])))
    np.testing.assert_array_equal(image.pixels[0], STORED[::-1])
    assert image.geometry.spacing == (3.0, 0.5, 0.25)
    np.testing.assert_allclose(image.geometry.position((0, 0, 0)), (-10, -20, 4))
    np.testing.assert_allclose(image.geometry.position((1, 2, 3)), (-10.75, -21, 7))


def test_each_frame_has_its_own_slope(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, **enhanced([4.0, 7.0], slopes=[1.0, 10.0])))
    np.testing.assert_array_equal(image.pixels[0, 1], STORED[1] * 10.0)


def test_one_frame_by_reference_has_its_own_plane(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED, **enhanced([4.0, 7.0]))
    image = read_image(f"{path}#frame/1")
    np.testing.assert_array_equal(image.pixels[0], STORED[1])
    np.testing.assert_allclose(image.geometry.position((2, 3)), (-10.75, -21, 7))


def test_frames_without_positions_say_so_and_invent_no_spacing(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, PixelSpacing=[1, 1]))
    assert image.rank == 3
    assert image.geometry.spacing is None
    assert "frames without positions" in image.geometry.remarks[0]


def test_two_frames_at_one_position_are_no_volume_and_are_read_one_by_one(
    make_dicom: Callable[..., Path],
) -> None:
    path = make_dicom(STORED, **enhanced([4.0, 4.0]))
    with pytest.raises(ImageError, match=r"several at one position.*#frame/N"):
        read_image(path)
    assert read_image(f"{path}#frame/1").rank == 2


def test_frames_of_two_orientations_are_no_volume(make_dicom: Callable[..., Path]) -> None:
    groups = enhanced([4.0, 7.0])
    first, second = groups["PerFrameFunctionalGroupsSequence"]  # type: ignore[misc]
    first.PlaneOrientationSequence = one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    second.PlaneOrientationSequence = one(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    path = make_dicom(STORED, **groups)
    with pytest.raises(ImageError, match=r"different orientations.*#frame/N"):
        read_image(path)
    assert "different orientations" in read_header(path).no_volume


def test_frames_that_only_sometimes_have_a_place_are_no_volume(make_dicom: Callable[..., Path]) -> None:
    groups = enhanced([4.0, 7.0])
    del groups["PerFrameFunctionalGroupsSequence"][1].PlanePositionSequence  # type: ignore[index]
    with pytest.raises(ImageError, match="only 1 of 2 frames have a position"):
        read_image(make_dicom(STORED, **groups))


def test_frames_are_told_in_space_whatever_their_order_in_the_file(make_dicom: Callable[..., Path]) -> None:
    stored = np.arange(72, dtype=np.uint16).reshape(6, 3, 4)
    header = read_header(make_dicom(stored, **enhanced([25.0, 0.0, 15.0, 5.0, 20.0, 10.0])))
    assert header.spacing == (5.0, 0.5, 0.25)


def test_a_missing_frame_is_said_by_image_and_header(make_dicom: Callable[..., Path]) -> None:
    stored = np.arange(48, dtype=np.uint16).reshape(4, 3, 4)
    path = make_dicom(stored, **enhanced([0.0, 5.0, 15.0, 20.0]))
    for remarks in (read_image(path).geometry.remarks, read_header(path).remarks):
        assert any("slices missing inside: 1 slice" in remark for remark in remarks)


@pytest.mark.parametrize(("frames", "told"), [(None, "is missing"), (1, "says 1")])
def test_more_frames_than_the_header_says_are_one_clear_line(
    make_dicom: Callable[..., Path], frames: int | None, told: str
) -> None:
    path = make_dicom(STORED, NumberOfFrames=frames)
    with pytest.raises(ImageError, match=f"the file holds 2 frames, and NumberOfFrames in the header {told}"):
        read_image(path)


def test_compressed_frames_are_counted_too(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED, SpacingBetweenSlices=1)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.NumberOfFrames = 1
    dataset.save_as(path)
    with pytest.raises(ImageError, match="the file holds 2 frames"):
        read_image(path)


def test_a_mosaic_that_does_not_say_of_how_many_slices_is_refused(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(np.zeros((6, 6), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match="a mosaic: several slices in one picture"):
            read(path)


def test_a_mosaic_is_taken_apart(make_dicom: Callable[..., Path]) -> None:
    tiles = np.arange(5 * 6, dtype=np.uint16).reshape(5, 2, 3)
    picture = np.zeros((6, 9), np.uint16)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 3)
        picture[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] = tile
    path = make_dicom(
        picture,
        ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"],
        ImagePositionPatient=[-10, -20, 30],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[2, 3],
        SpacingBetweenSlices=4,
    )
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 5)
    dataset.save_as(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels[0], tiles)
    assert image.geometry.spacing == (4.0, 2.0, 3.0)
    np.testing.assert_allclose(image.geometry.position((0, 0, 0)), (10 - 9, 20 - 4, 30))
    assert any("taken apart into 5 slices" in remark for remark in image.geometry.remarks)
    np.testing.assert_array_equal(read_image(f"{path}#frame/3").pixels[0], tiles[3])


@pytest.mark.parametrize("member", ["frame/2", "frame/x", "slice/0", ""])
def test_a_frame_that_is_not_there_is_an_error(make_dicom: Callable[..., Path], member: str) -> None:
    with pytest.raises(ImageError, match="frame"):
        read_image(f"{make_dicom(STORED)}#{member}")


def test_rank_can_be_asked_for(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    assert read_image(path, as_volume=True).rank == 3
    with pytest.raises(ImageError, match="a volume, where a 2-D image is asked for"):
        read_image(path, as_volume=False)
