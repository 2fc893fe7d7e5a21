"""How many frames a DICOM file can hold, whatever its header says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from secondread.images.dicom_dataset import number, text
from secondread.images.limits import LARGEST_DEFLATE_RATIO, ReadLimits

if TYPE_CHECKING:
    from pydicom import Dataset

_LEAST_COMPRESSED = 8
"""Bytes of an item's tag and length, which every compressed frame has (PS3.5 A.4)."""


def check_frames(path: str, dataset: Dataset, frames: int) -> None:
    """Raise ImageError where the file at `path` is too short for so many frames, or has more than allowed.

    `dataset` is its header, the pixels left out.
    """
    if frames == 1:
        return
    meta = getattr(dataset, "file_meta", None)
    syntax = None if meta is None else meta.get("TransferSyntaxUID")
    least = float(_LEAST_COMPRESSED)
    room = Path(path).stat().st_size
    if syntax is None or not syntax.is_compressed:
        pixels = (number(dataset, "Rows") or 0) * (number(dataset, "Columns") or 0)
        samples = number(dataset, "SamplesPerPixel") or 1
        if text(dataset, "PhotometricInterpretation").startswith("YBR"):
            samples = min(samples, 1.5)  # colour at half the resolution, at the least
        least = pixels * samples * (number(dataset, "BitsAllocated") or 1) / 8
        if syntax is not None and syntax.is_deflated:
            room *= LARGEST_DEFLATE_RATIO
    ReadLimits().check_count(path, frames, "frames", least_bytes=least, file_bytes=room)
