"""How strongly a JPEG was compressed, told from its quantisation table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# The luminance table of ITU-T T.81 Annex K.1, which the Independent JPEG Group's library scales by quality.
# Only its sum matters here, so the order of the coefficients does not.
_ANNEX_K_SUM = 3688


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> int | None:
    """The IJG quality (1 to 100) whose scaled luminance table has the sum of this file's first table.

    The library scales each entry by `5000 / q` percent below q = 50 and by `200 - 2 q` percent from there on.
    Exact for files of that library, an estimate for others; None where there is no table.
    """
    if not tables:
        return None
    percent = 100.0 * sum(tables[min(tables)]) / _ANNEX_K_SUM
    quality = (200.0 - percent) / 2.0 if percent <= 100.0 else 5000.0 / percent
    return round(min(100.0, max(1.0, quality)))
