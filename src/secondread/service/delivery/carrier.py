"""What every way to a destination can do."""

from __future__ import annotations

from typing import Protocol

from secondread.service.delivery.parcel import Parcel


class Carrier(Protocol):
    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        """Deliver what is not in `done`, and add to it what has arrived. Raises NotDelivered."""

    def rest(self) -> None:
        """Nothing waits, or a delivery failed: let go of connections."""

    def ask(self) -> str:
        """Ask the destination whether it is there, without delivering anything; what it was asked, and
        answered. Raises NotDelivered."""
