"""Patient and study of a source, as highdicom copies them into a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def of_a_known_class(header: Dataset) -> Dataset:
    """A copy of a header, as far as it can be read, under a SOP class that highdicom's tables have: it looks
    up there which elements are the patient's and the study's, which are the same for all images, and fails
    for a class that is retired or a vendor's own. The header keeps its class."""
    from pydicom import Dataset

    known = Dataset()  # Dataset(header) would share its elements with the header
    for tag in header.keys():  # noqa: SIM118 (a data set iterates over its elements, and reads them)
        if tag.is_private:
            continue
        try:
            known.add(header[tag])
        except Exception:  # an element that cannot be understood is of no use to a result either
            continue
    del known.SOPClassUID
    known.SOPClassUID = SECONDARY_CAPTURE
    return known
