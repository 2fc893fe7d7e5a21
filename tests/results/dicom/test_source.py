"""The instances behind a reading, and its map plane by plane upon them."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_study
import numpy as np
import pydicom
import pytest

from secondread.errors import DataError
from secondread.images.dicom.dataset import quiet_pydicom
from secondread.images.read import read_image
from secondread.images.write import write_map
from secondread.results.dicom.source import Source, StoredPlane, read_source

LESION = np.array([-8.0, 25.0, 53.0])
KINDS = ("oblique", "reversed", "uneven")


def map_of(reference: str | Path) -> np.ndarray:
    """The image itself as its map, on the file's grid."""
    image = read_image(reference)
    return image.geometry.to_file_axes(image.pixels[0].astype(np.float32))


def stored_planes(source: Source) -> np.ndarray:
    """What the instances hold, in the order of their planes."""
    planes = []
    for plane in source.planes:
        pixels = pydicom.dcmread(source.headers[plane.header].filename).pixel_array
        planes.append(pixels if plane.frame is None else pixels[plane.frame - 1])
    return np.stack(planes)


@pytest.mark.parametrize("kind", KINDS)
def test_each_plane_of_a_series_is_the_pixel_matrix_of_its_instance(tmp_path: Path, kind: str) -> None:
    folder = made_study.write_series(tmp_path / "series", made_study.slices(kind), LESION)
    source = read_source(str(folder), digest=read_image(folder).digest)
    assert source.is_volume
    assert source.frame_of_reference
    np.testing.assert_array_equal(source.planes_of(map_of(folder)), stored_planes(source))
    assert not any("PixelData" in header for header in source.headers)


def test_a_file_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    folder = made_study.write_series(tmp_path / "series", made_study.slices("axial"), LESION)
    shutil.copy(folder / "02.dcm", folder / "copy.dcm")
    source = read_source(str(folder), digest=read_image(folder).digest)
    assert len(source.headers) == len(source.planes) == 7


def test_planes_of_a_multi_frame_file_follow_its_frames(tmp_path: Path) -> None:
    place = made_study.slices("oblique")
    order = [3, 0, 6, 2, 5, 1, 4, 0]  # the first slice is there twice
    file = made_study.write_enhanced(tmp_path / "enhanced.dcm", place, LESION, order)
    source = read_source(str(file), digest=read_image(file).digest)
    found = source.planes_of(map_of(file))
    np.testing.assert_array_equal(found, pydicom.dcmread(file).pixel_array)
    assert [plane.frame for plane in source.planes] == list(range(1, 9))
    one = read_source(f"{file}#frame/2")
    np.testing.assert_array_equal(one.planes_of(map_of(f"{file}#frame/2")), found[2:3])
    assert one.planes[0].frame == 3


def test_a_film_is_one_plane_without_a_place(tmp_path: Path) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", np.arange(480, dtype=np.uint16).reshape(24, 20))
    source = read_source(str(film))
    heat = np.random.default_rng(0).random((24, 20)).astype(np.float32)
    np.testing.assert_array_equal(source.planes_of(heat), heat[np.newaxis])
    assert source.planes[0].place is None
    assert source.frame_of_reference == ""
    source.require_place()


def test_a_clip_has_its_frames_in_order_and_needs_no_place(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 24, 20)).astype(np.uint8)
    clip = made_study.write_clip(tmp_path / "clip.dcm", pixels)
    source = read_source(str(clip))
    np.testing.assert_array_equal(source.planes_of(map_of(clip)), pixels)
    source.require_place()


def test_a_channel_beside_is_named_and_its_change_is_seen(tmp_path: Path) -> None:
    place = made_study.slices("axial")
    for name in ("one", "two"):
        made_study.write_series(tmp_path / name, place, LESION)
    reference = f"{tmp_path / 'one'}|{tmp_path / 'two'}"
    digest = read_image(reference).digest
    source = read_source(reference, digest=digest)
    assert len(source.headers) == len(source.beside) == 7
    made_study.write_series(tmp_path / "two", place, LESION + 3)
    with pytest.raises(DataError, match="changed since it was read"):
        read_source(reference, digest=digest)


