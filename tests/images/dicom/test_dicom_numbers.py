"""Numbers in DICOM headers: missing is no error, present and not a number is one, whatever they are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)
PLACE = "-7654321.25"
"""A value that DICOM allows; its bytes are then written over, as faulty software writes them."""


def with_text(path: Path, text: str) -> Path:
    """The file with `text` in place of PLACE."""
    data = path.read_bytes()
    assert data.count(PLACE.encode()) == 1
    path.write_bytes(data.replace(PLACE.encode(), text.encode().ljust(len(PLACE))))
    return path


@pytest.mark.parametrize("text", ["+100", " 100 ", "100.", "1e2", "+1.0E+02", "100\0"])
def test_what_is_a_number_without_doubt_is_read(make_dicom: Callable[..., Path], text: str) -> None:
    path = with_text(make_dicom(STORED, RescaleSlope=1, RescaleIntercept=PLACE), text)
    np.testing.assert_array_equal(read_image(path).pixels[0], STORED + 100.0)


@pytest.mark.parametrize(
    "text",
    ["-1024,0", "-1024 HU", '"-1024"', "+-1024", "1_000", "nan", "inf", "0x10", "Doe", "1e999", "1\\2"],
)
@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope"])
def test_a_rescale_that_is_no_number_is_refused_and_not_repeated(
    make_dicom: Callable[..., Path], keyword: str, text: str
) -> None:
    elements = {"RescaleIntercept": 0, "RescaleSlope": 1, keyword: PLACE}
    path = with_text(make_dicom(STORED, **elements), text)
    with pytest.raises(ImageError, match=keyword) as told:
        read_image(path)
    assert text not in str(told.value).replace(str(path), "")


def test_missing_and_empty_rescale_means_stored_values(make_dicom: Callable[..., Path]) -> None:
    empty = make_dicom(STORED, name="a.dcm", RescaleSlope="", RescaleIntercept="")
    for path in (empty, make_dicom(STORED, name="b.dcm")):
        np.testing.assert_array_equal(read_image(path).pixels[0], STORED)


def test_a_slope_of_zero_is_refused(make_dicom: Callable[..., Path]) -> None:
    with pytest.raises(ImageError, match="RescaleSlope in the header is zero"):
        read_image(make_dicom(STORED, RescaleSlope=0, RescaleIntercept=0))


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": PLACE, "WindowWidth": 400},
        {"WindowCenter": 40, "WindowWidth": PLACE},
        {"PixelSpacing": [PLACE, 1]},
        {"ImagerPixelSpacing": [1, PLACE]},
        {"ImagePositionPatient": [0, PLACE, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 0, PLACE, 0]},
        {"SliceThickness": PLACE},
        {"DoseGridScaling": PLACE},
        {"GridFrameOffsetVector": [0, PLACE]},
    ],
    ids=lambda elements: next(iter(elements)),
)
def test_every_number_that_changes_pixels_or_geometry_is_checked(
    make_dicom: Callable[..., Path], elements: dict[str, object]
) -> None:
    frames = np.stack([STORED, STORED]) if "GridFrameOffsetVector" in elements else STORED
    placed = {
        "PixelSpacing": [1, 1],
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    if "ImagerPixelSpacing" in elements:
        placed = {}
    path = with_text(make_dicom(frames, **{**placed, **elements}), "40,5")
    with pytest.raises(ImageError, match=r"in the header is not a number") as told:
        read_image(path)
    assert "40,5" not in str(told.value)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "SliceThickness", "ImagePositionPatient"])
def test_numbers_of_frames_are_checked_alike(make_dicom: Callable[..., Path], keyword: str) -> None:
    def group(**elements: object) -> Sequence:
        item = Dataset()
        for name, element in elements.items():
            setattr(item, name, element)
        return Sequence([item])

    frames = []
    for height in (0, 1):
        frame = Dataset()
        values = {"RescaleSlope": 1, "SliceThickness": 1, "ImagePositionPatient": [0, 0, height]}
        if height:
            values[keyword] = [0, 0, PLACE] if keyword == "ImagePositionPatient" else PLACE
        frame.PlanePositionSequence = group(ImagePositionPatient=values["ImagePositionPatient"])
        frame.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        frame.PixelMeasuresSequence = group(PixelSpacing=[1, 1], SliceThickness=values["SliceThickness"])
        frame.PixelValueTransformationSequence = group(
            RescaleSlope=values["RescaleSlope"], RescaleIntercept=0
        )
        frames.append(frame)
    path = make_dicom(np.stack([STORED, STORED]), PerFrameFunctionalGroupsSequence=Sequence(frames))
    with pytest.raises(ImageError, match=f"{keyword} in the header is not a number"):
        read_image(with_text(path, "1,0"))


def test_too_few_or_too_many_values_are_told(make_dicom: Callable[..., Path]) -> None:
    with pytest.raises(ImageError, match="PixelSpacing in the header has 1 values, and 2 belong there"):
        read_image(make_dicom(STORED, PixelSpacing=[1]))
    with pytest.raises(ImageError, match="RescaleSlope in the header has 2 values that differ"):
        read_image(make_dicom(STORED, RescaleSlope=[1, 2]))


def test_of_several_windows_the_first_is_taken(make_dicom: Callable[..., Path]) -> None:
    voi = read_image(make_dicom(STORED, WindowCenter=[40, 600], WindowWidth=[400, 1500])).voi
    assert voi is not None
    assert (voi.center, voi.width) == (40, 400)


def test_a_lookup_table_that_is_cut_is_refused(make_dicom: Callable[..., Path]) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [12, 0, 16])
    table.add_new("LUTData", "OW", bytes(10))
    with pytest.raises(ImageError, match="lookup table in the header has 10 of 12 entries"):
        read_image(make_dicom(STORED, VOILUTSequence=Sequence([table])))


def test_an_index_hears_of_it_too_and_facts_that_change_nothing_are_left_out(
    make_dicom: Callable[..., Path],
) -> None:
    path = with_text(make_dicom(STORED, PixelSpacing=[PLACE, 1]), "0,5")
    with pytest.raises(ImageError, match="PixelSpacing in the header is not a number"):
        read_header(path)
    path = with_text(make_dicom(STORED, name="b.dcm", KVP=PLACE), "120 kV Doe")
    assert "kvp" not in read_image(path).header
