"""A command as it may be shown to others: without where things lie on the machine that ran it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

_ABSOLUTE = re.compile(r"(?:(?<=^)|(?<==))(?:[A-Za-z]:[\\/]|[\\/~])[^=]*")


def shown_command(command: Sequence[str]) -> str:
    """What was typed, as a shell takes it; of an absolute path its last part alone.

    >>> shown_command(["/opt/env/bin/secondread", "fit", "padim", "/data/p 1/m.csv", "--cache=/tmp/c"])
    'secondread fit padim m.csv --cache=c'
    """
    if not command:
        return ""
    program, *rest = command
    name = PurePath(program).name
    name = "python -m secondread" if name == "__main__.py" else shlex.quote(name)
    return " ".join([name, *(shlex.quote(_ABSOLUTE.sub(_last_part, word)) for word in rest)])


def _last_part(found: re.Match[str]) -> str:
    parts = [part for part in re.split(r"[\\/]", found[0]) if part]
    return parts[-1] if parts else found[0]
