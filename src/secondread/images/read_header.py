"""A file's header is read from its beginning: for indexing and checking."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

from secondread.images.first_bytes import format_of, what_else
from secondread.images.formats.gzipped import GZIP_MAGIC
from secondread.images.header import GRID_KINDS, Header
from secondread.images.image import ImageError
from secondread.images.limits import LARGEST_DEFLATE_RATIO, ReadLimits
from secondread.images.refusal import refusing

_START = 1 << 16


def read_header(path: str | Path) -> Header:
    """The header of a file, read from its beginning; pixels are not decoded. Raises ImageError."""
    name = str(path)
    with refusing(name, "a header that cannot be read"):
        if not Path(path).is_file():
            missing = "not a regular file" if Path(path).exists() else "no such file"
            raise ImageError(name, missing)
        with open(path, "rb") as stream:
            start = stream.read(_START)
            file_bytes = os.fstat(stream.fileno()).st_size
        kind = _kind(name, start)
        if kind == "dicom":
            from secondread.images.dicom.header import read_dicom_header

            return read_dicom_header(Path(path), name)
        if kind == "nifti":
            return _nifti_header(name, start, file_bytes)
        if kind in GRID_KINDS:
            return _grid_header(name, kind, start, file_bytes)
        if kind == "npz":
            return Header(name, "npz", has_pixels=False)
        return _picture_header(Path(path), name, kind, start)


def _kind(path: str, start: bytes) -> str:
    if not start:
        raise ImageError(path, "the file is empty (0 bytes)", "copy or export it again")
    kind = format_of(start)
    if kind is None:
        raise ImageError(path, *what_else(start, Path(path)))
    return kind


def _picture_header(file: Path, path: str, kind: str, start: bytes) -> Header:
    from secondread.images.turn import ORIENTATION_TAG, turn_asked_by, turn_of

    if kind == "png":
        from PIL import PngImagePlugin

        from secondread.images.formats.png_stream import may_ask_for_a_turn, png_header

        stated = png_header(start)
        turn = None
        with file.open("rb") as stream:
            if may_ask_for_a_turn(stream):
                stream.seek(0)
                with PngImagePlugin.PngImageFile(stream) as picture:
                    turn = turn_asked_by(picture)
        size = (stated.rows, stated.columns) if turn is None else turn.size(stated.rows, stated.columns)
        return Header(path, kind, size, 2, 3 if stated.colour in (2, 3, 6) else 1)
    if kind == "bmp":
        from secondread.images.formats.bmp import bmp_size

        rows, columns, bits = bmp_size(start)
        return Header(path, kind, (rows, columns), 2, 1 if bits <= 8 else 3)
    if kind == "npy":
        from secondread.images.formats.npy import npy_header

        space, channels, _, _ = npy_header(path, io.BytesIO(start))
        return Header(path, kind, space, len(space), channels)
    if kind == "pnm":
        from secondread.images.formats.pnm import pnm_header

        said = pnm_header(start)
        return Header(path, kind, (said.rows, said.columns), 2, said.channels)
    if kind in ("gif", "webp"):
        from secondread.images.formats.web_picture import opened, webp_size

        if kind == "webp":
            ReadLimits().check_shape(path, (*webp_size(start), 4))
        with opened(kind, file) as picture:
            turn = turn_asked_by(picture)
            rows, columns = picture.height, picture.width
            size = (rows, columns) if turn is None else turn.size(rows, columns)
            return Header(path, kind, size, 2, 1 if picture.mode == "L" else 3)
    if kind == "jpeg":
        from PIL import JpegImagePlugin

        with JpegImagePlugin.JpegImageFile(file) as picture:
            turn = turn_asked_by(picture)
            rows, columns = picture.height, picture.width
            size = (rows, columns) if turn is None else turn.size(rows, columns)
            return Header(path, kind, size, 2, len(picture.getbands()))
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        count = len(tiff.pages)
        page: Any = tiff.pages[0]
        rows, columns = int(page.imagelength), int(page.imagewidth)
        tag = page.tags.get(ORIENTATION_TAG)
        turn = None if tag is None else turn_of(int(tag.value))
        plane = (rows, columns) if turn is None else turn.size(rows, columns)
        count *= int(page.imagedepth)
        whole = plane if count == 1 else (count, *plane)
        return Header(path, kind, whole, len(whole), int(page.samplesperpixel), frames=len(tiff.pages))


def _nifti_header(path: str, start: bytes, file_bytes: int) -> Header:
    from secondread.images.formats.grids.placed import size_in_one_orientation
    from secondread.images.formats.nifti_header import nifti_header
    from secondread.images.formats.nifti_pair import is_pair, pair_header, unpacked_start, voxels_beside

    data_file, beginning = "", unpacked_start(start)
    if is_pair(beginning):
        header = pair_header(path, Path(path), beginning)
        voxels = voxels_beside(Path(path), path)
        data_file, file_bytes = voxels.name, voxels.stat().st_size
        packed = voxels.name.lower().endswith(".gz")
    else:
        header = nifti_header(path, beginning)
        packed = start[:2] == GZIP_MAGIC
    header.first_byte(path)
    grid = header.grid
    if header.volumes != 1:
        least = math.prod(grid) * header.dtype.itemsize
        room = file_bytes * (LARGEST_DEFLATE_RATIO if packed else 1)
        ReadLimits().check_count(path, header.volumes, "volumes", least_bytes=least, file_bytes=room)
    size, spacing = size_in_one_orientation(grid, header.affine)
    return Header(path, "nifti", size, len(size), spacing=spacing, frames=header.volumes, data_file=data_file)


def _grid_header(path: str, kind: str, start: bytes, file_bytes: int) -> Header:
    from secondread.images.formats.grids.fields import MOST_HEADER_BYTES
    from secondread.images.formats.grids.read_grid import ends, grid_header

    if not ends(kind, start) and len(start) < file_bytes:
        with open(path, "rb") as stream:
            start = stream.read(MOST_HEADER_BYTES)
    return grid_header(path, kind, start, file_bytes)
