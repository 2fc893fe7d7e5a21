"""What the codes of `results.concepts` are codes of, declared as a DICOM object asks (PS3.3 C.12.1.1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.results import concepts
from secondread.results.dicom.identity import MAKER

if TYPE_CHECKING:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem


def coding_scheme() -> CodingSchemeIdentificationItem:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    item = CodingSchemeIdentificationItem(
        concepts.SCHEME, name=concepts.SCHEME_NAME, responsible_organization=MAKER
    )
    item.CodingSchemeUID = concepts.SCHEME_UID
    return item
