from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from secondread.images.image import ImageError
from secondread.images.read import read_image

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


def test_two_frames_at_one_position_are_no_volume_and_say_so(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, **enhanced([4.0, 4.0])))
    assert "make no volume" in image.geometry.remarks[0]
    assert image.geometry.affine is None


@pytest.mark.parametrize("member", ["frame/2", "frame/x", "slice/0", ""])
def test_a_frame_that_is_not_there_is_an_error(make_dicom: Callable[..., Path], member: str) -> None:
    with pytest.raises(ImageError, match="frame"):
        read_image(f"{make_dicom(STORED)}#{member}")


def test_rank_can_be_asked_for(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    assert read_image(path, as_volume=True).rank == 3
    with pytest.raises(ImageError, match="a volume, where a 2-D image is asked for"):
        read_image(path, as_volume=False)
