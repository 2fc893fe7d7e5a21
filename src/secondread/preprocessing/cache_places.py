"""Where prepared images are kept between runs, when nobody says where."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_cache_directory() -> Path:
    """`SECONDREAD_CACHE` where it is set, else the platform's folder for a user's caches."""
    if given := os.environ.get("SECONDREAD_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "secondread"
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "secondread" / "cache"
        )
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secondread"


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
