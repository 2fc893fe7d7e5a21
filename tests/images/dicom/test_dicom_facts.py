"""What of a header's text may leave the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.images.acquisition import acquisition
from secondread.images.dicom.facts import cleaned
from secondread.images.read import read_image
from secondread.images.read_header import read_header

STORED = np.zeros((3, 4), np.uint16)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GE MEDICAL SYSTEMS", "GE MEDICAL SYSTEMS"),
        ("Philips Medical Systems, Inc.", "Philips Medical Systems, Inc."),
        ("  SOMATOM   Definition AS+ ", "SOMATOM Definition AS+"),
        ("B30f\\\\3", "B30f 3"),
        ("x" * 200, "x" * 40),
        ("=cmd|'/c calc'!A1", ""),
        ("=1+1", "1+1"),
        ("@SUM(1)", "SUM(1)"),
        ("-2+3", "2+3"),
        ("a\nb", "a b"),
        ("<script>", ""),
        ("Doe^Jane", ""),
        ("scan of Doe", ""),
        ("doe", ""),
        ("serial 20191231", ""),
        ("2019-12-31", ""),
        ("31.12.2019", ""),
        ("1.2.840.10008.1.2", ""),
        ("http://a.b", ""),
        ("Müller", ""),
    ],
)
def test_free_text_is_cleaned_or_left_out(text: str, kept: str) -> None:
    assert cleaned(text, frozenset({"doe", "jane"})) == kept


def test_no_fact_holds_what_names_a_person(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(
        STORED,
        Manufacturer="Doe Jane",
        ManufacturerModelName="P-4711",
        BodyPartExamined="=DOE",
        ViewPosition="Dr House",
        OperatorsName="House^Gregory",
        ConvolutionKernel="1.2.3.4.5",
        BurnedInAnnotation="Doe",
        LossyImageCompression="Doe",
        ImageLaterality="Jane",
        Modality="DOE",
    )
    told = {*acquisition(read_image(path)).values(), *read_image(path).header.values()}
    header = read_header(path)
    told |= {header.manufacturer, header.model, header.view, header.body_part, header.laterality}
    told |= {header.modality, header.burned_in}
    for text in map(str, told):
        assert not any(word in text.casefold() for word in ("doe", "jane", "4711", "house"))


@pytest.mark.parametrize(
    ("written", "sop_class", "read"),
    [
        ("ct", "1.2.3", "CT"),
        (" Mr", "1.2.3", "MR"),
        ("PET", "1.2.3", "PT"),
        (None, "1.2.840.10008.5.1.4.1.1.2", "CT"),
        ("??", "1.2.840.10008.5.1.4.1.1.4", "MR"),
        ("??", "1.2.3", ""),
    ],
)
def test_a_modality_is_a_term_of_dicom(
    make_dicom: Callable[..., Path], written: str | None, sop_class: str, read: str
) -> None:
    path = make_dicom(STORED, Modality=written, SOPClassUID=sop_class)
    assert read_header(path).modality == read


def test_loss_is_said(make_dicom: Callable[..., Path]) -> None:
    image = read_image(make_dicom(STORED, LossyImageCompression="01"))
    assert image.geometry.remarks == ("compressed with loss (LossyImageCompression)",)
