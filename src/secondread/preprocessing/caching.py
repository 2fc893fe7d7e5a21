"""The cache of prepared images that a command uses: where it lies, how large it is, how large it may be."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.preprocessing.cache import Cache
from secondread.preprocessing.cache_places import default_cache_directory

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


def open_cache(given: str | Path | Cache | None) -> Cache:
    """The given cache, or the one of this folder, or the user's own. A run never loses what it has just
    prepared: the limit is applied by `settle` at its end. Raises UserError for a limit that is no size."""
    cache_limit()
    return given if isinstance(given, Cache) else Cache(given or default_cache_directory())


def settle(cache: Cache) -> None:
    """Delete leftovers, and what was not used for longest until the cache is as small as its limit says."""
    Cache(cache.directory, cache_limit()).trim()


def cache_facts(given: str | Path | Cache | None) -> dict[str, Any]:
    """Folder, bytes and limit, for the record of a run."""
    cache = open_cache(given)
    return {"folder": str(cache.directory), "bytes": cache.size(), "limit_bytes": cache_limit()}
