"""Where an ultrasound image shows tissue, beside text, scales and a patient's data: the header's regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import value
from secondread.images.dicom.numbers import HeaderValueError, number
from secondread.images.image import Image, ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

REGIONS = "regions"
_CORNERS = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
_TWO_DIMENSIONS = 1


def region_facts(dataset: Dataset) -> dict[str, str]:
    """`regions`: left, top, right and bottom pixel (included) of each region with a spatial format of 2-D
    (PS3.3 C.8.5.5), so that curves and M-mode are left out; nothing where there is none. A wrong number
    changes no pixel and refuses no file: its region is left out."""
    found = []
    for item in value(dataset, "SequenceOfUltrasoundRegions") or []:
        try:
            corners = [number(item, keyword) for keyword in _CORNERS]
            if number(item, "RegionSpatialFormat") == _TWO_DIMENSIONS and None not in corners:
                found.append(" ".join(f"{corner:.0f}" for corner in corners))
        except HeaderValueError:
            continue
    return {REGIONS: ";".join(found)} if found else {}


def within_regions(image: Image) -> NDArray[np.bool_]:
    """bool `[*spatial]`, True in the regions that the image's header names. Raises ImageError where it names
    none, or none that lies in the image."""
    marked = np.zeros(image.size, bool)
    for region in image.header.get(REGIONS, "").split(";"):
        if region:
            left, top, right, bottom = map(int, region.split())
            marked[..., max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = True
    if not marked.any():
        raise ImageError(
            image.source,
            "its header names no region with an image (SequenceOfUltrasoundRegions)",
            "set preprocessing.foreground to none or a threshold, or leave the image out",
        )
    return marked
