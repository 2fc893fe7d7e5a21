"""A recipe as it may leave the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def without_places(value: Any) -> Any:
    """A recipe's values with absolute paths cut to their file names, so that none leaves the machine."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return Path(value).name
    return value
