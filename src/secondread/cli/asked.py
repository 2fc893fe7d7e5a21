"""What the command that runs was asked for, by which a later one knows whether it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

OPTIONS: ContextVar[Mapping[str, Any]] = ContextVar("options")
"""The arguments and options of the running command, by name."""
_NO_MATTER = ("force", "quiet", "ray", "shard_rows", "workers")
"""What changes nothing in the result."""


def asked() -> dict[str, str]:
    """The options as text, with paths in full."""
    return {
        name: str(value.absolute() if isinstance(value, Path) else value)
        for name, value in sorted(OPTIONS.get({}).items())
        if name not in _NO_MATTER
    }
