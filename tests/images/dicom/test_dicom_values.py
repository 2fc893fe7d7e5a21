from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from secondread.images.image import ImageError
from secondread.images.read import read_image

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)


def test_values_without_rescaling_keep_their_type(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED))
    assert image.pixels.dtype == np.uint16
    assert image.rank == 2
    np.testing.assert_array_equal(image.pixels[0], STORED)


def test_slope_and_intercept_give_hounsfield_units(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, RescaleSlope="2", RescaleIntercept="-1024"))
    assert image.pixels.dtype == np.float32
    np.testing.assert_array_equal(image.pixels[0], STORED * 2.0 - 1024)


def test_a_modality_table_replaces_stored_values(make_dicom: Callable[..., Path]) -> None:
    item = Dataset()
    item.LUTDescriptor = [12, 0, 16]
    item.add_new("LUTData", "US", [int(v) for v in np.arange(12)[::-1] * 10])
    item.ModalityLUTType = "US"
    image = read_image(make_dicom(STORED, ModalityLUTSequence=Sequence([item])))
    np.testing.assert_array_equal(image.pixels[0], (110 - STORED * 10).astype(np.float32))


def test_monochrome1_is_turned_with_its_window(make_dicom: Callable[..., Path]) -> None:
    shown = {"WindowCenter": "5", "WindowWidth": "8", "BitsStored": 12, "HighBit": 11}
    plain = read_image(make_dicom(STORED, name="plain.dcm", **shown))
    turned = read_image(make_dicom(STORED, PhotometricInterpretation="MONOCHROME1", **shown))
    np.testing.assert_array_equal(turned.pixels[0], 4095 - STORED)
    assert turned.voi is not None
    assert plain.voi is not None

    def display(image) -> np.ndarray:  # type: ignore[no-untyped-def]
        low = image.voi.center - 0.5 - (image.voi.width - 1) / 2
        return np.clip((image.pixels[0].astype(float) - low) / (image.voi.width - 1), 0, 1)

    np.testing.assert_allclose(display(turned), 1 - display(plain))


def test_signed_monochrome1_with_intercept_stays_in_range(make_dicom: Callable[..., Path]) -> None:
    stored = np.array([[-2048, 0, 2047]], dtype=np.int16)
    image = read_image(
        make_dicom(
            stored,
            PhotometricInterpretation="MONOCHROME1",
            BitsStored=12,
            HighBit=11,
            RescaleSlope="1",
            RescaleIntercept="100",
        )
    )
    np.testing.assert_array_equal(image.pixels[0], [[2147, 99, -1948]])


def test_a_display_table_is_kept_and_turned(make_dicom: Callable[..., Path]) -> None:
    item = Dataset()
    item.LUTDescriptor = [4, 2, 8]
    item.add_new("LUTData", "US", [0, 10, 200, 255])
    plain = read_image(make_dicom(STORED, VOILUTSequence=Sequence([item])))
    assert plain.voi is not None
    np.testing.assert_array_equal(plain.voi.table, [0, 10, 200, 255])
    assert plain.voi.first == 2
    turned = read_image(
        make_dicom(STORED, PhotometricInterpretation="MONOCHROME1", VOILUTSequence=Sequence([item]))
    )
    assert turned.voi is not None
    np.testing.assert_array_equal(turned.voi.table, [0, 55, 245, 255])
    assert turned.voi.first == 65535 - 5


def test_a_window_without_width_is_no_window(make_dicom: Callable[..., Path]) -> None:
    assert read_image(make_dicom(STORED, WindowCenter="40", WindowWidth="0")).voi is None


def test_padding_is_told_from_stored_values(make_dicom: Callable[..., Path]) -> None:
    stored = np.array([[-2000, -1000, 5]], dtype=np.int16)
    path = make_dicom(stored, RescaleSlope="1", RescaleIntercept="-10")
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.save_as(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.padding, [[True, False, False]])
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1000)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_image(path).padding, [[True, True, False]])


