"""How large the cache of prepared images may be, and keeping it so."""

from __future__ import annotations

import os
import re

from secondread.errors import UserError
from secondread.preprocessing.cache.cache import Cache

LIMIT_VARIABLE = "SECONDREAD_CACHE_LIMIT"
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def cache_limit() -> int | None:
    """Bytes that SECONDREAD_CACHE_LIMIT allows (`20GB`, `500 MB`, `8GiB`, or bytes); None = no limit.

    Raises UserError for anything else.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.upper())
    if match is None or (match[3] and not match[2]):
        raise UserError(f"{LIMIT_VARIABLE} is {text!r}: write a size such as 20GB or 500MB")
    return int(float(match[1]) * (BINARY_UNITS if match[3] else UNITS)[match[2]])


def settle(cache: Cache) -> None:
    """Delete leftovers, and what was not used for longest until the cache is as small as its limit says."""
    Cache(cache.directory, cache_limit()).trim()
