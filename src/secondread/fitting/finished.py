"""A bundle that an earlier run of the same fit left. No torch here but where it is loaded."""

from __future__ import annotations

from pathlib import Path

from secondread.errors import UserError
from secondread.fitting.identity import differences, identity_in
from secondread.fitting.unfinished import Unfinished
from secondread.strict.json_text import read_object

DOCUMENT = "bundle.json"


def is_taken(out: Path) -> bool:
    """Whether something lies where the bundle is to be."""
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


def refuse_another_bundle(unfinished: Unfinished) -> None:
    """UserError where `out` holds anything but the bundle of this very fit."""
    out = unfinished.out
    if not is_taken(out):
        return
    if not (out / DOCUMENT).is_file():
        kind = "a folder with other things in it" if out.is_dir() else "a file"
        raise UserError(f"{out}: is {kind}; choose another place with -o")
    document = read_object(out / DOCUMENT, UserError, "choose another place with -o, or give --force")
    try:
        other = differences(
            identity_in(document), unfinished.identity, document["recipe"], unfinished.settings
        )
    except (KeyError, TypeError, AttributeError):
        raise UserError(
            f"{out}: there is a bundle already that cannot be read; choose another place with -o, or give "
            "--force to replace it"
        ) from None
    if other:
        raise UserError(
            f"{out}: there is a bundle of another fit already ({other}); choose another place with -o, or "
            "give --force to replace it"
        )
