"""By what the values of a PET image become standardised uptake values by body weight, from its header.

SUV = activity (Bq/ml) · body weight (g) / injected activity (Bq), that activity decayed to the time to which
the image's decay is corrected (QIBA, FDG-PET/CT profile, with PS3.3 C.8.9).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import first_item, text
from secondread.images.dicom.facts import modality_of
from secondread.images.dicom.numbers import HeaderValueError, number

if TYPE_CHECKING:
    from pydicom import Dataset

FACTOR, MISSING = "suv_factor", "suv_missing"
"""In the header of a PET image: what its values are multiplied by, or why that is not known."""
_LEAST_DOSE, _MOST_DOSE = 1e5, 1e11
"""Becquerel. A dose in MBq, which some headers have against the standard, lies far below."""
_MOST_WEIGHT = 700.0


class _NotKnown(Exception):
    pass


def suv_facts(dataset: Dataset) -> dict[str, str]:
    """`suv_factor`, or `suv_missing` with the reason; nothing of an image that is no PET."""
    if modality_of(dataset) != "PT":
        return {}
    try:
        return {FACTOR: f"{_factor(dataset):.12g}"}
    except (_NotKnown, HeaderValueError) as reason:
        return {MISSING: str(reason)}


def _factor(dataset: Dataset) -> float:
    units = text(dataset, "Units").upper()
    if units != "BQML":
        raise _NotKnown(f"its Units are {units if units.isalnum() else 'missing'}, and BQML is needed")
    weight = number(dataset, "PatientWeight")
    if weight is None or not 0 < weight <= _MOST_WEIGHT:
        raise _NotKnown("the header has no PatientWeight that can be one (kg)")
    item = first_item(dataset, "RadiopharmaceuticalInformationSequence")
    if item is None:
        raise _NotKnown("the header has no RadiopharmaceuticalInformationSequence")
    dose, half_life = number(item, "RadionuclideTotalDose"), number(item, "RadionuclideHalfLife")
    if dose is None or not _LEAST_DOSE <= dose <= _MOST_DOSE:
        raise _NotKnown("the header has no RadionuclideTotalDose that can be one (Bq)")
    if half_life is None or half_life <= 0:
        raise _NotKnown("the header has no RadionuclideHalfLife")
    corrected = text(dataset, "DecayCorrection").upper()
    if corrected == "ADMIN":
        return weight * 1000.0 / dose
    if corrected != "START":
        raise _NotKnown("its DecayCorrection is neither START nor ADMIN")
    seconds = (_scan_start(dataset) - _injection(dataset, item)).total_seconds()
    if seconds < 0:
        raise _NotKnown("the injection lies after the scan, by the header's times")
    return float(weight * 1000.0 / (dose * 2.0 ** (-seconds / half_life)))


def _scan_start(dataset: Dataset) -> datetime:
    """The time to which decay is corrected: the series' own, unless it was set anew after the acquisition."""
    series = _moment(text(dataset, "SeriesDate"), text(dataset, "SeriesTime"))
    if series is None:
        raise _NotKnown("the header has no SeriesDate and SeriesTime")
    acquired = _moment(text(dataset, "AcquisitionDate"), text(dataset, "AcquisitionTime"))
    if acquired is not None and series > acquired:
        raise _NotKnown(
            "SeriesTime lies after AcquisitionTime, so the time to which decay is corrected is not known"
        )
    return series


def _injection(dataset: Dataset, item: Dataset) -> datetime:
    whole = text(item, "RadiopharmaceuticalStartDateTime")
    found = _moment(whole[:8], whole[8:]) if whole else None
    found = found or _moment(text(dataset, "SeriesDate"), text(item, "RadiopharmaceuticalStartTime"))
    if found is None:
        raise _NotKnown("the header has no RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime")
    return found


def _moment(date: str, time: str) -> datetime | None:
    """DICOM's date and time to the second; None where they are missing or none."""
    clock = time.partition(".")[0][:6]
    try:
        return datetime.strptime(date + clock.ljust(6, "0"), "%Y%m%d%H%M%S") if clock else None
    except ValueError:
        return None
