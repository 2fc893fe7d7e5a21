"""Who made a DICOM result, when, and under which UIDs.

UIDs follow from what a result says (source study and instances, content digest, bundle, calibration, version,
kind), so that the same result sent again takes its own place in an archive and no second one. Each is the
128 bits of a hash under the root `2.25` (PS3.5 B.2). Dates are those of the reading and not of the writing;
with them the same readings give the same bytes. Only a reading made again at another time differs, in its
dates, which the standard wants.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Literal, Self

from secondread.readings.score_record import ScoreRecord
from secondread.results.dicom.headers import CHARACTER_SET
from secondread.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

MAKER = "secondread"
RESEARCH_USE = "Research use, not a medical device"
Kind = Literal["report", "segmentation", "parametric map", "overlay"]
KINDS: dict[Kind, tuple[int, str]] = {
    "report": (10_000, "secondread report"),
    "segmentation": (20_000, "secondread segmentation"),
    "parametric map": (30_000, "secondread map"),
    "overlay": (40_000, "secondread overlay"),
}
"""What is added to a source's series number, and the series description."""
_NOT_EMPTY = (
    "ProcedureCodeSequence", "ReferencedStudySequence", "ReferencedPatientSequence",
    "AdmittingDiagnosesCodeSequence", "ReasonForVisitCodeSequence",
)  # fmt: skip
"""Of patient and study, type 3: there with an item or not at all, which sources do not always keep to."""
_SERIES_NUMBERS = 10_000
_LONGEST = 64
"""Characters of a value of representation LO."""


@dataclass(frozen=True)
class Instance:
    """Where one result stands among its study's series."""

    kind: Kind
    series_uid: str
    series_number: int
    uid: str
    number: int

    @property
    def keywords(self) -> dict[str, Any]:
        """As highdicom's constructors take them."""
        return {
            "series_instance_uid": self.series_uid,
            "series_number": self.series_number,
            "sop_instance_uid": self.uid,
            "instance_number": self.number,
            "series_description": f"{KINDS[self.kind][1]} ({RESEARCH_USE.lower()})",
        }


@dataclass(frozen=True)
class Author:
    """The model that read, and the versions that read and wrote.

    bundle       digest of the bundle; empty where the readings do not say
    calibration  digest of what its calibration promised
    model        its name, as a header takes it
    version      of the package that read
    made         when the readings were made
    """

    bundle: str
    calibration: str
    model: str
    version: str
    made: datetime

    @classmethod
    def of(cls, run: ScoreRecord, otherwise: datetime) -> Self:
        """The author of a run's readings; `otherwise` where the record does not say when it was."""
        promised = None if run.calibration is None else run.calibration.model_dump(mode="json")
        told = json.dumps([promised, run.map_threshold, run.map_scale], sort_keys=True)
        return cls(
            run.digests.bundle or "",
            hashlib.sha256(told.encode()).hexdigest(),
            _in_a_header(run.model.name) or "unnamed model",
            run.versions.get(MAKER, __version__),
            when(run.started) or otherwise,
        )

    def uid(self, kind: str, *what: str) -> str:
        """The UID of what is said of something by this author."""
        parts = (MAKER, __version__, self.version, self.bundle, self.calibration, kind, *what)
        return uid_of(*parts)

    def instance(self, kind: Kind, source: Dataset, read: Iterable[str] = (), number: int = 1) -> Instance:
        """The place of a result of one image, or of the report of a study.

        source  a header of what was read; the report is the study's, and all else that of the series
        read    what tells the image from others: UIDs of instances, frames, its digest
        number  among the instances of the result's series
        """
        study, series = str(source.StudyInstanceUID), str(source.SeriesInstanceUID)
        added, _ = KINDS[kind]
        if kind == "report":
            return Instance(kind, self.uid("series of report", study), added, self.uid(kind, study, *read), 1)
        return Instance(
            kind,
            self.uid(f"series of {kind}", study, series),
            added + _whole(source, "SeriesNumber") % _SERIES_NUMBERS,
            self.uid(kind, study, series, *read),
            max(1, number),
        )

    @property
    def equipment(self) -> dict[str, Any]:
        """As highdicom's constructors take it. There is no serial number of a device: what tells one model
        from another is its bundle's digest, which stands in its place."""
        return {
            "manufacturer": MAKER,
            "manufacturer_model_name": self.model,
            "software_versions": f"{MAKER} {self.version}",
            "device_serial_number": (self.bundle or "no digest")[:_LONGEST],
        }

    def signed(self, result: Dataset, source: Dataset) -> Dataset:
        """The result with the date of its reading, in the source's time zone where that says one, in UTF-8,
        and with no UID that was drawn at random."""
        result = _settled(result, self)
        made = self.made.astimezone(_zone(source))
        date, time = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
        for name in ("SeriesDate", "ContentDate", "InstanceCreationDate", "DateOfSecondaryCapture"):
            if name in result or name == "SeriesDate":
                setattr(result, name, date)
                setattr(result, name.replace("Date", "Time"), time)
        for name in _NOT_EMPTY:
            if name in result and not result[name].value:
                del result[name]
        for item in result.get("ContributingEquipmentSequence", ()):
            if "ContributionDateTime" in item:
                item.ContributionDateTime = date + time
        offset = source.get("TimezoneOffsetFromUTC")
        if offset:
            result.TimezoneOffsetFromUTC = offset
        result.SpecificCharacterSet = CHARACTER_SET
        return result


def uid_of(*parts: str) -> str:
    """A UID that follows from texts: `2.25.` and the 128 bits of a name-based UUID."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"


def _in_a_header(text: str) -> str:
    """One value of representation LO: no backslash, no line break, 64 characters at most."""
    return " ".join("".join(c if c.isprintable() and c != "\\" else " " for c in text).split())[
        :_LONGEST
    ].strip()


def when(text: str) -> datetime | None:
    """The time that a record says; None where it says none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _zone(source: Dataset) -> tzinfo | None:
    """The offset that a header says, `+0130`; None = this machine's zone."""
    text = str(source.get("TimezoneOffsetFromUTC") or "").strip()
    if len(text) != 5 or text[0] not in "+-" or not text[1:].isdecimal():
        return None
    minutes = int(text[1:3]) * 60 + int(text[3:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _whole(source: Dataset, keyword: str) -> int:
    try:
        return max(0, int(source.get(keyword) or 0))
    except (TypeError, ValueError):
        return 0


def _settled(result: Dataset, author: Author) -> Dataset:
    """With UIDs of dimensions that follow from the result's own, for highdicom draws them."""
    drawn: dict[str, str] = {}
    for element in result.iterall():
        if element.keyword == "DimensionOrganizationUID" and element.value:
            name = author.uid("dimensions", str(result.SOPInstanceUID), str(len(drawn)))
            element.value = drawn.setdefault(str(element.value), name)
    return result
