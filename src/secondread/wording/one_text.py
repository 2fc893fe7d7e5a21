"""One text where a list of texts is meant, which Python would go through letter by letter."""

from __future__ import annotations

from secondread.errors import UserError
from secondread.wording.short import shortened


def refuse_one_text(given: object, name: str) -> None:
    """Raise UserError, with what to write in its place, where the argument `name` is one text.

    >>> refuse_one_text("split=test", "where")
    Traceback (most recent call last):
    ...
    secondread.errors.UserError: where is one text, and a list is meant: where=['split=test']
    """
    if isinstance(given, str):
        text = shortened(given, 80)
        raise UserError(f"{name} is one text, and a list is meant: {name}=[{text!r}]")
