"""Elements that are missing, and syntaxes that nobody knows, are named, and not guessed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from secondread.images.image import ImageError
from secondread.images.read import read_image

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def without(path: Path, keyword: str) -> Path:
    dataset = pydicom.dcmread(path)
    delattr(dataset, keyword)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("stored", "keyword"),
    [(STORED, "BitsStored"), (STORED, "PixelRepresentation"), (COLOUR, "PlanarConfiguration")],
)
def test_a_missing_element_is_named(
    make_dicom: Callable[..., Path], stored: np.ndarray, keyword: str
) -> None:
    with pytest.raises(ImageError, match=f"{keyword} is missing from the header"):
        read_image(without(make_dicom(stored), keyword))


def test_one_sample_per_pixel_needs_not_be_said(make_dicom: Callable[..., Path]) -> None:
    image = read_image(without(make_dicom(STORED), "SamplesPerPixel"))
    np.testing.assert_array_equal(image.pixels[0], STORED)


def test_a_missing_photometric_interpretation_is_remarked(make_dicom: Callable[..., Path]) -> None:
    said = ("PhotometricInterpretation is missing: read as MONOCHROME2, higher is brighter",)
    path = without(make_dicom(STORED), "PhotometricInterpretation")
    assert read_image(path).geometry.remarks == said
    np.testing.assert_array_equal(read_image(path).pixels[0], STORED)
    path = without(make_dicom(np.stack([STORED] * 3)), "PhotometricInterpretation")
    for number in (0, 1):
        assert read_image(f"{path}#frame/{number}").geometry.remarks == said
    assert said[0] in read_image(path).geometry.remarks


def test_an_unknown_photometric_interpretation_is_named(make_dicom: Callable[..., Path]) -> None:
    with pytest.raises(ImageError, match="PhotometricInterpretation in the header is none of DICOM's terms"):
        read_image(make_dicom(STORED, PhotometricInterpretation="GREY"))


def test_a_private_transfer_syntax_is_named(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True)
    with pytest.raises(ImageError, match="an unknown transfer syntax is not read; export it uncompressed"):
        read_image(path)
