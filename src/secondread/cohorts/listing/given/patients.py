"""Patient ids that stand in paths, taken out by a regular expression."""

from __future__ import annotations

import re
from dataclasses import replace

from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase, stored
from secondread.wording.lists import Counted
from secondread.wording.numbers import count

_AT_ONCE = 1000


def patient_pattern(text: str) -> re.Pattern[str]:
    """The expression. Raises UserError where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise UserError(f"--patient {text}: no regular expression ({error.msg}{at})") from None


class PatientsOfPaths:
    """Rows with the patient that their paths name, one after the other; the patients lie in a table on the
    disk.

    The id is the group called `patient`, else the first group that took part, else all that fits. It is
    sought anywhere in the path; a row whose path does not fit keeps the id that it has.
    """

    def __init__(self, pattern: re.Pattern[str], database: TemporaryDatabase) -> None:
        self._pattern, self._database = pattern, database
        self._rows = 0
        self._without = Counted()
        self._new: set[str] = set()
        database.run("CREATE TABLE patients (id PRIMARY KEY) WITHOUT ROWID")

    def of(self, row: Row) -> Row:
        patient = _patient(self._pattern.search(row.path))
        self._rows += 1
        if not patient:
            self._without.add(row.path)
        if patient or row.patient_id:
            self._new.add(patient or row.patient_id)
            if len(self._new) > _AT_ONCE:
                self._put()
        return replace(row, patient_id=patient) if patient else row

    def _put(self) -> None:
        self._database.add(
            "INSERT OR IGNORE INTO patients VALUES (?)", ((stored(one),) for one in sorted(self._new))
        )
        self._new.clear()

    @property
    def notes(self) -> list[str]:
        """What is to be said of all rows. Raises UserError where no path fits."""
        pattern, without = self._pattern.pattern, self._without
        if without.count == self._rows:
            raise UserError(
                f"--patient {pattern}: fits none of {count(self._rows, 'path')}, such as {without.few(2)}"
            )
        self._put()
        patients = int(self._database.one("SELECT count(*) FROM patients")[0])
        notes = [f"{count(patients, 'patient')} by --patient in {count(self._rows, 'image')}"]
        if without.count:
            notes.append(f"--patient {pattern} does not fit {count(without.count, 'path')}: {without.few()}")
        return notes


def _patient(found: re.Match[str] | None) -> str:
    if found is None:
        return ""
    if "patient" in found.re.groupindex:
        return (found["patient"] or "").strip()
    groups = [group for group in found.groups() if group is not None]
    return (groups[0] if groups else "" if found.re.groups else found[0]).strip()
