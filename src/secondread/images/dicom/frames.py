"""How many frames a DICOM file holds, whatever its header says."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import text, value
from secondread.images.dicom.numbers import HeaderValueError, number, whole_number
from secondread.images.limits import LARGEST_DEFLATE_RATIO, ReadLimits

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.filereader import FileDataset

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
RLE = "1.2.840.10008.1.2.5"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_SMALLEST_FRAME_BITS = 64
"""A surplus as large as a frame of so few bits is padding, not a frame."""
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


def check_frame_count(dataset: FileDataset, frames: int, allocated: int) -> None:
    """Raise HeaderValueError for a file that holds more frames than its header says: which of them is meant,
    nobody knows."""
    if is_encapsulated(dataset):
        from pydicom.encaps import generate_fragments

        found = sum(_starts_a_frame(part) for part in islice(generate_fragments(dataset.PixelData), 1, None))
    else:
        samples = whole_number(dataset, "SamplesPerPixel", 1)
        if text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
            samples = 2
        frame_bits = whole_number(dataset, "Rows") * whole_number(dataset, "Columns") * samples * allocated
        found = (
            8 * max(len(value(dataset, keyword) or b"") for keyword in PIXEL_KEYWORDS) // max(frame_bits, 1)
        )
        if frame_bits < _SMALLEST_FRAME_BITS:
            return
    if found > frames:
        raise HeaderValueError(
            f"the file holds {found} frames, and NumberOfFrames in the header "
            + ("is missing" if value(dataset, "NumberOfFrames") is None else f"says {frames}")
        )


def is_encapsulated(dataset: FileDataset) -> bool:
    """Whether the pixels lie in fragments, as compressed ones do."""
    return "PixelData" in dataset and bool(dataset["PixelData"].is_undefined_length)


def _starts_a_frame(fragment: bytes) -> bool:
    """Whether a fragment begins a JPEG, a JPEG 2000 codestream or a run-length frame (PS3.5 annex G)."""
    segments, offset = int.from_bytes(fragment[:4], "little"), int.from_bytes(fragment[4:8], "little")
    return fragment.startswith(_STARTS) or (1 <= segments <= 15 and offset == 64)
