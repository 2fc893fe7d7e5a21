"""Whether each destination is there, asked without delivering anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from secondread.service.delivery.outcome import NotDelivered
from secondread.service.delivery.sender import carriers
from secondread.service.settings.service import ServiceSettings


@dataclass(frozen=True)
class Asked:
    """`said`: what it was asked and answered, or why it did not. `seconds` until then."""

    name: str
    reached: bool
    said: str
    seconds: float


def ask_everybody(settings: ServiceSettings) -> Iterator[Asked]:
    """By C-ECHO, OPTIONS, or what its protocol has for it; of an MLLP receiver the connection alone, since
    any message would be one."""
    for name, carrier in carriers(settings).items():
        begun = time.monotonic()
        try:
            reached, said = True, carrier.ask()
        except NotDelivered as error:
            reached, said = False, error.reason
        yield Asked(name, reached, said, time.monotonic() - begun)
