"""The version of the package, as `pyproject.toml` has it, and which others are newer."""

from __future__ import annotations

import re
from typing import Any

__version__ = "0.2.0"


def newer(than_this: Any) -> str:
    """A version that a file names, where it is one and newer than this; else empty. Nothing is believed of
    it.

    >>> newer("99.1"), newer("0.1.0"), newer(["9.0"])
    ('99.1', '', '')
    """
    said = than_this if isinstance(than_this, str) else ""
    named = re.fullmatch(r"\d[\w.+!-]{0,40}", said, re.ASCII)
    return said if named and _numbers(said) > _numbers(__version__) else ""


def of_newer(maker: str, needed: str = "") -> str:
    """What to tell of a file that a newer version wrote, after what is wrong with it.

    needed  the first version that reads it, where that is known

    >>> of_newer("9.1", "9.0")
    'it was made by secondread 9.1, and this is 0.2.0; install secondread 9.0 or later to read it'
    """
    wrote = f"secondread {maker}" if maker else "a newer version of secondread"
    reader = f"secondread {needed or maker} or later" if needed or maker else "that version"
    return f"it was made by {wrote}, and this is {__version__}; install {reader} to read it"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part[:9]) for part in found[0].split(".")) if found else ()
