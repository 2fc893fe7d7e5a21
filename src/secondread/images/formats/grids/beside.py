"""The file beside a header that holds its voxels."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from secondread.images.image import ImageError
from secondread.images.kept_file import kept_bytes
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, read_bytes

_MOST_SHOWN = 100
_SEVERAL = re.compile(r"%\d*d|\s-?\d+\s+-?\d+\s+-?\d+")
_JOIN = "join them in one file, for example with SimpleITK's WriteImage(ReadImage(…), …)"


def data_path(header: Path, named: str, text: str) -> Path:
    """Where a header says that its voxels lie.

    The name is taken as it is written: relative to the header's folder, and within it. Links are followed, as
    those of any other file are. Raises ImageError, named `text`, for a place outside, several files, or where
    no regular file lies.
    """
    if named.upper().startswith("LIST") or _SEVERAL.search(named):
        raise ImageError(text, "its voxels lie in several files", _JOIN)
    shown = f" {named}" if _may_be_shown(named) else ""
    place = PurePosixPath(named)
    if place.is_absolute() or ".." in place.parts or PureWindowsPath(named).drive or not place.name:
        raise ImageError(
            text,
            f"its header names a data file{shown} outside of its folder",
            "put that file beside the header, and write only its name in the header",
        )
    path = header.parent / place
    if not path.exists():
        raise ImageError(
            text, f"its data file{shown} is not there", "copy it beside the header, which holds no voxels"
        )
    if path.samefile(header):
        raise ImageError(text, "its header names itself as its data file", "write that file's name")
    if not path.is_file():
        raise ImageError(text, f"its data file{shown} is not a regular file")
    return path


def _may_be_shown(named: str) -> bool:
    return named.isprintable() and named.isascii() and len(named) <= _MOST_SHOWN


def bytes_beside(reference: Reference, place: Path, limits: ReadLimits) -> bytes:
    """The bytes of a header's file of voxels; kept where one frame after the other is asked for."""
    try:
        if reference.member is not None:
            return kept_bytes(place, lambda: read_bytes(place, limits))
        return read_bytes(place, limits)
    except ImageError as error:
        raise ImageError(reference.text, f"its data file: {error.problem}", error.advice) from error
