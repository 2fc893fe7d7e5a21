"""Standardised uptake values by body weight: by the header's own numbers, or refused with what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings

STORED = np.arange(64, dtype=np.uint16).reshape(8, 8) * 100
FACTOR = 70e3 / (370e6 * 2 ** (-3600 / 6586.2))
"""70 kg, 370 MBq of fluorine-18, an hour before the scan."""


def pet(**changed: object) -> dict[str, object]:
    drug = {
        "RadionuclideTotalDose": 370e6,
        "RadionuclideHalfLife": 6586.2,
        "RadiopharmaceuticalStartTime": "090000.00",
    }
    item = Dataset()
    for keyword in drug:
        found = changed.pop(keyword, drug[keyword])
        if found is not None:
            setattr(item, keyword, found)
    if moment := changed.pop("RadiopharmaceuticalStartDateTime", None):
        item.RadiopharmaceuticalStartDateTime = moment
    usual = {
        "Modality": "PT",
        "Units": "BQML",
        "PatientWeight": 70,
        "DecayCorrection": "START",
        "SeriesDate": "20240105",
        "SeriesTime": "100000",
        "AcquisitionDate": "20240105",
        "AcquisitionTime": "100330.5",
        "RescaleSlope": 2,
        "RescaleIntercept": 0,
        "RadiopharmaceuticalInformationSequence": [item],
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def shown(path: Path, window: object) -> np.ndarray:
    settings = PreprocessingSettings(size=(8, 8), steps=[{"window": window}])
    return Preprocessing(settings).apply(read_image(path)).pixels[0]


@pytest.mark.parametrize(
    ("elements", "factor"),
    [
        ({}, FACTOR),
        (
            {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20240105090000"},
            FACTOR,
        ),
        ({"RadiopharmaceuticalStartDateTime": "20240104233000", "SeriesTime": "003000"}, FACTOR),
        ({"DecayCorrection": "ADMIN"}, 70e3 / 370e6),
    ],
)
def test_values_are_shown_as_suv(
    make_dicom: Callable[..., Path], elements: dict[str, object], factor: float
) -> None:
    path = make_dicom(STORED, **pet(**elements))
    np.testing.assert_allclose(shown(path, "suv"), np.clip(2.0 * STORED * factor / 10, 0, 1), rtol=1e-5)
    low_high = np.clip((2.0 * STORED * factor - 0.5) / 2.5, 0, 1)
    np.testing.assert_allclose(
        shown(path, {"low": 0.5, "high": 3, "unit": "suv"}), low_high, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"Units": "CNTS"}, "its Units are CNTS, and BQML is needed"),
        ({"PatientWeight": None}, "no PatientWeight"),
        ({"RadionuclideTotalDose": 370}, "no RadionuclideTotalDose that can be one"),
        ({"RadionuclideHalfLife": None}, "no RadionuclideHalfLife"),
        ({"RadiopharmaceuticalStartTime": None}, "no RadiopharmaceuticalStartDateTime"),
        ({"RadiopharmaceuticalStartTime": "1100"}, "the injection lies after the scan"),
        ({"SeriesTime": "120000"}, "SeriesTime lies after AcquisitionTime"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is neither START nor ADMIN"),
        ({"Modality": "CT"}, "no PET image in DICOM"),
    ],
)
def test_a_header_that_lacks_something_is_refused_in_one_line_and_still_read(
    make_dicom: Callable[..., Path], elements: dict[str, object], why: str
) -> None:
    path = make_dicom(STORED, **pet(**elements))
    with pytest.raises(
        ImageError, match=f"has no standardised uptake values, which window suv needs: .*{why}"
    ):
        shown(path, "suv")
    assert shown(path, "minmax").max() == 1.0


def test_slices_of_one_series_have_one_factor(make_dicom: Callable[..., Path], tmp_path: Path) -> None:
    series, study = generate_uid(), generate_uid()
    for number in range(3):
        make_dicom(
            STORED,
            f"pet/{number}.dcm",
            **pet(SeriesInstanceUID=series, StudyInstanceUID=study, PixelSpacing=[4, 4]),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 3 * number],
        )
    assert float(read_image(tmp_path / "pet").header["suv_factor"]) == pytest.approx(FACTOR)
