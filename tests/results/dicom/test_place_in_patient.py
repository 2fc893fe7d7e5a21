"""A lesion that was drawn at a place in the patient lies there in the segmentation and the parametric map.

What is read back is placed by PS3.3 C.7.6.2.1.1 from the result's own headers, beside the formula by which
the lesion was drawn into the source's pixels and beside `Geometry.position`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import made_study
import numpy as np
import pydicom
import pytest

from secondread.images.dicom.geometry import RAS
from secondread.images.read import read_image
from secondread.results.dicom.parametric_map import parametric_map
from secondread.results.dicom.segmentation import segmentation
from secondread.results.dicom.source import read_source

Identity = Callable[[], dict[str, Any]]
OFF_CENTRE = np.array([0.31, -0.42, 0.7])
ORDER = [3, 0, 6, 2, 5, 1, 4, 0]
"""Of an enhanced file's frames; the first slice is there twice."""


def made(folder: Path, kind: str) -> tuple[Path, np.ndarray]:
    """A study of the kind and where its lesion is, LPS."""
    place = made_study.slices(kind.removeprefix("enhanced "))
    lesion = place.positions(2)[11, 13] + OFF_CENTRE
    if kind.startswith("enhanced"):
        return made_study.write_enhanced(folder / "enhanced.dcm", place, lesion, ORDER), lesion
    return made_study.write_series(folder / "series", place, lesion), lesion


def drawn(kind: str, lesion: np.ndarray) -> np.ndarray:
    """Where the drawn pixels are, `[pixels, 3]` LPS."""
    place = made_study.slices(kind.removeprefix("enhanced "))
    every = np.stack([place.positions(number) for number in range(len(place.origins))]).reshape(-1, 3)
    return every[np.linalg.norm(every - lesion, axis=-1) <= made_study.RADIUS]


def placed(result: pydicom.Dataset, marked: np.ndarray) -> np.ndarray:
    """Where the marked pixels `[frames, rows, columns]` of a result are, by its own functional groups."""
    shared = result.SharedFunctionalGroupsSequence[0]
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    found = []
    for frame, pixels in zip(result.PerFrameFunctionalGroupsSequence, marked, strict=True):
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(pixels):
            found.append(origin + column * spacing[1] * directions[:3] + row * spacing[0] * directions[3:])
    return np.array(found)


def in_order(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 2).T)]


@pytest.mark.parametrize(
    "kind", ["axial", "oblique", "reversed", "uneven", "tilted", "enhanced oblique", "enhanced uneven"]
)
def test_a_lesion_lies_where_it_was_drawn(tmp_path: Path, identity: Identity, kind: str) -> None:
    reference, lesion = made(tmp_path, kind)
    image = read_image(reference)
    heat = image.geometry.to_file_axes(image.pixels[0].astype(np.float32))
    source = read_source(str(reference), digest=image.digest)
    expected = in_order(drawn(kind, lesion))
    by_geometry = [image.geometry.position(tuple(at)) * RAS for at in np.argwhere(image.pixels[0] > 500)]
    np.testing.assert_allclose(in_order(np.array(by_geometry)), expected, atol=1e-3)

    marked = segmentation(source, heat, 500.0, algorithm="spectrum", version="0.1.0", **identity())
    assert marked is not None
    pydicom.dcmwrite(tmp_path / "seg.dcm", marked, enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "seg.dcm")
    pixels = np.atleast_3d(read.pixel_array) if read.NumberOfFrames > 1 else read.pixel_array[None]
    np.testing.assert_allclose(in_order(placed(read, pixels)), expected, atol=1e-3)
    assert np.abs(placed(read, pixels).mean(0) - lesion).max() < 1.0

    whole = parametric_map(source, heat, **identity())
    pydicom.dcmwrite(tmp_path / "map.dcm", whole, enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "map.dcm")
    values = np.frombuffer(read.FloatPixelData, np.float32).reshape(-1, read.Rows, read.Columns)
    np.testing.assert_allclose(in_order(placed(read, values > 500)), expected, atol=1e-3)
    assert sorted(np.unique(values)) == [40.0, 1000.0]


@pytest.mark.parametrize("kind", ["oblique", "uneven", "enhanced oblique"])
def test_highdicom_reads_the_same_pixels_for_each_instance(
    tmp_path: Path, identity: Identity, kind: str
) -> None:
    reference, _ = made(tmp_path, kind)
    source = read_source(str(reference))
    image = read_image(reference)
    heat = image.geometry.to_file_axes(image.pixels[0].astype(np.float32))
    marked = segmentation(source, heat, 500.0, algorithm="spectrum", version="0.1.0", **identity())
    assert marked is not None
    pydicom.dcmwrite(tmp_path / "seg.dcm", marked, enforce_file_format=True)
    read = highdicom.seg.segread(tmp_path / "seg.dcm")
    files = [pydicom.dcmread(header.filename) for header in source.headers]
    if kind.startswith("enhanced"):
        frames = [plane.frame for plane in source.slices]
        found = read.get_pixels_by_source_frame(
            files[0].SOPInstanceUID,
            frames,
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
        expected = files[0].pixel_array[[frame - 1 for frame in frames if frame]]
    else:
        found = read.get_pixels_by_source_instance(
            [file.SOPInstanceUID for file in files], assert_missing_frames_are_empty=True
        )
        expected = np.stack([file.pixel_array for file in files])
    np.testing.assert_array_equal(found[..., 0] > 0, expected > 500)


def test_an_evenly_spaced_map_is_a_volume_for_highdicom(tmp_path: Path, identity: Identity) -> None:
    reference, lesion = made(tmp_path, "oblique")
    image = read_image(reference)
    heat = image.geometry.to_file_axes(image.pixels[0].astype(np.float32))
    pydicom.dcmwrite(
        tmp_path / "map.dcm",
        parametric_map(read_source(str(reference)), heat, **identity()),
        enforce_file_format=True,
    )
    volume = highdicom.imread(tmp_path / "map.dcm").get_volume()
    centre = volume.map_indices_to_reference(np.argwhere(volume.array > 500)).mean(0)
    assert np.abs(centre - lesion).max() < 1.0
