from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from secondread.images.image import Image, ImageError
from secondread.images.read import read_image, series_in_folder
from secondread.images.write import write_map

FOLDERS = ["Study1_13_HCropVolume", "Study3_11-T1post-18670", "Study3_36468-FLAIRreg-58706", "ct_ge_hispeed"]


def header_position(dataset: pydicom.Dataset, row: int, column: int) -> np.ndarray:
    """RAS+ position of a pixel by the equation of PS3.3 C.7.6.2.1.1."""
    x, y = np.split(np.array(dataset.ImageOrientationPatient, float), 2)
    rows, columns = (float(value) for value in dataset.PixelSpacing)
    place = np.array(dataset.ImagePositionPatient, float) + x * columns * column + y * rows * row
    return place * (-1, -1, 1)


@pytest.mark.parametrize("name", FOLDERS)
def test_voxel_positions_match_the_headers(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom-series" / name
    image = read_image(folder)
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert image.size == (len(slices), slices[0].Rows, slices[0].Columns)
    tolerance = 1e-3
    seen = set()
    for dataset in slices:
        origins = [image.geometry.position((index, 0, 0)) for index in range(len(slices))]
        index = int(np.argmin(np.linalg.norm(origins - header_position(dataset, 0, 0), axis=1)))
        seen.add(index)
        corner = (image.size[1] - 1, image.size[2] - 1)
        for row, column in ((0, 0), (5, 3), corner):
            place = image.geometry.position((index, row, column))
            np.testing.assert_allclose(place, header_position(dataset, row, column), atol=tolerance)
        expected = dataset.pixel_array * float(dataset.get("RescaleSlope", 1))
        np.testing.assert_array_equal(
            image.pixels[0, index], expected + float(dataset.get("RescaleIntercept", 0))
        )
    assert seen == set(range(len(slices)))


def test_even_slices_are_placed_by_the_affine_alone(shared_data: Path) -> None:
    image = read_image(shared_data / "dicom-series" / "Study3_36468-FLAIRreg-58706")
    assert image.geometry.slice_origins is None
    assert image.geometry.remarks == ()
    assert image.geometry.spacing == pytest.approx((6.5, 0.6875, 0.6875), abs=1e-3)


def test_tilt_and_uneven_spacing_are_said_plainly(shared_data: Path) -> None:
    image = read_image(shared_data / "dicom-series" / "ct_ge_hispeed")
    told = " ".join(image.geometry.remarks)
    assert "tilted gantry: slices are sheared by 18.5°" in told
    assert "uneven slice spacing" in told
    assert "missing" not in told
    assert image.padding is not None
    assert image.pixels[0][image.padding].max() == -1500


def slices_of(
    make_dicom: Callable[..., Path], heights: list[float], folder: str = "series", **more: object
) -> Path:
    path = Path()
    for number, height in enumerate(heights):
        stored = np.full((2, 3), 10 * number, dtype=np.int16)
        elements: dict[str, object] = {
            "SeriesInstanceUID": "1.2.3",
            "ImagePositionPatient": [0, 0, height],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [1, 1],
        }
        path = make_dicom(stored, f"{folder}/{number}.dcm", **{**elements, **more})
    return path.parent


def test_slices_are_ordered_by_position_not_by_name(make_dicom: Callable[..., Path]) -> None:
    image = read_image(slices_of(make_dicom, [5.0, 1.0, 3.0]))
    np.testing.assert_array_equal(image.pixels[0, :, 0, 0], [10, 20, 0])
    assert image.geometry.spacing == (2.0, 1.0, 1.0)


def test_two_slices_at_one_position_are_refused(make_dicom: Callable[..., Path]) -> None:
    with pytest.raises(ImageError, match="3 slices at 2 positions"):
        read_image(slices_of(make_dicom, [1.0, 1.0, 3.0]))


def test_slices_of_two_orientations_are_refused(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [1.0, 2.0])
    stray = pydicom.dcmread(folder / "0.dcm")
    stray.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    stray.save_as(folder / "stray.dcm")
    with pytest.raises(ImageError, match="different orientations"):
        read_image(folder)


def test_a_folder_of_two_series_asks_which(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [1.0, 2.0])
    other = slices_of(make_dicom, [1.0, 2.0, 3.0], folder="other", SeriesInstanceUID="4.5.6")
    for path in other.iterdir():
        shutil.copy(path, folder / f"other-{path.name}")
    (folder / "notes.txt").write_text("not an image")
    listed = series_in_folder(folder)
    assert sorted(len(series.files) for series in listed) == [2, 3]
    with pytest.raises(ImageError, match="a folder of 2 series"):
        read_image(folder)
    assert sorted(read_image(f"{folder}#{series.key}").size[0] for series in listed) == [2, 3]
    with pytest.raises(ImageError, match="no series 'abc'"):
        read_image(f"{folder}#abc")


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="a folder without DICOM images"):
        read_image(tmp_path)


