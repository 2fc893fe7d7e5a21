"""HL7 by MLLP: a message in its frame, and the acknowledgement that answers it (chapter 2.9)."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

import hl7

from secondread.service.delivery.oru import control_id, observation_report
from secondread.service.delivery.outcome import Later, NotDelivered, Refused
from secondread.service.delivery.parcel import Parcel
from secondread.service.delivery.reach import connected, words
from secondread.service.settings.sending import Hl7Destination

START, END = b"\x0b", b"\x1c\x0d"
LONGEST_ANSWER = 1 << 20
ENCODINGS = {"UNICODE UTF-8": "utf-8", "8859/1": "iso-8859-1"}
TOLD = "told"
_TAKEN, _ERROR, _REJECTED = ("AA", "CA"), ("AE", "CE"), ("AR", "CR")
_NEVER = ("200", "201", "202", "203")
"""Of table 0357: type, event, processing id or version of the message not supported."""
_PERHAPS = ("206", "207")
"""A record is locked, or the application failed."""
_WORDS = {
    "100": "segment sequence error", "101": "required field missing", "102": "data type error",
    "103": "table value not found", "200": "unsupported message type", "201": "unsupported event code",
    "202": "unsupported processing id", "203": "unsupported version", "204": "unknown key identifier",
    "205": "duplicate key identifier", "206": "record locked", "207": "application internal error",
}  # fmt: skip


@dataclass
class Hl7Receiver:
    """A receiver; the connection is kept while there is work."""

    destination: Hl7Destination
    timeout_s: float
    _socket: socket.socket | None = None

    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        one = self.destination
        if parcel.several_patients:
            raise Refused("its images name several patients, and a report would name one of them")
        try:
            message = observation_report(parcel, one).encode(ENCODINGS[one.character_set])
        except UnicodeEncodeError:
            raise Refused(f"{one.character_set} cannot write what its header says; choose UTF-8") from None
        answer = self._exchanged(message)
        check_acknowledgement(answer, control_id(parcel, one.name))
        done.add(TOLD)

    def rest(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.close()

    def ask(self) -> str:
        one = self.destination
        with contextlib.closing(connected(one.address, one.port, one.tls, self.timeout_s)):
            return "connection, no message"

    def _exchanged(self, message: bytes) -> bytes:
        one, kept = self.destination, self._socket
        if kept is not None and _is_over(kept):
            self.rest()
        if self._socket is None:
            self._socket = connected(one.address, one.port, one.tls, self.timeout_s)
        try:
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(START + message + END)
            return _received(self._socket)
        except OSError as error:
            raise Later(f"no acknowledgement: {words(error)}") from None


def check_acknowledgement(answer: bytes, expected: str) -> None:
    """Raises Later where the receiver may take it another time (it rejects for now, or failed), Refused where
    it says that something is wrong with the message. Only its codes are told, for its words may repeat the
    patient."""
    try:
        message = hl7.parse(answer.decode("utf-8", "replace").strip("\r\n") + "\r")
        segment = message.segment("MSA")
        code, of = str(segment[1]).strip().upper(), str(segment[2]).strip()
    except (hl7.HL7Exception, KeyError, IndexError, ValueError, LookupError):
        raise Later("what came back is no acknowledgement") from None
    if of != expected:
        raise Later("the acknowledgement is of another message")
    if code in _TAKEN:
        return
    number = _error_code(message)
    said = f"{code} {_WORDS.get(number, number)}".strip() if number else code
    raise _meant(code, number)(f"acknowledged with {said}")


def _meant(code: str, number: str) -> type[NotDelivered]:
    if code in _REJECTED:
        return Refused if number in _NEVER else Later
    if code in _ERROR:
        return Later if number in _PERHAPS else Refused
    return Later


def _error_code(message: hl7.Message) -> str:
    """ERR-3.1, a number of table 0357; empty where there is none."""
    try:
        found = str(message["ERR"][0][3]).partition("^")[0].strip()
    except (KeyError, IndexError):
        return ""
    return found if found.isdecimal() and len(found) <= 3 else ""


def _received(opened: socket.socket) -> bytes:
    """What stands between the frame's marks."""
    found = bytearray()
    while END not in found:
        block = opened.recv(1 << 16)
        if not block:
            raise ConnectionResetError("closed")
        found += block
        if len(found) > LONGEST_ANSWER:
            raise Later("the answer is too long")
    told = bytes(found[: found.index(END)])
    return told[told.index(START) + 1 :] if START in told else told


def _is_over(opened: socket.socket) -> bool:
    """Whether the other side has closed it, or says something that nobody asked for."""
    try:
        opened.setblocking(False)
        try:
            opened.recv(1)
        except (BlockingIOError, InterruptedError):
            return False
        return True
    except OSError as error:
        return "WANT_READ" not in str(error).upper()
