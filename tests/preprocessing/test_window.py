import numpy as np
import pytest
from pydantic import ValidationError
from pydicom import dcmread

from cohorts.dicom_files import write_dicom
from secondread.images.image import Geometry, Image, ImageError, Voi
from secondread.images.read import read_image
from secondread.preprocessing.picture import picture_of
from secondread.preprocessing.window import CT_WINDOWS, Bounds, Window


def image(values, voi=None, header=None, padding=None):
    pixels = np.asarray(values)[np.newaxis]
    return Image(pixels, Geometry(), "a.dcm", "0" * 40, voi, padding, header or {})


def shown(window, values, **known):
    return Window(window=window).apply(picture_of(image(values, **known))).values[0]


def test_shibatas_brain_window_is_his_formula():
    hounsfield = np.linspace(-200, 300, 501, dtype=np.float32).reshape(3, 167)
    expected = np.clip(hounsfield + 14, 0, 127) / 127
    np.testing.assert_allclose(shown("brain-shibata", hounsfield), expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(CT_WINDOWS))
def test_every_named_window_shows_its_bounds_as_0_and_1(name):
    low, high = CT_WINDOWS[name]
    values = shown(name, np.array([[low - 50, low, (low + high) / 2, high, high + 50]], np.float32))
    np.testing.assert_allclose(values, [[0, 0, 0.5, 1, 1]], atol=1e-6)


def test_a_ct_window_refuses_an_8_bit_picture():
    with pytest.raises(ImageError, match="no Hounsfield units"):
        shown("brain", np.zeros((4, 4), np.uint8))


def test_a_header_window_is_linear_as_dicom_defines_it():
    values = shown("header", np.array([[0, 39, 40, 100, 161]], np.int16), voi=Voi(100.0, 121.0))
    np.testing.assert_allclose(values, [[0, 0, 0.5 / 120, 60.5 / 120, 1]], atol=1e-6)


def test_a_header_window_of_width_one_is_a_step():
    assert shown("header", np.array([[9, 10]], np.int16), voi=Voi(10.0, 1.0)).tolist() == [[0, 1]]


def test_an_exact_and_a_sigmoid_window_meet_at_their_centre():
    for function in ("LINEAR_EXACT", "SIGMOID"):
        values = shown("header", np.array([[-30000, 50, 30000]], np.int16), voi=Voi(50.0, 100.0, function))
        np.testing.assert_allclose(values, [[0, 0.5, 1]], atol=1e-6)


def test_a_header_table_maps_from_its_first_value():
    voi = Voi(table=np.array([0, 10, 40], np.float32), first=5.0)
    np.testing.assert_allclose(
        shown("header", np.array([[0, 5, 6, 7, 9]], np.uint16), voi=voi), [[0, 0, 0.25, 1, 1]]
    )


def test_a_window_without_width_is_an_error_of_the_file():
    with pytest.raises(ImageError, match="width is 0"):
        shown("header", np.zeros((2, 2), np.int16), voi=Voi(1.0, 0.0))


def test_pictures_without_a_window_are_shown_over_their_integer_range():
    assert shown("header", np.array([[0, 255]], np.uint8)).tolist() == [[0, 1]]
    assert shown("header", np.array([[0, 65535]], np.uint16)).tolist() == [[0, 1]]
    assert shown("header", np.array([[0, 4095]], np.uint16), header={"bits": "12"}).tolist() == [[0, 1]]
    assert shown("header", np.array([[0, 65535]], np.uint16), header={"bits": "8"}).tolist() == [[0, 1]]


def test_other_numbers_without_a_window_are_shown_over_their_range_with_a_remark():
    picture = Window(window="header").apply(picture_of(image(np.array([[-3.0, 1.0]], np.float32))))
    assert picture.values.tolist() == [[[0, 1]]]
    assert "lowest to its highest" in picture.remarks[0]


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ValidationError, match="must lie below"):
        Bounds(low=1, high=1)


def test_padding_and_lost_voxels_take_the_lowest_valid_value():
    values = np.array([[np.nan, 5.0, 7.0, -2000.0]], np.float32)
    picture = picture_of(image(values, padding=values == -2000.0))
    assert picture.values.tolist() == [[[5, 5, 7, 5]]]
    assert picture.valid.tolist() == [[False, True, True, False]]
    assert "not finite" in picture.remarks[0]


def test_an_image_without_a_finite_voxel_is_an_error():
    with pytest.raises(ImageError, match="no voxel is finite"):
        picture_of(image(np.full((2, 2), np.nan)))


def test_minmax_shows_an_image_from_its_own_lowest_to_its_own_highest_value():
    values = np.array([[-3, 1, 5]], np.int16)
    for voi in (None, Voi(100.0, 10.0)):
        assert shown("minmax", values, voi=voi).tolist() == [[0, 0.5, 1]]
    assert shown("minmax", np.array([[10, 60, 110]], np.uint8)).tolist() == [[0, 0.5, 1]]
    large = np.zeros((1200, 1200), np.uint16)
    large[7, 7] = 5
    assert shown("minmax", large).max() == 1


def test_minmax_leaves_padding_out_and_a_constant_image_black():
    values = np.array([[-2000.0, 4.0, 6.0]], np.float32)
    assert shown("minmax", values, padding=values == -2000).tolist() == [[0, 0, 1]]
    assert not shown("minmax", np.full((4, 4), 7, np.uint16)).any()
    extreme = np.array([[-3e38, 0.0, 3e38]], np.float32)
    np.testing.assert_allclose(shown("minmax", extreme), [[0, 0.5, 1]])


def as_the_authors(stored, photometric):
    """The DICOM step of the DDAD repartition on stored values, as published."""
    if photometric == "MONOCHROME1":
        stored = stored.max() - stored
    if stored.dtype != np.uint8:
        stored = ((stored - stored.min()) * 1.0 / (stored.max() - stored.min()) * 255).astype(np.uint8)
    return stored / 255.0


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_ddad_gives_the_grey_levels_that_the_authors_step_gives(tmp_path, bits, photometric):
    depth = 8 if bits == 8 else 16
    rng = np.random.default_rng(bits)
    stored = rng.integers(9, 0.8 * 2**bits, (40, 30), dtype=np.uint8 if bits == 8 else np.uint16)
    path = write_dicom(
        tmp_path / "film.dcm",
        Modality="DX",
        PhotometricInterpretation=photometric,
        Rows=40,
        Columns=30,
        BitsAllocated=depth,
        BitsStored=bits,
        HighBit=bits - 1,
        WindowCenter=50,
        WindowWidth=9,
    )
    dataset = dcmread(path)
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path)
    picture = picture_of(read_image(str(path)))
    levels = Window(window="ddad").apply(picture).values[0]
    np.testing.assert_allclose(levels, as_the_authors(stored, photometric), atol=1e-7)

    turned = stored.max() - stored.astype(float) if photometric == "MONOCHROME1" else stored.astype(float)
    expected = (turned - turned.min()) / np.ptp(turned)
    np.testing.assert_allclose(Window(window="minmax").apply(picture).values[0], expected, atol=1e-6)


def test_ddad_leaves_8_bit_pictures_as_they_are():
    np.testing.assert_allclose(shown("ddad", np.array([[51, 102]], np.uint8)), [[0.2, 0.4]], atol=1e-7)
