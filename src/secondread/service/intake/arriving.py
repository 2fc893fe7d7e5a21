"""A data set of C-STORE goes into the spool as it comes, so that its size costs no memory."""

from __future__ import annotations

import contextlib
import io
import logging
from queue import Empty
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage

from secondread.results.dicom.identity import MAKER, uid_of
from secondread.service.intake.receive import of_disk, too_large
from secondread.service.intake.room import GIGABYTE, Room
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.spool.incoming import Incoming
from secondread.terminal.events import log_event

if TYPE_CHECKING:
    from pynetdicom.pdu_primitives import P_DATA

IMPLEMENTATION = uid_of(MAKER, "implementation class")
VERSION_NAME = "SECONDREAD"
LARGEST_COMMAND = 64 * 2**20
"""Bytes of the data set of any request but C-STORE."""
LOOKED_EVERY = 64 * 2**20
IDLE_S = 0.02


class DataSet(io.BytesIO):
    """Where pynetdicom writes a data set to. Of a C-STORE it becomes a file with File Meta Information, in
    the spool; of anything else it stays in memory.

    Nothing is raised while it comes, since that would end the association without an answer: `reason` says
    why it cannot be kept, and the rest is passed over.
    """

    def __init__(self, message: DIMSEMessage, association: Any, place: Place) -> None:
        super().__init__()
        self._message, self._association, self._place = message, association, place
        self._looked = 0
        self.file: Incoming | None = None
        self.reason = ""

    def write(self, data: Any) -> int:
        if self.reason:
            return len(data)
        if not isinstance(self._message, C_STORE_RQ):
            if self.tell() + len(data) > LARGEST_COMMAND:
                self.reason = "larger than any request"
                return len(data)
            return super().write(data)
        try:
            if self.file is None:
                self.file = self._place.spool.begin()
                self.file.write(self._meta())
            self.file.write(data)
            self._check(self.file.size)
        except OSError as error:
            self.give_up(of_disk(error))
        except Exception as error:
            log_event("instance not received", level=logging.ERROR, error=type(error).__name__)
            self.give_up("it cannot be received")
        return len(data)

    def give_up(self, reason: str) -> None:
        self.reason = reason
        self.discard()

    def discard(self) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.discard()

    def _check(self, size: int) -> None:
        settings = self._place.settings
        if size > settings.receive.largest_gb * GIGABYTE:
            self.give_up(too_large(settings))
        elif size - self._looked > LOOKED_EVERY:
            self._looked = size
            if self._place.room.free_bytes() < settings.receive.free_gb * GIGABYTE:
                self.give_up("the disk is full")

    def _meta(self) -> bytes:
        command = self._message.command_set
        context = self._association._accepted_cx[self._message.context_id]
        return file_meta(
            str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID), context.transfer_syntax[0]
        )


class Place:
    """Where data sets go, and under which limits."""

    def __init__(self, spool: Spool, room: Room, settings: ServiceSettings) -> None:
        self.spool, self.room, self.settings = spool, room, settings


class ArrivingMessages(DIMSEServiceProvider):
    """pynetdicom's, whose data sets are `DataSet`s."""

    def __init__(self, association: Any, place: Place) -> None:
        super().__init__(association)
        self._place = place
        self._begun: list[DataSet] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        if self.message is None:
            self.message = DIMSEMessage()
            begun = DataSet(self.message, self.assoc, self._place)
            self.message.data_set = begun
            self._begun = [one for one in self._begun if one.file is not None and not one.file.ended]
            self._begun.append(begun)
        super().receive_primitive(primitive)

    def get_msg(self, block: bool = False) -> Any:
        """Waits a moment for the next message, rather than have its caller ask a thousand times a second."""
        if block:
            return super().get_msg(block=True)
        try:
            return self.msg_queue.get(timeout=IDLE_S)
        except Empty:
            return None, None

    def discard(self) -> None:
        """What was begun and never handled."""
        for begun in self._begun:
            begun.give_up("the association ended")


def file_meta(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Preamble and File Meta Information (PS3.10 7.1). It does not name the sender, so that the same
    instance is the same file whoever sends it."""
    elements = b"".join(
        (
            b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01",
            _element(0x02, b"UI", sop_class),
            _element(0x03, b"UI", sop_instance),
            _element(0x10, b"UI", transfer_syntax),
            _element(0x12, b"UI", IMPLEMENTATION),
            _element(0x13, b"SH", VERSION_NAME),
        )
    )
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(elements).to_bytes(4, "little")
    return b"\0" * 128 + b"DICM" + length + elements


def _element(number: int, representation: bytes, value: str) -> bytes:
    encoded = value.encode("ascii")
    if len(encoded) % 2:
        encoded += b"\0" if representation == b"UI" else b" "
    return (
        b"\x02\x00" + number.to_bytes(2, "little") + representation + len(encoded).to_bytes(2, "little")
    ) + encoded
