"""Patient ids that stand in paths, taken out by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count


def patient_pattern(text: str) -> re.Pattern[str]:
    """The expression. Raises UserError where it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise UserError(f"--patient {text}: no regular expression ({error.msg}{at})") from None


def with_patients(rows: Sequence[Row], pattern: re.Pattern[str]) -> tuple[list[Row], list[str]]:
    """The rows with the patient that their paths name, and what is to be said of the others.

    The id is the group called `patient`, else the first group that took part, else all that fits. It is
    sought anywhere in the path; a row whose path does not fit keeps the id that it has. Raises UserError
    where no path fits.
    """
    found = []
    without: list[str] = []
    for row in rows:
        patient = _patient(pattern.search(row.path))
        if not patient:
            without.append(row.path)
        found.append(replace(row, patient_id=patient) if patient else row)
    if len(without) == len(rows):
        raise UserError(
            f"--patient {pattern.pattern}: fits none of {count(len(rows), 'path')}, such as {few(without, 2)}"
        )
    patients = {row.patient_id for row in found if row.patient_id}
    notes = [f"{count(len(patients), 'patient')} by --patient in {count(len(rows), 'image')}"]
    if without:
        notes.append(
            f"--patient {pattern.pattern} does not fit {count(len(without), 'path')}: {few(without)}"
        )
    return found, notes


def _patient(found: re.Match[str] | None) -> str:
    if found is None:
        return ""
    if "patient" in found.re.groupindex:
        return (found["patient"] or "").strip()
    groups = [group for group in found.groups() if group is not None]
    return (groups[0] if groups else "" if found.re.groups else found[0]).strip()