def test_a_source_that_cannot_serve_is_told_in_one_line(tmp_path: Path) -> None:
    pixels = np.zeros((24, 20), np.uint16)
    film = made_study.write_film(tmp_path / "film.dcm", pixels)
    digest = read_image(film).digest
    made_study.write_film(film, pixels + 1)
    picture = write_map(tmp_path / "map", np.zeros((4, 4), np.float32), read_image(film).geometry)
    nameless = made_study.write_film(tmp_path / "nameless.dcm", pixels, StudyInstanceUID=None)
    for reference, told in {
        tmp_path / "gone.dcm": r"gone\.dcm: the file that was read is gone; put it back",
        film: r"film\.dcm: the file was changed since it was read; read it again",
        picture: r"map\.tiff: a TIFF file, no DICOM; results as DICOM need DICOM files; FHIR",
        nameless: r"nameless\.dcm: its header has no StudyInstanceUID, by which",
        f"{nameless}#frame/x": "names nothing in this file|its header has no",
    }.items():
        with pytest.raises(DataError, match=told) as error:
            read_source(str(reference), digest=digest)
        assert "\n" not in str(error.value)


def test_a_fingerprint_that_holds_spares_the_digest(tmp_path: Path) -> None:
    from secondread.preprocessing.cache.cache import fingerprint_of

    film = made_study.write_film(tmp_path / "film.dcm", np.zeros((24, 20), np.uint16))
    known = fingerprint_of(str(film)) or ""
    assert read_source(str(film), digest="00", fingerprint=known).headers
    with pytest.raises(DataError, match="changed"):
        read_source(str(film), digest="00", fingerprint="other")


def test_a_volume_without_a_frame_of_reference_says_what_to_do(tmp_path: Path) -> None:
    folder = made_study.write_series(
        tmp_path / "series", made_study.slices("axial"), LESION, FrameOfReferenceUID=None
    )
    with pytest.raises(DataError, match="no FrameOfReferenceUID, without which"):
        read_source(str(folder)).require_place()


def test_a_mosaic_without_a_place_is_refused(tmp_path: Path) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", np.zeros((24, 20), np.uint16))
    header = read_source(str(film)).headers[0]
    planes = tuple(StoredPlane(0, None, None, number, number) for number in range(4))
    with pytest.raises(DataError, match="does not say the places of the mosaic's slices, without which"):
        Source("mosaic.dcm", (header,), planes, True, 4).require_place()


def test_slices_under_one_name_are_refused(tmp_path: Path) -> None:
    folder = made_study.write_series(
        tmp_path / "series", made_study.slices("axial"), LESION, SOPInstanceUID="1.2.3"
    )
    with pytest.raises(DataError, match="several slices have one SOPInstanceUID"):
        read_source(str(folder))


def test_what_a_header_leaves_out_or_writes_wrongly_is_empty(tmp_path: Path) -> None:
    with quiet_pydicom():
        film = made_study.write_film(
            tmp_path / "film.dcm",
            np.zeros((24, 20), np.uint16),
            PatientBirthDate=None,
            PatientSex="U",
            StudyDate="unknown",
        )
    header = read_source(str(film)).headers[0]
    assert [header[keyword].value for keyword in ("PatientBirthDate", "PatientSex", "StudyDate")] == [""] * 3
    assert str(header.PatientName) == "Doe^Jürgen"


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    film = made_study.write_film(tmp_path / "film.dcm", np.zeros((24, 20), np.uint16))
    with pytest.raises(DataError, match="the map has 20×24 values, and the file 24×20 pixels"):
        read_source(str(film)).planes_of(np.zeros((20, 24), np.float32))


def test_a_mosaic_gives_its_tiles_and_the_way_back_to_its_picture(shared_data: Path) -> None:
    path = shared_data / "dicom-zoo" / "siemens" / "In__Orientation__axmb__AxAsc36mb2a__jpg1.dcm"
    stored = pydicom.dcmread(path).pixel_array
    heat = map_of(path)
    source = read_source(str(path))
    assert source.tiles == len(source.planes) == len(heat) == 36
    assert source.frame_of_reference
    np.testing.assert_array_equal(source.pictures_of(heat), stored[np.newaxis])
    one = read_source(f"{path}#frame/7").pictures_of(heat[7])[0]
    np.testing.assert_array_equal(
        one[stored.shape[0] // 6 :][: heat.shape[1], heat.shape[2] : 2 * heat.shape[2]], heat[7]
    )
