"""What people are told of a reading: numbers and names of ours, no patient."""

from __future__ import annotations

import hashlib
from datetime import UTC

from secondread.service.delivery.parcel import Parcel


def message_id(parcel: Parcel, destination: str) -> str:
    """32 hexadecimal digits that follow from what was read, by which bundle, and for whom: a message that is
    sent again has its own again, also after a database came back from a copy."""
    reading = parcel.reading
    parts = (parcel.study.study_uid, str(reading.revision), reading.bundle_digest, destination)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def link(parcel: Parcel, public_url: str) -> str:
    """The study's page, behind its login; empty where no address of the page is set."""
    return f"{public_url.rstrip('/')}/studies/{parcel.study.id}" if public_url else ""


def when(parcel: Parcel) -> str:
    return parcel.reading.at.astimezone(UTC).isoformat(timespec="seconds")
