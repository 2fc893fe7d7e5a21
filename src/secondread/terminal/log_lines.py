"""What of a log record may be kept, and as which line: events of the package with their facts, of other
libraries' records the kind and the place, so that nothing of a patient enters a log."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from secondread.terminal.events import PACKAGE, facts_of, place_in_code

READERS = (
    "pydicom", "pynetdicom", "highdicom", "nibabel", "PIL", "tifffile", "gdcm", "pylibjpeg", "openjpeg",
    "simplejpeg",
)  # fmt: skip
"""Libraries whose warnings may repeat what a header or a file's name says."""
PATHS = re.compile(r"\S*[/\\]\S*")


def harmless_words(text: str, library: str) -> str:
    """What a log may keep of a library's words."""
    if library.startswith(READERS):
        return ""
    return PATHS.sub("…", text.partition("\n")[0])


def told(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The event and its facts; of another library's record its template, without what was put into it."""
    if record.name == PACKAGE:
        return record.getMessage(), {name: value for name, value in facts_of(record).items() if value != ""}
    place = place_in_code(record.pathname, record.lineno)
    return "warning", {"kind": record.name, "at": place, "text": harmless_words(str(record.msg), record.name)}


class Lines(logging.Formatter):
    """Each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        event, facts = told(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {"time": at, "level": record.levelname, "event": event, **facts}, ensure_ascii=False
        )
