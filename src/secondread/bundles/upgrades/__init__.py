"""`bundle.json` of earlier formats, as today's would say it: one step per format, one file per step.

A step is a pure function from document to document, and is never changed once a later format is written. It
is given what a stranger may have written, believes no type in it, and leaves what is wrong for the schema to
refuse. So a bundle is not rewritten to be read: its bytes and its digest stay, and what is written anew from
it (`calibrate`, `bundle pack` with statements) is of today's format."""

from __future__ import annotations

from typing import Any

from secondread.bundles.upgrades.from_1_to_2 import from_1_to_2

STEPS = (from_1_to_2,)
"""The first leads from format 1 to 2, and so on."""


def upgraded(document: Any) -> Any:
    """The document in the format of today; as it is where it is of no earlier one. Raises Unfit for a name
    that its format had not.

    >>> from secondread.bundles.upgrades import upgraded
    >>> upgraded({"format": 1})["format"]
    2
    >>> upgraded({"format": 7})
    {'format': 7}
    """
    if not isinstance(document, dict):
        return document
    form = document.get("format")
    if type(form) is int and 1 <= form <= len(STEPS):
        for step in STEPS[form - 1 :]:
            document = step(document)
    return document
