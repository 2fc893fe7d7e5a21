"""The view of a mammogram, where the header says it by a code and not in ViewPosition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import first_item, frame_item, text
from secondread.images.dicom.numbers import HeaderValueError

if TYPE_CHECKING:
    from pydicom import Dataset

_VIEWS = {
    "CranioCaudal": "CC",
    "CaudoCranial": "FB",
    "CranioCaudalExaggeratedLaterally": "XCCL",
    "CranioCaudalExaggeratedMedially": "XCCM",
    "MedioLateralProjection": "ML",
    "MedioLateralObliqueProjection": "MLO",
    "LateroMedial": "LM",
    "LateroMedialOblique": "LMO",
    "InferomedialToSuperolateralOblique": "ISO",
    "SuperolateralToInferomedialOblique": "SIO",
}
"""CID 4014 by the names of pydicom's dictionary, and how a mammogram's view is written."""


def coded_view(dataset: Dataset) -> str:
    """The view that ViewCodeSequence (PS3.3 C.8.11.7, CID 4014) names, such as `MLO`; empty where it names
    none of them."""
    try:
        item = first_item(dataset, "ViewCodeSequence") or frame_item(dataset, 0, "ViewCodeSequence")
    except HeaderValueError:  # a view changes no pixel, and refuses no file
        return ""
    if item is None:
        return ""
    from pydicom.sr.codedict import codes

    said = _snomed(text(item, "CodeValue"))
    views = codes.cid4014
    return next((view for name, view in _VIEWS.items() if getattr(views, name).value == said), "")


def _snomed(code: str) -> str:
    """A code as SNOMED CT has it; older files have the letters of SNOMED RT (`R-10226`)."""
    from pydicom.sr._snomed_dict import mapping

    return mapping["SRT"].get(code, code)
