import io

import numpy as np
import pydicom
import pytest
from read_study import SCALE, Read, author

from secondread.errors import DataError
from secondread.readings.maps import COLOURS
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.secondary_capture import overlay
from secondread.results.dicom.studies import image_key


def capture(read: Read, heat: np.ndarray | None = None) -> pydicom.FileDataset:
    instance = author().instance("overlay", read.source.headers[0], image_key(read.source))
    with quiet_writing():
        made = overlay(
            read.source,
            read.image,
            read.heat if heat is None else heat,
            SCALE,
            read.reading,
            author(),
            instance,
        )
        written = io.BytesIO()
        made.save_as(written, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(written.getvalue()))


@pytest.fixture(scope="module")
def of_film(film: Read) -> pydicom.FileDataset:
    return capture(film)


def test_heat_lies_over_the_films_own_pixels(of_film, film: Read):
    factor = of_film.Columns // 32
    shown = of_film.pixel_array[: 40 * factor : factor, ::factor].astype(int)
    hot = np.ptp(shown, axis=-1) > 20
    assert (hot == (film.heat > 0)).all()
    assert COLOURS[-1][0] > COLOURS[-1][2]
    assert (shown[hot][:, 0] > shown[hot][:, 2]).all()


def test_orientation_and_side_are_kept(of_film):
    assert list(of_film.PatientOrientation) == ["L", "F"]
    assert of_film.Laterality == "L"


def test_a_legend_stands_below_the_image(of_film):
    factor = of_film.Columns // 32
    assert of_film.Rows > 40 * factor
    assert of_film.pixel_array[40 * factor :].max() == 255


def test_of_a_series_the_hottest_slice_is_shown(series: Read):
    heat = series.heat.copy()
    heat[5, 2, 3] = 99
    found = capture(series, heat)
    (source,) = found.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == series.source.headers[5].SOPInstanceUID
    factor = found.Columns // 20
    assert found.PixelSpacing == pytest.approx([1.5 / factor, 2.0 / factor])
    assert list(found.PatientOrientation) == ["LPH", "PR"]


def test_burned_in_annotation_is_the_sources(of_film, film: Read):
    assert "BurnedInAnnotation" not in of_film
    header = film.source.headers[0]
    header.BurnedInAnnotation = "YES"
    try:
        assert capture(film).BurnedInAnnotation == "YES"
    finally:
        del header.BurnedInAnnotation


def test_a_map_of_another_size_is_refused(film: Read):
    with pytest.raises(DataError, match="map"):
        capture(film, np.zeros((3, 4), np.float32))


def test_a_large_film_becomes_a_picture_of_a_screens_size():
    from secondread.results.dicom.secondary_capture import _sized

    picture, factor = _sized(np.zeros((3000, 2000, 3), np.uint8))
    assert picture.shape == (1024, 683, 3)
    assert factor == pytest.approx(3000 / 1024)
