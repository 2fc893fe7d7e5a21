"""Patient and study of a source, as highdicom copies them into a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def of_a_known_class(header: Dataset) -> Dataset:
    """The same header under a SOP class that highdicom's tables have: it looks up there which elements are
    the patient's and the study's, which are the same for all images, and fails for a class that is retired or
    a vendor's own."""
    from pydicom import Dataset

    known = Dataset(header)
    known.SOPClassUID = SECONDARY_CAPTURE
    return known
