"""The standard streams where whoever started the process has closed one, as for daemons."""

from __future__ import annotations

import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed_streams() -> None:
    """Each standard stream that is closed leads nowhere from now on. Else the next file that is opened would
    take its number, and what libraries say aloud would stand in it. To be called before any file is opened.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere == number:
                os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8", errors="replace", closefd=False))


def watched() -> bool:
    """Whether a person sees the lines of a terminal, so that one may be written over."""
    return sys.stderr is not None and sys.stderr.isatty()
