"""An instance is taken in: read, kept, recorded, and only then acknowledged.

What is acknowledged (`status` 0) is on the disk and has its row. The same instance again is acknowledged and
changes nothing. Another object under the UID of one that is here is refused: the first was acknowledged and
may have been read, so it is not replaced, and the second is not said to be kept. (Orthanc and dcm4chee, as
they come, keep the first as well, but acknowledge the second and drop it.)
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from secondread.images.dicom.dataset import quiet_pydicom
from secondread.outputs.whole import NO_ROOM
from secondread.service.intake.arrivals import Arrival, Recorded
from secondread.service.intake.group_commit import commit
from secondread.service.intake.header import NotUnderstood, Told, read_header
from secondread.service.intake.room import GIGABYTE, Room
from secondread.service.intake.same import same_data_set
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool, TooLarge, Unwanted
from secondread.service.spool.incoming import Incoming
from secondread.service.store.database import Database
from secondread.terminal.events import log_event

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
ANOTHER_IS_HERE = 0xC001
"""Statuses of C-STORE (PS3.4 B.2.3), which STOW-RS gives as failure reasons (PS3.18 I.2) as well."""
_reading = threading.Lock()


@dataclass(frozen=True)
class Received:
    """What became of an instance. Where `status` is 0 it is kept for good; else `reason` says why not,
    without a word of its header."""

    status: int
    reason: str = ""
    told: Told | None = None


def receive_instance(
    database: Database,
    spool: Spool,
    settings: ServiceSettings,
    data: bytes | BinaryIO,
    sender: str,
    *,
    study_uid: str = "",
) -> Received:
    """Take in a file of the DICOM format, from its bytes or from a stream that can be read twice; where
    `study_uid` is given, of that study alone.

    Whatever goes wrong with the instance, the disk or the database is an answer and not an exception.
    """
    source = io.BytesIO(data) if isinstance(data, bytes) else data

    def header() -> Told:
        with _reading, quiet_pydicom():  # which is one state of the whole process
            told = read_header(source)
        source.seek(0)
        return told

    def committed(arrival: Arrival) -> Recorded:
        return commit(database, spool, [arrival])[0]

    door = Door(spool, Room(database, spool, settings), settings, committed)
    return door.take(header, source, sender, study_uid=study_uid)


@dataclass(frozen=True)
class Door:
    """Where instances are taken in by one process; `committed` writes the row of one."""

    spool: Spool
    room: Room
    settings: ServiceSettings
    committed: Callable[[Arrival], Recorded]

    def take(
        self,
        header: Callable[[], Told],
        source: BinaryIO | Incoming,
        sender: str,
        *,
        named: tuple[str, str] | None = None,
        study_uid: str = "",
    ) -> Received:
        """`named`: SOP class and instance that the sender says it sends."""
        told: Told | None = None
        try:
            told = header()
            if named is not None and named != (told.sop_class_uid, told.sop_instance_uid):
                return Received(DOES_NOT_MATCH, "the object is not the one that its sender names", told)
            if study_uid not in ("", told.study_uid):
                return Received(DOES_NOT_MATCH, "the object belongs to another study", told)
            if reason := self.room.refusal(told.study_uid):
                return Received(OUT_OF_RESOURCES, reason, told)
            return self._keep(told, source, sender)
        except NotUnderstood as error:
            return Received(CANNOT_UNDERSTAND, str(error), told)
        except TooLarge:
            return Received(OUT_OF_RESOURCES, too_large(self.settings), told)
        except OSError as error:
            return Received(OUT_OF_RESOURCES, of_disk(error), told)
        except Exception as error:
            log_event("instance not recorded", level=logging.ERROR, error=type(error).__name__)
            return Received(OUT_OF_RESOURCES, "the database does not answer", told)

    def _keep(self, told: Told, source: BinaryIO | Incoming, sender: str) -> Received:
        largest = int(self.settings.receive.largest_gb * GIGABYTE)
        received = Received(SUCCESS, told=told)
        with self.spool.keep(
            told.study_uid, told.series_uid, told.sop_instance_uid, source, largest=largest
        ) as kept:
            recorded = self.committed(Arrival(told, kept, sender[:64]))
            if recorded.outcome == "other" and not same_data_set(
                self.spool.path_of(recorded.held), self.spool.path_of(kept.path)
            ):
                received = Received(
                    ANOTHER_IS_HERE, "another object with this SOP Instance UID is here already", told
                )
            if recorded.outcome != "new":
                raise Unwanted
        return received


def too_large(settings: ServiceSettings) -> str:
    return f"larger than {settings.receive.largest_gb:g} GB (receive.largest_gb)"


def of_disk(error: OSError) -> str:
    return "the disk is full" if error.errno in NO_ROOM else "the spool cannot be written"
