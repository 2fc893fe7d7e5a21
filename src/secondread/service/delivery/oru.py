r"""An observation report as HL7 v2.5.1, ORU^R01 (chapter 7): patient, study, and an OBX for each number.

Observations are `R`, "results entered, not verified": no person has looked at them. Codes are those of the
DICOM and FHIR results (`results/concepts.py`). The same reading gives the same bytes with the same message
control id, so that a receiver recognises what is sent again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from secondread.results.concepts import (
    FALSE_ALARM_RATE,
    FLAG,
    NOT_JUDGED,
    P_VALUE,
    SCHEME,
    STUDY_SCORE,
    THRESHOLD,
    Concept,
)
from secondread.service.delivery.message import message_id
from secondread.service.delivery.parcel import Parcel
from secondread.service.settings.sending import Hl7Destination
from secondread.version import __version__

VERSION = "2.5.1"
LONGEST_CONTROL_ID = 20
NOT_VERIFIED = "R"
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_SPECIAL = re.compile(r"[\\|^&~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DATE = re.compile(r"\d{4}(\d\d(\d\d)?)?")


def escaped(text: str) -> str:
    r"""Text within a field, component or subcomponent: separators as escape sequences (2.7.1), line breaks
    and other control characters as a space.

    >>> print(escaped("A|B^C~D\\E&F\rG"))
    A\F\B\S\C\R\D\E\E\T\F G
    """
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], _CONTROL.sub(" ", text))


def control_id(parcel: Parcel, destination: str) -> str:
    return message_id(parcel, destination)[:LONGEST_CONTROL_ID].upper()


def observation_report(parcel: Parcel, destination: Hl7Destination) -> str:
    """The message, its segments ended by carriage returns."""
    study, reading = parcel.study, parcel.reading
    at = _time(reading.at)
    # A set of observations is named by its accession number; without one by its study.
    filler = escaped(study.accession or study.study_uid)
    note = (
        f"Read by bundle {reading.bundle} ({reading.bundle_digest[:16]}), secondread {__version__}. "
        "Research use, not a medical device."
    )
    segments = [
        [
            "MSH", "^~\\&", "SECONDREAD", escaped(destination.our_facility), escaped(destination.application),
            escaped(destination.facility), at, "", "ORU^R01^ORU_R01", control_id(parcel, destination.name),
            "P", VERSION, *[""] * 5, destination.character_set,
        ],
        [
            "PID", "1", "", _identifier(study.patient_id, destination.assigner), "",
            person(study.patient_name), "", _date(study.birth_date),
            study.sex if study.sex in ("M", "F", "O") else "",
        ],
        [
            "OBR", "1", "", filler, "18748-4^Diagnostic imaging study^LN", "", "", _date(study.study_date),
            *[""] * 10, escaped(study.accession), "", "", "", at, "", "RAD", NOT_VERIFIED,
        ],
        ["NTE", "1", "L", escaped(note)],
        *[["OBX", str(number), *fields] for number, fields in enumerate(_observations(parcel), start=1)],
    ]  # fmt: skip
    return "".join("|".join(fields).rstrip("|") + "\r" for fields in segments)


def person(name: str) -> str:
    """XPN of a DICOM person name: family, given, middle, prefix, suffix in DICOM, and suffix before prefix
    here; each of its alphabetic, ideographic and phonetic forms is a repetition.

    >>> person("Doe^Jane^M.^Dr.^jun.")
    'Doe^Jane^M.^jun.^Dr.^^L'
    """
    repetitions = []
    for form, group in zip("AIP", name.split("="), strict=False):
        family, given, middle, prefix, suffix = (*(escaped(part) for part in group.split("^")), *[""] * 5)[:5]
        if any((family, given, middle, prefix, suffix)):
            of = ["", form] if form != "A" else []
            repetitions.append("^".join([family, given, middle, suffix, prefix, "", "L", *of[1:]]))
    return "~".join(repetitions)


def _observations(parcel: Parcel) -> list[list[str]]:
    """OBX-2 to OBX-14 of each."""
    reading, at = parcel.reading, _time(parcel.reading.at)
    abnormal = {True: "A", False: "N", None: ""}[reading.flagged]
    found = []
    for concept, figure in (
        (STUDY_SCORE, reading.score),
        (P_VALUE, reading.p_value),
        (THRESHOLD, reading.threshold),
        (FALSE_ALARM_RATE, reading.false_alarm_rate),
    ):
        if figure is not None:
            found.append(_observation("NM", _code(concept), _number(figure), at))
    if reading.flagged is None:
        found.append(_observation("CWE", _code(FLAG), _code(NOT_JUDGED), at))
    else:
        said = "Y^Yes^HL70136" if reading.flagged else "N^No^HL70136"
        found.append(_observation("CWE", _code(FLAG), said, at, abnormal))
    study = _observation("ST", "110180^Study Instance UID^DCM", escaped(parcel.study.study_uid), at)
    return [*found, study]


def _observation(kind: str, code: str, value: str, at: str, abnormal: str = "") -> list[str]:
    return [kind, code, "", value, "", "", abnormal, "", "", NOT_VERIFIED, "", "", at]


def _code(concept: Concept) -> str:
    return f"{concept.value}^{escaped(concept.meaning)}^{SCHEME}"


def _identifier(patient: str, assigner: str) -> str:
    return f"{escaped(patient)}^^^{escaped(assigner)}^PI" if patient else ""


def _number(figure: float) -> str:
    """NM has no exponent.

    >>> _number(1.5e-7), _number(42.0)
    ('0.00000015', '42.0')
    """
    return format(Decimal(repr(float(figure))), "f")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def _date(text: str) -> str:
    """A date as DICOM writes it; another text is left out."""
    return text if _DATE.fullmatch(text) else ""
