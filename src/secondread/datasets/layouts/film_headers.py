"""Age, sex and view of DICOM films, where a set has them in its headers alone."""

from __future__ import annotations

from collections.abc import Sequence

from secondread.cohorts.listing.file_reading import read_each
from secondread.datasets.dataset import Dataset
from secondread.images.dicom.dataset import quiet_pydicom, text
from secondread.images.dicom.facts import cleaned
from secondread.images.image import ImageError
from secondread.images.refusal import refusing
from secondread.wording.lists import few
from secondread.wording.numbers import count

_TAGS = {"age": "PatientAge", "sex": "PatientSex", "view": "ViewPosition"}
_SEXES = frozenset({"M", "F", "O"})


def facts_of_films(dataset: Dataset, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """The columns `age` (years), `sex` (M, F or O) and `view` of each DICOM file among the paths; empty cells
    where a header does not say, none where it cannot be read, which a note tells."""
    films = [path for path in paths if path.lower().endswith((".dcm", ".dicom"))]
    found: dict[str, dict[str, str]] = {}
    unread: list[str] = []
    for path, facts in read_each(dataset.folder.root, films, film_facts, dataset.workers):
        if isinstance(facts, ImageError):
            unread.append(path)
        else:
            found[path] = facts
    if unread:
        dataset.notes.append(f"{count(len(unread), 'header')} could not be read: {few(unread, 3)}")
    return found


def film_facts(path: str) -> dict[str, str]:
    """Age in years, sex and view of one DICOM file. Raises ImageError where its header cannot be read."""
    import pydicom

    with quiet_pydicom(), refusing(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS.values()])
        age, sex, view = (text(header, keyword) for keyword in _TAGS.values())
    return {"age": years(age), "sex": sex.upper() if sex.upper() in _SEXES else "", "view": cleaned(view)}


def years(age: str) -> str:
    """An age as tables and DICOM headers write it (`58`, `058Y`, `011M`) in whole years; "" for anything
    else, and for 0 years, which stands for unknown in public sets."""
    number, unit = (age[:-1], age[-1].upper()) if age[-1:].isalpha() else (age, "Y")
    if not number.isdecimal() or unit not in "YMWD":
        return ""
    in_a_year = {"Y": 1, "M": 12, "W": 52, "D": 365}[unit]
    return str(int(number) // in_a_year) if int(number) else ""
