"""Numbers, dates and lengths of time as a language writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime

from babel import dates, numbers

LOCALES = {"en": "en_GB", "de": "de"}
NOTHING = "–"
"""What stands where nothing is known."""


@dataclass(frozen=True)
class Wording:
    """As one language has it. Times are shown in UTC, which the page says."""

    language: str

    @property
    def locale(self) -> str:
        return LOCALES[self.language]

    def number(self, value: float | None, digits: int = 3) -> str:
        """With so many significant digits."""
        if value is None or not math.isfinite(value):
            return NOTHING
        if value and not 1e-4 <= abs(value) < 1e7:
            return f"{value:.{digits - 1}e}".replace(".", numbers.get_decimal_symbol(self.locale))
        pattern = f"#,##0.{'0' * _decimals(value, digits)}"
        return numbers.format_decimal(value, format=pattern, locale=self.locale)

    def count(self, value: int) -> str:
        return numbers.format_decimal(value, locale=self.locale)

    def percent(self, share: float | None, digits: int = 2) -> str:
        if share is None or not math.isfinite(share):
            return NOTHING
        pattern = f"#,##0.{'0' * _decimals(100 * share, digits)}%"
        if self.language != "en":
            pattern = pattern.replace("%", "\u00a0%")
        return numbers.format_percent(share, format=pattern, locale=self.locale)

    def p_value(self, value: float | None) -> str:
        return self.number(value, 2)

    def person(self, written: str) -> str:
        """A name as DICOM writes it, `FAMILY^GIVEN^…`, and in brackets what it is in other scripts.
        Empty where there is none."""
        first, *others = [shown for group in written.split("=") if (shown := _plain_name(group))] or [""]
        return f"{first} ({', '.join(others)})" if others else first

    def day(self, written: str) -> str:
        """A date as DICOM writes it, YYYYMMDD; what is none stays as it is."""
        try:
            found = date(int(written[:4]), int(written[4:6]), int(written[6:8]))
        except ValueError:
            return written or NOTHING
        return dates.format_date(found, "medium", locale=self.locale)

    def moment(self, at: datetime | None) -> str:
        if at is None:
            return NOTHING
        return dates.format_datetime(at.astimezone(UTC), "medium", tzinfo=UTC, locale=self.locale)

    def ago(self, since: datetime, now: datetime) -> str:
        """How long ago it was, in its largest unit: `3 hours ago`."""
        return dates.format_timedelta(since - now, threshold=1.2, add_direction=True, locale=self.locale)


def _decimals(value: float, digits: int) -> int:
    """Digits after the point, of a number with so many that count; none that are zeros at its end."""
    if not value:
        return 0
    text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return len(text.partition(".")[2].rstrip("0"))


def _plain_name(group: str) -> str:
    family, _, others = group.partition("^")
    return ", ".join(part for part in (family.strip(), " ".join(others.replace("^", " ").split())) if part)
