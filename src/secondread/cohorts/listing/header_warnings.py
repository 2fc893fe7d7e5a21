"""What in DICOM headers and paths may give a person away."""

from __future__ import annotations

from secondread.images.header import Header

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


class HeaderWarnings:
    """Told of one file after the other, in any order. `someone` is whether a header has an id that a row
    would carry; a clip without a study has its series' id."""

    def __init__(self) -> None:
        self.someone = False
        self._telling = self._burned_in = self._unsaid = 0
        self._first: tuple[int, str] | None = None

    def add(self, number: int, path: str, header: Header) -> None:
        """A DICOM file by its place in the order of all."""
        self.someone |= bool(
            header.patient_id or header.study_uid or (header.frames > 1 and header.series_uid)
        )
        if _path_tells(path, header):
            self._telling += 1
            self._first = min(self._first or (number, path), (number, path))
        said = header.burned_in.strip().upper()
        self._burned_in += said == "YES"
        self._unsaid += said not in ("YES", "NO")

    @property
    def lines(self) -> list[str]:
        """One line where paths contain the header's name or id, and where burned-in text is not ruled out.

        Names and ids themselves are not repeated; the first path is.
        """
        warnings = []
        if self._first is not None:
            warnings.append(
                f"{self._telling} paths contain the patient's name or id from their header, first "
                f"{self._first[1]}: rename them before manifests and readings leave this place"
            )
        if self._burned_in:
            warnings.append(
                f"{self._burned_in} DICOM files say that text is burned into their pixels "
                "(BurnedInAnnotation YES)"
            )
        if self._unsaid:
            warnings.append(
                f"{self._unsaid} DICOM files do not say whether text is burned in (no BurnedInAnnotation)"
            )
        return warnings


def _path_tells(path: str, header: Header) -> bool:
    folded = path.casefold()
    return any(name.casefold() in folded for name in header.names if name.casefold() not in _PLACEHOLDERS)
