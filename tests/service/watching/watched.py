"""A patient who must appear nowhere, and when his studies came."""

from __future__ import annotations

from datetime import UTC, datetime

PATIENT = "Zwiebelfisch^Xaver"
BEGIN = datetime(2026, 10, 1, 8, tzinfo=UTC)
