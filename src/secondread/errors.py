"""Errors that a person can mend. The command line prints their message as one line."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """Wrong use, or an input that must be changed: exit code 2."""


class DataError(Exception):
    """Data that cannot be read or trusted (a damaged bundle, nothing readable): exit code 3."""


def few(names: Sequence[str], most: int = 5) -> str:
    """Names for one line of a message: the first, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
