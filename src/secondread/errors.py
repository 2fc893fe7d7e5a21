"""Errors that a person can mend. The command line prints their message as one line."""

from __future__ import annotations


class UserError(Exception):
    """Wrong use, or an input that must be changed: exit code 2."""


class DataError(Exception):
    """Data that cannot be read or trusted (a damaged bundle, nothing readable): exit code 3."""
