"""What a job delivers: a reading, its study, and the files of its results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from secondread.errors import DataError
from secondread.service.delivery.outcome import Refused
from secondread.service.intake.arrivals import OTHER_PATIENT
from secondread.service.settings.sending import Kind
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.jobs import Claim
from secondread.service.store.tables import Instance, Job, Reading, Result, Study

KINDS: dict[str, Kind] = {
    "1.2.840.10008.5.1.4.1.1.88.22": "report",
    "1.2.840.10008.5.1.4.1.1.88.33": "report",
    "1.2.840.10008.5.1.4.1.1.88.34": "report",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.30": "parametric map",
    "1.2.840.10008.5.1.4.1.1.7": "overlay",
    "1.2.840.10008.5.1.4.1.1.7.4": "overlay",
}
"""By SOP class: structured reports (enhanced, comprehensive, with places in space), segmentations, parametric
maps, secondary captures."""


@dataclass(frozen=True)
class Item:
    """One DICOM object. `kind` is empty where its SOP class is none of `KINDS`."""

    uid: str
    sop_class: str
    path: Path
    kind: str


@dataclass(frozen=True)
class Parcel:
    """ordered           since when it should leave
    several_patients  whether the study's images name more than the one that `study` names"""

    reading: Reading
    study: Study
    items: tuple[Item, ...]
    ordered: datetime
    several_patients: bool = False

    def of_kinds(self, kinds: tuple[Kind, ...], done: set[str]) -> list[Item]:
        """What has not arrived yet of the kinds that a destination wants, in the order of its result rows."""
        return [item for item in self.items if item.kind in ("", *kinds) and item.uid not in done]


def parcel_of(database: Database, spool: Spool, claimed: Claim) -> Parcel:
    """Raises Refused where the reading is not there any more, or a row names a file outside of the spool."""
    with database.read() as session:
        reading = session.get(Reading, int(claimed.key.partition(":")[0]))
        study = None if reading is None else session.get(Study, reading.study_id)
        ordered = session.scalar(select(Job.created).where(Job.id == claimed.id))
        if reading is None or study is None or ordered is None:
            raise Refused("its reading was removed")
        other = Instance.facts[OTHER_PATIENT].as_string().is_not(None)
        several = session.scalar(select(Instance.id).where(Instance.study_id == study.id, other).limit(1))
        rows = session.scalars(select(Result).where(Result.reading_id == reading.id).order_by(Result.id))
        try:
            items = [
                Item(
                    row.sop_instance_uid,
                    row.sop_class_uid,
                    spool.path_of(row.path),
                    KINDS.get(row.sop_class_uid, ""),
                )
                for row in rows
            ]
        except DataError as error:
            raise Refused(str(error)) from None
    return Parcel(reading, study, tuple(items), ordered, several is not None)
