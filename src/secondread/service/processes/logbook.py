"""The service's log: events of all its processes as lines of JSON in `logs/service.log` of the spool.

The parent alone writes it, and begins a new file when one is full. Nothing of a patient is in it.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.errors import UserError
from secondread.outputs.private import make_folder
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.workers import host
from secondread.terminal.events import PACKAGE
from secondread.terminal.log_lines import Lines


class _Handler(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """The disk is full: the service goes on without its log."""


def log_file(settings: ServiceSettings, *, machine: bool = False) -> Path:
    """Where a service logs; of a further `machine` that runs scorers alone, under its name."""
    return settings.spool / "logs" / (f"scorers-{host()}.log" if machine else "service.log")


@contextmanager
def logbook(settings: ServiceSettings, *, machine: bool = False) -> Iterator[None]:
    """Events of the block are kept. Raises UserError where the log cannot be written."""
    file = log_file(settings, machine=machine)
    try:
        make_folder(file.parent)
        handler = _Handler(
            file,
            maxBytes=max(1, round(settings.upkeep.log_mb * 1e6)),
            backupCount=settings.upkeep.logs,
            encoding="utf-8",
        )
    except OSError as error:
        raise UserError(f"{file}: the log cannot be written ({error.strerror})") from error
    handler.setFormatter(Lines())
    root, own = logging.getLogger(), logging.getLogger(PACKAGE)
    level = own.level
    own.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        own.setLevel(level)
