"""Errors that a person can mend. The command line prints their message as one line."""

from __future__ import annotations


class UserError(Exception):
    """Wrong use, or an input that must be changed: exit code 2.

    >>> import secondread
    >>> secondread.Manifest.read("nothing.csv")
    Traceback (most recent call last):
    secondread.errors.UserError: nothing.csv: no such manifest; give the path of a CSV file
    """


class DataError(Exception):
    """Data that cannot be read or trusted (a damaged bundle, nothing readable): exit code 3.

    >>> import pathlib, secondread
    >>> pathlib.Path("bundle").mkdir()
    >>> _ = pathlib.Path("bundle/bundle.json").write_text("{}")
    >>> secondread.Bundle.load("bundle")
    Traceback (most recent call last):
    secondread.errors.DataError: bundle/bundle.json: ...
    """
