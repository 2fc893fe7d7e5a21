"""A volume's map goes through its NIfTI file and comes out on the slices that it was made on."""

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from made_study import slices, write_enhanced, write_series
from read_study import Read, read_series, record, write_study

from secondread.images.read import read_image
from secondread.images.write import write_map
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.results.write_dicom import write_dicom_results


def readings_of(folder: Path, *rows: Reading) -> Readings:
    run = record(base=str(folder), map_threshold=0.5)
    return Readings(folder, tuple(rows), run, acquisition={}, thumbnails={})


def results(folder: Path, *rows: Reading) -> Path:
    written = write_dicom_results(readings_of(folder, *rows), folder / "out")
    assert written.failed == ()
    (found,) = [path for path in (folder / "out").iterdir() if path.is_dir()]
    return found


@pytest.fixture
def series(tmp_path: Path) -> Read:
    write_study(tmp_path)
    return read_series(tmp_path)


def test_a_series_has_its_maps_values_on_its_own_slices(series: Read, tmp_path: Path):
    heat = series.heat + np.arange(series.heat.size, dtype=np.float32).reshape(series.heat.shape) / 1e6
    path = write_map(tmp_path / "map", heat, series.image.geometry)
    folder = results(tmp_path, Reading("series", series.image.digest, score=1.0, map=path))
    stored = hd.pm.ParametricMap.from_dataset(pydicom.dcmread(folder / "0001-parametric-map.dcm"))
    frames = np.frombuffer(stored.FloatPixelData, np.float32).reshape(stored.NumberOfFrames, *heat.shape[1:])
    for frame, groups in zip(frames, stored.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        (number,) = [
            n for n, header in enumerate(series.source.headers)
            if header.SOPInstanceUID == source.ReferencedSOPInstanceUID
        ]  # fmt: skip
        assert np.array_equal(frame, heat[number])
    (group,) = hd.sr.srread(folder / "report.dcm").content.get_image_measurement_groups()
    assert len(group.source_images) == len(series.source.headers)


def test_a_volume_of_one_slice_has_its_map_and_its_segmentation(tmp_path: Path):
    place = slices("oblique")
    one = replace(place, origins=place.origins[:1])
    write_series(tmp_path / "series", one, one.positions(0)[5, 6])
    image = read_image(str(tmp_path / "series"))
    heat = image.geometry.to_file_axes(image.pixels[0] / np.float32(1000))
    path = write_map(tmp_path / "map", heat, image.geometry)
    folder = results(tmp_path, Reading("series", image.digest, score=1.0, map=path))
    stored = pydicom.dcmread(folder / "0001-parametric-map.dcm")
    assert np.array_equal(np.frombuffer(stored.FloatPixelData, np.float32).reshape(heat.shape), heat)
    marked = pydicom.dcmread(folder / "0001-segmentation.dcm").pixel_array
    assert np.array_equal(marked.reshape(heat.shape) > 0, heat >= 0.5)


def test_frames_of_one_file_are_named_by_their_numbers(tmp_path: Path):
    place = slices("axial")
    write_enhanced(tmp_path / "all.dcm", place, place.origins[2], [3, 1, 0, 2])
    image = read_image(str(tmp_path / "all.dcm#frame/2"))
    path = write_map(tmp_path / "map", image.pixels[0] / np.float32(1000), image.geometry)
    folder = results(tmp_path, Reading("all.dcm#frame/2", image.digest, score=1.0, map=path))
    (group,) = hd.sr.srread(folder / "report.dcm").content.get_image_measurement_groups()
    assert group.source_images[0].referenced_frame_numbers == [3]
    overlay = pydicom.dcmread(folder / "0001-overlay.dcm")
    assert overlay.InstanceNumber == 3
    assert overlay.SourceImageSequence[0].ReferencedFrameNumber == 3
