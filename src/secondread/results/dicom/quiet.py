"""Libraries that write DICOM, kept from telling what stands in a header."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from secondread.images.dicom.dataset import quiet_pydicom

TELLING = "highdicom"
"""The logger whose lines, and those of the loggers below it, repeat names and UIDs."""


@contextlib.contextmanager
def quiet_writing() -> Iterator[None]:
    """Make and write DICOM inside this: values of a source are carried on as they stand there, and no library
    says them aloud."""
    logger = logging.getLogger(TELLING)
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(_silence)
    try:
        with quiet_pydicom():
            yield
    finally:
        logger.propagate = before


_silence = logging.NullHandler()