def test_overlays_in_high_bits_are_masked(make_dicom: Callable[..., Path]) -> None:
    with_overlay = STORED | 0xF000
    image = read_image(make_dicom(with_overlay, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels[0], STORED)
    shifted = (STORED << 4) | 0xF
    image = read_image(make_dicom(shifted, BitsStored=12, HighBit=15))
    np.testing.assert_array_equal(image.pixels[0], STORED)


def test_signed_values_below_the_allocated_bits_keep_their_sign(make_dicom: Callable[..., Path]) -> None:
    stored = (np.array([[-5, 7]], dtype=np.int16) & 0x0FFF).astype(np.int16)
    image = read_image(make_dicom(stored, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels[0], [[-5, 7]])


def test_float_pixels_and_declared_nan_padding(make_dicom: Callable[..., Path]) -> None:
    stored = np.array([[1.5, np.nan], [2.5, 3.5]], dtype=np.float32)
    with pytest.raises(ImageError, match="1 NaN and 0 infinite of 4 values"):
        read_image(make_dicom(stored))
    image = read_image(make_dicom(stored, FloatPixelPaddingValue=float("nan")))
    np.testing.assert_array_equal(image.padding, [[False, True], [False, False]])
    np.testing.assert_array_equal(image.pixels[0], [[1.5, 1.5], [2.5, 3.5]])


def test_double_float_pixels_are_read(make_dicom: Callable[..., Path]) -> None:
    stored = np.array([[1.25, -7.5]], dtype=np.float64)
    np.testing.assert_array_equal(read_image(make_dicom(stored)).pixels[0], stored)


def test_rgb_has_three_channels_and_grey_rgb_one(make_dicom: Callable[..., Path]) -> None:
    colour = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    np.testing.assert_array_equal(read_image(make_dicom(colour)).pixels, np.moveaxis(colour, -1, 0))
    grey = np.repeat(colour[..., :1], 3, axis=-1)
    image = read_image(make_dicom(grey))
    assert image.pixels.shape == (1, 3, 4)
    assert "equal channels" in image.header["mode"]


def test_ybr_becomes_rgb(make_dicom: Callable[..., Path]) -> None:
    ybr = np.full((2, 2, 3), (76, 85, 255), dtype=np.uint8)
    image = read_image(make_dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(image.pixels[:, 0, 0].astype(int), (255, 0, 0), atol=2)


def test_a_palette_becomes_rgb(make_dicom: Callable[..., Path]) -> None:
    stored = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    tables = {}
    for colour, entries in zip(
        ("Red", "Green", "Blue"), ([0, 1, 2, 3], [9, 8, 7, 6], [5, 5, 5, 5]), strict=True
    ):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = np.array(entries, "<u2").tobytes()
    image = read_image(make_dicom(stored, PhotometricInterpretation="PALETTE COLOR", **tables))
    np.testing.assert_array_equal(image.pixels, [[[0, 1], [2, 3]], [[9, 8], [7, 6]], [[5, 5], [5, 5]]])


def test_header_holds_facts_but_no_identity(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED, KVP="120", BodyPartExamined="HEAD", SeriesDescription="Doe brain")
    image = read_image(path)
    assert image.header["kvp"] == "120"
    assert image.header["body_part"] == "HEAD"
    assert image.header["rows"] == "3"
    told = " ".join(image.header.values())
    assert "Doe" not in told
    assert "4711" not in told


def test_projection_spacing_is_marked_as_the_detectors(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, ImagerPixelSpacing=["0.2", "0.1"]))
    assert image.geometry.spacing == (0.2, 0.1)
    assert "at the detector" in image.geometry.remarks[0]


def test_the_digest_is_of_the_files_bytes(make_dicom: Callable[..., Path], tmp_path: Path) -> None:
    path = make_dicom(STORED)
    copy = tmp_path / "another name"
    copy.write_bytes(path.read_bytes())
    assert read_image(path).digest == read_image(copy).digest
    assert len(read_image(path).digest) == 40
