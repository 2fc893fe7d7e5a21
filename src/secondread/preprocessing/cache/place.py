"""Where the cache of prepared images lies that a command uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.limit import cache_limit


def default_cache_directory() -> Path:
    """`SECONDREAD_CACHE` where it is set, else the user's own."""
    if given := os.environ.get("SECONDREAD_CACHE"):
        return Path(given).expanduser()
    return user_cache("secondread")


def user_cache(name: str) -> Path:
    """The folder of this name where the platform keeps a user's caches."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / name
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / name / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / name


def open_cache(given: str | Path | Cache | None) -> Cache:
    """The given cache, or the one of this folder, or the user's own. A run never loses what it has just
    prepared: the limit is applied by `settle` at its end. Raises UserError for a limit that is no size."""
    cache_limit()
    if isinstance(given, str | Path) and Path(given).exists() and not Path(given).is_dir():
        raise UserError(f"{given}: is no folder; name an empty or a new folder with --cache")
    return given if isinstance(given, Cache) else Cache(given or default_cache_directory())


def cache_facts(given: str | Path | Cache | None) -> dict[str, Any]:
    """Folder, bytes and limit, for the record of a run."""
    cache = open_cache(given)
    return {"folder": str(cache.directory), "bytes": cache.size(), "limit_bytes": cache_limit()}