def test_a_damaged_slice_is_named(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [1.0, 2.0, 3.0])
    whole = (folder / "1.dcm").read_bytes()
    (folder / "1.dcm").write_bytes(whole[:-6])
    with pytest.raises(ImageError, match=r"1\.dcm: .*truncated"):
        read_image(folder)


def test_a_series_too_large_is_refused_after_its_first_slice(make_dicom: Callable[..., Path]) -> None:
    from secondread.images.limits import ReadLimits

    with pytest.raises(ImageError, match="the limit is 15"):
        read_image(slices_of(make_dicom, [1.0, 2.0, 3.0]), limits=ReadLimits(max_voxels=15))


def test_slices_missing_inside_are_said(make_dicom: Callable[..., Path]) -> None:
    image = read_image(slices_of(make_dicom, [0.0, 5.0, 10.0, 25.0, 30.0]))
    assert "slices missing inside: 2 slices in 1 gap of up to 15 mm, where 5 mm are usual" in (
        image.geometry.remarks
    )


def test_thin_slices_below_and_thick_ones_above_are_not_missing_slices(
    make_dicom: Callable[..., Path],
) -> None:
    folder = slices_of(make_dicom, [0.0, 3.0, 6.0, 9.0], SliceThickness=3)
    for number, height in enumerate((14.0, 22.0, 30.0), start=4):
        above = pydicom.dcmread(folder / "0.dcm")
        above.ImagePositionPatient, above.SliceThickness = [0, 0, height], 8
        above.save_as(folder / f"{number}.dcm")
    (told,) = read_image(folder).geometry.remarks
    assert told.startswith("uneven slice spacing")
    (folder / "1.dcm").unlink()
    told = " ".join(read_image(folder).geometry.remarks)
    assert "missing inside: 1 slice in 1 gap of up to 6" in told


def test_slices_further_apart_than_thick_are_said(make_dicom: Callable[..., Path]) -> None:
    image = read_image(slices_of(make_dicom, [0.0, 10.0, 20.0], SliceThickness=5))
    assert image.geometry.remarks == ("wide gaps: slices of 5 mm lie 10 mm apart; some may be missing",)
    assert read_image(slices_of(make_dicom, [0.0, 6.5, 13.0], "b", SliceThickness=5)).geometry.remarks == ()


