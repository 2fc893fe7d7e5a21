"""A mammogram's view and side, and the regions of an ultrasound image, from their headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from secondread.cohorts.listing.index import index
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings


def item(**elements: object) -> Dataset:
    found = Dataset()
    for keyword, element in elements.items():
        setattr(found, keyword, element)
    return found


def test_view_and_side_of_mammograms_become_columns(make_dicom: Callable[..., Path], tmp_path: Path) -> None:
    film = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for name, elements in {
        "a": {"ViewPosition": "MLO", "ImageLaterality": "L"},
        "b": {
            "ViewCodeSequence": [item(CodeValue="R-10242", CodingSchemeDesignator="SRT")],
            "ImageLaterality": "R",
        },
        "c": {
            "ViewCodeSequence": [item(CodeValue="399101009", CodingSchemeDesignator="SCT")],
            "Laterality": "R",
        },
        "d": {"ViewCodeSequence": [item(CodeValue="1", CodingSchemeDesignator="99X")]},
    }.items():
        make_dicom(film, f"mg/{name}.dcm", Modality="MG", **elements)
    rows = index(tmp_path / "mg", keep_ids=True, workers=0).manifest.rows
    found = [(row.extra["view"], row.extra["laterality"]) for row in rows]
    assert found == [("MLO", "L"), ("CC", "R"), ("XCCM", "R"), ("", "")]


def region(left: int, top: int, right: int, bottom: int, kind: int = 1) -> Dataset:
    return item(
        RegionSpatialFormat=kind, RegionLocationMinX0=left, RegionLocationMinY0=top,
        RegionLocationMaxX1=right, RegionLocationMaxY1=bottom,
    )  # fmt: skip


def test_what_lies_outside_an_ultrasound_region_is_not_judged(make_dicom: Callable[..., Path]) -> None:
    stored = np.full((10, 12), 50, np.uint8)
    stored[0] = 255  # a patient's name above the image
    settings = PreprocessingSettings(size=(10, 12), steps=[{"window": "minmax"}], foreground="regions")
    stored[4, 5] = 90
    path = make_dicom(
        stored, Modality="US", SequenceOfUltrasoundRegions=[region(2, 3, 8, 7), region(0, 8, 11, 9, kind=3)]
    )
    prepared = Preprocessing(settings).apply(read_image(path))
    expected = np.zeros((10, 12), bool)
    expected[3:8, 2:9] = True
    np.testing.assert_array_equal(prepared.valid, expected)
    assert prepared.pixels[0, 4, 5] == 1.0
    assert prepared.pixels[0, 0].max() == 0.0


@pytest.mark.parametrize("regions", [[], [region(0, 0, 5, 5, kind=3)], [region(50, 50, 60, 60)]])
def test_an_image_without_a_region_is_refused_in_one_line(
    make_dicom: Callable[..., Path], regions: list[Dataset]
) -> None:
    path = make_dicom(np.ones((10, 12), np.uint8), Modality="US", SequenceOfUltrasoundRegions=regions)
    settings = PreprocessingSettings(size=(10, 12), foreground="regions")
    with pytest.raises(ImageError, match="names no region with an image"):
        Preprocessing(settings).apply(read_image(path))
