"""The encoders that a detector's settings name. It imports nothing of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def encoders_of(values: Any) -> Iterator[Mapping[str, Any]]:
    """The settings of every encoder that is named somewhere in a detector's settings."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key == "encoder" and isinstance(value, Mapping):
                yield value
            else:
                yield from encoders_of(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from encoders_of(value)