BROKEN = {
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "header cut": lambda whole: whole[: whole.index(b"\x18\x00\x50\x00")],
    "noise": lambda whole: bytes(255 - byte for byte in whole),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_lost_slice_inside_is_refused_and_one_at_an_end_is_said(
    make_dicom: Callable[..., Path], how: str
) -> None:
    heights = [0.0, 5.0, 10.0, 15.0, 20.0]
    inside = slices_of(make_dicom, heights, "inside", SliceThickness=5)
    (inside / "2.dcm").write_bytes(BROKEN[how]((inside / "2.dcm").read_bytes()))
    with pytest.raises(ImageError, match=r"slices missing inside: 1, and .*2\.dcm"):
        read_image(inside)
    end = slices_of(make_dicom, heights, "end", SliceThickness=5)
    (end / "4.dcm").write_bytes(BROKEN[how]((end / "4.dcm").read_bytes()))
    image = read_image(end)
    assert image.size[0] == 4
    assert any("unreadable files beside the slices (4.dcm" in remark for remark in image.geometry.remarks)


def test_what_is_no_slice_says_nothing_of_one(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 5.0, 10.0])
    (folder / "notes.txt").write_text("not an image")
    (folder / "README.dcm").write_text("text under a slice's ending")
    (folder / "overview.png").write_bytes(b"")
    make_dicom(np.zeros((2, 2), np.uint8), "series/report.dcm", Modality="SR", Rows=None, Columns=None)
    assert read_image(folder).geometry.remarks == ()


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "P-2"},
        {"PatientName": "Roe^Richard"},
        {"PatientBirthDate": "19700101"},
        {"StudyInstanceUID": "1.9"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_two_patients_are_never_one_volume(make_dicom: Callable[..., Path], other: dict[str, str]) -> None:
    whose = {"PatientBirthDate": "19600101", "StudyInstanceUID": "1.8"}
    folder = slices_of(make_dicom, [0.0, 1.0], **whose)
    stray = pydicom.dcmread(folder / "0.dcm")
    stray.ImagePositionPatient = [0, 0, 2]
    for keyword, value in other.items():
        setattr(stray, keyword, value)
    stray.save_as(folder / "2.dcm")
    with pytest.raises(ImageError, match=next(iter(other))) as told:
        read_image(folder)
    assert not any(value in str(told.value) for value in other.values())


def test_a_name_written_otherwise_is_the_same_patient(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 1.0])
    stray = pydicom.dcmread(folder / "1.dcm")
    stray.PatientName = "DOE^JANE^^"
    stray.save_as(folder / "1.dcm")
    assert read_image(folder).size[0] == 2


def test_a_series_in_several_folders_is_one_volume(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 1.0, 2.0, 3.0])
    for part in ("a", "b"):
        (folder / part).mkdir()
    for number in range(4):
        (folder / f"{number}.dcm").rename(folder / "ab"[number % 2] / f"{number}.dcm")
    image = read_image(folder)
    np.testing.assert_array_equal(image.pixels[0, :, 0, 0], [0, 10, 20, 30])


def test_slices_without_a_series_uid_are_one_series_of_their_folder(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 1.0, 2.0], SeriesInstanceUID=None)
    slices_of(make_dicom, [3.0, 4.0], "series/below", SeriesInstanceUID=None)
    assert read_image(folder).size[0] == 3


def test_a_slice_that_is_there_twice_counts_once(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 1.0, 2.0])
    alone = read_image(folder)
    shutil.copy(folder / "1.dcm", folder / "1 (1).dcm")
    again = pydicom.dcmread(folder / "2.dcm")
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "1.2.99"
    again.save_as(folder / "sent-again.dcm")
    image = read_image(folder)
    np.testing.assert_array_equal(image.pixels, alone.pixels)
    assert "copies dropped: 2 slices with the pixels and the place of another" in image.geometry.remarks


def test_spacings_that_differ_by_rounding_are_one(make_dicom: Callable[..., Path]) -> None:
    folder = slices_of(make_dicom, [0.0, 1.0], PixelSpacing=[0.488281, 0.488281])
    other = pydicom.dcmread(folder / "1.dcm")
    other.PixelSpacing = [0.48828125, 0.48828125]
    other.save_as(folder / "1.dcm")
    assert read_image(folder).size[0] == 2


def test_a_map_of_a_series_lies_where_its_slices_lie(make_dicom: Callable[..., Path], tmp_path: Path) -> None:
    image: Image = read_image(slices_of(make_dicom, [5.0, 1.0, 3.0]))
    values = np.arange(18, dtype=np.float32).reshape(image.size)
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(values), image.geometry)
    back = read_image(path)
    np.testing.assert_array_equal(back.pixels[0], values)
    np.testing.assert_allclose(back.geometry.affine, image.geometry.affine)
