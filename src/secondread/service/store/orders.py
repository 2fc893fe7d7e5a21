"""What has to leave once a reading is there: written down in the transaction that holds the reading.

A job of kind `send` for each place that gets its objects, and one of kind `tell` for each place that gets a
message. The key is `READING:DESTINATION`, so that a place hears of a reading once; the payload names the
destination.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from secondread.service.settings.sending import MAIL, DicomDestination, SendingSettings, WebDestination
from secondread.service.store.jobs import enqueue
from secondread.service.store.tables import Reading

SEND, TELL = "send", "tell"


def is_urgent(sending: SendingSettings, reading: Reading) -> bool:
    """Whether people are told of it at once: by its p-value where `urgent_p` says so, else by its flag."""
    if sending.urgent_p is None:
        return reading.flagged is True
    return reading.p_value is not None and reading.p_value <= sending.urgent_p


def destinations(sending: SendingSettings, reading: Reading) -> list[tuple[str, str]]:
    """Kind of job and name of destination, messages first. A shadow's reading goes nowhere."""
    if reading.shadow:
        return []
    found = []
    if is_urgent(sending, reading):
        found += [(TELL, one.name) for one in sending.webhooks]
        found += [(TELL, MAIL)] if sending.mail is not None else []
    found += [(TELL, one.name) for one in sending.hl7]
    archives: list[DicomDestination | WebDestination] = [*sending.dicom, *sending.web]
    found += [(SEND, one.name) for one in archives if reading.flagged or not one.flagged_only]
    return found


def key_of(reading_id: int, destination: str) -> str:
    return f"{reading_id}:{destination}"


def order_delivery(session: Session, sending: SendingSettings, reading: Reading) -> int:
    """Write down everything that has to leave; how many jobs are new. The reading has its id (`flush`)."""
    urgent = int(is_urgent(sending, reading))
    return sum(
        enqueue(
            session, kind, key_of(reading.id, name),
            study_id=reading.study_id, payload={"destination": name}, urgent=urgent,
        )
        for kind, name in destinations(sending, reading)
    )  # fmt: skip
