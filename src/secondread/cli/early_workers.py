"""Processes that prepare images, started before torch is imported, so that both are ready at one time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondread.images.workers.cores import available_cores
from secondread.images.workers.process import start_early

PREPARING = (
    "secondread.preprocessing.prepare",
    "scipy.sparse",
    "secondread.images.formats.raster",
    "simplejpeg",
)
PREPARING_DICOM = ("secondread.preprocessing.prepare", "scipy.sparse", "pydicom")
START, MAGIC = 132, b"DICM"


def start_preparing(inputs: Sequence[str], workers: int | None) -> None:
    """Start the first process that a run over these inputs will ask for; of DICOM files the first two, since
    one reads their headers and the next prepares them. None where this process decodes, or has one core.

    workers  as the run has them; None = the usual number
    """
    if workers == 0 or available_cores() == 1:
        return
    if any(_is_dicom(Path(source)) for source in inputs[:1]):
        start_early(2, PREPARING_DICOM)
    else:
        start_early(1, PREPARING)


def _is_dicom(path: Path) -> bool:
    """By the mark that nearly all of them have; for those without it, a process starts later."""
    try:
        with path.open("rb") as file:
            return file.read(START)[-len(MAGIC) :] == MAGIC
    except OSError:
        return False
