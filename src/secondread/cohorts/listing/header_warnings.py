"""What in DICOM headers and paths may give a person away."""

from __future__ import annotations

from collections.abc import Sequence

from secondread.cohorts.listing.dicom_volumes import DicomFile

_PLACEHOLDERS = {
    "anon",
    "anonymous",
    "anonymized",
    "anonymised",
    "name",
    "patient",
    "removed",
    "test",
    "unknown",
}


def header_warnings(files: Sequence[DicomFile]) -> list[str]:
    """One line where paths contain the header's name or id, and where burned-in text is not ruled out.

    Names and ids themselves are not repeated; the first path is.
    """
    warnings = []
    telling = [file.path for file in files if _path_tells(file)]
    if telling:
        warnings.append(
            f"{len(telling)} paths contain the patient's name or id from their header, first {telling[0]}: "
            "rename them before manifests and readings leave this place"
        )
    said = [file.header.burned_in.strip().upper() for file in files]
    if yes := sum(word == "YES" for word in said):
        warnings.append(
            f"{yes} DICOM files say that text is burned into their pixels (BurnedInAnnotation YES)"
        )
    if unsaid := sum(word not in ("YES", "NO") for word in said):
        warnings.append(f"{unsaid} DICOM files do not say whether text is burned in (no BurnedInAnnotation)")
    return warnings


def _path_tells(file: DicomFile) -> bool:
    path = file.path.casefold()
    return any(name.casefold() in path for name in file.header.names if name.casefold() not in _PLACEHOLDERS)
