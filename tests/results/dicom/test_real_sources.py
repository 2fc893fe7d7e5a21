"""Maps of what hospitals send, on the instances that they sent: a block of the array lies in the result where
`Geometry.position` says, or in the same pixels of the same frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from secondread.images.dicom.dataset import quiet_pydicom
from secondread.images.dicom.geometry import RAS
from secondread.images.image import Image
from secondread.images.read import read_image, series_in_folder
from secondread.results.dicom.parametric_map import parametric_map
from secondread.results.dicom.segmentation import segmentation
from secondread.results.dicom.source import Source, read_source

Identity = Callable[[], dict[str, Any]]
PLACED = (
    "dicom-series/ct_ge_hispeed",
    "dicom-series/Study1_13_HCropVolume",
    "dicom-zoo/fo-dicom/Tests__FO-DICOM.Tests__Test_Data__mr_brucker.dcm",
    "dicom-zoo/fo-dicom/Tests__FO-DICOM.Tests__Test_Data__GH184.dcm",
    "dicom-zoo/wg04/data__WG04__J2KI__CT1_J2KI",
    "dicom-zoo/siemens/In__Orientation__axmb__AxAsc36mb2a__jpg1.dcm",
)
"""A tilted and uneven CT, an MR series, an enhanced MR, single slices of PET and CT, a mosaic."""
UNPLACED = (
    "dicom-zoo/pydicom/src__pydicom__data__test_files__dicomdirtests__77654033__CR1__6154",
    "dicom-zoo/pydicom/src__pydicom__data__test_files__examples_ybr_color.dcm",
)
"""A film and an ultrasound clip."""


def read(data: Path, name: str) -> tuple[Image, Source]:
    path = data / name
    reference = f"{path}#{series_in_folder(path)[0].key}" if path.is_dir() else str(path)
    image = read_image(reference)
    return image, read_source(reference, digest=image.digest)


def block(image: Image) -> np.ndarray:
    """A map of the image's array: 1 to 2 in a block off its centre, 0 elsewhere."""
    heat = np.zeros(image.size, np.float32)
    inside = tuple(slice(length // 3, length // 3 + max(1, min(4, length // 5))) for length in image.size)
    heat[inside] = np.linspace(1, 2, heat[inside].size, dtype=np.float32).reshape(heat[inside].shape)
    return heat


def back(made: Dataset | None, file: Path) -> Dataset:
    assert made is not None
    with quiet_pydicom():
        pydicom.dcmwrite(file, made, enforce_file_format=True)
        return pydicom.dcmread(file)


def places(result: Dataset, values: np.ndarray) -> dict[float, np.ndarray]:
    """Value of a pixel above a half -> where it lies, LPS, by the result's own headers."""
    shared = result.SharedFunctionalGroupsSequence[0]
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    found = {}
    for frame, pixels in zip(result.PerFrameFunctionalGroupsSequence, values, strict=True):
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(pixels > 0.5):
            found[float(pixels[row, column])] = (
                origin + column * spacing[1] * directions[:3] + row * spacing[0] * directions[3:]
            )
    return found


@pytest.mark.parametrize("name", PLACED)
def test_a_block_lies_where_its_geometry_says(
    shared_data: Path, tmp_path: Path, identity: Identity, name: str
) -> None:
    image, source = read(shared_data, name)
    heat = block(image)
    on_file = image.geometry.to_file_axes(heat)
    expected = {float(heat[tuple(at)]): image.geometry.position(tuple(at)) * RAS for at in np.argwhere(heat)}
    half_a_voxel = min(image.geometry.spacing or (1.0,)) / 2

    whole = back(parametric_map(source, on_file, **identity()), tmp_path / "map.dcm")
    values = np.frombuffer(whole.FloatPixelData, np.float32).reshape(-1, whole.Rows, whole.Columns)
    found = places(whole, values)
    assert found.keys() == expected.keys()
    assert max(np.linalg.norm(found[one] - expected[one]) for one in found) < half_a_voxel / 5

    made = segmentation(source, on_file, 0.5, algorithm="spectrum", version="0.1.0", **identity())
    marked = back(made, tmp_path / "seg.dcm")
    pixels = marked.pixel_array.reshape(-1, marked.Rows, marked.Columns)
    assert pixels.sum() == len(expected)
    stored = {str(header.SOPInstanceUID): header for header in source.headers}
    for frame in marked.PerFrameFunctionalGroupsSequence:
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        header = stored[item.ReferencedSOPInstanceUID]
        if source.tiles is None and "ImagePositionPatient" in header:
            here = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
            assert np.abs(here - np.array(header.ImagePositionPatient, float)).max() < 1e-3


@pytest.mark.parametrize("name", UNPLACED)
def test_a_block_marks_the_same_pixels_of_the_same_frame(
    shared_data: Path, tmp_path: Path, identity: Identity, name: str
) -> None:
    image, source = read(shared_data, name)
    heat = image.geometry.to_file_axes(block(image))
    made = segmentation(source, heat, 0.5, algorithm="spectrum", version="0.1.0", **identity())
    marked = back(made, tmp_path / "seg.dcm")
    frames = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].get("ReferencedFrameNumber", 1)
        for frame in marked.PerFrameFunctionalGroupsSequence
    ]
    planes = source.planes_of(heat)
    assert frames == [number + 1 for number in range(len(planes)) if planes[number].any()]
    pixels = marked.pixel_array.reshape(-1, marked.Rows, marked.Columns)
    np.testing.assert_array_equal(pixels, planes[[frame - 1 for frame in frames]] > 0.5)
