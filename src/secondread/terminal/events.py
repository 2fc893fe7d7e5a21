"""What was done, for a log: an event in a few fixed words, and facts that are counts, durations and names of
methods. Nothing in it may come from an image, its header, its path or its patient."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = "secondread"


Fact = float | str | bool | None


def log_event(
    event: str, *, level: int = logging.INFO, facts: Mapping[str, Fact] | None = None, **more: Fact
) -> None:
    """Tell an event to the logger `secondread`, which is silent unless somebody listens."""
    logging.getLogger(PACKAGE).log(level, event, extra={"facts": {**(facts or {}), **more}})


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The facts of an event; of another record none."""
    return dict(getattr(record, "facts", {}))


def place_in_code(filename: str, line: int | None) -> str:
    """`pydicom/valuerep.py:440`: a file of a library from its package on, without the folders above it.

    >>> place_in_code("/home/someone/env/site-packages/pydicom/valuerep.py", 440)
    'pydicom/valuerep.py:440'
    """
    parts = Path(filename).parts
    tops = [at for at, part in enumerate(parts) if part in ("site-packages", "dist-packages", "src")]
    kept = parts[tops[-1] + 1 :] if tops else parts[-1:]
    return f"{'/'.join(kept)}:{line}"
