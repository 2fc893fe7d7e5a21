"""A header as text, as it lies in a table on the disk."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from secondread.images.header import Header

_USUAL = {
    one.name: one.default for one in fields(Header) if one.default is not MISSING and one.name != "path"
}
_TUPLES = {name for name, value in _USUAL.items() if isinstance(value, tuple)}


def header_text(header: Header) -> str:
    """All of a header but its path, in JSON; what it does not say is left out."""
    said: dict[str, Any] = {"kind": header.kind}
    for name, usual in _USUAL.items():
        if (value := getattr(header, name)) != usual:
            said[name] = value
    return json.dumps(said, separators=(",", ":"))


def header_of(text: str, path: str) -> Header:
    """The header of which `header_text` made a text. Raises ValueError or TypeError for another text."""
    said: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in json.loads(text).items()
    }
    return Header(path, **said)
