"""How a delivery ends where it does not arrive. The reasons are our own words, codes and names of the
configuration: what the other side writes may repeat a patient."""

from __future__ import annotations

from http import HTTPStatus

MOST_REASON = 300


class NotDelivered(Exception):
    """`reason` is one line, without a patient."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason[:MOST_REASON]


class Away(NotDelivered):
    """The destination cannot be reached or lets nobody in: no fault of what was to be delivered, which stays
    first in its row. `wait_s`: how long the destination asks to be left alone."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Later(NotDelivered):
    """It was reached, and could not take this now: this is tried again after others."""


class Refused(NotDelivered):
    """It will not take this, however often it is sent."""


SUCCESS, DUPLICATE = 0x0000, 0x0111
_WARNINGS = (0x0107, 0x0116)
_WORDS = {
    0x0110: "processing failure", 0x0112: "no such instance", 0x0117: "invalid instance UID",
    0x0122: "kind of object not supported", 0x0124: "not authorised", 0x0210: "duplicate invocation",
    0x0211: "operation not recognised", 0x0212: "mistyped argument", 0x0213: "resource limitation",
}  # fmt: skip
_LATER = (0x0110, 0x0213)


def is_stored(status: int) -> bool:
    """Whether a status of storage (PS3.4 B.2.3, PS3.7 C) says that the archive has the object: success, a
    warning, or that it was there before."""
    return status in (SUCCESS, DUPLICATE, *_WARNINGS) or 0xB000 <= status <= 0xBFFF


def is_for_later(status: int) -> bool:
    """Whether it may be taken another time: out of resources, or the archive's own failure."""
    return 0xA700 <= status <= 0xA7FF or status in _LATER


def meaning(status: int) -> str:
    """`0xA700 out of resources`."""
    if 0xA700 <= status <= 0xA7FF:
        words = "out of resources"
    elif 0xA900 <= status <= 0xA9FF:
        words = "object does not match its kind"
    elif 0xC000 <= status <= 0xCFFF:
        words = "cannot understand"
    else:
        words = _WORDS.get(status, "failure")
    return f"0x{status:04X} {words}"


_OF_THE_MESSAGE = frozenset({400, 406, 409, 410, 413, 414, 415, 422})
_NOT_NOW = frozenset({408, 425, 500})


def check_answer(status: int, retry_after: str = "") -> None:
    """What an HTTP status says of a delivery; 2xx says nothing. Raises Refused where it is about the message,
    Later where the server failed over it, Away where it would meet any message so: no entrance, no such
    place, too many, down."""
    if 200 <= status < 300:
        return
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    if status in _OF_THE_MESSAGE:
        raise Refused(said)
    if status in _NOT_NOW:
        raise Later(said)
    if status in (401, 403):
        said += ": look at the token, or at who may send"
    elif status in (404, 405):
        said += ": look at the url"
    elif 300 <= status < 400:
        said += ": the address has moved, and moves are not followed; write the new url"
    raise Away(said, float(retry_after) if retry_after.isdecimal() else 0.0)
