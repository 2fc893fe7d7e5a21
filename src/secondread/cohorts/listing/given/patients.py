"""Patient ids that stand in paths, taken out by a regular expression."""

from __future__ import annotations

import re
from dataclasses import replace

from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

_NAMED = 5
"""Paths that a line names."""


def patient_pattern(text: str) -> re.Pattern[str]:
    """The expression. Raises UserError where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise UserError(f"--patient {text}: no regular expression ({error.msg}{at})") from None


class PatientsOfPaths:
    """Rows with the patient that their paths name, one after the other.

    The id is the group called `patient`, else the first group that took part, else all that fits. It is
    sought anywhere in the path; a row whose path does not fit keeps the id that it has.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._rows = self._without = 0
        self._first: list[str] = []
        self._patients: set[str] = set()

    def of(self, row: Row) -> Row:
        patient = _patient(self._pattern.search(row.path))
        self._rows += 1
        if not patient:
            self._without += 1
            if len(self._first) < _NAMED:
                self._first.append(row.path)
        if patient or row.patient_id:
            self._patients.add(patient or row.patient_id)
        return replace(row, patient_id=patient) if patient else row

    @property
    def notes(self) -> list[str]:
        """What is to be said of all rows. Raises UserError where no path fits."""
        pattern = self._pattern.pattern
        if self._without == self._rows:
            raise UserError(
                f"--patient {pattern}: fits none of {count(self._rows, 'path')}, such as "
                f"{few(self._first, 2, of=self._without)}"
            )
        notes = [f"{count(len(self._patients), 'patient')} by --patient in {count(self._rows, 'image')}"]
        if self._without:
            notes.append(
                f"--patient {pattern} does not fit {count(self._without, 'path')}: "
                f"{few(self._first, of=self._without)}"
            )
        return notes


def _patient(found: re.Match[str] | None) -> str:
    if found is None:
        return ""
    if "patient" in found.re.groupindex:
        return (found["patient"] or "").strip()
    groups = [group for group in found.groups() if group is not None]
    return (groups[0] if groups else "" if found.re.groups else found[0]).strip()
