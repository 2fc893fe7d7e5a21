"""Which file beside a header holds its voxels, whatever the header's format."""

from __future__ import annotations

from pathlib import Path

from secondread.images.formats.grids.beside import data_path
from secondread.images.formats.grids.fields import MOST_HEADER_BYTES
from secondread.images.formats.grids.metaimage_header import is_metaimage, metaimage_header
from secondread.images.formats.grids.nrrd_header import is_nrrd, nrrd_header
from secondread.images.formats.gzipped import GZIP_MAGIC
from secondread.images.formats.nifti_pair import (
    LARGEST_HEADER_FILE,
    is_pair,
    unpacked_start,
    voxels_beside,
)
from secondread.images.image import ImageError

_PAIRS = (b"\x5c\1\0\0", b"\0\0\1\x5c", b"\x1c\2\0\0", b"\0\0\2\x1c")
"""The lengths of headers of NIfTI-1, Analyze and NIfTI-2, with which they begin."""


def named_beside(header: Path, length: int) -> Path | None:
    """The data file of a header of `length` bytes without voxels; None for any other file. Raises OSError."""
    if length > MOST_HEADER_BYTES:
        return None
    with open(header, "rb", buffering=0) as stream:
        start = stream.read(16)
    paired = length <= LARGEST_HEADER_FILE and (start[:4] in _PAIRS or start[:2] == GZIP_MAGIC)
    if not paired and (not start[:1].isalpha() or start.startswith(b"BM")):
        return None
    start = header.read_bytes()
    try:
        if paired:
            return voxels_beside(header, str(header)) if is_pair(unpacked_start(start)) else None
        if is_nrrd(start):
            grid = nrrd_header(str(header), start)
        elif is_metaimage(start):
            grid = metaimage_header(str(header), start)
        else:
            return None
        return data_path(header, grid.data_file, str(header)) if grid.data_file else None
    except ImageError:
        return None
